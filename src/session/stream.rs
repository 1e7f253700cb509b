//! The connected stream socket that a session lives on, whatever is at its other end.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::attempt::{Socket, attempt};

/// A connection to the server.
pub(crate) struct Stream(Kind);

enum Kind {
    /// To the server itself.
    Tcp(TcpStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

impl Stream {
    /// Pending until there may be something to read.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Pending until there may be room to write.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Reads once, without waiting.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len();
        attempt(self, Interest::READABLE, most, || (&*self.socket()).read(buffer))
    }

    /// Writes once, without waiting.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        attempt(self, Interest::WRITABLE, bytes.len(), || (&*self.socket()).write(bytes))
    }

    /// Ends our direction.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    /// Makes the close to come a reset, if it is one of TCP: nobody is to wait for this peer.
    pub(super) fn give_up(&self) {
        match &self.0 {
            Kind::Tcp(stream) => {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
        }
    }

    /// Acknowledges at once what has come, where that is something of its own.
    pub(super) fn acknowledge(&self) {
        match &self.0 {
            Kind::Tcp(stream) => {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                let _ = stream.set_quickack(true);
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                let _ = stream;
            }
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match &self.0 {
            Kind::Tcp(stream) => SockRef::from(stream),
        }
    }
}

impl Socket for Stream {
    fn try_io(
        &self,
        interest: Interest,
        work: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &self.0 {
            Kind::Tcp(stream) => stream.try_io(interest, work),
        }
    }
}
