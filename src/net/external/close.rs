//! Closing a socket by its own LINGER without waiting inside close().

use std::io;
use std::os::fd::RawFd;

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;

use crate::net::close::GracefulClose;
use crate::net::external::{Error, with_tcp};
use crate::net::linger::{Linger, LingerMode};
use crate::net::sys;
use crate::runtime;
use crate::runtime::timer::Deadline;

/// What is known of a socket when its close is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Whether the stream ends with FIN behind every byte; otherwise it was reset.
    pub graceful: bool,
    /// Bytes that the peer's kernel has not acknowledged by now.
    pub unsent: u64,
}

/// What the kernel got of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Everything.
    Whole,
    /// Everything, and the FIN behind it.
    Finished,
    /// Not everything: so many bytes are missing.
    Cut(u64),
}

/// A socket whose close has begun: from here on counts the linger time.
///
/// The descriptor is a second one where Node.js has the first. Both are the same connection, and
/// close() does something to a connection only through its last descriptor; so what Node.js closes
/// meanwhile neither waits nor ends anything. Dropping this leaves the rest to the kernel, as
/// close() without linger time does.
#[derive(Debug)]
pub struct Taken {
    socket: Socket,
    linger: Linger,
    /// The linger time, if it has one.
    deadline: Option<Deadline>,
}

impl Taken {
    /// Takes part in a socket that somebody else has and will close.
    pub fn share(descriptor: RawFd) -> Result<Self, Error> {
        let (socket, linger) =
            with_tcp(descriptor, |socket| Ok((socket.try_clone()?, begin(socket)?)))?;
        Ok(Self::new(socket, linger))
    }

    /// Takes a socket over; the number is nobody else's from now on.
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

    /// How this socket ends.
    pub fn linger(&self) -> Linger {
        self.linger
    }

    /// Ends the connection: gracefully, gracefully for the rest of the linger time, or at once.
    /// What is cut is reset in any case, for it must not look complete.
    ///
    /// A graceful close without limit is done at once: the kernel has the data, and a task sees to
    /// it that unread input does not turn the end into a reset. With a limit, it is done when the
    /// peer's kernel has everything, or the time is over and the connection reset.
    ///
    /// Cancel safe: without it, the kernel goes on to send.
    pub async fn close(self, output: Output) -> Closed {
        if sys::is_listener(&SockRef::from(&self.socket)).unwrap_or(false) {
            return Closed { graceful: true, unsent: 0 };
        }
        let unsent = self.unacknowledged(output);
        let cut = matches!(output, Output::Cut(_));
        if cut || self.linger.mode() == LingerMode::Hard {
            // An error means that the connection is gone already.
            let _ = Linger::HARD.apply(&self.socket);
            return Closed { graceful: false, unsent };
        }
        let Self { socket, deadline, .. } = self;
        let Ok(mut disconnecting_session) = into_stream(socket).and_then(GracefulClose::begin)
        else {
            return Closed { graceful: false, unsent };
        };
        let Some(mut deadline) = deadline else {
            let unsent = disconnecting_session.unacknowledged();
            runtime::handle().spawn(disconnecting_session.close_with_reply());
            return Closed { graceful: true, unsent };
        };
        let delivered = match deadline.within(disconnecting_session.delivered()).await {
            Some(outcome) => outcome.is_ok(),
            // It looks for acknowledgements now and then only.
            None => disconnecting_session.is_delivered(),
        };
        if delivered {
            runtime::handle().spawn(disconnecting_session.close_with_reply());
            return Closed { graceful: true, unsent: 0 };
        }
        let unsent = disconnecting_session.unacknowledged();
        disconnecting_session.reset();
        Closed { graceful: false, unsent }
    }

    /// What the peer's kernel has not acknowledged, and what our own never got.
    fn unacknowledged(&self, output: Output) -> u64 {
        let queued = sys::unsent(&SockRef::from(&self.socket)).unwrap_or_default();
        match output {
            Output::Whole => queued as u64,
            Output::Finished => queued.saturating_sub(sys::FIN) as u64,
            Output::Cut(left) => queued as u64 + left,
        }
    }
}

/// Has to be called on the runtime.
fn into_stream(socket: Socket) -> io::Result<TcpStream> {
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket.into())
}

/// How a socket is to end. From here on nobody who closes it waits for that in the kernel.
fn begin(socket: &Socket) -> io::Result<Linger> {
    let linger = Linger::of(socket)?;
    if let LingerMode::Bounded(_) = linger.mode() {
        Linger { onoff: 0, ..linger }.apply(socket)?;
    }
    Ok(linger)
}
