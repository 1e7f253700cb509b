//! The messages of a client of SOCKS 5, for a proxy on the way to the SSH server.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::socks::CONNECT;
use crate::socks::v5::{
    DOMAIN, IPV4, IPV6, LOGIN_VERSION, NO_AUTHENTICATION, NO_METHOD, USERNAME_PASSWORD, VERSION,
};

/// Why a proxy does not connect to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It requires credentials, and there are none.
    #[error("it requires a username and a password")]
    NoLogin,
    /// It supports no method that was offered.
    #[error("it accepts neither a password nor a connection without one")]
    NoMethod,
    /// The credentials are wrong.
    #[error("it refused the username or the password")]
    Login,
    /// The code of its reply is not 0.
    #[error("{}", meaning(*.0))]
    Reply(u8),
    /// It chose a method that was not offered.
    #[error("it chose method {0}, which was not offered")]
    OtherMethod(u8),
    /// A message begins with the wrong byte.
    #[error("its reply begins with byte {0}, which is not that of a SOCKS 5 proxy")]
    Garbled(u8),
    /// The type of an address is unknown.
    #[error("its reply has an address of the unknown type {0}")]
    AddressType(u8),
}

/// Returns what the code of a reply means (RFC 1928, section 6), and the code.
fn meaning(code: u8) -> String {
    let text = match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown",
    };
    format!("{text} (reply {code})")
}

/// Returns `05, count, methods`: what this client supports.
pub(crate) fn greeting(has_login: bool) -> &'static [u8] {
    if has_login {
        &[VERSION, 2, NO_AUTHENTICATION, USERNAME_PASSWORD]
    } else {
        &[VERSION, 1, NO_AUTHENTICATION]
    }
}

/// Parses `05, method`: returns whether the proxy wants the username and password.
pub(crate) fn wants_login([version, method]: [u8; 2], has_login: bool) -> Result<bool, Refusal> {
    begins_with(VERSION, version)?;
    match method {
        NO_AUTHENTICATION => Ok(false),
        USERNAME_PASSWORD if has_login => Ok(true),
        NO_METHOD if has_login => Err(Refusal::NoMethod),
        NO_METHOD => Err(Refusal::NoLogin),
        other => Err(Refusal::OtherMethod(other)),
    }
}

/// Encodes `01, length, username, length, password`. The options were checked: neither is too long.
pub(crate) fn login(username: &[u8], password: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(3 + username.len() + password.len()));
    message.push(LOGIN_VERSION);
    for text in [username, password] {
        message.push(text.len() as u8);
        message.extend_from_slice(text);
    }
    message
}

/// Parses `01, status`: an error if the username or password is wrong.
pub(crate) fn logged_in([version, status]: [u8; 2]) -> Result<(), Refusal> {
    // Some proxies reply with the version of SOCKS.
    if version != VERSION {
        begins_with(LOGIN_VERSION, version)?;
    }
    match status {
        0 => Ok(()),
        _ => Err(Refusal::Login),
    }
}

/// Encodes `05, command, 00, type of address, address, port (2)`. An address is sent as such, and a
/// name as a name, for the proxy to resolve.
pub(crate) fn request(host: &str, port: u16) -> Vec<u8> {
    let mut message = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            message.push(IPV4);
            message.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            message.push(IPV6);
            message.extend_from_slice(&address.octets());
        }
        Err(_) => {
            message.extend_from_slice(&[DOMAIN, host.len() as u8]);
            message.extend_from_slice(host.as_bytes());
        }
    }
    message.extend_from_slice(&port.to_be_bytes());
    message
}

/// Parses the beginning of a reply, `05, code`: an error if the proxy did not connect.
pub(crate) fn granted([version, code]: [u8; 2]) -> Result<(), Refusal> {
    begins_with(VERSION, version)?;
    if code == 0 { Ok(()) } else { Err(Refusal::Reply(code)) }
}

