//! The time from connecting to the first byte back.

use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::console;
use crate::error::{Error, Failures};
use crate::options::{Options, Positive};
use crate::port::Port;
use crate::runtime::{self, PATIENCE, within};
use crate::samples::Samples;
use crate::stream;

/// Who says the first byte.
#[derive(Clone, Copy, Debug)]
enum Speaker {
    /// The client, and an echo gives it back.
    Client,
    /// The target, as soon as it is connected to.
    Target,
}

impl FromStr for Speaker {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "client" => Ok(Self::Client),
            "target" => Ok(Self::Target),
            _ => Err(()),
        }
    }
}

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let port = options.required("port")?;
    let Positive(count) = options.optional("count")?.unwrap_or(Positive(1));
    let speaker = options.optional("speaker")?.unwrap_or(Speaker::Client);
    let patience = options.optional("timeout")?.unwrap_or(PATIENCE);
    options.finish()?;
    runtime::run(async {
        let (mut samples, mut failures) = (Samples::default(), Failures::default());
        for _ in 0..count {
            match within(patience, first_byte(port, speaker)).await {
                Ok(time) => samples.add(time),
                Err(error) => failures.add(&error),
            }
        }
        let (count, failures, first) = (samples.count(), failures.count(), samples.first());
        let sorted = samples.sort();
        let (p50, p99, max) = (sorted.percentile(50), sorted.percentile(99), sorted.max());
        console::say(format_args!(
            r#"{{"count":{count},"failures":{failures},"first":{first},"p50":{p50},"p99":{p99},"max":{max}}}"#
        ))?;
        Ok(())
    })
}

async fn first_byte(port: Port, speaker: Speaker) -> Result<Duration, Error> {
    let start = Instant::now();
    match speaker {
        Speaker::Client => drop(open(port).await?),
        Speaker::Target => stream::read_answer(&mut stream::connect(port).await?, 1).await?,
    }
    Ok(start.elapsed())
}

/// Connects, and has one byte echoed: a connection that is open all the way to the target.
pub(crate) async fn open(port: Port) -> Result<TcpStream, Error> {
    let mut stream = stream::connect(port).await?;
    echoed(&mut stream).await?;
    Ok(stream)
}

/// Has one byte echoed.
pub(crate) async fn echoed(stream: &mut TcpStream) -> Result<(), Error> {
    stream::write(stream, 1).await?;
    stream::read_answer(stream, 1).await
}
