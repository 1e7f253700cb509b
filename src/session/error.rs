//! Why there is no session, or why it was disconnected.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use ssh_proto::{AuthFailure, OpenFailure};

/// The reason code of a DISCONNECT (RFC 4253 section 11.1).
const TOO_MANY_CONNECTIONS: u32 = 12;

/// Why a session could not be established, or was disconnected.
#[derive(Debug, thiserror::Error, Clone)]
pub enum Error {
    /// The server could not be reached.
    #[error("{syscall} {code} {address}")]
    Dial {
        /// Name of the failed call, as in Node: `connect`, `bind`, `getaddrinfo`, `spawn`.
        syscall: &'static str,
        /// Name of the system error.
        code: Cow<'static, str>,
        /// Number of the system error, if there is one.
        errno: Option<i32>,
        /// Address of the server, `host:port`; or a local address or program.
        address: String,
    },
    /// The session was not established within `readyTimeout`.
    #[error("{host}: no SSH session within {limit} ms, waiting for {step}")]
    Timeout {
        /// Host of the server.
        host: String,
        /// `readyTimeout` in milliseconds.
        limit: u128,
        /// Step that was waited for.
        step: &'static str,
    },
    /// The host key was refused. Nothing about the user was sent.
    #[error("{}", .0.text)]
    HostKey(Box<HostKeyRefusal>),
    /// A file of host keys cannot be read or written.
    #[error("{text}")]
    HostKeyFile {
        /// Message.
        text: String,
        /// The file, if there is one.
        file: Option<PathBuf>,
        /// Number of the line, from 1, if one is the cause.
        line: Option<usize>,
    },
    /// The private key cannot be read: it is not a key, or the passphrase is missing or wrong.
    #[error("{0}")]
    PrivateKey(String),
    /// The server refused all credentials.
    #[error("{}", .0.text)]
    Auth(Box<AuthFailure>),
    /// The server and this client have no algorithm in common.
    #[error("{0}")]
    Algorithm(String),
    /// The server violated the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The jump host refused to connect to the next server.
    #[error("{text}")]
    Refused {
        /// Reason that the jump host gave.
        reason: OpenFailure,
        /// Message.
        text: String,
    },
    /// An error at a jump host.
    #[error("jump host {address}: {error}")]
    Hop {
        /// Address of the jump host, `host:port`.
        address: String,
        /// The error.
        error: Box<Error>,
    },
    /// An error before the end of authentication, with a text that the server had sent for the
    /// user.
    #[error("{error}; the server said: \"{}\"", last_line(banner))]
    WithBanner {
        /// The error.
        error: Box<Error>,
        /// The last lines and banners, without control characters.
        banner: String,
    },
    /// The stream of the application has served a session before.
    #[error("options.sock served an earlier session: a stream cannot be connected again")]
    SockUsed,
    /// The session was disconnected, by the network, the server or a timeout.
    #[error("{text}")]
    Disconnected {
        /// How the session ended; `None` if there was none.
        reason: Option<LossReason>,
        /// Message.
        text: String,
    },
}

/// How a session ended without being asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The server closed the connection without DISCONNECT, or the stream or program that leads to
    /// it ended.
    Closed,
    /// The connection failed, for example with a reset.
    Network,
    /// The connection ended before the server identified itself, as when it has too many that are not
    /// authenticated (MaxStartups).
    Unidentified,
    /// The server sent DISCONNECT.
    Disconnect,
    /// The server sent DISCONNECT, because it has too many connections.
    TooMany,
    /// The server did not answer keepalive requests.
    Silent,
    /// The server did not finish a key exchange in time.
    Rekey,
    /// Another error of the session, such as a violation of the protocol.
    Protocol,
}

/// A refused host key, and why it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyRefusal {
    /// Reason for the refusal.
    pub reason: HostKeyReason,
    /// Message.
    pub text: String,
    /// Fingerprint of the key; `None` if the key exchange failed.
    pub fingerprint: Option<String>,
    /// Fingerprint of the key that `line` has for this host.
    pub known: Option<String>,
    /// The line that decided.
    pub line: Option<FileLine>,
}

