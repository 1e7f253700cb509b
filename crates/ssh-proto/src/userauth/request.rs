//! SSH_MSG_USERAUTH_REQUEST (RFC 4252 section 5): `string user, string service, string method`,
//! then what the method needs.

use zeroize::Zeroizing;

use crate::message::USERAUTH_REQUEST;
use crate::wire::{Writer, message};

const SERVICE: &[u8] = b"ssh-connection";

/// The part that all methods share, with room for `room` bytes of a secret: growing would leave a
/// copy behind that nobody wipes.
fn begin(user: &str, method: &str, room: usize) -> Zeroizing<Vec<u8>> {
    let mut payload = Zeroizing::new(message(USERAUTH_REQUEST));
    payload.reserve_exact(12 + user.len() + SERVICE.len() + method.len() + room);
    payload.put_string(user.as_bytes());
    payload.put_string(SERVICE);
    payload.put_string(method.as_bytes());
    payload
}

pub(super) fn none(user: &str) -> Zeroizing<Vec<u8>> {
    begin(user, "none", 0)
}

/// `boolean FALSE, string password` (section 8).
pub(super) fn password(user: &str, password: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut payload = begin(user, "password", 5 + password.len());
    payload.put_boolean(false);
    payload.put_string(password);
    payload
}

/// `string language, string submethods`: both are the server's to choose (RFC 4256 section 3.1).
pub(super) fn keyboard_interactive(user: &str) -> Zeroizing<Vec<u8>> {
    let mut payload = begin(user, "keyboard-interactive", 8);
    payload.put_string(b"");
    payload.put_string(b"");
    payload
}

/// `boolean signed, string algorithm, string key` (section 7). Unsigned, it asks whether the key
/// would do; signed, `string signature` is to follow.
pub(super) fn public_key(
    user: &str,
    algorithm: &str,
    key: &[u8],
    signed: bool,
) -> Zeroizing<Vec<u8>> {
    let mut payload = begin(user, "publickey", 9 + algorithm.len() + key.len());
    payload.put_boolean(signed);
    payload.put_string(algorithm.as_bytes());
    payload.put_string(key);
    payload
}

/// What is signed: the session's identifier, then the request up to its signature.
pub(super) fn to_sign(session: &[u8], request: &[u8]) -> Vec<u8> {
    let mut signed = Vec::with_capacity(4 + session.len() + request.len());
    signed.put_string(session);
    signed.extend_from_slice(request);
    signed
}
