//! USERAUTH_REQUEST (RFC 4252 section 5): `string user, string service, string method`, then the
//! fields of the method.

use zeroize::Zeroizing;

use crate::message::USERAUTH_REQUEST;
use crate::wire::{Writer, message};

const SERVICE: &[u8] = b"ssh-connection";

/// Returns the fields that all methods share, with room for `room` more bytes: growing would leave a
/// copy of a secret in memory that is not wiped.
fn begin(user: &str, method: &str, room: usize) -> Zeroizing<Vec<u8>> {
    let mut payload = Zeroizing::new(message(USERAUTH_REQUEST));
    payload.reserve_exact(12 + user.len() + SERVICE.len() + method.len() + room);
    payload.put_string(user.as_bytes());
    payload.put_string(SERVICE);
    payload.put_string(method.as_bytes());
    payload
}

/// Returns a request without proof.
pub(super) fn none(user: &str) -> Zeroizing<Vec<u8>> {
    begin(user, "none", 0)
}

/// Returns a request with a password: `boolean FALSE, string password` (section 8).
pub(super) fn password(user: &str, password: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut payload = begin(user, "password", 5 + password.len());
    payload.put_boolean(false);
    payload.put_string(password);
    payload
}

/// Returns a request for prompts: `string language, string submethods`, both empty, so that the server
/// chooses (RFC 4256 section 3.1).
pub(super) fn keyboard_interactive(user: &str) -> Zeroizing<Vec<u8>> {
    let mut payload = begin(user, "keyboard-interactive", 8);
    payload.put_string(b"");
    payload.put_string(b"");
    payload
}

/// Returns a request with a key: `boolean signed, string algorithm, string key` (section 7). An
/// unsigned request asks whether the key is accepted; to a signed one, `string signature` is to be
/// added.
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

/// Returns the data to sign: the session identifier, then the request without its signature.
pub(super) fn to_sign(session: &[u8], request: &[u8]) -> Vec<u8> {
    let mut signed = Vec::with_capacity(4 + session.len() + request.len());
    signed.put_string(session);
    signed.extend_from_slice(request);
    signed
}
