//! The messages of SOCKS 5 (RFC 1928), and of its authentication by username and password
//! (RFC 1929).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::socks::{CONNECT, Fault, Parsed, Reply, Request, Version, host_name};

/// The first byte of the messages of RFC 1928.
pub(crate) const VERSION: u8 = 5;
/// The first byte of the messages of RFC 1929.
pub(crate) const LOGIN_VERSION: u8 = 1;

/// Methods of authentication.
pub(crate) const NO_AUTHENTICATION: u8 = 0;
pub(crate) const USERNAME_PASSWORD: u8 = 2;

/// No method is acceptable.
pub(crate) const NO_METHOD: u8 = 0xff;
/// The messages that the credentials are accepted or wrong.
pub(crate) const LOGIN_ACCEPTED: [u8; 2] = [LOGIN_VERSION, 0];
pub(crate) const LOGIN_FAILED: [u8; 2] = [LOGIN_VERSION, 1];

/// Types of addresses.
pub(crate) const IPV4: u8 = 1;
pub(crate) const DOMAIN: u8 = 3;
pub(crate) const IPV6: u8 = 4;

/// Parses `05, count, methods`: the methods that the client supports.
pub(crate) fn methods(bytes: &[u8]) -> Parsed<&[u8]> {
    counted(bytes, 1)
}

/// Encodes `05, method`: the chosen method.
pub(crate) fn choice(method: u8) -> [u8; 2] {
    [VERSION, method]
}

/// A username and a password.
type UserPassword<'a> = (&'a [u8], &'a [u8]);

/// Parses `01, length, username, length, password`.
pub(crate) fn login(bytes: &[u8]) -> Result<Parsed<UserPassword<'_>>, Fault> {
    begins_with(LOGIN_VERSION, bytes)?;
    let username = match counted(bytes, 1) {
        Parsed::Whole(username) => username,
        Parsed::Needs(length) => return Ok(Parsed::Needs(length)),
    };
    Ok(counted(bytes, 2 + username.len()).map(|password| (username, password)))
}

/// Parses `05, command, 00, type of address, address, port (2)`.
pub(crate) fn request(bytes: &[u8]) -> Result<Parsed<Request>, Fault> {
    begins_with(VERSION, bytes)?;
    let [_, command, _, kind, rest @ ..] = bytes else { return Ok(Parsed::Needs(4)) };
    let (host, port) = match *kind {
        IPV4 => match rest.split_first_chunk::<4>() {
            Some((address, port)) => (Ok(Ipv4Addr::from(*address).to_string()), port),
            None => return Ok(Parsed::Needs(4 + 4 + 2)),
        },
        IPV6 => match rest.split_first_chunk::<16>() {
            Some((address, port)) => (Ok(Ipv6Addr::from(*address).to_string()), port),
            None => return Ok(Parsed::Needs(4 + 16 + 2)),
        },
        DOMAIN => match counted(bytes, 4) {
            Parsed::Whole(name) => (host_name(Version::Five, name), &rest[1 + name.len()..]),
            Parsed::Needs(length) => return Ok(Parsed::Needs(length + 2)),
        },
        other => return Err(Fault::AddressType(other)),
    };
    let &[high, low] = port else {
        return Ok(Parsed::Needs(bytes.len() - port.len() + 2));
    };
    if *command != CONNECT {
        return Err(Fault::Command(Version::Five, *command));
    }
    let port = u16::from_be_bytes([high, low]);
    Ok(Parsed::Whole(Request { version: Version::Five, host: host?, port }))
}

/// Checks the first byte of a message, if it has arrived.
fn begins_with(version: u8, bytes: &[u8]) -> Result<(), Fault> {
    match bytes.first() {
        Some(first) if *first != version => Err(Fault::Garbled(*first)),
        Some(_) | None => Ok(()),
    }
}

/// Parses `length (1), bytes` at an offset.
fn counted(bytes: &[u8], at: usize) -> Parsed<&[u8]> {
    let Some(count) = bytes.get(at) else { return Parsed::Needs(at + 1) };
    let end = at + 1 + usize::from(*count);
    bytes.get(at + 1..end).map_or(Parsed::Needs(end), Parsed::Whole)
}

/// Encodes `05, code, 00, type of address, address, port (2)`.
pub(crate) fn reply(reply: Reply) -> [u8; 10] {
    [VERSION, reply.code(), 0, IPV4, 0, 0, 0, 0, 0, 0]
}
