//! Messages to and from an SSH agent, which holds the user's keys (draft-miller-ssh-agent).
//!
//! Authentication needs two requests; a third one tells the agent which host they are for, and a fourth
//! one adds a key. Keys and signatures of the agent are used as they are, also of unknown types. Requests include their length;
//! of an answer, [`answer_length`] reads the length, and the other functions take the bytes that follow
//! it.

use zeroize::Zeroizing;

use super::identity::{Identity, signature_name};
use crate::key::SignError;
use crate::wire::{Malformed, Reader, Writer, message};

/// Message numbers, and the bits that choose the digest of an RSA signature.
const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ADD_IDENTITY: u8 = 17;
const ADD_CONSTRAINED_IDENTITY: u8 = 25;
const EXTENSION: u8 = 27;
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;
/// Constraints of a key.
const CONSTRAIN_LIFETIME: u8 = 1;
const CONSTRAIN_CONFIRM: u8 = 2;

/// Maximum size of an answer in bytes, and of keys in it: as in OpenSSH.
const MAX_ANSWER: usize = 256 * 1024;
const MAX_KEYS: u32 = 2048;

/// The reason why an agent's answer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The answer announces more bytes than any has.
    #[error("it announced an answer of {0} bytes")]
    TooLong(usize),
    /// The answer is malformed, or is for another request.
    #[error("its answer is malformed")]
    Malformed,
    /// The agent has refused: it is locked, or its user has not confirmed.
    #[error("it refused")]
    Refused,
}

impl From<Malformed> for AnswerError {
    fn from(_: Malformed) -> Self {
        AnswerError::Malformed
    }
}

/// Returns the request for the public keys and certificates that the agent holds.
pub fn request_identities() -> Vec<u8> {
    framed(&[REQUEST_IDENTITIES])
}

/// Returns the request for a signature over `data` with `key`, one of the keys that the agent has
/// listed.
pub fn request_signature(key: &[u8], algorithm: &str, data: &[u8]) -> Vec<u8> {
    let flags = if algorithm.starts_with("rsa-sha2-512") {
        RSA_SHA2_512
    } else if algorithm.starts_with("rsa-sha2-256") {
        RSA_SHA2_256
    } else {
        0
    };
    let mut request = message(SIGN_REQUEST);
    request.put_string(key);
    request.put_string(data);
    request.put_uint32(flags);
    framed(&request)
}

/// Returns the request that binds the agent's connection to a session (OpenSSH's PROTOCOL.agent): an
/// agent uses keys with destination constraints for that host only. `signature` is the host key's, of
/// the first key exchange. Agents without the extension refuse it, which does not matter.
pub fn request_binding(host_key: &[u8], session: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut request = message(EXTENSION);
    request.put_string(b"session-bind@openssh.com");
    request.put_string(host_key);
    request.put_string(session);
    request.put_string(signature);
    // The agent is not forwarded.
    request.put_boolean(false);
    framed(&request)
}

/// Limits of the use of a key that is added to an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// Seconds after which the agent removes the key; 0 for never.
    pub lifetime: u32,
    /// Whether the agent asks its user before each signature.
    pub confirm: bool,
}

/// Returns the request to add a private key, without its certificate.
pub fn request_addition(
    identity: &Identity,
    comment: &[u8],
    constraints: Constraints,
) -> Result<Zeroizing<Vec<u8>>, SignError> {
    let Constraints { lifetime, confirm } = constraints;
    let mut request = Zeroizing::new(Vec::with_capacity(64 + comment.len()));
    // The length, once it is known.
    request.put_uint32(0);
    let is_constrained = constraints != Constraints::default();
    request.push(if is_constrained { ADD_CONSTRAINED_IDENTITY } else { ADD_IDENTITY });
    identity.key().put_fields(&mut request, 16 + comment.len())?;
    request.put_string(comment);
    if lifetime > 0 {
        request.push(CONSTRAIN_LIFETIME);
        request.put_uint32(lifetime);
    }
    if confirm {
        request.push(CONSTRAIN_CONFIRM);
    }
    let length = (request.len() - 4) as u32;
    request[..4].copy_from_slice(&length.to_be_bytes());
    Ok(request)
}

/// Checks the answer to [`request_addition`]: SSH_AGENT_SUCCESS.
pub fn added(answer: &[u8]) -> Result<(), AnswerError> {
    expect(answer, SUCCESS).map(|_| ())
}

