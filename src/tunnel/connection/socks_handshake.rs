//! Clients of a dynamic forward during their SOCKS handshake; each handshake runs in its own task, which
//! has the socket meanwhile.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::net::local_stream::Stream;
use crate::runtime::cutoff::before;
use crate::socks::{self, Login, Request};
use crate::tunnel::connection::cause::Cause;

/// The registry's end of a handshake.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// It runs until this is dropped.
    Running(#[expect(dead_code, reason = "dropping it aborts the handshake")] oneshot::Sender<()>),
    /// The connection ends for this reason, whatever the outcome of the handshake.
    Aborted(Cause),
}

/// The result of a handshake. `None`: it was aborted.
pub(crate) type Outcome = Option<Result<Request, socks::Failure>>;

impl Handshake {
    /// A handshake that has not begun, and the sign to abort it.
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (running, aborted) = oneshot::channel();
        (Self::Running(running), aborted)
    }

    /// Aborts the handshake. The first cause counts.
    pub(crate) fn abort(&mut self, cause: Cause) {
        match self {
            Handshake::Running(_) => *self = Handshake::Aborted(cause),
            Handshake::Aborted(_) => {}
        }
    }

    /// The client's request, or why its connection ends.
    pub(crate) fn end(self, outcome: Outcome) -> Result<Request, Cause> {
        match (self, outcome) {
            (Handshake::Aborted(cause), _) => Err(cause),
            (Handshake::Running(_), Some(Ok(request))) => Ok(request),
            (Handshake::Running(_), Some(Err(socks::Failure::Fault(fault)))) => {
                Err(Cause::Socks(fault))
            }
            (Handshake::Running(_), Some(Err(socks::Failure::Broken(_))) | None) => {
                Err(Cause::ResetByLocal)
            }
        }
    }
}

/// Performs the handshake on a socket, until `aborted` completes.
pub(crate) async fn perform(
    stream: &Stream,
    login: Option<Arc<Login>>,
    aborted: oneshot::Receiver<()>,
) -> Outcome {
    before(async { drop(aborted.await) }, socks::negotiate(stream, login)).await
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::runtime;
    use crate::socks::{Failure, Fault, Version};
    use crate::tunnel::connection::meta::tests::pending;

    fn request() -> Request {
        Request { version: Version::Five, host: "host".into(), port: 80 }
    }

    #[test]
    fn the_first_cause_of_an_abort_counts_whatever_the_outcome() {
        let (mut handshake, mut aborted) = Handshake::new();
        assert!(aborted.try_recv().is_err());
        handshake.abort(Cause::Idle);
        handshake.abort(Cause::Rejected);
        assert!(matches!(handshake.end(Some(Ok(request()))), Err(Cause::Idle)));
    }

    #[test]
    fn a_handshake_ends_with_a_request_or_a_cause() {
        let end = |outcome| Handshake::new().0.end(outcome);
        assert_eq!(end(Some(Ok(request()))).expect("a request"), request());
        let fault = end(Some(Err(Failure::Fault(Fault::Ended))));
        assert!(matches!(fault, Err(Cause::Socks(Fault::Ended))));
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(matches!(end(Some(Err(Failure::Broken(broken)))), Err(Cause::ResetByLocal)));
        assert!(matches!(end(None), Err(Cause::ResetByLocal)));
    }

    #[test]
    fn a_handshake_runs_until_its_request_or_its_abort() {
        runtime::handle().block_on(async {
            let (pending, mut client) = pending(1).await;
            let (handshake, aborted) = Handshake::new();
            client.write_all(b"\x05\x01\x00\x05\x01\x00\x03\x04host\x00\x50").await.expect("alive");
            let outcome = perform(&pending.stream, None, aborted).await;
            assert_eq!(handshake.end(outcome).expect("a request"), request());

            let (mut handshake, aborted) = Handshake::new();
            let running = perform(&pending.stream, None, aborted);
            let (outcome, ()) = tokio::join!(running, async { handshake.abort(Cause::Idle) });
            assert!(outcome.is_none());
        });
    }
}
