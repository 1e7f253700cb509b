//! Why there is no SSH session, or none any more.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use ssh_proto::{AuthFailure, OpenFailure};

/// Why a session could not be set up, or was lost.
#[derive(Debug, thiserror::Error, Clone)]
pub enum Error {
    /// The server could not be reached.
    #[error("{syscall} {code} {address}")]
    Dial {
        /// The call that failed, as Node names it: `connect`, `bind`, `getaddrinfo`, `socketpair`.
        syscall: &'static str,
        /// The name of the system error.
        code: Cow<'static, str>,
        /// The system's error number where there is one.
        errno: Option<i32>,
        /// The server: host and port.
        address: String,
    },
    /// Dialing and logging on took longer than allowed; says what was waited for.
    #[error("{host}: no SSH session within {limit} ms, waiting for {step}")]
    Timeout {
        /// The server's host.
        host: String,
        /// `readyTimeout` in milliseconds.
        limit: u128,
        /// What had not come yet.
        step: &'static str,
    },
    /// The host key was not accepted. Nothing about the user was sent.
    #[error("{}", .0.text)]
    HostKey(Box<HostKeyRefusal>),
    /// A file that tells about host keys cannot be read or written.
    #[error("{text}")]
    HostKeyFile {
        /// What is wrong with it.
        text: String,
        /// The file, if it is one.
        file: Option<PathBuf>,
        /// The line, counted from 1, if it is one.
        line: Option<usize>,
    },
    /// The private key could not be read: not a key, or the passphrase is missing or wrong.
    #[error("{0}")]
    PrivateKey(String),
    /// The server refused every method of authentication that we have.
    #[error("{}", .0.text)]
    Auth(Box<AuthFailure>),
    /// Both sides have no algorithm in common.
    #[error("{0}")]
    Algorithm(String),
    /// The server broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The jump host could not, or would not, connect to the next server.
    #[error("{text}")]
    Refused {
        /// The reason it gave.
        reason: OpenFailure,
        /// The same for people.
        text: String,
    },
    /// What went wrong did so at a jump host.
    #[error("jump host {place}: {error}")]
    Hop {
        /// The jump host: host and port.
        place: String,
        /// What went wrong.
        error: Box<Error>,
    },
    /// The logon failed, and the server had something to say to the user before.
    #[error("{error}; the server said: \"{}\"", last_words(said))]
    HandshakeOutcome {
        /// What went wrong.
        error: Box<Error>,
        /// The last lines and banners, fit to be shown.
        said: String,
    },
    /// The stream that the owner gave had its session.
    #[error("options.sock served an earlier session: a stream cannot be connected again")]
    SockUsed,
    /// The session ended: the connection broke, or the server disconnected or fell silent.
    #[error("{text}")]
    Disconnected {
        /// How it ended; `None` if there was no session.
        reason: Option<LossReason>,
        /// The same in words.
        text: String,
    },
}

/// How a session ended that nobody had asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// The server, or a stream or program that leads to it, closed the connection.
    Closed,
    /// The network broke the connection.
    Network,
    /// The server sent DISCONNECT.
    Disconnect,
    /// The server did not answer keepalive requests.
    Silent,
    /// The server did not finish a key exchange.
    Rekey,
    /// Another error of the SSH session, such as a broken protocol.
    Protocol,
}

/// Why a host key was refused, and the facts about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyRefusal {
    /// The kind of reason.
    pub reason: HostKeyReason,
    /// The reason in words.
    pub text: String,
    /// The fingerprint of the key; `None` if the key exchange failed over it.
    pub fingerprint: Option<String>,
    /// The fingerprint that `file` has for this host instead.
    pub known: Option<String>,
    /// The line that decided.
    pub line: Option<FileLine>,
}

/// The kind of reason for which a host key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKeyReason {
    /// Nothing vouches for the key.
    Unknown,
    /// A file has another key for this host.
    Changed,
    /// A file revokes the key, or the authority that signed its certificate.
    Revoked,
    /// The verifier said no.
    Rejected,
    /// The key, its signature or its certificate is not acceptable: too short, expired, for another host.
    Invalid,
}

/// A line of a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// The file.
    pub path: PathBuf,
    /// The line's number.
    pub number: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.number)
    }
}

