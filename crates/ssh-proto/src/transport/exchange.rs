//! The key exchange: Curve25519 (RFC 8731), the exchange hash, and the keys that come of it
//! (RFC 4253 sections 7.2 and 8).

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{self, Digest, SHA256};
use zeroize::{Zeroize, Zeroizing};

use super::cipher::Direction;
use super::negotiation::Agreed;
use crate::Error;
use crate::key::PublicKey;
use crate::message::KEX_ECDH_INIT;
use crate::wire::{Reader, Writer, message};

/// Bytes of an X25519 key.
const KEY: usize = 32;

/// Everything that both sides have said and that the exchange hash covers.
pub(crate) struct Transcript<'a> {
    /// Identification strings without the lines' ends.
    pub(crate) client_version: &'a str,
    pub(crate) server_version: &'a str,
    /// KEXINIT payloads.
    pub(crate) client_init: &'a [u8],
    pub(crate) server_init: &'a [u8],
}

/// Our half of an exchange that waits for the server's.
pub(crate) struct Exchange {
    key: PrivateKey,
    public: [u8; KEY],
}

impl Exchange {
    /// Makes our half from 32 random bytes, which are wiped.
    pub(crate) fn new(mut seed: [u8; KEY]) -> Self {
        let key =
            PrivateKey::from_private_key(&X25519, &seed).expect("any 32 bytes are an X25519 key");
        seed.zeroize();
        let computed = key.compute_public_key().expect("a private key has its public one");
        let public = computed.as_ref().try_into().expect("an X25519 key has 32 bytes");
        Self { key, public }
    }

    /// The message that carries our half.
    pub(crate) fn init(&self) -> Vec<u8> {
        let mut payload = message(KEX_ECDH_INIT);
        payload.put_string(&self.public);
        payload
    }

    /// Takes the server's half: checks its signature, and derives the secrets. `session` is the
    /// session's identifier, once there is one.
    pub(crate) fn complete(
        &self,
        payload: &[u8],
        algorithms: &Agreed,
        transcript: &Transcript<'_>,
        session: Option<&[u8]>,
    ) -> Result<(PublicKey, Secrets), Error> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let host_key = reader.string()?;
        let theirs = reader.string()?;
        let signature = reader.string()?;

        // The agreement refuses a point of small order, whose shared secret would be all zero.
        let error = Error::Protocol("the server's half of the key exchange is not valid");
        let peer = UnparsedPublicKey::new(&X25519, theirs);
        let shared = agree(&self.key, peer, error, |secret| {
            let mut mpint = Zeroizing::new(Vec::with_capacity(KEY + 5));
            mpint.put_mpint(secret);
            Ok(mpint)
        })?;

        let mut hashed = Vec::new();
        for part in [
            transcript.client_version.as_bytes(),
            transcript.server_version.as_bytes(),
            transcript.client_init,
            transcript.server_init,
            host_key,
            &self.public,
            theirs,
        ] {
            hashed.put_string(part);
        }
        let mut context = digest::Context::new(&SHA256);
        context.update(&hashed);
        context.update(&shared);
        let hash = context.finish();

        let host_key =
            PublicKey::parse(host_key).map_err(|error| Error::HostKey(error.to_string()))?;
        host_key
            .verify(algorithms.host_key, hash.as_ref(), signature)
            .map_err(|error| Error::HostKey(error.to_string()))?;
        let session = session.unwrap_or(hash.as_ref()).to_vec();
        Ok((host_key, Secrets { shared, hash, session }))
    }
}

/// What an exchange yields: enough to derive every key.
pub(crate) struct Secrets {
    /// The shared secret as an mpint.
    shared: Zeroizing<Vec<u8>>,
    hash: Digest,
    session: Vec<u8>,
}

impl Secrets {
    /// The session's identifier: the hash of its first exchange.
    pub(crate) fn session(&self) -> &[u8] {
        &self.session
    }

    pub(crate) fn initial_vector(&self, direction: Direction, length: usize) -> Zeroizing<Vec<u8>> {
        let letter = match direction {
            Direction::ToServer => b'A',
            Direction::ToClient => b'B',
        };
        self.derive(letter, length)
    }

    pub(crate) fn key(&self, direction: Direction, length: usize) -> Zeroizing<Vec<u8>> {
        let letter = match direction {
            Direction::ToServer => b'C',
            Direction::ToClient => b'D',
        };
        self.derive(letter, length)
    }

    /// The key of a MAC.
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
            let mut context = digest::Context::new(&SHA256);
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

    /// What a server of the tests has worked out on its own.
    #[cfg(test)]
    pub(crate) fn from_parts(shared: Vec<u8>, hash: Digest, session: Vec<u8>) -> Self {
        Self { shared: Zeroizing::new(shared), hash, session }
    }

    #[cfg(test)]
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
    fn keys_differ_by_letter_and_grow_from_their_beginning() {
        let secrets = Secrets::for_tests();
        let long = secrets.key(Direction::ToServer, 64);
        let short = secrets.key(Direction::ToServer, 16);
        assert_eq!(long[..16], short[..]);
        assert_ne!(long[..32], long[32..]);
        assert_ne!(short[..12], secrets.initial_vector(Direction::ToServer, 12)[..]);
        assert_ne!(short, secrets.key(Direction::ToClient, 16));
    }
}