/// Reason for refusing a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyReason {
    /// The key is not known.
    Unknown,
    /// A file has another key for this host.
    Changed,
    /// A file revokes the key, or the authority that signed its certificate.
    Revoked,
    /// The application rejected the key.
    Rejected,
    /// The key, its signature or its certificate is invalid: too short, expired, or for another
    /// host.
    Invalid,
}

/// A line of a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// The file.
    pub path: PathBuf,
    /// Number of the line.
    pub number: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.number)
    }
}

impl Error {
    /// Returns the code that programs compare.
    pub fn code(&self) -> Cow<'static, str> {
        match self {
            Error::Dial { code, .. } => code.clone(),
            Error::Timeout { .. } => "ETIMEDOUT".into(),
            Error::HostKey(_) | Error::HostKeyFile { .. } => "ERR_SSH_HOST_KEY".into(),
            Error::PrivateKey(_) => "ERR_SSH_PRIVATE_KEY".into(),
            Error::Auth(_) => "ERR_SSH_AUTH".into(),
            Error::Algorithm(_) => "ERR_SSH_ALGORITHM".into(),
            Error::Protocol(_) => "ERR_SSH_PROTOCOL".into(),
            Error::Refused { reason, .. } => open_code(*reason).into(),
            Error::Hop { error, .. } | Error::WithBanner { error, .. } => error.code(),
            Error::SockUsed => "ERR_TUNNEL_SOCK_USED".into(),
            Error::Disconnected { .. } => "ERR_SSH_DISCONNECTED".into(),
        }
    }

    /// Makes the error for a connection without a session.
    pub(crate) fn no_session() -> Self {
        Error::Disconnected { reason: None, text: "there is no session".into() }
    }

    /// Returns the failed system call, its error number, and its address: `host:port`, or a program.
    pub fn failed_call(&self) -> Option<(&'static str, Option<i32>, &str)> {
        match self.root() {
            Error::Dial { syscall, errno, address, .. } => Some((syscall, *errno, address)),
            _ => None,
        }
    }

    /// Returns the error without its jump host and banner.
    pub fn root(&self) -> &Self {
        match self {
            Error::Hop { error, .. } | Error::WithBanner { error, .. } => error.root(),
            error => error,
        }
    }

    /// Returns the address of the jump host at which the error occurred, and the error there.
    pub fn hop(&self) -> Option<(&str, &Self)> {
        match self {
            Error::Hop { address, error } => Some((address, error)),
            _ => None,
        }
    }

    /// Returns the text that the server, or the jump host with the error, has sent for the user:
    /// lines before its identification, and banners.
    pub fn banner(&self) -> Option<&str> {
        match self {
            Error::WithBanner { banner, .. } => Some(banner),
            Error::Hop { error, .. } => error.banner(),
            _ => None,
        }
    }

    /// Adds the text that the server had sent, if it may explain the error.
    pub(crate) fn with_banner(self, banner: String) -> Self {
        match self {
            Error::Auth(_)
            | Error::Timeout { .. }
            | Error::Disconnected { .. }
            | Error::Protocol(_)
                if !banner.trim().is_empty() =>
            {
                Error::WithBanner { error: Box::new(self), banner }
            }
            other => other,
        }
    }

    /// Adds the jump host at which the error occurred. An error of an earlier jump host is returned
    /// unchanged.
    pub(crate) fn at_hop(self, address: String) -> Self {
        match self {
            Error::Hop { .. } => self,
            error => Error::Hop { address, error: Box::new(error) },
        }
    }

    /// Converts any error of an established session to [`Error::Disconnected`].
    pub(crate) fn into_disconnected(self) -> Self {
        match self {
            Error::Hop { .. } | Error::Disconnected { .. } => self,
            error => {
                Error::Disconnected { reason: Some(LossReason::Protocol), text: error.to_string() }
            }
        }
    }
}

