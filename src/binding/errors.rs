//! Failures; JavaScript makes an `Error` of each.

use std::fmt::Display;

use napi_derive::napi;

use crate::binding::types::enums::{HostKeyReason, LossReason, ProxyReason};
#[cfg(unix)]
use crate::net::{error_code, external};
use crate::session;
use crate::tunnel::Error;

/// Characters of an invalid value that its error shows: a fingerprint has 50.
const MAX_SHOWN: usize = 80;

/// The members that `lib/errors.js` makes an `Error` from.
#[napi(object, object_from_js = false)]
#[derive(Clone, Debug)]
pub struct Failure {
    /// The code.
    pub code: String,
    /// The message.
    pub message: String,
    /// The system's error number, positive; JavaScript negates it, as Node.js does.
    pub errno: Option<i32>,
    /// The system call that failed.
    pub syscall: Option<String>,
    /// The host and port, or the program, that it was about.
    pub address: Option<String>,
    /// What the server had said to the user before.
    pub banner: Option<String>,
    /// The jump host that it was at: host and port.
    pub hop: Option<String>,
    /// The message without that jump host.
    pub detail: Option<String>,
    /// What was wrong with the host key.
    pub host_key: Option<HostKeyFacts>,
    /// What the proxy did in place of connecting to the server.
    pub proxy: Option<ProxyFacts>,
    /// The methods that the server accepts.
    pub accepted_methods: Option<Vec<String>>,
    /// The methods that were tried.
    pub tried_methods: Option<Vec<&'static str>>,
    /// How the session ended.
    pub loss_reason: Option<LossReason>,
    /// The file that cannot be read or written.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u32>,
    /// The question whose answer was an exception, which is the cause.
    pub thrown: Option<u32>,
}

/// What was wrong with a host key.
#[napi(object, object_from_js = false)]
#[derive(Clone, Debug)]
pub struct HostKeyFacts {
    /// The kind of reason.
    pub reason: HostKeyReason,
    /// Its fingerprint.
    pub fingerprint: Option<String>,
    /// The host as it was given.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// The name of the host in files of known hosts.
    pub name: Option<String>,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: Option<String>,
    /// The key's line.
    pub public_key: Option<String>,
    /// The fingerprint that the file has instead.
    pub known: Option<String>,
    /// The file that decided.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u32>,
}

/// What a proxy did in place of connecting to the server.
#[napi(object, object_from_js = false)]
#[derive(Clone, Debug)]
pub struct ProxyFacts {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What happened.
    pub reason: ProxyReason,
    /// The status code of its HTTP response.
    pub status_code: Option<u16>,
    /// The reason phrase of its HTTP response.
    pub status_message: Option<String>,
    /// The code of its SOCKS 5 reply.
    pub reply_code: Option<u8>,
}

impl Failure {
    /// Returns a failure without a system call.
    pub(crate) fn new(code: &str, message: String) -> Self {
        Self {
            code: code.to_owned(),
            message,
            errno: None,
            syscall: None,
            address: None,
            banner: None,
            hop: None,
            detail: None,
            host_key: None,
            proxy: None,
            accepted_methods: None,
            tried_methods: None,
            loss_reason: None,
            file: None,
            line: None,
            thrown: None,
        }
    }

    /// Returns the failure of a system call without an address.
    #[cfg(unix)]
    pub(crate) fn of_system(syscall: &str, error: &std::io::Error) -> Self {
        let code = error_code::system_code(error);
        Self {
            errno: error.raw_os_error(),
            syscall: Some(syscall.to_owned()),
            ..Self::new(&code, format!("{syscall} {code}"))
        }
    }

    /// Returns the failure of a call on a socket of the application.
    #[cfg(unix)]
    pub(crate) fn of_socket(syscall: &str, error: &external::Error) -> Self {
        match error {
            external::Error::System(error) => Self::of_system(syscall, error),
            external::Error::NotTcp | external::Error::NotListening => Self {
                errno: Some(libc::ENOTSUP),
                syscall: Some(syscall.to_owned()),
                ..Self::new("ENOTSUP", format!("{syscall} ENOTSUP: {error}"))
            },
        }
    }

