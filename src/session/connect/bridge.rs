//! A session's stream that something other than TCP carries: a pair of sockets, one end of which is
//! the session's and the other its carrier's.

use std::convert::Infallible;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::session::connect::transport::Stream;
use crate::session::{Error, system_code};

/// The session's hold on its carrier.
pub(crate) struct Guard {
    fate: Arc<OnceLock<Error>>,
    /// Dropped, it lets the carrier go.
    held: Option<oneshot::Sender<Infallible>>,
}

impl Guard {
    /// What ended the stream, if the carrier knows.
    pub(crate) fn fate(&self) -> Option<Error> {
        self.fate.get().cloned()
    }

    /// Lets the carrier go; the end of the stream tells when it has gone.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }
}

/// What a carrier has of a stream beside its end of the pair. It tells the stream's fate first, and
/// closes that end last, when there is nothing left of the carrier itself: the session sees the end
/// of its stream then, and whoever waits for that knows that all is gone.
pub(crate) struct Bridge {
    fate: Arc<OnceLock<Error>>,
    held: oneshot::Receiver<Infallible>,
    released: bool,
}

impl Bridge {
    /// Ready once the session has closed its end for good.
    pub(crate) fn poll_released(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.released {
            self.released = Pin::new(&mut self.held).poll(cx).is_ready();
        }
        if self.released { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Says why the stream ends; only the first word counts.
    pub(crate) fn tell(&self, fate: Error) {
        let _ = self.fate.set(fate);
    }
}

/// A stream to `place`, the other end of its pair, and what the carrier has to know.
pub(crate) fn pair(place: &str) -> Result<(Stream, UnixStream, Bridge), Error> {
    let made = UnixStream::pair().and_then(|(ours, theirs)| {
        let (stream, carrier) = carried(ours)?;
        Ok((stream, theirs, carrier))
    });
    made.map_err(|error| failed(&error, place))
}

/// There is no pair for a stream to `place`.
pub(crate) fn failed(error: &io::Error, place: &str) -> Error {
    let code = system_code(error);
    let address = place.to_owned();
    Error::Dial { syscall: "socketpair", code, errno: error.raw_os_error(), address }
}

/// A stream of one end of a pair.
pub(crate) fn carried(socket: UnixStream) -> io::Result<(Stream, Bridge)> {
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UnixStream::from_std(socket)?;
    let fate = Arc::new(OnceLock::new());
    let (sender, held) = oneshot::channel();
    let hold = Guard { fate: fate.clone(), held: Some(sender) };
    Ok((Stream::carried(socket, hold), Bridge { fate, held, released: false }))
}