impl From<ssh_proto::Error> for Error {
    fn from(error: ssh_proto::Error) -> Self {
        use ssh_proto::Error as Proto;
        let text = error.to_string();
        let refused = |reason, text| {
            Error::HostKey(Box::new(HostKeyRefusal {
                reason,
                text,
                fingerprint: None,
                known: None,
                line: None,
            }))
        };
        let lost = |reason, text| Error::Disconnected { reason: Some(reason), text };
        match error {
            Proto::NotSsh(_) | Proto::Protocol(_) | Proto::Integrity => Error::Protocol(text),
            Proto::NoCommonAlgorithm { .. } => Error::Algorithm(text),
            Proto::HostKey(_) => refused(HostKeyReason::Invalid, text),
            Proto::HostKeyRejected => refused(HostKeyReason::Rejected, text),
            Proto::Auth(failure) => Error::Auth(failure),
            Proto::Disconnected { reason: TOO_MANY_CONNECTIONS, .. } => {
                lost(LossReason::TooMany, text)
            }
            Proto::Disconnected { .. } => lost(LossReason::Disconnect, text),
            Proto::KeepaliveTimeout(_) => lost(LossReason::Silent, text),
            Proto::RekeyTimeout(_) => lost(LossReason::Rekey, text),
        }
    }
}

/// Returns the end of a text as one line.
fn last_line(text: &str) -> String {
    const MAX: usize = 256;
    ssh_proto::one_line(ssh_proto::tail(text.trim_end(), MAX).as_bytes())
}

