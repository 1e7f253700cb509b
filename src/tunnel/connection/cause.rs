//! Why a connection ends.

use std::borrow::Cow;

use ssh_proto::OpenFailure;

use crate::session;
use crate::socks::{Fault, Reply};

/// Why a connection ends.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// Both directions reached their end of stream, and the remote end has closed the channel.
    Completed,
    /// As above, but the application closed it before the local client had taken everything.
    CutByApplication,
    /// The remote end closed the channel before the local client had ended its stream.
    ClosedByRemote,
    /// The remote end closed the channel without an end of its stream, and the local client had ended
    /// its own: what the client reads is cut.
    CutByRemote,
    /// The local client reset the connection.
    ResetByLocal,
    /// The application's call of this method: disconnect(), reset(), shutdown() or close().
    Application(&'static str),
    /// The application rejected it.
    Rejected,
    /// The tunnel has as many connections as it may have.
    Full,
    /// No byte for as long as `idleTimeout`.
    Idle,
    /// This did not come within readyTimeout: an answer, a session, or a connection to the target.
    Unanswered(&'static str),
    /// The target at this side of a remote forward could not be reached.
    Unreached(session::Error),
    /// The server refused to open the channel.
    Refused(OpenFailure, String),
    /// The SSH session was lost.
    SessionLost(session::Error),
    /// There was none, and it could not be set up.
    NoSession(session::Error),
    /// The local client sent no SOCKS request, or one that is not served.
    Socks(Fault),
}

impl Cause {
    pub(crate) fn code(&self, hard: bool) -> Cow<'static, str> {
        match self {
            Cause::Completed => "OK",
            Cause::CutByApplication => "ECONNABORTED",
            Cause::ClosedByRemote | Cause::CutByRemote => "ERR_SSH_CHANNEL_CLOSED",
            Cause::ResetByLocal => "ECONNRESET",
            Cause::Application(_) if hard => "ECONNABORTED",
            Cause::Application(_) => "OK",
            Cause::Rejected => "ERR_TUNNEL_REJECTED",
            Cause::Full => "ERR_TUNNEL_MAX_CONNECTIONS",
            Cause::Idle | Cause::Unanswered(_) => "ETIMEDOUT",
            Cause::Refused(reason, _) => session::open_code(*reason),
            Cause::SessionLost(_) => "ERR_SSH_DISCONNECTED",
            Cause::Unreached(error) | Cause::NoSession(error) => return error.code(),
            Cause::Socks(fault) if fault.is_about_the_login() => "ERR_TUNNEL_SOCKS_AUTH",
            Cause::Socks(_) => "ERR_TUNNEL_SOCKS",
        }
        .into()
    }

    /// The same for people.
    pub(crate) fn reason(&self) -> Cow<'static, str> {
        match self {
            Cause::Completed => "both directions reached their end of stream".into(),
            Cause::CutByApplication => {
                "both directions reached their end of stream, but the application closed the \
                 connection before everything was delivered"
                    .into()
            }
            Cause::ClosedByRemote => {
                "the remote end closed the channel before the local client had ended its stream"
                    .into()
            }
            Cause::CutByRemote => {
                "the remote end closed the channel before it had ended its stream".into()
            }
            Cause::ResetByLocal => "the local client reset the connection".into(),
            Cause::Application(method) => format!("closed by {method}()").into(),
            Cause::Rejected => "the connection request was rejected".into(),
            Cause::Full => "the tunnel has as many connections as maxConnections allows".into(),
            Cause::Idle => "no data in either direction for idleTimeout".into(),
            Cause::Unanswered(what) => format!("no {what} within readyTimeout").into(),
            Cause::Refused(OpenFailure::Other(code), text) => {
                format!("the server refused to open the channel (reason {code}): {text}").into()
            }
            Cause::Refused(_, text) => {
                format!("the server refused to open the channel: {text}").into()
            }
            Cause::SessionLost(error) => format!("the SSH session disconnected: {error}").into(),
            Cause::Unreached(error) => format!("the target could not be reached: {error}").into(),
            Cause::NoSession(error) => error.to_string().into(),
            Cause::Socks(fault) => {
                format!("the local client sent no valid SOCKS request: {fault}").into()
            }
        }
    }

    /// What the server said when it refused to open the connection.
    pub(crate) fn description(&self) -> Option<&str> {
        match self {
            Cause::Refused(_, description) => Some(description),
            _ => None,
        }
    }

    /// The reply to a SOCKS client whose connection does not open. `None`: no reply, because the client
    /// or the application has ended the connection.
    pub(crate) fn socks_reply(&self) -> Option<Reply> {
        Some(match self {
            Cause::Refused(OpenFailure::ConnectFailed, text) => Reply::of_connect_failure(text),
            Cause::Unreached(error) => Reply::of_connect_error(&error.code()),
            Cause::Refused(OpenFailure::AdministrativelyProhibited, _) | Cause::Rejected => {
                Reply::NotAllowed
            }
            Cause::Refused(
                OpenFailure::UnknownChannelType
                | OpenFailure::ResourceShortage
                | OpenFailure::Other(_),
                _,
            )
            | Cause::Unanswered(_)
            | Cause::SessionLost(_)
            | Cause::NoSession(_)
            | Cause::ClosedByRemote
            | Cause::CutByRemote => Reply::Failed,
            Cause::Application(_)
            | Cause::ResetByLocal
            | Cause::Socks(_)
            | Cause::Completed
            | Cause::CutByApplication
            | Cause::Full
            | Cause::Idle => return None,
        })
    }
}

