//! The connected stream of a session: TCP to the server, or a stream in memory to a bridge.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::net::local_stream::Stream as Local;
use crate::net::memory::End;
use crate::session::Error;
use crate::session::connect::bridge::Guard;

/// Bytes discarded in one read.
const DISCARD_SIZE: usize = 16 * 1024;

/// A connection to the server.
// The order of the fields matters: the bridge is released after the stream is closed.
pub(crate) struct Stream {
    /// TCP to the server, or one end of the stream to the bridge.
    local: Local,
    guard: Option<Guard>,
    /// Whether the socket leads to a proxy, and not to the server.
    proxied: bool,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self { local: stream.into(), guard: None, proxied: false }
    }
}

impl Stream {
    pub(crate) fn bridged(end: End, guard: Guard) -> Self {
        Self { local: end.into(), guard: Some(guard), proxied: false }
    }

    /// Makes the stream of a socket that leads to the server through a proxy.
    pub(crate) fn proxied(stream: TcpStream) -> Self {
        Self { proxied: true, ..stream.into() }
    }

    /// Waits until the stream may be readable.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.local.poll_read_ready(cx)
    }

    /// Waits until the stream may be writable.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.local.poll_write_ready(cx)
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.local.try_read(buffer)
    }

    /// Returns how many bytes have arrived and were not read.
    pub(crate) fn unread(&self) -> usize {
        self.local.unread()
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.local.try_write(bytes)
    }

    /// Lets a stream in memory hold little, and has its bridge do the same, or as much as it can.
    pub(crate) fn set_low(&self, low: bool) {
        if let Local::Memory(end) = &self.local {
            end.set_low(low);
        }
    }

    /// Sends EOF.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.local.shutdown_write()
    }

    /// Makes the coming close a reset, if the socket is TCP. Releases the bridge, if there is one,
    /// which then ends the stream; returns whether there is one.
    pub(crate) fn abandon(&mut self) -> bool {
        if let Some(socket) = self.tcp() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
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
            self.local.readable().await?;
            match self.local.try_read(&mut scratch) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// Acknowledges received data at once, on systems that can.
    pub(crate) fn acknowledge(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Local::Tcp(stream) = &self.local {
            let _ = stream.set_quickack(true);
        }
    }

    /// Returns whether this is TCP to a server at a loopback address.
    pub(crate) fn is_local(&self) -> bool {
        if self.proxied {
            return false;
        }
        let address = self.tcp().and_then(|socket| socket.peer_addr().ok()?.as_socket());
        address.is_some_and(|address| address.ip().is_loopback())
    }

    /// Returns why the connection has ended, if its bridge knows.
    pub(crate) fn close_reason(&self) -> Option<Error> {
        self.guard.as_ref().and_then(Guard::close_reason)
    }

    /// Returns the socket if it is TCP.
    pub(crate) fn tcp(&self) -> Option<SockRef<'_>> {
        match &self.local {
            Local::Tcp(stream) => Some(stream.socket()),
            _ => None,
        }
    }
}
