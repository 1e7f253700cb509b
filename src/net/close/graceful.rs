//! The graceful close of a socket whose data is in the kernel.

use std::io;

use super::{CloseMode, Closing, MIN_POLL_INTERVAL, is_acknowledged};
use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
use crate::net::rate::Pace;
use crate::net::sys::SendQueue;
use crate::net::write_buffer::WriteBuffer;

/// A socket with everything in the kernel that is to be sent, and a FIN behind it.
///
/// Its SO_LINGER stays as the caller has set it, and rules what the kernel does if the process
/// dies.
pub(crate) struct GracefulClose(Closing);

impl GracefulClose {
    /// Sends FIN. An error means that the peer is gone without having received everything.
    pub(crate) fn begin(stream: impl Into<Stream>) -> io::Result<Self> {
        let stream = stream.into();
        let shutdown = stream.shutdown_write();
        // A connection that both sides have ended is not connected either.
        if shutdown.is_err() && !is_acknowledged(&stream) {
            shutdown?;
        }
        Ok(Self(Closing::new(stream, WriteBuffer::default(), Pace::unlimited(), true)))
    }

    /// Waits until the peer's kernel has everything; an error means that the peer is gone. Cancel
    /// safe.
    pub(crate) async fn delivered(&mut self) -> io::Result<()> {
        let mut interval = MIN_POLL_INTERVAL;
        while !self.0.is_delivered(CloseMode::FinSent)? {
            self.0.pause(&mut interval, false).await;
        }
        Ok(())
    }

    /// Returns whether the peer's kernel has everything.
    pub(crate) fn is_delivered(&mut self) -> bool {
        self.0.is_delivered(CloseMode::FinSent).unwrap_or(false)
    }

    /// Waits until the peer's kernel has everything and the peer has ended its direction, for which
    /// it has two seconds, then closes the socket.
    pub(crate) async fn close(mut self) {
        // An error means that the peer is gone.
        let _ = self.0.await_end(CloseMode::FinSent).await;
    }

    /// Returns how many bytes the peer's kernel has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        match self.0.stream.send_queue(true) {
            Ok(SendQueue::Holds(count)) => count,
            // Sockets about which the system tells nothing are refused.
            Ok(SendQueue::Empty | SendQueue::HoldsSome | SendQueue::Unknown) | Err(_) => 0,
        }
    }

    /// Resets the connection, unless another descriptor keeps it open.
    pub(crate) fn reset(self) {
        let _ = self.0.stream.set_linger(Linger::HARD);
    }
}
