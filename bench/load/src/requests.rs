//! Requests and answers on connections that are kept.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::console;
use crate::error::{Error, Failures};
use crate::options::{Options, Positive, Time};
use crate::runtime::{self, PATIENCE, gather, within};
use crate::samples::Samples;
use crate::stream::{self, REQUEST};

/// Time for buffers to grow and caches to fill before anything counts.
const WARMUP: Time = Time(0.3);

/// When answers count.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    end: Instant,
}

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let port = options.required("port")?;
    let Positive(connections) = options.required("connections")?;
    let Time(seconds) = options.required("seconds")?;
    let Time(warmup) = options.optional("warmup")?.unwrap_or(WARMUP);
    let Time(pause) = options.optional("pause")?.unwrap_or(Time(0.0));
    let patience = options.optional("timeout")?.unwrap_or(PATIENCE);
    options.finish()?;
    runtime::run(async {
        let mut failures = Failures::default();
        let mut streams = Vec::new();
        for _ in 0..connections {
            match stream::connect(port).await {
                Ok(stream) => streams.push(stream),
                Err(error) => failures.add(&error),
            }
        }
        // Each is open from end to end before any time runs.
        let mut tasks = JoinSet::new();
        for mut stream in streams {
            tasks.spawn(within(patience, async { exchange(&mut stream).await.map(|()| stream) }));
        }
        let mut streams = Vec::new();
        gather(tasks, &mut failures, |stream| streams.push(stream)).await;
        let start = Instant::now() + Duration::from_secs_f64(warmup);
        let window = Window { start, end: start + Duration::from_secs_f64(seconds) };
        // Whole seconds are fine for what only ends a run that hangs.
        let patience = patience + (warmup + seconds) as u64;
        let mut tasks = JoinSet::new();
        for stream in streams {
            tasks.spawn(within(patience, ask(stream, window, pause)));
        }
        let mut samples = Samples::default();
        gather(tasks, &mut failures, |more| samples.append(more)).await;
        let (count, failures) = (samples.count(), failures.count());
        let sorted = samples.sort();
        let (p50, p99, max) = (sorted.percentile(50), sorted.percentile(99), sorted.max());
        console::say(format_args!(
            r#"{{"count":{count},"seconds":{seconds},"failures":{failures},"p50":{p50},"p99":{p99},"max":{max}}}"#
        ))?;
        Ok(())
    })
}

/// One request and its answer.
async fn exchange(stream: &mut TcpStream) -> Result<(), Error> {
    stream::write(stream, REQUEST as u64).await?;
    stream::read_answer(stream, REQUEST as u64).await
}

/// Asks again as soon as the answer is there, or after the pause. The answer that comes after the window
/// is the last.
async fn ask(mut stream: TcpStream, window: Window, pause: f64) -> Result<Samples, Error> {
    let mut samples = Samples::default();
    let mut asked = Instant::now();
    loop {
        exchange(&mut stream).await?;
        let answered = Instant::now();
        if answered > window.end {
            return Ok(samples);
        }
        if answered >= window.start {
            samples.add(answered - asked);
        }
        asked = answered;
        if pause > 0.0 {
            sleep(Duration::from_secs_f64(pause / 1000.0)).await;
            asked = Instant::now();
        }
    }
}
