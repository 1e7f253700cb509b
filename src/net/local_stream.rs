//! A connected, non-blocking stream: a TCP or Unix socket, or a stream inside the process.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
#[cfg(unix)]
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::net::linger::Linger;
use crate::net::memory::{End, ResetMode};
use crate::net::sys::{self, SendQueue};
use crate::net::tcp::Tcp;
use crate::net::try_io::try_io;

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A TCP socket.
    Tcp(Tcp),
    /// A Unix socket. It has no reset: the peer reads everything that was written and then the end
    /// of the stream, or ECONNRESET if this end is closed with unread input.
    #[cfg(unix)]
    Unix(UnixStream),
    /// One end of a stream inside the process.
    Memory(End),
}

/// Reads and writes without asking the runtime whether a socket is ready.
#[cfg(unix)]
trait AtOnce {
    fn read_at_once(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

#[cfg(unix)]
impl AtOnce for UnixStream {
    fn read_at_once(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*SockRef::from(self)).read_vectored(slices)
    }

    fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*SockRef::from(self)).write_vectored(slices)
    }
}

/// Does the same with each kind of socket, and something else with a stream in memory.
macro_rules! with {
    ($stream:expr, $socket:ident => $work:expr, $end:ident => $other:expr) => {
        match $stream {
            Stream::Tcp($socket) => $work,
            #[cfg(unix)]
            Stream::Unix($socket) => $work,
            Stream::Memory($end) => $other,
        }
    };
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream.into())
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<End> for Stream {
    fn from(end: End) -> Self {
        Self::Memory(end)
    }
}

