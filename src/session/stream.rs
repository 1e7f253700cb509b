//! The connected stream socket that a session lives on, whatever is at its other end.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::Error;
#[cfg(unix)]
use super::carrier::Hold;
use crate::attempt::attempt;

/// A connection to the server.
pub(crate) struct Stream(Kind);

enum Kind {
    /// To the server itself.
    Tcp(TcpStream),
    /// To something in this process or a child that carries it on.
    #[cfg(unix)]
    // In this order: the carrier is let go when the socket is closed.
    Carried(UnixStream, Hold),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

impl Stream {
    #[cfg(unix)]
    pub(super) fn carried(socket: UnixStream, hold: Hold) -> Self {
        Self(Kind::Carried(socket, hold))
    }

    /// Pending until there may be something to read.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_read_ready(cx),
            #[cfg(unix)]
            Kind::Carried(stream, _) => stream.poll_read_ready(cx),
        }
    }

    /// Pending until there may be room to write.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Tcp(stream) => stream.poll_write_ready(cx),
            #[cfg(unix)]
            Kind::Carried(stream, _) => stream.poll_write_ready(cx),
        }
    }

    /// Reads once, without waiting.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len();
        self.attempt(Interest::READABLE, most, || (&*self.socket()).read(buffer))
    }

    /// Writes once, without waiting.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(Interest::WRITABLE, bytes.len(), || (&*self.socket()).write(bytes))
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
            #[cfg(unix)]
            Kind::Carried(..) => {}
        }
    }

    /// Acknowledges at once what has come, where that is something of its own.
    pub(super) fn acknowledge(&self) {
        match &self.0 {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Kind::Tcp(stream) => {
                let _ = stream.set_quickack(true);
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Kind::Tcp(_) => {}
            #[cfg(unix)]
            Kind::Carried(..) => {}
        }
    }

    /// What ended the connection, where its carrier knows; to be asked when it has ended.
    pub(super) fn fate(&self) -> Option<Error> {
        match &self.0 {
            Kind::Tcp(_) => None,
            #[cfg(unix)]
            Kind::Carried(_, hold) => hold.fate(),
        }
    }

    /// The socket, if it is one of TCP.
    pub(super) fn tcp(&self) -> Option<SockRef<'_>> {
        match &self.0 {
            Kind::Tcp(stream) => Some(SockRef::from(stream)),
            #[cfg(unix)]
            Kind::Carried(..) => None,
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match &self.0 {
            Kind::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Kind::Carried(stream, _) => SockRef::from(stream),
        }
    }

    fn attempt(
        &self,
        interest: Interest,
        most: usize,
        work: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        match &self.0 {
            Kind::Tcp(stream) => attempt(|work| stream.try_io(interest, work), most, work),
            #[cfg(unix)]
            Kind::Carried(stream, _) => attempt(|work| stream.try_io(interest, work), most, work),
        }
    }
}
