//! Connections for one request each.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::console;
use crate::error::{Error, Failures};
use crate::options::{Options, Positive, Time};
use crate::port::Port;
use crate::runtime::{self, PATIENCE, repeat, within};
use crate::samples::Samples;
use crate::stream::{self, REQUEST};

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let port = options.required("port")?;
    let Positive(at_once) = options.required("at-once")?;
    let Positive(count) = options.required("count")?;
    let Time(pause) = options.optional("pause")?.unwrap_or(Time(0.0));
    let patience = options.optional("timeout")?.unwrap_or(PATIENCE);
    options.finish()?;
    runtime::run(async {
        let (mut samples, mut failures) = (Samples::default(), Failures::default());
        let start = Instant::now();
        let exchange = || async move {
            let time = within(patience, exchange(port)).await?;
            if pause > 0.0 {
                sleep(Duration::from_secs_f64(pause / 1000.0)).await;
            }
            Ok(time)
        };
        repeat(count, at_once, exchange, &mut failures, |time| samples.add(time)).await;
        let seconds = start.elapsed().as_secs_f64();
        let (count, failures) = (samples.count(), failures.count());
        let sorted = samples.sort();
        let (p50, p99) = (sorted.percentile(50), sorted.percentile(99));
        console::say(format_args!(
            r#"{{"count":{count},"seconds":{seconds:.6},"failures":{failures},"p50":{p50},"p99":{p99}}}"#
        ))?;
        Ok(())
    })
}

/// Connects, asks, reads the answer and the end of the stream; the time that took.
async fn exchange(port: Port) -> Result<Duration, Error> {
    let start = Instant::now();
    let mut stream = stream::connect(port).await?;
    stream::write(&mut stream, REQUEST as u64).await?;
    stream::read_to_end(&mut stream, REQUEST as u64).await?;
    Ok(start.elapsed())
}
