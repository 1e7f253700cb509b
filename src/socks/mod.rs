//! SOCKS 4, 4a and 5: the server side, and the client side of SOCKS 5.
//!
//! - `handshake`: the handshake without a socket; `accept`: the handshake on a socket.
//! - `v4`, `v5`: the layouts of the messages; `reply`: the codes of replies.
//! - `credentials`: the comparison of usernames and passwords.
//! - `client`: the messages of a client.
//!
//! A client may send data right after its request. The handshake therefore reads no byte beyond its
//! own messages: the rest stays in the socket for the connection.

mod accept;
pub(crate) mod client;
mod credentials;
mod handshake;
mod reply;
mod v4;
mod v5;

use crate::names;

pub use credentials::Login;

pub(crate) use accept::{Failure, negotiate};
pub(crate) use handshake::{Handshake, Step};
pub(crate) use reply::Reply;

/// A version of SOCKS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 4 or 4a.
    Four,
    /// 5, RFC 1928.
    Five,
}

impl Version {
    /// Encodes the reply to a request. Its address, from which the SSH server connects to the target,
    /// is unknown here: zeros, as with OpenSSH.
    pub(crate) fn reply(self, reply: Reply) -> Vec<u8> {
        match self {
            Version::Four => v4::reply(reply).to_vec(),
            Version::Five => v5::reply(reply).to_vec(),
        }
    }
}

/// The request of a SOCKS client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) version: Version,
    /// An address, or a host name as the client sent it: the SSH server resolves it.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a handshake ends without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The client ended its stream too early.
    #[error("the stream ended before the request was complete")]
    Ended,
    /// The first byte is that of another protocol.
    #[error("its first byte is {0}, which is neither SOCKS 4 nor 5")]
    NotSocks(u8),
    /// A later message begins with the wrong byte.
    #[error("a message of SOCKS 5 begins with {0}")]
    Garbled(u8),
    /// The client does not support the method of authentication that is required.
    #[error("it offers no method of authentication that is accepted here")]
    Method,
    /// The client uses SOCKS 4, which has no passwords.
    #[error("SOCKS 4 cannot carry the password that is required")]
    NoPassword,
    /// The username or the password is wrong.
    #[error("wrong username or password")]
    Login,
    /// The command is BIND, UDP ASSOCIATE, or unknown.
    #[error("command {1} is not supported, only CONNECT")]
    Command(Version, u8),
    /// The address type is unknown.
    #[error("address type {0} is not supported")]
    AddressType(u8),
    /// The host name is empty, is not UTF-8, or contains control characters.
    #[error("a host name that is empty, no UTF-8, or has control characters")]
    Name(Version),
    /// A user id or host name of SOCKS 4 is too long.
    #[error("a user id or host name of more than {MAX_LENGTH} bytes")]
    TooLong,
}

impl Fault {
    /// Encodes the last message to the client; empty if it would not understand any.
    pub(crate) fn reply(self) -> Vec<u8> {
        match self {
            Fault::Ended | Fault::NotSocks(_) | Fault::Garbled(_) => Vec::new(),
            Fault::Method => v5::choice(v5::NO_METHOD).to_vec(),
            Fault::Login => v5::LOGIN_FAILED.to_vec(),
            Fault::NoPassword | Fault::TooLong => Version::Four.reply(Reply::Failed),
            Fault::Command(version, _) => version.reply(Reply::CommandNotSupported),
            Fault::AddressType(_) => Version::Five.reply(Reply::AddressTypeNotSupported),
            Fault::Name(version) => version.reply(Reply::Failed),
        }
    }

    /// Returns whether the client failed to authenticate.
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

/// The maximum length of a username, a password or a host name: in SOCKS 5 the length is one byte.
/// SOCKS 4 has no limit of its own.
pub(crate) const MAX_LENGTH: usize = 255;

/// The only supported command.
const CONNECT: u8 = 1;

/// A message that has arrived in part or as a whole.
#[derive(Debug, PartialEq, Eq)]
enum Parsed<T> {
    /// The message has at least this length, and has not arrived as a whole.
    Needs(usize),
    /// The message has arrived.
    Whole(T),
}

impl<T> Parsed<T> {
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Parsed<U> {
        match self {
            Parsed::Needs(length) => Parsed::Needs(length),
            Parsed::Whole(value) => Parsed::Whole(f(value)),
        }
    }
}

/// Checks a host name.
fn host_name(version: Version, bytes: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(name) if names::check(name, MAX_LENGTH).is_ok() => Ok(name.to_owned()),
        Ok(_) | Err(_) => Err(Fault::Name(version)),
    }
}
