//! Channels of remote forwards: the server asks to open one, the application is asked, the target is dialed
//! here, and then the channel is opened, or refused with the reason.
//!
//! From then on it is a connection like any other, whose local client is the target. With several sessions an
//! inbound channel waits with the task that has the forwards, and goes back to the task of its session.

use ssh_proto::{ChannelId, OpenFailure};

#[cfg(unix)]
use crate::net::error_code;
use crate::net::local_stream::Stream;
use crate::session::{self, Dialing};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::forward::remote::SessionId;
use crate::tunnel::forward::spec::Endpoint;

/// A channel that the server asks to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboundChannel {
    /// The session that it came by.
    pub(crate) session: SessionId,
    /// The channel in that session.
    pub(crate) channel: ChannelId,
}

/// The reason that the server is told when a connection ends before its channel is opened.
pub(crate) fn failure(cause: &Cause) -> OpenFailure {
    match cause {
        Cause::Rejected => OpenFailure::AdministrativelyProhibited,
        // The server does not learn where the target is, nor why it cannot be reached.
        _ => OpenFailure::ConnectFailed,
    }
}

/// Connects to the target of a remote forward.
pub(crate) async fn connect_target(target: Endpoint) -> Result<Stream, session::Error> {
    match target {
        Endpoint::Tcp { host, port } => {
            session::dial(&host, port, &Dialing::default()).await.map(Stream::from)
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => match tokio::net::UnixStream::connect(&*path).await {
            Ok(stream) => Ok(stream.into()),
            Err(error) => Err(session::Error::Dial {
                syscall: "connect",
                code: error_code::system_code(&error),
                errno: error.raw_os_error(),
                address: (*path).into(),
            }),
        },
        #[cfg(not(unix))]
        Endpoint::Unix(path) => Err(session::Error::Dial {
            syscall: "connect",
            code: "ENOTSUP".into(),
            errno: None,
            address: (*path).into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_learns_whether_it_was_refused_or_the_target_failed() {
        let refused = OpenFailure::AdministrativelyProhibited;
        let unreached = Cause::Unreached(session::Error::no_session());
        for (cause, reason) in [(Cause::Rejected, refused), (unreached, OpenFailure::ConnectFailed)]
        {
            assert_eq!(failure(&cause), reason, "{cause:?}");
        }
    }
}
