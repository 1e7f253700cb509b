//! The messages of SOCKS 4, and of 4a, which has host names.

use std::net::Ipv4Addr;

use crate::socks::{CONNECT, Fault, MAX_LENGTH, Parsed, Reply, Request, Version, host_name};

/// The first byte of a request.
pub(crate) const VERSION: u8 = 4;

/// The codes of replies.
const GRANTED: u8 = 90;
const REJECTED: u8 = 91;

/// Parses `04, command, port (2), address (4), user id, 00`. In 4a the address is 0.0.0.x with a
/// nonzero x, and `host name, 00` follows. The user id is ignored, because it is not verified.
pub(crate) fn request(bytes: &[u8]) -> Result<Parsed<Request>, Fault> {
    let Some((head, _)) = bytes.split_first_chunk::<8>() else { return Ok(Parsed::Needs(8)) };
    let [_, command, high, low, address @ ..] = *head;
    let user = match terminated(bytes, 8)? {
        Parsed::Whole(user) => user,
        Parsed::Needs(length) => return Ok(Parsed::Needs(length)),
    };
    let host = if address[..3] == [0; 3] && address[3] != 0 {
        match terminated(bytes, 8 + user.len() + 1)? {
            Parsed::Whole(name) => host_name(Version::Four, name),
            Parsed::Needs(length) => return Ok(Parsed::Needs(length)),
        }
    } else {
        Ok(Ipv4Addr::from(address).to_string())
    };
    if command != CONNECT {
        return Err(Fault::Command(Version::Four, command));
    }
    let port = u16::from_be_bytes([high, low]);
    Ok(Parsed::Whole(Request { version: Version::Four, host: host?, port }))
}

/// Parses `bytes, 00` at an offset.
fn terminated(bytes: &[u8], at: usize) -> Result<Parsed<&[u8]>, Fault> {
    let text = &bytes[at..];
    match text.iter().position(|byte| *byte == 0) {
        Some(end) if end <= MAX_LENGTH => Ok(Parsed::Whole(&text[..end])),
        None if text.len() <= MAX_LENGTH => Ok(Parsed::Needs(bytes.len() + 1)),
        Some(_) | None => Err(Fault::TooLong),
    }
}

/// Encodes `00, code, port (2), address (4)`. The other codes are about the user id.
pub(crate) fn reply(reply: Reply) -> [u8; 8] {
    let code = if reply == Reply::Granted { GRANTED } else { REJECTED };
    [0, code, 0, 0, 0, 0, 0, 0]
}
