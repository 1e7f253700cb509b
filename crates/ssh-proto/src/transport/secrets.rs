//! The exchange hash, and the keys derived from it (RFC 4253 sections 7.2 and 8).

#[cfg(any(test, feature = "fuzzing"))]
use aws_lc_rs::digest::SHA256;
use aws_lc_rs::digest::{self, Algorithm, Context, Digest};
use zeroize::Zeroizing;

use crate::wire::Writer;

/// A shared secret as it goes into hashes: with its length, as an mpint or a string.
pub(super) type Shared = Zeroizing<Vec<u8>>;

/// The direction of packets; each has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// The messages of both sides that the exchange hash covers.
pub(crate) struct Transcript<'a> {
    /// Identification strings without line ends.
    pub(crate) client_version: &'a str,
    pub(crate) server_version: &'a str,
    /// KEXINIT payloads.
    pub(crate) client_init: &'a [u8],
    pub(crate) server_init: &'a [u8],
}

/// The result of an exchange, from which every key is derived.
pub(crate) struct Secrets {
    shared: Shared,
    /// Its algorithm, that of the method, also derives the keys.
    hash: Digest,
    session: Vec<u8>,
}

impl Secrets {
    /// Computes the exchange hash. `halves` is what the method puts between the host key and the secret;
    /// `session` is the session identifier, once there is one.
    pub(super) fn new(
        algorithm: &'static Algorithm,
        transcript: &Transcript<'_>,
        host_key: &[u8],
        halves: &[u8],
        shared: Shared,
        session: Option<&[u8]>,
    ) -> Self {
        let mut hashed = Vec::new();
        for part in [
            transcript.client_version.as_bytes(),
            transcript.server_version.as_bytes(),
            transcript.client_init,
            transcript.server_init,
            host_key,
        ] {
            hashed.put_string(part);
        }
        let mut context = Context::new(algorithm);
        context.update(&hashed);
        context.update(halves);
        context.update(&shared);
        let hash = context.finish();
        let session = session.unwrap_or(hash.as_ref()).to_vec();
        Self { shared, hash, session }
    }

    /// Returns the exchange hash, which the server signs.
    pub(super) fn hash(&self) -> &[u8] {
        self.hash.as_ref()
    }

    /// Returns the session identifier: the hash of the first exchange.
    pub(crate) fn session(&self) -> &[u8] {
        &self.session
    }

    /// Returns the initialization vector of a cipher.
    pub(crate) fn initial_vector(&self, direction: Direction, length: usize) -> Zeroizing<Vec<u8>> {
        let letter = match direction {
            Direction::ToServer => b'A',
            Direction::ToClient => b'B',
        };
        self.derive(letter, length)
    }

    /// Returns the key of a cipher.
    pub(crate) fn key(&self, direction: Direction, length: usize) -> Zeroizing<Vec<u8>> {
        let letter = match direction {
            Direction::ToServer => b'C',
            Direction::ToClient => b'D',
        };
        self.derive(letter, length)
    }

    /// Returns the key of a MAC.
    pub(crate) fn integrity_key(&self, direction: Direction, length: usize) -> Zeroizing<Vec<u8>> {
        let letter = match direction {
            Direction::ToServer => b'E',
            Direction::ToClient => b'F',
        };
        self.derive(letter, length)
    }

    fn derive(&self, letter: u8, length: usize) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new(Vec::with_capacity(length + digest::MAX_OUTPUT_LEN));
        while key.len() < length {
            let mut context = Context::new(self.hash.algorithm());
            context.update(&self.shared);
            context.update(self.hash.as_ref());
            if key.is_empty() {
                context.update(&[letter]);
                context.update(&self.session);
            } else {
                context.update(&key);
            }
            key.extend_from_slice(context.finish().as_ref());
        }
        key.truncate(length);
        key
    }

    /// Returns secrets that a test server has computed.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn from_parts(shared: Vec<u8>, hash: Digest, session: Vec<u8>) -> Self {
        Self { shared: Zeroizing::new(shared), hash, session }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_tests() -> Self {
        let hash = digest::digest(&SHA256, b"exchange");
        let session = hash.as_ref().to_vec();
        Self { shared: Zeroizing::new(vec![0, 0, 0, 1, 5]), hash, session }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_letter_and_extend() {
        let secrets = Secrets::for_tests();
        let long = secrets.key(Direction::ToServer, 64);
        let short = secrets.key(Direction::ToServer, 16);
        assert_eq!(long[..16], short[..]);
        assert_ne!(long[..32], long[32..]);
        assert_ne!(short[..12], secrets.initial_vector(Direction::ToServer, 12)[..]);
        assert_ne!(short, secrets.key(Direction::ToClient, 16));
    }
}
