//! Closes a socket by its own LINGER without blocking in close().

use std::io;
use std::os::fd::RawFd;

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

use crate::net::close::GracefulClose;
use crate::net::external::{Error, with_tcp};
use crate::net::linger::{Linger, LingerMode};
use crate::net::sys::{self, SendQueue, Sent};
use crate::runtime;
use crate::runtime::timer::Deadline;

/// Result of a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whether the stream ends with FIN after every byte; otherwise it was reset.
    pub graceful: bool,
    /// Bytes that the peer's kernel has not acknowledged yet.
    pub unsent: u64,
}

/// How much of a stream the kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Everything.
    Whole,
    /// Everything, and the FIN.
    Finished,
    /// Not everything: this many bytes are missing.
    Cut(u64),
}

/// A socket whose close has begun; its linger time runs from here.
///
/// Where Node.js has a descriptor, this one is a duplicate. close() affects a connection only
/// through its last descriptor, so that Node.js closes its own without blocking or ending the
/// connection. Dropping this value leaves the rest to the kernel, as close() without a linger time
/// does.
#[derive(Debug)]
pub struct ClosingSocket {
    socket: Socket,
    linger: Linger,
    /// End of the linger time, if there is one.
    deadline: Option<Deadline>,
}

impl ClosingSocket {
    /// Duplicates the descriptor of a socket that Node.js will close.
    pub fn share(descriptor: RawFd) -> Result<Self, Error> {
        let (socket, linger) =
            with_tcp(descriptor, |socket| Ok((socket.try_clone()?, begin(socket)?)))?;
        Ok(Self::new(socket, linger))
    }

    /// Takes ownership of a socket. Nothing else may use the descriptor from now on.
    pub fn own(descriptor: RawFd) -> Result<Self, Error> {
        let linger = with_tcp(descriptor, begin)?;
        Ok(Self::new(sys::own(descriptor), linger))
    }

    fn new(socket: Socket, linger: Linger) -> Self {
        let deadline = match linger.mode() {
            LingerMode::Bounded(time) => Some(Deadline::after(time)),
            LingerMode::Graceful | LingerMode::Hard => None,
        };
        Self { socket, linger, deadline }
    }

    /// Returns the linger that this close obeys.
    pub fn linger(&self) -> Linger {
        self.linger
    }

    /// Closes the connection: gracefully, gracefully for the rest of the linger time, or at once. A
    /// stream that was cut is always reset, so that it does not look complete.
    ///
    /// A graceful close without a limit completes at once: the kernel has the data, and a task
    /// reads the input that would turn the end into a reset. One with a limit completes when the
    /// peer's kernel has everything, or when the time is over and the connection was reset.
    ///
    /// If the future is dropped, the kernel goes on to send.
    pub async fn close(self, output: Output) -> Closed {
        if sys::is_listener(&SockRef::from(&self.socket)).unwrap_or(false) {
            return Closed { graceful: true, unsent: 0 };
        }
        let unsent = self.unacknowledged(output);
        let cut = matches!(output, Output::Cut(_));
        if cut || self.linger.mode() == LingerMode::Hard {
            // An error means that the connection has ended already.
            let _ = Linger::HARD.apply(&self.socket);
            return Closed { graceful: false, unsent };
        }
        let Self { socket, deadline, .. } = self;
        let Ok(mut closing) = into_stream(socket).and_then(GracefulClose::begin) else {
            return Closed { graceful: false, unsent };
        };
        let Some(mut deadline) = deadline else {
            let unsent = closing.unacknowledged();
            runtime::handle().spawn(closing.close());
            return Closed { graceful: true, unsent };
        };
        let delivered = match deadline.within(closing.delivered()).await {
            Some(outcome) => outcome.is_ok(),
            // The last poll for acknowledgements may be a while ago.
            None => closing.is_delivered(),
        };
        if delivered {
            runtime::handle().spawn(closing.close());
            return Closed { graceful: true, unsent: 0 };
        }
        let unsent = closing.unacknowledged();
        closing.reset();
        Closed { graceful: false, unsent }
    }

    /// Counts bytes that the peer's kernel has not acknowledged, and bytes that were never written.
    fn unacknowledged(&self, output: Output) -> u64 {
        let queued = length(&self.socket, output == Output::Finished).unwrap_or_default();
        match output {
            Output::Whole | Output::Finished => queued,
            Output::Cut(left) => queued + left,
        }
    }
}

/// Returns how many bytes the peer's kernel has not acknowledged; `None` if the system does not tell.
fn length(socket: &Socket, fin: bool) -> Option<u64> {
    let sent = Sent { fin, ..Sent::NOTHING };
    match sys::send_queue(&SockRef::from(socket), sent) {
        Ok(SendQueue::Empty) => Some(0),
        Ok(SendQueue::Holds(count)) => Some(count),
        Ok(SendQueue::HoldsSome | SendQueue::Unknown) | Err(_) => None,
    }
}

/// Registers the socket with the runtime, on which this must be called.
fn into_stream(socket: Socket) -> io::Result<TcpStream> {
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket.into())
}

/// Reads the linger of a socket, and turns off a linger time, for which close() would block.
///
/// Fails where the system does not tell what the peer has acknowledged: nothing that the close
/// promises could be kept.
fn begin(socket: &Socket) -> io::Result<Linger> {
    let listens = sys::is_listener(&SockRef::from(socket)).unwrap_or(false);
    if !listens && length(socket, false).is_none() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let linger = Linger::of(socket)?;
    if let LingerMode::Bounded(_) = linger.mode() {
        Linger { onoff: 0, ..linger }.apply(socket)?;
    }
    Ok(linger)
}