impl Error {
    /// The string that programs compare.
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
            Error::Hop { error, .. } | Error::HandshakeOutcome { error, .. } => error.code(),
            Error::SockUsed => "ERR_TUNNEL_SOCK_USED".into(),
            Error::Disconnected { .. } => "ERR_SSH_DISCONNECTED".into(),
        }
    }

    /// There is no session to carry a connection.
    pub(crate) fn no_session() -> Self {
        Error::Disconnected { reason: None, text: "there is no session".into() }
    }

    /// The system call and error number behind it, where there are any.
    pub fn system(&self) -> Option<(&'static str, Option<i32>)> {
        self.failed_call().map(|(syscall, errno, _)| (syscall, errno))
    }

    /// What the system call was about: host and port, or a program.
    pub fn address(&self) -> Option<&str> {
        self.failed_call().map(|(_, _, address)| address)
    }

    fn failed_call(&self) -> Option<(&'static str, Option<i32>, &str)> {
        match self.root() {
            Error::Dial { syscall, errno, address, .. } => Some((syscall, *errno, address)),
            _ => None,
        }
    }

    /// The error itself, without the jump host that it was at and what the server had said.
    pub fn root(&self) -> &Self {
        match self {
            Error::Hop { error, .. } | Error::HandshakeOutcome { error, .. } => error.root(),
            error => error,
        }
    }

    /// The jump host that it was at (host and port), and the error as it was there.
    pub fn hop(&self) -> Option<(&str, &Self)> {
        match self {
            Error::Hop { place, error } => Some((place, error)),
            _ => None,
        }
    }

    /// What the server, or the jump host that it is about, said to the user before: lines before it
    /// identified itself, and banners.
    pub fn banner(&self) -> Option<&str> {
        match self {
            Error::HandshakeOutcome { said, .. } => Some(said),
            Error::Hop { error, .. } => error.banner(),
            _ => None,
        }
    }

    /// The same with what the server had said, if that may explain it.
    pub(crate) fn with_said(self, said: String) -> Self {
        match self {
            Error::Auth(_)
            | Error::Timeout { .. }
            | Error::Disconnected { .. }
            | Error::Protocol(_)
                if !said.trim().is_empty() =>
            {
                Error::HandshakeOutcome { error: Box::new(self), said }
            }
            other => other,
        }
    }

    /// As a session sees it that goes through the jump host at `place`. An error of a jump host
    /// before that one stays what it is.
    #[cfg(unix)]
    pub(crate) fn at_hop(self, place: String) -> Self {
        match self {
            Error::Hop { .. } => self,
            error => Error::Hop { place, error: Box::new(error) },
        }
    }

    /// As those see it whose session it was: lost, whatever the reason.
    #[cfg(unix)]
    pub(crate) fn into_loss(self) -> Self {
        match self {
            Error::Hop { .. } => self,
            Error::Disconnected { .. } => self,
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
            Proto::Disconnected { .. } => lost(LossReason::Disconnect, text),
            Proto::KeepaliveTimeout(_) => lost(LossReason::Silent, text),
            Proto::RekeyTimeout(_) => lost(LossReason::Rekey, text),
        }
    }
}

/// The end of what a server said, as one line.
fn last_words(said: &str) -> String {
    const MAX: usize = 256;
    ssh_proto::one_line(ssh_proto::tail(said.trim_end(), MAX).as_bytes())
}

/// The name of a server's refusal to open a channel.
pub(crate) fn open_code(reason: OpenFailure) -> &'static str {
    match reason {
        OpenFailure::AdministrativelyProhibited => "ERR_SSH_OPEN_ADMINISTRATIVELY_PROHIBITED",
        OpenFailure::ConnectFailed => "ERR_SSH_OPEN_CONNECT_FAILED",
        OpenFailure::UnknownChannelType => "ERR_SSH_OPEN_UNKNOWN_CHANNEL_TYPE",
        OpenFailure::ResourceShortage => "ERR_SSH_OPEN_RESOURCE_SHORTAGE",
        OpenFailure::Other(_) => "ERR_SSH_OPEN_FAILED",
    }
}

/// The name of a failed look-up. The system's own code does not survive in the error, its words do.
pub(crate) fn lookup_code(error: &io::Error) -> Cow<'static, str> {
    if error.raw_os_error().is_some() {
        return system_code(error);
    }
    if error.to_string().contains("Temporary failure") { "EAI_AGAIN" } else { "ENOTFOUND" }.into()
}

