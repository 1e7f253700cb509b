//! The server side of SOCKS 4, 4a and 5: where a program at the local port wants to go, and what it
//! is told about that.
//!
//! `handshake` is the conversation, bytes in and bytes out; `four` and `five` are the layouts of
//! the messages; `login` compares passwords, `verdict` says in one byte what became of a request.
//! `negotiation` has the conversation with a socket.
//!
//! A program may send data right behind its request. So not a byte more is ever read than the
//! handshake surely needs: the rest stays in the socket, for the one who carries the connection.

mod five;
mod four;
mod handshake;
mod login;
mod negotiation;
mod verdict;

use crate::names;

pub use login::Login;

pub(super) use negotiation::{Failure, negotiate};
pub(super) use verdict::Verdict;

/// Which SOCKS a program speaks, as its first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 4 or 4a.
    Four,
    /// 5, RFC 1928.
    Five,
}

impl Version {
    /// The answer to a request. The address in it, from which the far side connects, is known to
    /// the server alone: zeros, as with OpenSSH.
    pub(super) fn reply(self, verdict: Verdict) -> Vec<u8> {
        match self {
            Version::Four => four::reply(verdict).to_vec(),
            Version::Five => five::reply(verdict).to_vec(),
        }
    }
}

/// Where a program wants to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) version: Version,
    /// An address, or a name as it was given: it is looked up at the far side.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a program is turned away before anybody was asked about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It ended its stream too early.
    #[error("the stream ended before the request was complete")]
    Ended,
    /// Another protocol.
    #[error("its first byte is {0}, which is neither SOCKS 4 nor 5")]
    NotSocks(u8),
    /// A later message begins with what it may not begin with.
    #[error("a message of SOCKS 5 begins with {0}")]
    Garbled(u8),
    /// It cannot, or does not want to, prove who it is in the way that is asked for.
    #[error("it offers no method of authentication that is accepted here")]
    Method,
    /// SOCKS 4 has no password.
    #[error("SOCKS 4 cannot carry the password that is asked for")]
    NoPassword,
    /// The wrong username or password.
    #[error("wrong username or password")]
    Login,
    /// BIND, UDP ASSOCIATE, or none that exists.
    #[error("command {1} is not supported, only CONNECT")]
    Command(Version, u8),
    /// Not one of the three that there are.
    #[error("address type {0} is not supported")]
    AddressType(u8),
    /// A host name that cannot be one, and that would garble whatever it is printed on.
    #[error("a host name that is empty, no UTF-8, or has control characters")]
    Name(Version),
    /// A text of SOCKS 4 without an end.
    #[error("a user id or host name of more than {LONGEST} bytes")]
    TooLong,
}

impl Fault {
    /// What the program is told before its connection is closed; nothing if it would not
    /// understand it.
    pub(super) fn reply(self) -> Vec<u8> {
        match self {
            Fault::Ended | Fault::NotSocks(_) | Fault::Garbled(_) => Vec::new(),
            Fault::Method => five::NO_METHOD.to_vec(),
            Fault::Login => five::LOGIN_FAILED.to_vec(),
            Fault::NoPassword | Fault::TooLong => Version::Four.reply(Verdict::Failed),
            Fault::Command(version, _) => version.reply(Verdict::CommandNotSupported),
            Fault::AddressType(_) => Version::Five.reply(Verdict::AddressTypeNotSupported),
            Fault::Name(version) => version.reply(Verdict::Failed),
        }
    }

    /// Whether a password was at fault, or the lack of one.
    pub(super) fn is_about_the_login(self) -> bool {
        match self {
            Fault::Method | Fault::NoPassword | Fault::Login => true,
            Fault::Ended
            | Fault::NotSocks(_)
            | Fault::Garbled(_)
            | Fault::Command(..)
            | Fault::AddressType(_)
            | Fault::Name(_)
            | Fault::TooLong => false,
        }
    }
}

/// The longest name of a user or a host, in bytes: what the one byte of its length can say in
/// SOCKS 5. SOCKS 4 sets no limit of its own.
const LONGEST: usize = 255;

/// The command that is served.
const CONNECT: u8 = 1;

/// What has come of a message.
#[derive(Debug, PartialEq, Eq)]
enum Parsed<T> {
    /// It is at least so many bytes long, from its start on; fewer have come.
    Needs(usize),
    /// All of it.
    Whole(T),
}

impl<T> Parsed<T> {
    fn map<U>(self, meaning: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Parsed::Needs(length) => Parsed::Needs(length),
            Parsed::Whole(value) => Parsed::Whole(meaning(value)),
        }
    }
}

/// A host name that may be passed on as it is.
fn host_name(version: Version, bytes: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(name) if names::check(name, LONGEST).is_ok() => Ok(name.to_owned()),
        Ok(_) | Err(_) => Err(Fault::Name(version)),
    }
}