/// Ends every connection at once, whatever its Linger and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// `shutdown({ force: true })`.
    Shutdown,
    /// The timeout of `close()` has expired.
    Timeout,
}

impl Force {
    /// The method that closes a connection which nothing else was closing.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Force::Shutdown => "shutdown",
            Force::Timeout => "close",
        }
    }

    /// What a reason says of it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Force::Shutdown => "; reset by shutdown({ force: true })",
            Force::Timeout => "; reset because the timeout of close() expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_code_and_a_reason() {
        let lost = session::Error::no_session;
        for (cause, code, reason) in [
            (Cause::Completed, "OK", "reached their end of stream"),
            (Cause::CutByApplication, "ECONNABORTED", "before everything was delivered"),
            (Cause::ClosedByRemote, "ERR_SSH_CHANNEL_CLOSED", "before the local client had"),
            (Cause::CutByRemote, "ERR_SSH_CHANNEL_CLOSED", "before it had ended its stream"),
            (Cause::ResetByLocal, "ECONNRESET", "the local client reset"),
            (Cause::Application("shutdown"), "OK", "closed by shutdown()"),
            (Cause::Rejected, "ERR_TUNNEL_REJECTED", "was rejected"),
            (Cause::Full, "ERR_TUNNEL_MAX_CONNECTIONS", "maxConnections"),
            (Cause::Idle, "ETIMEDOUT", "idleTimeout"),
            (Cause::Unanswered("SSH session"), "ETIMEDOUT", "no SSH session within readyTimeout"),
            (Cause::SessionLost(lost()), "ERR_SSH_DISCONNECTED", "the SSH session disconnected"),
            (Cause::Unreached(lost()), "ERR_SSH_DISCONNECTED", "could not be reached"),
            (Cause::NoSession(lost()), "ERR_SSH_DISCONNECTED", ""),
            (Cause::Socks(Fault::Login), "ERR_TUNNEL_SOCKS_AUTH", "wrong username or password"),
            (Cause::Socks(Fault::Ended), "ERR_TUNNEL_SOCKS", "no valid SOCKS request"),
            (Cause::Refused(OpenFailure::Other(7), "no".into()), "ERR_SSH_OPEN_FAILED", "reason 7"),
        ] {
            assert_eq!(cause.code(false), code, "{cause:?}");
            assert!(cause.reason().contains(reason), "{cause:?}: {}", cause.reason());
        }
        assert_eq!(Cause::Application("shutdown").code(true), "ECONNABORTED");
        assert_eq!(Cause::Idle.code(true), "ETIMEDOUT");
    }

    #[test]
    fn a_forced_end_names_its_method() {
        assert_eq!([Force::Shutdown, Force::Timeout].map(Force::method), ["shutdown", "close"]);
        assert!(Force::Shutdown.reason().contains("force: true"));
        assert!(Force::Timeout.reason().contains("timeout of close()"));
    }

    #[test]
    fn the_socks_reply_says_what_kind_of_failure_it_was() {
        let refused = |reason| Cause::Refused(reason, "Connection refused".into());
        for (code, cause) in [
            (2, refused(OpenFailure::AdministrativelyProhibited)),
            (2, Cause::Rejected),
            (1, refused(OpenFailure::ResourceShortage)),
            (1, refused(OpenFailure::UnknownChannelType)),
            (1, refused(OpenFailure::Other(77))),
            (1, Cause::Unanswered("answer")),
            (1, Cause::SessionLost(session::Error::no_session())),
            (1, Cause::NoSession(session::Error::no_session())),
        ] {
            assert_eq!(cause.socks_reply().expect("a reply").code(), code, "{cause:?}");
        }
        for cause in [Cause::Application("disconnect"), Cause::ResetByLocal] {
            assert_eq!(cause.socks_reply(), None, "{cause:?}");
        }
    }
}
