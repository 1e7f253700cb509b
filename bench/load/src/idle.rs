//! Many connections that do nothing until told.

use std::time::Instant;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::console;
use crate::error::{Error, Failures};
use crate::first::{echoed, open};
use crate::options::{Options, Positive};
use crate::runtime::{self, PATIENCE, gather, repeat, within};

/// Connections that are being opened at a time, unless told otherwise.
const AT_ONCE: Positive = Positive(64);

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let port = options.required("port")?;
    let Positive(connections) = options.required("connections")?;
    let Positive(at_once) = options.optional("at-once")?.unwrap_or(AT_ONCE);
    let patience = options.optional("timeout")?.unwrap_or(PATIENCE);
    options.finish()?;
    runtime::run(async {
        let mut streams = Vec::new();
        let mut failures = Failures::default();
        let open = || within(patience, open(port));
        repeat(connections, at_once, open, &mut failures, |stream| streams.push(stream)).await;
        let (open, failures) = (streams.len(), failures.count());
        console::say(format_args!(r#"{{"open":{open},"failures":{failures}}}"#))?;
        let mut lines = console::lines();
        while let Some(line) = lines.recv().await {
            match line.trim() {
                "echo" => streams = echo_all(streams, patience).await?,
                other => return Err(Error::Usage(format!("'{other}' is not a request"))),
            }
        }
        Ok(())
    })
}

/// Has one byte echoed on all connections at once. Those that fail are closed.
async fn echo_all(streams: Vec<TcpStream>, patience: u64) -> Result<Vec<TcpStream>, Error> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut stream in streams {
        tasks.spawn(within(patience, async move {
            echoed(&mut stream).await?;
            Ok(stream)
        }));
    }
    let mut streams = Vec::with_capacity(tasks.len());
    let mut failures = Failures::default();
    gather(tasks, &mut failures, |stream| streams.push(stream)).await;
    let seconds = start.elapsed().as_secs_f64();
    let (echoed, failures) = (streams.len(), failures.count());
    console::say(format_args!(
        r#"{{"echoed":{echoed},"seconds":{seconds:.6},"failures":{failures}}}"#
    ))?;
    Ok(streams)
}