/// The name of a system error as Node spells it.
pub fn system_code(error: &io::Error) -> Cow<'static, str> {
    use io::ErrorKind as Kind;
    // The kind makes one of EPERM and EACCES. A firewall says the former.
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EPERM) {
        return "EPERM".into();
    }
    let name = match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::NotConnected => "ENOTCONN",
        Kind::AddrInUse => "EADDRINUSE",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::BrokenPipe => "EPIPE",
        Kind::NotFound => "ENOENT",
        Kind::PermissionDenied => "EACCES",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::InvalidInput => "EINVAL",
        Kind::OutOfMemory => "ENOMEM",
        _ => "",
    };
    if !name.is_empty() {
        return name.into();
    }
    match error.raw_os_error() {
        #[cfg(unix)]
        Some(libc::EMFILE) => "EMFILE".into(),
        #[cfg(unix)]
        Some(libc::ENFILE) => "ENFILE".into(),
        #[cfg(unix)]
        Some(libc::ENOBUFS) => "ENOBUFS".into(),
        Some(number) => format!("E{number}").into(),
        None => "EIO".into(),
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
        let said = Error::HandshakeOutcome { error: Box::new(lost), said: "hello".into() };
        let error = Error::Hop { place: "first:22".into(), error: Box::new(said) };
        let reason = Some(LossReason::Silent);
        assert!(
            matches!(error.root(), Error::Disconnected { reason: found, .. } if *found == reason)
        );
        let (place, detail) = error.hop().expect("a jump host");
        assert_eq!(
            (place, error.to_string()),
            ("first:22", format!("jump host first:22: {detail}"))
        );
        assert!(detail.hop().is_none());
        for (proto, reason) in [
            (
                ssh_proto::Error::Disconnected { reason: 2, description: "no".into() },
                LossReason::Disconnect,
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
        assert_eq!(dial.system(), Some(("connect", Some(111))));
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
            assert_eq!(error.system().is_some(), code == "ECONNREFUSED", "{code}");
        }
    }

    #[test]
    fn what_the_server_said_is_quoted_where_it_may_explain_something() {
        let auth = || Error::Auth(auth_failure("authentication failed"));
        let error = auth().with_said("Closed for maintenance\nuntil noon\n".into());
        let text = "authentication failed; the server said: \"Closed for maintenance until noon\"";
        assert_eq!((error.to_string().as_str(), &*error.code()), (text, "ERR_SSH_AUTH"));
        assert_eq!(error.banner(), Some("Closed for maintenance\nuntil noon\n"));
        assert_eq!(auth().with_said("\n".into()).banner(), None);
        let long = format!("{}the end\n", "é\n".repeat(1000));
        let text = auth().with_said(long).to_string();
        assert!(text.ends_with("the end\"") && text.len() < 400, "{text}");
        let hostile = Error::HostKey(refusal("unknown")).with_said("trust me".into());
        assert_eq!(hostile.to_string(), "unknown");
    }

    #[test]
    #[cfg(unix)]
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
        assert_eq!(error.system(), Some(("connect", Some(111))));
        assert_eq!(error.address(), Some("first:22"));

        let lost = Error::Protocol("nonsense".into()).into_loss().at_hop("first:22".into());
        assert_eq!(lost.code(), "ERR_SSH_DISCONNECTED");
        let seen_further_on = lost.into_loss().at_hop("second:22".into());
        assert_eq!(seen_further_on.to_string(), "jump host first:22: nonsense");
    }

    #[test]
    fn what_the_protocol_says_goes_by_these_codes() {
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

    #[test]
    #[cfg(unix)]
    fn system_errors_keep_their_names() {
        for (number, name) in [
            (libc::ECONNREFUSED, "ECONNREFUSED"),
            (libc::ECONNRESET, "ECONNRESET"),
            (libc::EADDRINUSE, "EADDRINUSE"),
            (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
            (libc::EACCES, "EACCES"),
            (libc::EPERM, "EPERM"),
            (libc::EHOSTUNREACH, "EHOSTUNREACH"),
            (libc::ENETUNREACH, "ENETUNREACH"),
            (libc::ETIMEDOUT, "ETIMEDOUT"),
            (libc::EPIPE, "EPIPE"),
            (libc::EMFILE, "EMFILE"),
            (libc::ENFILE, "ENFILE"),
            (libc::ENOBUFS, "ENOBUFS"),
        ] {
            assert_eq!(system_code(&io::Error::from_raw_os_error(number)), name);
        }
        assert_eq!(system_code(&io::Error::from_raw_os_error(4095)), "E4095");
        assert_eq!(system_code(&io::Error::other("without a number")), "EIO");
    }

    #[test]
    fn failed_look_ups_have_their_own_names() {
        let error = |text: &str| io::Error::other(text.to_owned());
        let again = "failed to lookup address information: Temporary failure in name resolution";
        assert_eq!(lookup_code(&error(again)), "EAI_AGAIN");
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(lookup_code(&error(unknown)), "ENOTFOUND");
    }
}
