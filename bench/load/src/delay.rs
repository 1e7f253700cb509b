//! A line that is long and otherwise perfect: all bytes, ends of streams and resets arrive, so many
//! milliseconds later.
//!
//! It has no limit of bandwidth and none of its queue, so that only the windows of those who talk
//! over it hold them back. Connecting is not delayed: the relay itself accepts.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use crate::alarm::Alarm;
use crate::console;
use crate::error::Error;
use crate::options::{Options, Time};
use crate::runtime;
use crate::serve::serve;
use crate::stream;

/// What arrives at the other side.
enum Arrival {
    /// Bytes, as they were read.
    Bytes(Vec<u8>),
    /// The end of the stream.
    Fin,
    /// The end of the connection.
    Reset,
}

/// The connection has been reset from one side: the other is to be.
#[derive(Debug)]
struct Reset;

/// One of the two connections of a relay has failed while something was written to it. The kernel
/// tells that once, so that a read would take it for an end of the stream.
type Broken = AtomicBool;

pub(crate) fn run(mut options: Options) -> Result<(), Error> {
    let to: String = options.required("to")?;
    let Time(milliseconds) = options.required("ms")?;
    let port: Option<u16> = options.optional("listen")?;
    options.finish()?;
    let delay = Duration::from_secs_f64(milliseconds / 1000.0);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    runtime::run(async {
        let port = serve(address, move |near| {
            let to = to.clone();
            async move {
                let far = TcpStream::connect(to).await;
                match far {
                    Ok(far) => relay(near, far, delay).await,
                    Err(_) => SockRef::from(&near).set_linger(Some(Duration::ZERO)),
                }
            }
        })?;
        console::say(format_args!(r#"{{"port":{port}}}"#))?;
        console::closed().await;
        Ok(())
    })
}

/// Joins two connections until both directions have ended, or either connection is reset.
async fn relay(mut near: TcpStream, mut far: TcpStream, delay: Duration) -> std::io::Result<()> {
    far.set_nodelay(true)?;
    let end = {
        let (near_broken, far_broken) = (Broken::new(false), Broken::new(false));
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let (out, out_queue) = unbounded_channel();
        let (back, back_queue) = unbounded_channel();
        both(
            [
                pin!(collect(near_read, out, delay, &near_broken)),
                pin!(collect(far_read, back, delay, &far_broken)),
            ],
            [
                pin!(deliver(out_queue, far_write, delay, &far_broken)),
                pin!(deliver(back_queue, near_write, delay, &near_broken)),
            ],
        )
        .await
    };
    if let Err(Reset) = end {
        // Closing then resets instead of ending the stream.
        SockRef::from(&near).set_linger(Some(Duration::ZERO))?;
        SockRef::from(&far).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// A direction's half of the work.
type Part<'a> = Pin<&'a mut (dyn Future<Output = Result<(), Reset>> + Send)>;

/// Runs both directions until all has been delivered, or either side has been reset.
async fn both<'a>(collecting: [Part<'a>; 2], delivering: [Part<'a>; 2]) -> Result<(), Reset> {
    let (mut collecting, mut delivering) = (collecting.map(Some), delivering.map(Some));
    poll_fn(|cx| {
        for slot in collecting.iter_mut().chain(&mut delivering) {
            if let Some(part) = slot
                && let Poll::Ready(end) = part.as_mut().poll(cx)
            {
                end?;
                *slot = None;
            }
        }
        if delivering.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// Reads whatever is there at once, and notes when it is due. The queue has no bound: it is the
/// line, and a line that fills up would be a bandwidth. After the end of the stream only a reset
/// can come.
async fn collect(
    mut from: ReadHalf<'_>,
    queue: UnboundedSender<(Instant, Arrival)>,
    delay: Duration,
    broken: &Broken,
) -> Result<(), Reset> {
    let end = loop {
        let due = |arrival| (Instant::now() + delay, arrival);
        match stream::read_with(&mut from, <[u8]>::to_vec).await {
            Ok(bytes) if !bytes.is_empty() => {
                if queue.send(due(Arrival::Bytes(bytes))).is_err() {
                    return Ok(());
                }
            }
            Ok(_) if !broken.load(Ordering::Relaxed) => break due(Arrival::Fin),
            Ok(_) | Err(_) => break due(Arrival::Reset),
        }
    };
    let fin = matches!(end.1, Arrival::Fin);
    if queue.send(end).is_ok() && fin && from.ready(Interest::ERROR).await.is_ok() {
        sleep(delay).await;
        return Err(Reset);
    }
    Ok(())
}

/// Passes on what is due, in the order in which it was read.
async fn deliver(
    mut queue: UnboundedReceiver<(Instant, Arrival)>,
    mut to: WriteHalf<'_>,
    delay: Duration,
    broken: &Broken,
) -> Result<(), Reset> {
    let mut alarm = Alarm::new().map_err(|_| Reset)?;
    while let Some((due, arrival)) = queue.recv().await {
        alarm.wait_until(due).await.map_err(|_| Reset)?;
        let (written, last) = match arrival {
            Arrival::Bytes(bytes) => (to.write_all(&bytes).await, false),
            Arrival::Fin => (to.shutdown().await, true),
            Arrival::Reset => return Err(Reset),
        };
        if written.is_err() {
            broken.store(true, Ordering::Relaxed);
            // The reset that was found here takes its time to the other side too.
            sleep(delay).await;
            return Err(Reset);
        }
        if last {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    const DELAY: Duration = Duration::from_millis(20);

    /// Two ends of a delayed connection.
    async fn ends() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let near = TcpStream::connect(address).await.unwrap();
        let (near_end, _) = listener.accept().await.unwrap();
        let far_end = TcpStream::connect(address).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        tokio::spawn(relay(near_end, far_end, DELAY));
        (near, far)
    }

    fn test(body: impl Future<Output = ()>) {
        let body = async {
            body.await;
            Ok(())
        };
        runtime::run(body).unwrap();
    }

    #[test]
    fn bytes_arrive_in_order_and_not_too_early() {
        test(async {
            let (mut near, mut far) = ends().await;
            let sent: Vec<u8> = (0..8 * stream::BLOCK).map(|at| (at / 5) as u8).collect();
            let expected = sent.clone();
            let start = Instant::now();
            // Nobody reads before all is written: the line has to take it.
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut first = [0];
            far.read_exact(&mut first).await.unwrap();
            assert!(start.elapsed() >= DELAY);
            let mut got = first.to_vec();
            far.read_to_end(&mut got).await.unwrap();
            assert!(got == expected);
            far.write_all(b"answer").await.unwrap();
            drop(far);
            let mut answer = Vec::new();
            near.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"answer");
            assert!(start.elapsed() >= 2 * DELAY);
        });
    }

    #[test]
    fn a_reset_arrives_as_one() {
        test(async {
            let (mut near, far) = ends().await;
            SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
            let start = Instant::now();
            drop(far);
            let end = near.read_u8().await.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
            assert!(start.elapsed() >= DELAY);
        });
    }

    #[test]
    fn a_reset_after_the_end_of_the_stream_arrives_too() {
        test(async {
            let (mut near, mut far) = ends().await;
            far.shutdown().await.unwrap();
            assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
            // The kernel answers what comes for a closed socket with a reset.
            drop(far);
            near.write_all(b"more").await.unwrap();
            near.ready(Interest::ERROR).await.unwrap();
            let error = near.take_error().unwrap().unwrap();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
    }
}
