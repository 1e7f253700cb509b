//! Socket pair between a session and its bridge: the task that carries the session's bytes over
//! something other than TCP.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::net::error_code::system_code;
use crate::session::Error;
use crate::session::connect::transport::Stream;

/// The session's side: keeps the bridge running.
pub(crate) struct Guard {
    close_reason: Arc<OnceLock<Error>>,
    /// Dropping it releases the bridge.
    sender: Option<oneshot::Sender<Infallible>>,
}

impl Guard {
    /// Returns why the stream ended, if the bridge knows.
    pub(crate) fn close_reason(&self) -> Option<Error> {
        self.close_reason.get().cloned()
    }

    /// Releases the bridge. The stream ends when the bridge has ended.
    pub(crate) fn release(&mut self) {
        self.sender = None;
    }
}

/// The bridge's side. A bridge sets the close reason before it ends, and closes its end of the pair
/// last: when the session reads the end of the stream, the reason is known and nothing of the
/// bridge is left.
pub(crate) struct Bridge {
    close_reason: Arc<OnceLock<Error>>,
    receiver: oneshot::Receiver<Infallible>,
    released: bool,
}

impl Bridge {
    /// Waits until the session has closed its end.
    pub(crate) fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.released {
            self.released = Pin::new(&mut self.receiver).poll(cx).is_ready();
        }
        if self.released { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sets why the stream ends; only the first reason counts.
    pub(crate) fn set_close_reason(&self, reason: Error) {
        let _ = self.close_reason.set(reason);
    }
}

/// Makes a socket pair for a stream to `address`. Returns the stream, the bridge's end, and the
/// bridge's side.
pub(crate) fn pair(address: &str) -> Result<(Stream, UnixStream, Bridge), Error> {
    let made = UnixStream::pair().and_then(|(ours, theirs)| {
        let (stream, bridge) = wrap(ours)?;
        Ok((stream, theirs, bridge))
    });
    made.map_err(|error| failed(&error, address))
}

/// Makes the error for a socket pair that could not be made.
pub(crate) fn failed(error: &io::Error, address: &str) -> Error {
    let (code, address) = (system_code(error), address.to_owned());
    Error::Dial { syscall: "socketpair", code, errno: error.raw_os_error(), address }
}

/// Makes a stream of one end of a socket pair.
pub(crate) fn wrap(socket: UnixStream) -> io::Result<(Stream, Bridge)> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixStream::from_std(socket)?;
    let close_reason = Arc::new(OnceLock::new());
    let (sender, receiver) = oneshot::channel();
    let guard = Guard { close_reason: close_reason.clone(), sender: Some(sender) };
    Ok((Stream::bridged(socket, guard), Bridge { close_reason, receiver, released: false }))
}