/// Returns the code for a server's refusal to open a channel.
pub(crate) fn open_code(reason: OpenFailure) -> &'static str {
    match reason {
        OpenFailure::AdministrativelyProhibited => "ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED",
        OpenFailure::ConnectFailed => "ERR_SSH_OPEN_CONNECT_FAILED",
        OpenFailure::UnknownChannelType => "ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE",
        OpenFailure::ResourceShortage => "ERR_SSH_OPEN_RESOURCE_SHORTAGE",
        OpenFailure::Other(_) => "ERR_SSH_OPEN_FAILED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Box<HostKeyRefusal> {
        Box::new(HostKeyRefusal {
            reason: HostKeyReason::Unknown,
            text: text.into(),
            fingerprint: None,
            known: None,
            line: None,
        })
    }

    fn auth_failure(text: &str) -> Box<AuthFailure> {
        Box::new(AuthFailure { text: text.into(), ..AuthFailure::default() })
    }

    #[test]
    fn facts_are_those_of_the_error_at_the_jump_host() {
        let lost = Error::from(ssh_proto::Error::KeepaliveTimeout(3000));
        let with_banner = Error::WithBanner { error: Box::new(lost), banner: "hello".into() };
        let error = Error::Hop { address: "first:22".into(), error: Box::new(with_banner) };
        let reason = Some(LossReason::Silent);
        assert!(
            matches!(error.root(), Error::Disconnected { reason: found, .. } if *found == reason)
        );
        let (address, detail) = error.hop().expect("a jump host");
        assert_eq!(
            (address, error.to_string()),
            ("first:22", format!("jump host first:22: {detail}"))
        );
        assert!(detail.hop().is_none());
        for (proto, reason) in [
            (
                ssh_proto::Error::Disconnected { reason: 2, description: "no".into() },
                LossReason::Disconnect,
            ),
            (
                ssh_proto::Error::Disconnected { reason: 12, description: "no".into() },
                LossReason::TooMany,
            ),
            (ssh_proto::Error::RekeyTimeout(120), LossReason::Rekey),
        ] {
            let error = Error::from(proto);
            assert!(
                matches!(error, Error::Disconnected { reason: Some(found), .. } if found == reason)
            );
        }
    }

    #[test]
    fn each_error_has_its_code() {
        let dial = Error::Dial {
            syscall: "connect",
            code: "ECONNREFUSED".into(),
            errno: Some(111),
            address: "host:22".into(),
        };
        assert_eq!(dial.to_string(), "connect ECONNREFUSED host:22");
        assert_eq!(dial.failed_call(), Some(("connect", Some(111), "host:22")));
        let text = || "text".to_owned();
        let timeout = Error::Timeout { host: "host".into(), limit: 5, step: "a connection" };
        for (error, code) in [
            (dial, "ECONNREFUSED"),
            (timeout, "ETIMEDOUT"),
            (Error::HostKey(refusal(&text())), "ERR_SSH_HOST_KEY"),
            (Error::HostKeyFile { text: text(), file: None, line: None }, "ERR_SSH_HOST_KEY"),
            (Error::PrivateKey(text()), "ERR_SSH_PRIVATE_KEY"),
            (Error::Auth(auth_failure(&text())), "ERR_SSH_AUTH"),
            (Error::Algorithm(text()), "ERR_SSH_ALGORITHM"),
            (Error::Protocol(text()), "ERR_SSH_PROTOCOL"),
            (Error::Disconnected { reason: None, text: text() }, "ERR_SSH_DISCONNECTED"),
            (
                Error::Refused { reason: OpenFailure::ConnectFailed, text: text() },
                "ERR_SSH_OPEN_CONNECT_FAILED",
            ),
        ] {
            assert_eq!(error.code(), code);
            assert_eq!(error.failed_call().is_some(), code == "ECONNREFUSED", "{code}");
        }
    }

    #[test]
    fn a_banner_is_quoted_where_it_may_explain_the_error() {
        let auth = || Error::Auth(auth_failure("authentication failed"));
        let error = auth().with_banner("Closed for maintenance\nuntil noon\n".into());
        let text = "authentication failed; the server said: \"Closed for maintenance until noon\"";
        assert_eq!((error.to_string().as_str(), &*error.code()), (text, "ERR_SSH_AUTH"));
        assert_eq!(error.banner(), Some("Closed for maintenance\nuntil noon\n"));
        assert_eq!(auth().with_banner("\n".into()).banner(), None);
        let long = format!("{}the end\n", "é\n".repeat(1000));
        let text = auth().with_banner(long).to_string();
        assert!(text.ends_with("the end\"") && text.len() < 400, "{text}");
        let hostile = Error::HostKey(refusal("unknown")).with_banner("trust me".into());
        assert_eq!(hostile.to_string(), "unknown");
    }

    #[test]
    fn an_error_at_a_jump_host_names_that_host_and_no_other() {
        let dial = Error::Dial {
            syscall: "connect",
            code: "ECONNREFUSED".into(),
            errno: Some(111),
            address: "first:22".into(),
        };
        let error = dial.at_hop("first:22".into()).at_hop("second:22".into());
        assert_eq!(error.to_string(), "jump host first:22: connect ECONNREFUSED first:22");
        assert_eq!(error.code(), "ECONNREFUSED");
        assert_eq!(error.failed_call(), Some(("connect", Some(111), "first:22")));

        let lost = Error::Protocol("nonsense".into()).into_disconnected().at_hop("first:22".into());
        assert_eq!(lost.code(), "ERR_SSH_DISCONNECTED");
        let seen_later = lost.into_disconnected().at_hop("second:22".into());
        assert_eq!(seen_later.to_string(), "jump host first:22: nonsense");
    }

    #[test]
    fn each_protocol_error_has_its_code() {
        use ssh_proto::Error as Proto;
        let disconnected = Proto::Disconnected { reason: 11, description: "bye".into() };
        for (error, code) in [
            (Proto::Protocol("nonsense"), "ERR_SSH_PROTOCOL"),
            (Proto::Integrity, "ERR_SSH_PROTOCOL"),
            (Proto::HostKey("changed".into()), "ERR_SSH_HOST_KEY"),
            (Proto::HostKeyRejected, "ERR_SSH_HOST_KEY"),
            (Proto::Auth(auth_failure("refused")), "ERR_SSH_AUTH"),
            (disconnected, "ERR_SSH_DISCONNECTED"),
            (Proto::KeepaliveTimeout(3000), "ERR_SSH_DISCONNECTED"),
            (Proto::RekeyTimeout(120), "ERR_SSH_DISCONNECTED"),
        ] {
            let text = error.to_string();
            let error = Error::from(error);
            assert_eq!((&*error.code(), error.to_string()), (code, text));
        }
    }
}
