//! A connected, non-blocking stream socket: TCP or Unix.

use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsSocket, BorrowedSocket};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::net::sys;

/// One end of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A TCP socket.
    Tcp(TcpStream),
    /// A Unix socket. It has no reset: the peer reads everything that was written and then the end
    /// of the stream, or ECONNRESET if this end is closed with unread input.
    #[cfg(unix)]
    Unix(UnixStream),
    /// One end of a socket pair; the other end belongs to a stream in JavaScript.
    #[cfg(unix)]
    Pair(UnixStream),
}

/// Does the same with each kind of socket.
macro_rules! with {
    ($stream:expr, $socket:ident => $work:expr) => {
        match $stream {
            Stream::Tcp($socket) => $work,
            #[cfg(unix)]
            Stream::Unix($socket) | Stream::Pair($socket) => $work,
        }
    };
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

#[cfg(unix)]
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        with!(self, socket => socket.as_fd())
    }
}

#[cfg(windows)]
impl AsSocket for Stream {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        with!(self, socket => socket.as_socket())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        with!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buffer))
    }
}

impl Stream {
    /// Wraps one end of a socket pair.
    #[cfg(unix)]
    pub(crate) fn pair(socket: std::os::unix::net::UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket).map(Self::Pair)
    }

    /// Registers the socket with the runtime of the current thread. If that fails, the previous
    /// thread goes on to receive its events and passes them on.
    pub(crate) fn moved_here(self) -> Self {
        let Ok(socket) = SockRef::from(&self).try_clone() else { return self };
        let moved = match &self {
            Self::Tcp(_) => TcpStream::from_std(socket.into()).map(Self::Tcp),
            #[cfg(unix)]
            Self::Unix(_) => UnixStream::from_std(socket.into()).map(Self::Unix),
            #[cfg(unix)]
            Self::Pair(_) => UnixStream::from_std(socket.into()).map(Self::Pair),
        };
        moved.unwrap_or(self)
    }

    /// Waits until the socket may be readable.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, socket => socket.poll_read_ready(cx))
    }

    /// Waits until the socket may be writable.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, socket => socket.poll_write_ready(cx))
    }

    /// Waits until the socket may be readable.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        with!(self, socket => socket.readable().await)
    }

    /// Waits until the socket may be ready for any of the interests.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        with!(self, socket => socket.ready(interest).await)
    }

    /// Calls `work` if the socket may be ready for it.
    pub(crate) fn try_io<T>(
        &self,
        interest: Interest,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        with!(self, socket => socket.try_io(interest, work))
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        with!(self, socket => socket.try_read(buffer))
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        with!(self, socket => socket.try_write_vectored(slices))
    }

    /// Takes the pending error of the socket (SO_ERROR).
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        with!(self, socket => socket.take_error())
    }

    /// Clears the readiness for writing, so that the next change of it is an event.
    pub(crate) fn forget_writable(&self) {
        let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.try_io(Interest::WRITABLE, forget);
    }

    /// Returns how many bytes the peer's kernel has not acknowledged; a FIN under way counts as
    /// one. For a socket pair: how many bytes JavaScript has not read.
    pub(crate) fn unsent(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => sys::unsent(&SockRef::from(socket)),
            // The kernel writes into the peer's receive buffer.
            #[cfg(unix)]
            Self::Unix(_) => Ok(0),
            #[cfg(unix)]
            Self::Pair(socket) => sys::unsent(&SockRef::from(socket)),
        }
    }

    /// Returns how many bytes in the send queue were never sent.
    pub(crate) fn never_sent(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => sys::never_sent(&SockRef::from(socket)),
            #[cfg(unix)]
            Self::Unix(_) | Self::Pair(_) => Ok(0),
        }
    }

    /// Waits until the peer has closed its end, and not only its direction.
    #[cfg(unix)]
    pub(crate) async fn closed_by_peer(&self) -> io::Result<()> {
        while !self.ready(Interest::WRITABLE).await?.is_write_closed() {
            self.forget_writable();
        }
        Ok(())
    }
}