/// Returns the name in the signatures of an algorithm: that of a certificate is its key's.
pub fn signature_algorithm(algorithm: &'static str) -> &'static str {
    signature_name(algorithm)
}

fn framed(request: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(4 + request.len());
    framed.put_string(request);
    framed
}

/// Returns the number of bytes that follow the first four of an answer.
pub fn answer_length(field: [u8; 4]) -> Result<usize, AnswerError> {
    match u32::from_be_bytes(field) as usize {
        0 => Err(AnswerError::Malformed),
        length if length > MAX_ANSWER => Err(AnswerError::TooLong(length)),
        length => Ok(length),
    }
}

/// Returns the keys of SSH_AGENT_IDENTITIES_ANSWER: `uint32 number of keys`, then for each `string
/// key, string comment`.
pub fn identities(answer: &[u8]) -> Result<Vec<Vec<u8>>, AnswerError> {
    let mut fields = expect(answer, IDENTITIES_ANSWER)?;
    let count = fields.uint32()?;
    if count > MAX_KEYS {
        return Err(AnswerError::Malformed);
    }
    (0..count)
        .map(|_| {
            let key = fields.string()?.to_vec();
            fields.string()?;
            Ok(key)
        })
        .collect()
}

/// Returns the signature of SSH_AGENT_SIGN_RESPONSE: `string signature`, which begins with the name of
/// its algorithm.
pub fn signature(answer: &[u8]) -> Result<Vec<u8>, AnswerError> {
    Ok(expect(answer, SIGN_RESPONSE)?.string()?.to_vec())
}

fn expect(answer: &[u8], number: u8) -> Result<Reader<'_>, AnswerError> {
    let mut fields = Reader::new(answer);
    match fields.byte()? {
        got if got == number => Ok(fields),
        FAILURE => Err(AnswerError::Refused),
        _ => Err(AnswerError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut answer = message(number);
        for part in parts {
            answer.extend_from_slice(part);
        }
        answer
    }

    #[test]
    fn requests_are_encoded_as_strings() {
        assert_eq!(request_identities(), [0, 0, 0, 1, REQUEST_IDENTITIES]);
        let bound = request_binding(b"k", b"s", b"g");
        assert!(bound.starts_with(b"\0\0\0\x2d\x1b\0\0\0\x18session-bind@openssh.com\0\0\0\x01k"));
        assert!(bound.ends_with(b"\0\0\0\x01s\0\0\0\x01g\0") && bound.len() == 4 + 0x2d);
        for (algorithm, flags) in [("ssh-ed25519", 0), ("rsa-sha2-256", 2), ("rsa-sha2-512", 4)] {
            let expected = [0, 0, 0, 16, SIGN_REQUEST, 0, 0, 0, 1, b'k', 0, 0, 0, 2, b'd', b'd'];
            let request = request_signature(b"k", algorithm, b"dd");
            assert_eq!(request, [&expected[..], &[0, 0, 0, flags]].concat());
        }
    }

    #[test]
    fn keys_are_returned_without_comments() {
        let list = answer(
            IDENTITIES_ANSWER,
            &[b"\0\0\0\x02", b"\0\0\0\x01k\0\0\0\x01c", b"\0\0\0\0\0\0\0\0"],
        );
        assert_eq!(identities(&list), Ok(vec![b"k".to_vec(), Vec::new()]));
        for length in 0..list.len() {
            assert_eq!(identities(&list[..length]), Err(AnswerError::Malformed), "{length}");
        }
        assert_eq!(identities(&[IDENTITIES_ANSWER, 0, 0, 0, 0]), Ok(Vec::new()));
    }

    #[test]
    fn claimed_lengths_are_not_trusted() {
        for claim in [b"\xff\xff\xff\xff", b"\0\0\x08\x01"] {
            let list = answer(IDENTITIES_ANSWER, &[claim, &[0; 64]]);
            assert_eq!(identities(&list), Err(AnswerError::Malformed));
        }
        let signed = answer(SIGN_RESPONSE, &[b"\xff\xff\xff\xff", &[0; 64]]);
        assert_eq!(signature(&signed), Err(AnswerError::Malformed));
        assert_eq!(answer_length([0xff; 4]), Err(AnswerError::TooLong(0xffff_ffff)));
        assert_eq!(answer_length([0, 4, 0, 1]), Err(AnswerError::TooLong(MAX_ANSWER + 1)));
        assert_eq!(answer_length([0, 4, 0, 0]), Ok(MAX_ANSWER));
        assert_eq!(answer_length([0; 4]), Err(AnswerError::Malformed));
    }

    #[test]
    fn a_refusal_differs_from_an_answer_to_another_request() {
        assert_eq!(signature(&[FAILURE]), Err(AnswerError::Refused));
        assert_eq!(identities(&[FAILURE]), Err(AnswerError::Refused));
        assert_eq!(signature(&[IDENTITIES_ANSWER, 0, 0, 0, 0]), Err(AnswerError::Malformed));
        assert_eq!(signature(&answer(SIGN_RESPONSE, &[b"\0\0\0\x01s"])), Ok(b"s".to_vec()));
        assert_eq!(added(&[SUCCESS]), Ok(()));
        assert_eq!(added(&[FAILURE]), Err(AnswerError::Refused));
        assert_eq!(added(&[IDENTITIES_ANSWER]), Err(AnswerError::Malformed));
    }

    #[test]
    fn a_key_is_added_with_its_comment_and_constraints() {
        let text = include_bytes!("../key/fixtures/ed25519");
        let key = crate::key::PrivateKey::parse(text, None).expect("it is a key");
        let public = key.public_blob()[19..].to_vec();
        let request = |lifetime, confirm| {
            let constraints = Constraints { lifetime, confirm };
            let identity = crate::key::PrivateKey::parse(text, None).expect("it is a key").into();
            let request = request_addition(&identity, b"me", constraints).expect("a request");
            assert_eq!(request[..4], ((request.len() - 4) as u32).to_be_bytes());
            request[4..].to_vec()
        };
        let plain = request(0, false);
        assert!(plain.starts_with(b"\x11\0\0\0\x0bssh-ed25519\0\0\0\x20"));
        assert_eq!(plain[20..52], public);
        assert_eq!(plain[52..56], [0, 0, 0, 64]);
        assert_eq!(plain[88..120], public);
        assert_eq!(plain[120..], *b"\0\0\0\x02me");
        let limited = request(300, true);
        assert_eq!((limited[0], &limited[1..126]), (ADD_CONSTRAINED_IDENTITY, &plain[1..]));
        assert_eq!(limited[126..], [1, 0, 0, 1, 44, 2]);
    }
}
