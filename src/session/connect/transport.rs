//! The connected socket of a session: TCP to the server, or a socket pair to a bridge.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::net::local_stream::Stream as Socket;
use crate::session::Error;
#[cfg(unix)]
use crate::session::connect::bridge::Guard;

/// Bytes discarded in one read.
const DISCARD_SIZE: usize = 16 * 1024;

/// A connection to the server.
// The order of the fields matters: the bridge is released after the socket is closed.
pub(crate) struct Stream {
    /// TCP to the server, or one end of a socket pair.
    socket: Socket,
    #[cfg(unix)]
    guard: Option<Guard>,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self {
            socket: stream.into(),
            #[cfg(unix)]
            guard: None,
        }
    }
}

impl Stream {
    #[cfg(unix)]
    pub(crate) fn bridged(socket: UnixStream, guard: Guard) -> Self {
        Self { socket: socket.into(), guard: Some(guard) }
    }

    /// Waits until the socket may be readable.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Waits until the socket may be writable.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buffer)
    }

    /// Returns how many bytes have arrived and were not read.
    pub(crate) fn unread(&self) -> usize {
        self.socket.unread()
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    /// Sends EOF.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.socket.shutdown_write()
    }

    /// Makes the coming close a reset, if the socket is TCP. Releases the bridge, if there is one,
    /// which then ends the stream; returns whether there is one.
    pub(crate) fn abandon(&mut self) -> bool {
        if let Some(socket) = self.tcp() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        #[cfg(unix)]
        if let Some(guard) = &mut self.guard {
            guard.release();
            return true;
        }
        false
    }

    /// Reads and discards everything up to the end of the stream.
    pub(crate) async fn discard(&mut self) -> io::Result<()> {
        let mut scratch = vec![0; DISCARD_SIZE];
        loop {
            self.socket.readable().await?;
            match self.socket.try_read(&mut scratch) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// Acknowledges received data at once, on systems that can.
    pub(crate) fn acknowledge(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Socket::Tcp(stream) = &self.socket {
            let _ = stream.set_quickack(true);
        }
    }

    /// Returns why the connection has ended, if its bridge knows.
    #[cfg(unix)]
    pub(crate) fn close_reason(&self) -> Option<Error> {
        self.guard.as_ref().and_then(Guard::close_reason)
    }

    #[cfg(not(unix))]
    pub(crate) fn close_reason(&self) -> Option<Error> {
        None
    }

    /// Returns the socket if it is TCP.
    pub(crate) fn tcp(&self) -> Option<SockRef<'_>> {
        match &self.socket {
            Socket::Tcp(stream) => Some(SockRef::from(stream)),
            #[cfg(unix)]
            Socket::Unix(_) => None,
            Socket::Memory(_) => None,
        }
    }
}