impl Stream {
    /// Returns the socket, if there is one.
    pub(crate) fn socket(&self) -> Option<SockRef<'_>> {
        match self {
            Self::Tcp(tcp) => Some(tcp.socket()),
            #[cfg(unix)]
            Self::Unix(socket) => Some(SockRef::from(socket)),
            Self::Memory(_) => None,
        }
    }

    /// Registers the socket with the runtime of the current thread. If that fails, the previous
    /// thread goes on to receive its events and passes them on.
    pub(crate) fn moved_here(self) -> Self {
        let Some(Ok(socket)) = self.socket().map(|socket| socket.try_clone()) else { return self };
        match self {
            Self::Tcp(tcp) => match TcpStream::from_std(socket.into()) {
                Ok(moved) => Self::Tcp(tcp.replaced(moved)),
                Err(_) => Self::Tcp(tcp),
            },
            #[cfg(unix)]
            Self::Unix(unix) => Self::Unix(UnixStream::from_std(socket.into()).unwrap_or(unix)),
            Self::Memory(end) => Self::Memory(end),
        }
    }

    /// Waits until the stream may be readable.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, socket => socket.poll_read_ready(cx), end => end.poll_read_ready(cx).map(Ok))
    }

    /// Waits until the stream may be writable.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, socket => socket.poll_write_ready(cx), end => end.poll_write_ready(cx).map(Ok))
    }

    /// Waits until the stream may be readable.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_read_ready(cx)).await
    }

    /// Waits until the stream may be writable.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write_ready(cx)).await
    }

    /// Waits until the peer has read everything, including the end of the stream if that was sent.
    /// Sockets have no event for an acknowledgement; they are never ready.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<()> {
        with!(self, _socket => Poll::Pending, end => end.poll_drained(cx))
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read_vectored(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let most = slices.iter().map(|slice| slice.len()).sum();
        with!(
            self,
            socket => try_io(
                |work| socket.try_io(Interest::READABLE, work),
                most,
                || socket.read_at_once(slices),
            ),
            end => end.try_read_vectored(slices)
        )
    }

    /// Reads once, without waiting, whether a socket is known to be readable or not. Leaves its
    /// readiness as it is.
    pub(crate) fn read_at_once(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        with!(
            self,
            socket => socket.read_at_once(slices),
            end => end.try_read_vectored(slices)
        )
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let most = slices.iter().map(|slice| slice.len()).sum();
        with!(
            self,
            socket => try_io(
                |work| socket.try_io(Interest::WRITABLE, work),
                most,
                || socket.write_at_once(slices),
            ),
            end => end.try_write_vectored(slices)
        )
    }

    /// Writes once, without waiting, whether a socket is known to be writable or not. Leaves its
    /// readiness as it is.
    pub(crate) fn write_at_once(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        with!(
            self,
            socket => socket.write_at_once(slices),
            end => end.try_write_vectored(slices)
        )
    }

    /// Ends the direction to the peer.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Memory(end) => {
                end.shutdown_write();
                Ok(())
            }
            _ => {
                #[cfg(windows)]
                if let Self::Tcp(tcp) = self {
                    tcp.finished();
                }
                self.socket().map_or(Ok(()), |socket| socket.shutdown(Shutdown::Write))
            }
        }
    }

    /// Sets SO_LINGER of a socket.
    pub(crate) fn set_linger(&self, linger: Linger) -> io::Result<()> {
        self.socket().map_or(Ok(()), |socket| linger.apply(socket))
    }

    /// Turns TCP keep-alive on, with this time before the first probe (zero: as the system has it), or off
    /// without one. Errors show when the stream is read.
    pub(crate) fn set_keep_alive(&self, delay: Option<Duration>) {
        let Some(socket) = self.socket() else { return };
        let _ = socket.set_keepalive(delay.is_some());
        if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
            let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(delay));
        }
    }

    /// Resets the stream; a TCP socket has to have the linger {1, 0}. Returns how many bytes
    /// the peer can no longer read, if the stream tells.
    pub(crate) fn reset(self, mode: ResetMode) -> Option<usize> {
        match self {
            Self::Tcp(_) => None,
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Memory(end) => Some(end.reset(io::ErrorKind::ConnectionReset, mode)),
        }
    }

    /// Returns the local address of a socket.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket()?.local_addr().ok()?.as_socket()
    }

    /// Takes the pending error of the stream (SO_ERROR).
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        with!(self, socket => socket.take_error(), end => Ok(end.error()))
    }

    /// Clears the readiness of a socket for writing, so that the next change of it is an event.
    pub(crate) fn forget_writable(&self) {
        let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = with!(self, socket => socket.try_io(Interest::WRITABLE, forget), _end => Ok(()));
    }

    /// Wakes the task when the peer resets the stream, although nothing is being written. Returns
    /// whether it has done so already.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>) -> bool {
        #[cfg(windows)]
        if let Self::Tcp(tcp) = self {
            return tcp.poll_reset(cx);
        }
        if let Self::Memory(end) = self {
            let _ = end.poll_closed(cx);
        } else {
            // Ready for the second time means for ever: both directions have been closed.
            for _ in 0..2 {
                self.forget_writable();
                if self.poll_write_ready(cx).is_pending() {
                    break;
                }
            }
        }
        self.has_failed()
    }

    /// Returns whether the stream has an error that was not collected yet.
    pub(crate) fn has_failed(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }

    /// Returns whether the peer has ended its direction, and everything before that was read. An
    /// error means that it was reset.
    pub(crate) fn has_ended(&self) -> io::Result<bool> {
        let socket = match self {
            Self::Memory(end) => return end.has_ended(),
            _ => self.socket(),
        };
        match socket.map(|socket| socket.peek(&mut [MaybeUninit::uninit()])) {
            Some(Ok(0)) => self.take_error()?.map_or(Ok(true), Err),
            Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(false),
        }
    }

    /// Returns how many bytes have arrived and were not read.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Memory(end) => end.unread(),
            _ => self.socket().and_then(|socket| sys::unread(&socket).ok()).unwrap_or_default(),
        }
    }

    /// Returns whether the peer of a stream in memory keeps what it holds short.
    pub(crate) fn is_low(&self) -> bool {
        matches!(self, Self::Memory(end) if end.is_low())
    }

    /// Returns what is told about the send queue; `fin` says whether a FIN was sent. Of a stream in
    /// memory: what the peer has not read.
    pub(crate) fn send_queue(&self, fin: bool) -> io::Result<SendQueue> {
        match self {
            Self::Tcp(tcp) => tcp.send_queue(fin),
            // The kernel writes into the peer's receive buffer.
            #[cfg(unix)]
            Self::Unix(_) => Ok(SendQueue::Empty),
            Self::Memory(end) if end.unsent(1) == 0 => Ok(SendQueue::Empty),
            Self::Memory(end) => Ok(SendQueue::Holds(end.unsent(0) as u64)),
        }
    }

    /// Returns how many bytes in the send queue were never sent; `None` if the system does not tell.
    pub(crate) fn never_sent(&self, fin: bool) -> io::Result<Option<u64>> {
        match self {
            Self::Tcp(tcp) => tcp.never_sent(fin),
            #[cfg(unix)]
            Self::Unix(_) => Ok(Some(0)),
            Self::Memory(end) => Ok(Some(end.unsent(0) as u64)),
        }
    }
}
