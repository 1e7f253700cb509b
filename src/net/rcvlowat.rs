//! SO_RCVLOWAT of a socket: while data arrives in bulk, the kernel wakes the task for a large
//! portion and not for every segment.

use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::net::sys;

/// The value during bulk transfers. Smaller than one read, which therefore takes everything.
const RAISED: usize = 192 * 1024;
/// The value otherwise.
const LOWERED: usize = 1;
/// Bytes within [`SPAN`] that count as bulk: at this rate the value is reached in about a
/// millisecond.
const BULK: usize = 1024 * 1024;
const SPAN: Duration = Duration::from_millis(6);
/// Time that fewer bytes than the value may wait for more.
const MAX_DELAY: Duration = Duration::from_millis(1);
/// Time after a request in which its reply is expected.
const REPLY_TIME: Duration = Duration::from_millis(10);

/// Raises and lowers SO_RCVLOWAT of one socket.
#[derive(Debug, Default)]
pub(crate) struct RcvLowat {
    raised: bool,
    /// Start of the current measurement, and the bytes received since.
    since: Option<Instant>,
    received: usize,
    /// When to lower the value, unless data arrives before.
    due: Option<Instant>,
    /// Until when the value stays low.
    low_until: Option<Instant>,
}

impl RcvLowat {
    /// Counts bytes that were read.
    pub(crate) fn received(&mut self, count: usize, now: Instant) {
        self.due = None;
        if self.since.is_none_or(|since| now.duration_since(since) > SPAN) {
            self.since = Some(now);
            self.received = 0;
        }
        self.received += count;
    }

    /// Returns whether data arrives in bulk.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised
    }

    /// Notes that nothing is left to read. Raises the value during bulk transfers.
    pub(crate) fn drained(&mut self, socket: &SockRef<'_>, now: Instant) {
        let may_raise = self.low_until.is_none_or(|until| until <= now);
        if !self.raised && may_raise && self.received >= BULK {
            self.raised = sys::set_rcvlowat(socket, RAISED).is_ok();
            self.received = 0;
        }
        if self.raised && self.due.is_none() {
            self.due = Some(now + MAX_DELAY);
        }
    }

    /// Returns when to call [`RcvLowat::expire`].
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Lowers the value if its time is over, so that fewer bytes wake the task too. Returns whether
    /// it was lowered.
    pub(crate) fn expire(&mut self, socket: &SockRef<'_>, now: Instant) -> bool {
        let over = self.due.is_some_and(|due| due <= now);
        if over {
            self.lower(socket);
        }
        over
    }

    /// Keeps the value low for a while, because a small reply is expected.
    pub(crate) fn keep_low(&mut self, socket: &SockRef<'_>, now: Instant) {
        self.lower(socket);
        self.low_until = Some(now + REPLY_TIME);
    }

    fn lower(&mut self, socket: &SockRef<'_>) {
        self.due = None;
        if std::mem::take(&mut self.raised) {
            // An option that could be raised can be lowered.
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
        // Clears the readiness that tokio has remembered.
        let forget = || Err::<(), _>(std::io::ErrorKind::WouldBlock.into());
        let _ = stream.try_io(Interest::READABLE, forget);
        stream.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn fewer_bytes_than_the_value_wait_until_its_time_is_over() {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let socket = SockRef::from(&stream);
            let mut rcvlowat = RcvLowat::default();
            let now = Instant::now();
            rcvlowat.received(BULK, now);
            rcvlowat.drained(&socket, now);
            assert!(rcvlowat.is_raised());
            assert_eq!(rcvlowat.due(), Some(now + MAX_DELAY));

            peer.try_write(&[1; 10]).expect("there is room");
            peer.writable().await.expect("alive");
            assert!(!is_readable(&stream), "ten bytes are fewer than the value");
            assert!(!rcvlowat.expire(&socket, now + MAX_DELAY / 2), "too early");
            assert!(rcvlowat.expire(&socket, now + MAX_DELAY));
            poll_fn(|cx| stream.poll_read_ready(cx)).await.expect("the ten bytes");
            assert_eq!(stream.try_read(&mut [0; 20]).expect("alive"), 10);
        });
    }

    #[test]
    fn eof_wakes_with_fewer_bytes_than_the_value() {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let mut rcvlowat = RcvLowat::default();
            rcvlowat.received(BULK, Instant::now());
            rcvlowat.drained(&SockRef::from(&stream), Instant::now());
            drop(peer);
            poll_fn(|cx| stream.poll_read_ready(cx)).await.expect("the end");
            assert_eq!(stream.try_read(&mut [0; 1]).expect("a FIN"), 0);
        });
    }

    #[test]
    fn the_value_stays_low_while_a_reply_is_expected() {
        runtime::handle().block_on(async {
            let (stream, _peer) = pair().await;
            let socket = SockRef::from(&stream);
            let mut rcvlowat = RcvLowat::default();
            let now = Instant::now();
            let bulk = |rcvlowat: &mut RcvLowat, now| {
                rcvlowat.received(BULK, now);
                rcvlowat.drained(&socket, now);
                rcvlowat.is_raised()
            };
            assert!(bulk(&mut rcvlowat, now));
            rcvlowat.keep_low(&socket, now);
            assert!(!rcvlowat.is_raised());
            assert_eq!(rcvlowat.due(), None);
            assert!(!bulk(&mut rcvlowat, now + REPLY_TIME / 2));
            assert!(bulk(&mut rcvlowat, now + REPLY_TIME));
        });
    }

    #[test]
    fn only_a_fast_transfer_is_bulk() {
        runtime::handle().block_on(async {
            let (stream, _peer) = pair().await;
            let socket = SockRef::from(&stream);
            let mut rcvlowat = RcvLowat::default();
            let mut now = Instant::now();
            for _ in 0..20 {
                rcvlowat.received(BULK / 2, now);
                rcvlowat.drained(&socket, now);
                now += 2 * SPAN;
            }
            assert!(!rcvlowat.is_raised());
            assert_eq!(rcvlowat.due(), None);

            rcvlowat.received(BULK, now + 3 * SPAN);
            rcvlowat.drained(&socket, now + 3 * SPAN);
            assert!(rcvlowat.is_raised());
        });
    }
}
