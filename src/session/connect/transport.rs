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

use crate::net::local_stream::Stream as Socket;
use crate::net::sys;
use crate::net::try_io::try_io;
use crate::session::Error;
#[cfg(unix)]
use crate::session::connect::bridge::Guard;

/// A connection to the server.
// In this order: the carrier is let go when the socket is closed.
pub(crate) struct Stream {
    /// Of TCP: to the server itself. Otherwise to something in this process, or a child, that
    /// carries it on.
    socket: Socket,
    #[cfg(unix)]
    hold: Option<Guard>,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self {
            socket: stream.into(),
            #[cfg(unix)]
            hold: None,
        }
    }
}

impl Stream {
    #[cfg(unix)]
    pub(crate) fn carried(socket: UnixStream, hold: Guard) -> Self {
        Self { socket: socket.into(), hold: Some(hold) }
    }

    /// Pending until there may be something to read.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Pending until there may be room to write.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len();
        self.try_io(Interest::READABLE, most, || (&*self.socket()).read(buffer))
    }

    /// Bytes that have come and were not read.
    pub(crate) fn unread(&self) -> usize {
        sys::unread(&self.socket()).unwrap_or_default()
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, bytes.len(), || (&*self.socket()).write(bytes))
    }

    /// Ends our direction.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    /// Makes the close to come a reset, if it is one of TCP: nobody is to wait for this peer. Returns
    /// whether a carrier was let go, which then ends the stream.
    pub(crate) fn give_up(&mut self) -> bool {
        if let Some(socket) = self.tcp() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        #[cfg(unix)]
        if let Some(hold) = &mut self.hold {
            hold.release();
            return true;
        }
        false
    }

    /// Acknowledges at once what has come, where that is something of its own.
    pub(crate) fn acknowledge(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Socket::Tcp(stream) = &self.socket {
            let _ = stream.set_quickack(true);
        }
    }

    /// What ended the connection, where its carrier knows; to be asked when it has ended.
    #[cfg(unix)]
    pub(crate) fn fate(&self) -> Option<Error> {
        self.hold.as_ref().and_then(Guard::fate)
    }

    #[cfg(not(unix))]
    pub(crate) fn fate(&self) -> Option<Error> {
        None
    }

    /// The socket, if it is one of TCP.
    pub(crate) fn tcp(&self) -> Option<SockRef<'_>> {
        match &self.socket {
            Socket::Tcp(stream) => Some(SockRef::from(stream)),
            #[cfg(unix)]
            Socket::Unix(_) | Socket::Pair(_) => None,
        }
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    fn try_io(
        &self,
        interest: Interest,
        most: usize,
        work: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        try_io(|work| self.socket.try_io(interest, work), most, work)
    }
}
