//! Stream between a session and its bridge: the task that carries the session's bytes over
//! something other than TCP.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::net::memory::{self, End};
use crate::session::Error;
use crate::session::connect::transport::Stream;

/// Bytes that wait in each direction, as in the buffers of a socket.
const CAPACITY: usize = 256 * 1024;

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

/// The bridge's side. A bridge sets the close reason before it ends, and closes its end of the stream
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

/// Makes a stream. Returns the session's end, and the end and the side of the bridge.
pub(crate) fn pair() -> (Stream, End, Bridge) {
    let (ours, theirs) = memory::pair(CAPACITY);
    let close_reason = Arc::new(OnceLock::new());
    let (sender, receiver) = oneshot::channel();
    let guard = Guard { close_reason: close_reason.clone(), sender: Some(sender) };
    let bridge = Bridge { close_reason, receiver, released: false };
    (Stream::bridged(ours, guard), theirs, bridge)
}
