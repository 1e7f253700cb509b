//! The two halves of an operation's outcome: [`Pending`] waits for it, a [`Reply`] sends it.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::tunnel::Error;

/// Sends the outcome of an operation. The caller may have stopped waiting, which is not an error.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Sends one outcome to every caller.
pub(crate) fn reply_all<T: Clone>(
    replies: impl IntoIterator<Item = Reply<T>>,
    outcome: &Result<T, Error>,
) {
    for reply in replies {
        let _ = reply.send(outcome.clone());
    }
}

/// The outcome of an operation that has begun. Dropping it does not cancel the operation.
#[derive(Debug)]
pub struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    pub(crate) fn new() -> (Reply<T>, Self) {
        let (reply, outcome) = oneshot::channel();
        (reply, Self(outcome))
    }

    /// Makes the outcome of an operation that did not begin.
    pub(crate) fn failed(error: Error) -> Self {
        let (reply, pending) = Self::new();
        let _ = reply.send(Err(error));
        pending
    }

    /// Stops waiting. Returns the outcome if there is one already; if not, the operation's reply finds
    /// nobody, and [`Tunnel::withdrawal`](crate::tunnel::Tunnel::withdrawal) undoes what it had begun.
    pub(crate) fn withdraw(&mut self) -> Option<Result<T, Error>> {
        self.0.close();
        self.0.try_recv().ok()
    }

    /// Blocks this thread until the operation is done. Must not run on the runtime's threads.
    pub fn wait(self) -> Result<T, Error> {
        self.0.blocking_recv().unwrap_or(Err(Error::Closed))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A driver that has ended drops its replies.
        Pin::new(&mut self.0).poll(cx).map(|outcome| outcome.unwrap_or(Err(Error::Closed)))
    }
}