    /// Adds the facts that an error of a session carries.
    fn with_facts(mut self, error: &session::Error) -> Self {
        self.banner = error.banner().map(str::to_owned);
        self.thrown = error.thrown().map(|session::Thrown(question)| question);
        if let Some((address, detail)) = error.hop() {
            self.hop = Some(address.to_owned());
            self.detail = Some(detail.to_string());
        }
        match error.root() {
            session::Error::HostKey(refusal) => self.host_key = Some((&**refusal).into()),
            session::Error::Proxy(refusal) => self.proxy = Some((&**refusal).into()),
            session::Error::HostKeyFile { file, line, .. } => {
                self.file = file.as_ref().map(|file| file.display().to_string());
                self.line = line.map(|line| line as u32);
            }
            session::Error::Auth(failure) => {
                self.accepted_methods = Some(failure.accepted.clone());
                self.tried_methods = Some(failure.tried.clone());
            }
            session::Error::Disconnected { reason, .. } => {
                self.loss_reason = reason.map(Into::into);
            }
            _ => {}
        }
        self
    }

    /// Returns the failure of a call that an `AbortSignal` has ended; JavaScript knows the reason.
    pub(crate) fn aborted() -> Self {
        Self::new("ABORT_ERR", "The operation was aborted".to_owned())
    }

    /// Returns the failure of a blocking call during which its own thread had to be asked.
    pub(crate) fn would_deadlock() -> Self {
        let message = "a function of the options, or the 'keyboard-interactive' listener, has to be \
                       asked, and cannot run while this call blocks its thread. Pass a callback or \
                       use tunnel.promises";
        Self::new("ERR_TUNNEL_WOULD_DEADLOCK", message.to_owned())
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut failure = Self::new(&error.code(), error.to_string());
        if let Some((syscall, errno, address)) = error.failed_call() {
            failure.errno = errno;
            failure.syscall = Some(syscall.to_owned());
            failure.address = Some(address.to_owned());
        }
        match error {
            Error::Session(error) => failure.with_facts(error),
            _ => failure,
        }
    }
}

impl From<&session::HostKeyRefusal> for HostKeyFacts {
    fn from(refusal: &session::HostKeyRefusal) -> Self {
        let (line, offered) = (refusal.line.as_ref(), refusal.offered.as_ref());
        Self {
            host: offered.map(|offered| offered.host.clone()),
            port: offered.map(|offered| offered.port),
            name: offered.map(|offered| offered.name.clone()),
            key_type: offered.map(|offered| offered.key_type.clone()),
            public_key: offered.map(|offered| offered.line.clone()),
            reason: refusal.reason.into(),
            fingerprint: refusal.fingerprint.clone(),
            known: refusal.known.clone(),
            file: line.map(|line| line.path.display().to_string()),
            line: line.map(|line| line.number as u32),
        }
    }
}

impl From<&session::ProxyRefusal> for ProxyFacts {
    fn from(refusal: &session::ProxyRefusal) -> Self {
        let (status_code, status_message, reply_code) = match &refusal.fault {
            session::ProxyFault::Status { code, phrase } => {
                (Some(*code), Some(phrase.clone()), None)
            }
            session::ProxyFault::Reply(code) => (None, None, Some(*code)),
            _ => (None, None, None),
        };
        Self {
            host: refusal.host.clone(),
            port: refusal.port,
            reason: (&refusal.fault).into(),
            status_code,
            status_message,
            reply_code,
        }
    }
}

/// Returns the failure of an option whose value is invalid.
pub(crate) fn invalid(property: &str, reason: impl Display, text: &str) -> Failure {
    let received = received(text);
    let message =
        format!("The property 'options.{property}' is invalid: {reason}. Received {received}");
    Failure::new("ERR_INVALID_ARG_VALUE", message)
}

