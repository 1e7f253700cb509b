//! The server side of SOCKS 4, 4a and 5: where a program at the local port wants to go, and what it
//! is told about that.
//!
//! `handshake` is the conversation, bytes in and bytes out; `v4` and `v5` are the layouts of
//! the messages; `credentials` compares passwords, `reply` says in one byte what became of a request.
//! `accept` has the conversation with a socket.
//!
//! A program may send data right behind its request. So not a byte more is ever read than the
//! handshake surely needs: the rest stays in the socket, for the one who carries the connection.

mod accept;
mod credentials;
mod handshake;
mod reply;
mod v4;
mod v5;

use crate::names;

pub use credentials::Login;

pub(crate) use accept::{Failure, negotiate};
pub(crate) use reply::Reply;

/// Which SOCKS a program speaks, as its first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 4 or 4a.
    Four,
    /// 5, RFC 1928.
    Five,
}

impl Version {
    /// The answer to a request. The address in it, from which the far side connects, is known to
    /// the server alone: zeros, as with OpenSSH.
    pub(crate) fn reply(self, reply: Reply) -> Vec<u8> {
        match self {
            Version::Four => v4::reply(reply).to_vec(),
            Version::Five => v5::reply(reply).to_vec(),
        }
    }
}

/// Where a program wants to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) version: Version,
    /// An address, or a name as it was given: it is looked up at the far side.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a program is turned away before anybody was asked about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
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
    #[error("it inbound_channels no method of authentication that is accepted here")]
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
    pub(crate) fn reply(self) -> Vec<u8> {
        match self {
            Fault::Ended | Fault::NotSocks(_) | Fault::Garbled(_) => Vec::new(),
            Fault::Method => v5::NO_METHOD.to_vec(),
            Fault::Login => v5::LOGIN_FAILED.to_vec(),
            Fault::NoPassword | Fault::TooLong => Version::Four.reply(Reply::Failed),
            Fault::Command(version, _) => version.reply(Reply::CommandNotSupported),
            Fault::AddressType(_) => Version::Five.reply(Reply::AddressTypeNotSupported),
            Fault::Name(version) => version.reply(Reply::Failed),
        }
    }

    /// Whether a password was at fault, or the lack of one.
    pub(crate) fn is_about_the_login(self) -> bool {
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
