//! A TCP socket that counts what it takes.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::net::sys::{self, SendQueue, Sent};

/// A TCP socket. Windows tells how many bytes a connection has sent, and not how many are left, so the
/// bytes that were written are counted.
#[derive(Debug)]
pub(crate) struct Tcp {
    socket: TcpStream,
    /// Bytes that the socket has taken.
    written: AtomicU64,
    /// What the system had counted as sent before them.
    before: u64,
    #[cfg(windows)]
    reset_watch: reset_watch::ResetWatch,
}

impl From<TcpStream> for Tcp {
    fn from(socket: TcpStream) -> Self {
        let before = sys::bytes_sent(&SockRef::from(&socket));
        Self {
            socket,
            written: AtomicU64::new(0),
            before,
            #[cfg(windows)]
            reset_watch: reset_watch::ResetWatch::default(),
        }
    }
}

impl Deref for Tcp {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.socket
    }
}

impl Tcp {
    /// Puts another descriptor of the same socket in place of this one.
    pub(crate) fn replaced(self, socket: TcpStream) -> Self {
        Self { socket, ..self }
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// Reads once, without asking the runtime whether the socket is ready.
    pub(crate) fn read_at_once(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.socket()).read_vectored(slices)
    }

    /// Writes once, without asking the runtime whether the socket is ready.
    pub(crate) fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = (&*self.socket()).write_vectored(slices)?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    /// Returns what the system tells about the send queue; `fin` says whether a FIN was sent.
    pub(crate) fn send_queue(&self, fin: bool) -> io::Result<SendQueue> {
        sys::send_queue(&self.socket(), self.sent(fin))
    }

    /// Returns how many bytes of the send queue were never sent; `None` if the system does not tell.
    pub(crate) fn never_sent(&self, fin: bool) -> io::Result<Option<u64>> {
        sys::never_sent(&self.socket(), self.sent(fin))
    }

    fn sent(&self, fin: bool) -> Sent {
        Sent { bytes: self.written.load(Ordering::Relaxed), before: self.before, fin }
    }
}

/// Notices a reset of a socket that is neither read nor written.
///
/// Windows has no event for that: a socket that can be read or written is ready again and again.
#[cfg(windows)]
mod reset_watch {
    use std::io;
    use std::mem::MaybeUninit;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Context;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::Tcp;
    use crate::net::sys;
    use crate::runtime;

    /// Time between two looks.
    const INTERVAL: Duration = Duration::from_millis(100);

    #[derive(Debug, Default)]
    pub(super) struct ResetWatch {
        /// Whether a task will wake for the next look.
        is_armed: Arc<AtomicBool>,
        /// Whether a FIN was sent.
        finished: AtomicBool,
    }

    impl Tcp {
        /// Notes that a FIN was sent.
        pub(crate) fn finished(&self) {
            self.reset_watch.finished.store(true, Ordering::Relaxed);
        }

        /// Returns whether the peer has reset the connection. If not, wakes for the next look.
        pub(crate) fn poll_reset(&self, cx: &Context<'_>) -> bool {
            let socket = self.socket();
            let peek = socket.peek(&mut [MaybeUninit::uninit()]);
            let has_failed = peek.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
                || !matches!(self.take_error(), Ok(None));
            // A connection that both sides have ended is gone, too, and may have unread input.
            let finished = self.reset_watch.finished.load(Ordering::Relaxed);
            if has_failed || (!finished && sys::is_gone(&socket)) {
                return true;
            }
            if !self.reset_watch.is_armed.swap(true, Ordering::Relaxed) {
                let (is_armed, waker) = (self.reset_watch.is_armed.clone(), cx.waker().clone());
                runtime::handle().spawn(async move {
                    sleep(INTERVAL).await;
                    is_armed.store(false, Ordering::Relaxed);
                    waker.wake();
                });
            }
            false
        }
    }
}