/// Returns an invalid key for a message: shortened, and nothing of a private key.
fn received(text: &str) -> String {
    if text.contains("PRIVATE KEY") {
        return "a private key".to_owned();
    }
    let start: String = text.chars().take(MAX_SHOWN).collect();
    let dots = if start.len() < text.len() { "..." } else { "" };
    format!("'{}{dots}'", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_pin_is_shown_in_part_and_a_private_key_not_at_all() {
        assert_eq!(received("MD5:00"), "'MD5:00'");
        assert_eq!(received("a\nb"), "'a\\nb'");
        assert_eq!(received(&"ä".repeat(80)), format!("'{}'", "ä".repeat(80)));
        assert_eq!(received(&"ä".repeat(81)), format!("'{}...'", "ä".repeat(80)));
        assert_eq!(received("-----BEGIN EC PRIVATE KEY----- MHcCAQEE"), "a private key");
    }

    #[test]
    fn a_system_error_keeps_its_name_number_and_address() {
        let error = Error::Listen {
            syscall: "listen",
            code: "EADDRINUSE".into(),
            errno: Some(98),
            address: "127.0.0.1:80".into(),
        };
        let failure = Failure::from(&error);
        assert_eq!(failure.code, "EADDRINUSE");
        assert_eq!(failure.message, "listen EADDRINUSE 127.0.0.1:80");
        assert_eq!(failure.errno, Some(98));
        assert_eq!(failure.syscall.as_deref(), Some("listen"));
        assert_eq!(failure.address.as_deref(), Some("127.0.0.1:80"));
    }

    #[test]
    fn our_own_errors_name_no_system_call() {
        let failure = Failure::from(&Error::NoConnection(7));
        assert_eq!(failure.code, "ERR_TUNNEL_NO_CONNECTION");
        assert_eq!((failure.errno, failure.syscall, failure.address), (None, None, None));
    }

    #[test]
    fn facts_of_a_session_cross_with_the_jump_host_that_they_are_about() {
        let failure = ssh_proto::AuthFailure {
            text: "authentication failed".into(),
            tried: vec!["publickey", "agent"],
            accepted: vec!["password".into()],
        };
        let failure = Failure::from(&Error::Session(session::Error::Hop {
            address: "[::1]:2222".into(),
            error: Box::new(session::Error::Auth(Box::new(failure))),
        }));
        assert_eq!(failure.message, "jump host [::1]:2222: authentication failed");
        assert_eq!(failure.hop.as_deref(), Some("[::1]:2222"));
        assert_eq!(failure.detail.as_deref(), Some("authentication failed"));
        assert_eq!(failure.tried_methods, Some(vec!["publickey", "agent"]));
        assert_eq!(failure.accepted_methods, Some(vec!["password".to_owned()]));

        let line = session::FileLine { path: "/known".into(), number: 7 };
        let refusal = session::HostKeyRefusal {
            reason: session::HostKeyReason::Changed,
            text: "it has changed".into(),
            fingerprint: Some("SHA256:new".into()),
            known: Some("SHA256:old".into()),
            line: Some(line),
            offered: None,
        };
        let failure = Failure::from(&Error::Session(session::Error::HostKey(Box::new(refusal))));
        let facts = failure.host_key.expect("facts about the key");
        assert_eq!(facts.reason, HostKeyReason::Changed);
        assert_eq!((facts.file.as_deref(), facts.line), (Some("/known"), Some(7)));
        assert_eq!(facts.known.as_deref(), Some("SHA256:old"));
        assert_eq!((failure.hop, failure.detail), (None, None));

        let lost = session::Error::from(ssh_proto::Error::KeepaliveTimeout(3000));
        let failure = Failure::from(&Error::Session(lost));
        assert_eq!(failure.loss_reason, Some(LossReason::Silent));
    }
}
