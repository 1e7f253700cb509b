//! The receive low-water mark of a socket: while data comes in bulk, the kernel is to wake us for a
//! large portion of it, not for every segment.

use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::net::sys;

/// The mark while data comes in bulk. Less than one read takes, so that one read takes all.
const RAISED: usize = 192 * 1024;
/// What otherwise stands for "something".
const LOWERED: usize = 1;
/// This much within [`SPAN`] is bulk: at such a rate the mark is reached in about a millisecond.
const BULK: usize = 1024 * 1024;
const SPAN: Duration = Duration::from_millis(6);
/// How long a rest below the mark may wait for what follows.
const PATIENCE: Duration = Duration::from_millis(1);
/// How long an answer is expected after a request.
const REST: Duration = Duration::from_millis(10);

/// Raises and lowers the mark of one socket.
#[derive(Debug, Default)]
pub(crate) struct RcvLowat {
    raised: bool,
    /// When the present measurement began, and what has come since.
    since: Option<Instant>,
    received: usize,
    /// When the mark is to be lowered unless something comes before.
    due: Option<Instant>,
    /// Until when the mark is not raised again.
    rests: Option<Instant>,
}

impl RcvLowat {
    /// So many bytes were read.
    pub(crate) fn received(&mut self, count: usize, now: Instant) {
        self.due = None;
        if self.since.is_none_or(|since| now.duration_since(since) > SPAN) {
            self.since = Some(now);
            self.received = 0;
        }
        self.received += count;
    }

    /// Whether data comes in bulk.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised
    }

    /// Nothing is left to read for now.
    pub(crate) fn drained(&mut self, socket: &SockRef<'_>, now: Instant) {
        let may = self.rests.is_none_or(|until| until <= now);
        if !self.raised && may && self.received >= BULK {
            self.raised = sys::set_rcvlowat(socket, RAISED).is_ok();
            self.received = 0;
        }
        if self.raised && self.due.is_none() {
            self.due = Some(now + PATIENCE);
        }
    }

    /// When to call [`RcvLowat::expire`].
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Lowers the mark if its time is over: what has come below it wakes us then. Whether it was
    /// lowered.
    pub(crate) fn expire(&mut self, socket: &SockRef<'_>, now: Instant) -> bool {
        let over = self.due.is_some_and(|due| due <= now);
        if over {
            self.lower(socket);
        }
        over
    }

    /// Somebody waits for an answer that may be small: the mark stays low for a while.
    pub(crate) fn rest(&mut self, socket: &SockRef<'_>, now: Instant) {
        self.lower(socket);
        self.rests = Some(now + REST);
    }

    fn lower(&mut self, socket: &SockRef<'_>) {
        self.due = None;
        if std::mem::take(&mut self.raised) {
            // What could be raised can be lowered.
            let _ = sys::set_rcvlowat(socket, LOWERED);
        }
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::future::poll_fn;
    use std::task::{Context, Waker};

    use tokio::io::Interest;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::runtime;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let peer = TcpStream::connect(address).await.expect("connect");
        (listener.accept().await.expect("accept").0, peer)
    }

    fn is_readable(stream: &TcpStream) -> bool {
        // Readiness as it is now, not as it was found last.
        let forget = || Err::<(), _>(std::io::ErrorKind::WouldBlock.into());
        let _ = stream.try_io(Interest::READABLE, forget);
        stream.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_rest_below_the_mark_waits_until_its_time_is_over() {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let socket = SockRef::from(&stream);
            let mut mark = RcvLowat::default();
            let now = Instant::now();
            mark.received(BULK, now);
            mark.drained(&socket, now);
            assert!(mark.is_raised());
            assert_eq!(mark.due(), Some(now + PATIENCE));

            peer.try_write(&[1; 10]).expect("there is room");
            peer.writable().await.expect("alive");
            assert!(!is_readable(&stream), "ten bytes are below the mark");
            assert!(!mark.expire(&socket, now + PATIENCE / 2), "too early");
            assert!(mark.expire(&socket, now + PATIENCE));
            poll_fn(|cx| stream.poll_read_ready(cx)).await.expect("the ten bytes");
            assert_eq!(stream.try_read(&mut [0; 20]).expect("alive"), 10);
        });
    }

    #[test]
    fn an_end_is_noticed_below_the_mark() {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let mut mark = RcvLowat::default();
            mark.received(BULK, Instant::now());
            mark.drained(&SockRef::from(&stream), Instant::now());
            drop(peer);
            poll_fn(|cx| stream.poll_read_ready(cx)).await.expect("the end");
            assert_eq!(stream.try_read(&mut [0; 1]).expect("a FIN"), 0);
        });
    }

    #[test]
    fn the_mark_stays_low_while_an_answer_is_expected() {
        runtime::handle().block_on(async {
            let (stream, _peer) = pair().await;
            let socket = SockRef::from(&stream);
            let mut mark = RcvLowat::default();
            let now = Instant::now();
            let bulk = |mark: &mut RcvLowat, now| {
                mark.received(BULK, now);
                mark.drained(&socket, now);
                mark.is_raised()
            };
            assert!(bulk(&mut mark, now));
            mark.rest(&socket, now);
            assert!(!mark.is_raised());
            assert_eq!(mark.due(), None);
            assert!(!bulk(&mut mark, now + REST / 2));
            assert!(bulk(&mut mark, now + REST));
        });
    }

    #[test]
    fn only_what_comes_fast_is_bulk() {
        runtime::handle().block_on(async {
            let (stream, _peer) = pair().await;
            let socket = SockRef::from(&stream);
            let mut mark = RcvLowat::default();
            let mut now = Instant::now();
            for _ in 0..20 {
                mark.received(BULK / 2, now);
                mark.drained(&socket, now);
                now += 2 * SPAN;
            }
            assert!(!mark.is_raised());
            assert_eq!(mark.due(), None);

            mark.received(BULK, now + 3 * SPAN);
            mark.drained(&socket, now + 3 * SPAN);
            assert!(mark.is_raised());
        });
    }
}