/// Parses `00, type of address, first byte of the address`: returns how many bytes of the reply follow.
pub(crate) fn rest_of_reply([_, kind, first]: [u8; 3]) -> Result<usize, Refusal> {
    const PORT: usize = 2;
    match kind {
        IPV4 => Ok(3 + PORT),
        IPV6 => Ok(15 + PORT),
        DOMAIN => Ok(usize::from(first) + PORT),
        other => Err(Refusal::AddressType(other)),
    }
}

/// Checks the first byte of a message.
fn begins_with(expected: u8, version: u8) -> Result<(), Refusal> {
    if version == expected { Ok(()) } else { Err(Refusal::Garbled(version)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_offered_only_if_there_is_one() {
        assert_eq!(greeting(false), [5, 1, 0]);
        assert_eq!(greeting(true), [5, 2, 0, 2]);
    }

    #[test]
    fn the_proxy_chooses_among_the_methods_that_were_offered() {
        assert_eq!(wants_login([5, 0], false), Ok(false));
        assert_eq!(wants_login([5, 0], true), Ok(false));
        assert_eq!(wants_login([5, 2], true), Ok(true));
        assert_eq!(wants_login([5, 2], false), Err(Refusal::OtherMethod(2)));
        assert_eq!(wants_login([5, 1], true), Err(Refusal::OtherMethod(1)));
        assert_eq!(wants_login([5, 255], true), Err(Refusal::NoMethod));
        assert_eq!(wants_login([5, 255], false), Err(Refusal::NoLogin));
        assert_eq!(wants_login([b'H', b'T'], true), Err(Refusal::Garbled(b'H')));
    }

    #[test]
    fn a_password_is_sent_with_its_length() {
        let message = login(b"anna", b"secret");
        assert_eq!(*message, b"\x01\x04anna\x06secret");
        assert_eq!(message.capacity(), message.len());
        assert_eq!(login(&[b'u'; 255], &[b'p'; 255]).len(), 3 + 2 * 255);
        assert_eq!(logged_in([1, 0]), Ok(()));
        assert_eq!(logged_in([5, 0]), Ok(()));
        assert_eq!(logged_in([1, 1]), Err(Refusal::Login));
        assert_eq!(logged_in([0, 0]), Err(Refusal::Garbled(0)));
    }

    #[test]
    fn a_name_is_sent_as_a_name_and_an_address_as_an_address() {
        assert_eq!(request("db.test", 22), b"\x05\x01\x00\x03\x07db.test\x00\x16");
        assert_eq!(request("192.0.2.1", 258), [5, 1, 0, 1, 192, 0, 2, 1, 1, 2]);
        let six = request("2001:db8::1", 22);
        assert_eq!(
            (six.len(), &six[..8], &six[19..]),
            (22, &[5, 1, 0, 4, 0x20, 1, 0x0d, 0xb8][..], &[1, 0, 22][..])
        );
    }

    #[test]
    fn the_code_of_a_reply_says_why_it_is_a_refusal() {
        assert_eq!(granted([5, 0]), Ok(()));
        assert_eq!(granted([5, 5]), Err(Refusal::Reply(5)));
        assert_eq!(Refusal::Reply(5).to_string(), "connection refused (reply 5)");
        assert_eq!(Refusal::Reply(91).to_string(), "unknown (reply 91)");
        assert_eq!(granted([4, 0]), Err(Refusal::Garbled(4)));
    }

    #[test]
    fn the_rest_of_a_reply_depends_on_the_type_of_its_address() {
        assert_eq!(rest_of_reply([0, 1, 127]), Ok(5));
        assert_eq!(rest_of_reply([0, 4, 0]), Ok(17));
        assert_eq!(rest_of_reply([0, 3, 9]), Ok(11));
        assert_eq!(rest_of_reply([0, 3, 0]), Ok(2));
        assert_eq!(rest_of_reply([0, 2, 0]), Err(Refusal::AddressType(2)));
    }
}
