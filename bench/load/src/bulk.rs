//! Many bytes over few connections, in one direction or both at once.

use std::str::FromStr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::console;
use crate::error::{Error, Failures};
use crate::options::{Options, Positive};
use crate::port::Port;
use crate::runtime::{self, PATIENCE, gather, within};
use crate::serve::Kind;
use crate::stream;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug)]
enum Direction {
    /// From here to the sink.
    Up,
    /// From the source to here.
    Down,
    /// Both at once, on connections of their own.
    Both,
}

impl FromStr for Direction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            "both" => Ok(Self::Both),
            _ => Err(()),
        }
    }
}

/// What the connections of one direction have confirmed.
#[derive(Debug, Default)]
struct Total {
    bytes: u64,
    /// From the common start to the last confirmation.
    elapsed: Duration,
}

impl Total {
    fn add(&mut self, bytes: u64, elapsed: Duration) {
        self.bytes += bytes;
        self.elapsed = self.elapsed.max(elapsed);
    }
}

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let direction = options.required("direction")?;
    let (up, down) = match direction {
        Direction::Up => (Some(options.required("port")?), None),
        Direction::Down => (None, Some(options.required("port")?)),
        Direction::Both => {
            (Some(options.required("port-up")?), Some(options.required("port-down")?))
        }
    };
    let Positive(connections) = options.optional("connections")?.unwrap_or(Positive(1));
    let bytes = options.required("bytes")?;
    let patience = options.optional("timeout")?.unwrap_or(PATIENCE);
    options.finish()?;
    runtime::run(async {
        let mut failures = Failures::default();
        let ups = connect(up, connections, &mut failures).await;
        let downs = connect(down, connections, &mut failures).await;
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (stream, share) in ups.into_iter().zip(shares(bytes, connections)) {
            tasks.spawn(async move {
                within(patience, upload(stream, share, ends(up))).await?;
                Ok((Direction::Up, share, start.elapsed()))
            });
        }
        for (stream, share) in downs.into_iter().zip(shares(bytes, connections)) {
            tasks.spawn(async move {
                within(patience, download(stream, share, ends(down))).await?;
                Ok((Direction::Down, share, start.elapsed()))
            });
        }
        let (mut all, mut up, mut down) = <(Total, Total, Total)>::default();
        gather(tasks, &mut failures, |(direction, bytes, elapsed)| {
            all.add(bytes, elapsed);
            match direction {
                Direction::Up => up.add(bytes, elapsed),
                Direction::Down => down.add(bytes, elapsed),
                Direction::Both => {}
            }
        })
        .await;
        report(direction, &all, &up, &down, &failures)
    })
}

/// Opens the connections of one direction, if there is one.
async fn connect(
    port: Option<Port>,
    connections: usize,
    failures: &mut Failures,
) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    let Some(port) = port else { return streams };
    for _ in 0..connections {
        match stream::connect(port).await {
            Ok(stream) => streams.push(stream),
            Err(error) => failures.add(&error),
        }
    }
    streams
}

/// The bytes of each connection: all of them together, in shares that differ by one at most.
fn shares(bytes: u64, connections: usize) -> impl Iterator<Item = u64> {
    let connections = connections as u64;
    (0..connections).map(move |at| bytes / connections + u64::from(at < bytes % connections))
}

/// Whether the target tells the end of the bytes by the end of the stream.
fn ends(port: Option<Port>) -> bool {
    !matches!(port.and_then(|port| port.kind), Some(Kind::Take | Kind::Give))
}

/// Sends so many bytes to a sink, which has to confirm them.
async fn upload(mut stream: TcpStream, bytes: u64, ends: bool) -> Result<(), Error> {
    if !ends {
        stream.write_u64(bytes).await?;
    }
    stream::write(&mut stream, bytes).await?;
    if ends {
        stream.shutdown().await?;
    }
    let counted = stream.read_u64().await?;
    if counted != bytes {
        return Err(Error::Count { sent: bytes, counted });
    }
    if ends { stream::read_to_end(&mut stream, 0).await } else { Ok(()) }
}

/// Has a source send so many bytes, and then the end of the stream.
async fn download(mut stream: TcpStream, bytes: u64, ends: bool) -> Result<(), Error> {
    stream.write_u64(bytes).await?;
    if ends {
        stream::read_to_end(&mut stream, bytes).await
    } else {
        stream::read_answer(&mut stream, bytes).await
    }
}

fn report(
    direction: Direction,
    all: &Total,
    up: &Total,
    down: &Total,
    failures: &Failures,
) -> Result<(), Error> {
    let pair = |total: &Total| {
        format!(r#""bytes":{},"seconds":{:.6}"#, total.bytes, total.elapsed.as_secs_f64())
    };
    let parts = match direction {
        Direction::Up | Direction::Down => String::new(),
        Direction::Both => format!(r#","up":{{{}}},"down":{{{}}}"#, pair(up), pair(down)),
    };
    let (all, failures) = (pair(all), failures.count());
    Ok(console::say(format_args!(r#"{{{all},"failures":{failures}{parts}}}"#))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_up_the_whole() {
        assert_eq!(shares(10, 4).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(shares(1, 3).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(shares(1 << 30, 7).sum::<u64>(), 1 << 30);
    }
}
