//! A connected stream socket that is not blocking: of TCP, or of the Unix domain.

use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsSocket, BorrowedSocket};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::net::sys;

/// One end of a connection, whatever family it is of.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Of TCP.
    Tcp(TcpStream),
    /// Of the Unix domain. There is no reset in it: what was written, the peer has, and whatever we
    /// do it reads that and then the end of the stream; or ECONNRESET, if we close while something
    /// that it sent is unread.
    #[cfg(unix)]
    Unix(UnixStream),
    /// One end of a pair of sockets whose other end a stream of JavaScript's has.
    #[cfg(unix)]
    Pair(UnixStream),
}

/// The same work on the socket of whatever family.
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

impl Stream {
    /// The socket's end of a pair of which `descriptor` is the other end's owner.
    #[cfg(unix)]
    pub(crate) fn pair(ours: std::os::unix::net::UnixStream) -> io::Result<Self> {
        ours.set_nonblocking(true)?;
        UnixStream::from_std(ours).map(Self::Pair)
    }

    /// The same socket, whose events wake the thread of this task from now on. Where that cannot be
    /// had, the thread that had it passes them on.
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

    /// Pending until there may be something to read.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, socket => socket.poll_read_ready(cx))
    }

    /// Pending until there may be room to write.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, socket => socket.poll_write_ready(cx))
    }

    /// Waits until there may be something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        with!(self, socket => socket.readable().await)
    }

    /// Waits until it may be ready for something of this.
    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        with!(self, socket => socket.ready(interest).await)
    }

    /// Does `work` if the socket may be ready for it.
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

    /// The error that nobody has collected yet.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        with!(self, socket => socket.take_error())
    }

    /// The next time that it is writable is an event.
    pub(crate) fn forget_writable(&self) {
        let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.try_io(Interest::WRITABLE, forget);
    }

    /// What was given to the socket and that the peer does not have yet; a FIN under way counts as
    /// one byte. For a stream of JavaScript's: what was not read there.
    pub(crate) fn unsent(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => sys::unsent(&SockRef::from(socket)),
            // The kernel has put it where the peer reads it.
            #[cfg(unix)]
            Self::Unix(_) => Ok(0),
            #[cfg(unix)]
            Self::Pair(socket) => sys::unsent(&SockRef::from(socket)),
        }
    }

    /// Bytes that were given to the socket and never left it.
    pub(crate) fn never_sent(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => sys::never_sent(&SockRef::from(socket)),
            #[cfg(unix)]
            Self::Unix(_) | Self::Pair(_) => Ok(0),
        }
    }

    /// Waits until the peer has closed its end, not only ended its direction.
    #[cfg(unix)]
    pub(crate) async fn abandoned(&self) -> io::Result<()> {
        while !self.ready(Interest::WRITABLE).await?.is_write_closed() {
            self.forget_writable();
        }
        Ok(())
    }
}
