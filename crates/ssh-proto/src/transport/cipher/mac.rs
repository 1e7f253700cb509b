//! HMAC with SHA-2 (RFC 6668), for ciphers that do not authenticate packets themselves.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Algorithm, Context, HMAC_SHA256, HMAC_SHA512, Key, Tag};

use crate::Error;
use crate::transport::{Direction, Secrets};

/// A MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mac {
    Sha256Etm,
    Sha512Etm,
    Sha256,
    Sha512,
}

/// The input of a MAC after the sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    /// The encrypted packet with its length in the clear ("encrypt then MAC"). A forged packet is
    /// detected before anything of it is decrypted.
    Ciphertext,
    /// The packet before it is encrypted, including its length (RFC 4253 section 6.4, "encrypt and
    /// MAC"). The length has to be decrypted, and used, before it is authenticated.
    Plaintext,
}

impl Mac {
    /// Every MAC and its name, best first: "encrypt then MAC" before "encrypt and MAC", shorter tags
    /// before longer ones. This is OpenSSH's order without SHA-1 and UMAC.
    pub(crate) const ALL: [(&'static str, Mac); 4] = [
        ("hmac-sha2-256-etm@openssh.com", Mac::Sha256Etm),
        ("hmac-sha2-512-etm@openssh.com", Mac::Sha512Etm),
        ("hmac-sha2-256", Mac::Sha256),
        ("hmac-sha2-512", Mac::Sha512),
    ];

    pub(super) fn covers(self) -> Covers {
        match self {
            Mac::Sha256Etm | Mac::Sha512Etm => Covers::Ciphertext,
            Mac::Sha256 | Mac::Sha512 => Covers::Plaintext,
        }
    }

    /// Returns the bytes of a key, which is as long as a tag (RFC 6668 section 2).
    pub(super) fn key_length(self) -> usize {
        self.algorithm().tag_len()
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Mac::Sha256Etm | Mac::Sha256 => HMAC_SHA256,
            Mac::Sha512Etm | Mac::Sha512 => HMAC_SHA512,
        }
    }
}

/// A MAC with its key.
pub(super) struct Keyed(Key);

impl Keyed {
    pub(super) fn new(mac: Mac, secrets: &Secrets, direction: Direction) -> Self {
        let algorithm = mac.algorithm();
        Self(Key::new(algorithm, &secrets.integrity_key(direction, mac.key_length())))
    }

    /// Returns the bytes of a tag.
    pub(super) fn tag_length(&self) -> usize {
        self.0.algorithm().tag_len()
    }

    /// Returns the tag of a packet. Copies a few hundred bytes of state and allocates nothing.
    pub(super) fn sign(&self, sequence: u32, packet: &[u8]) -> Tag {
        let mut context = Context::with_key(&self.0);
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        context.sign()
    }

    /// Verifies the tag of a packet in constant time.
    pub(super) fn verify(&self, sequence: u32, packet: &[u8], tag: &[u8]) -> Result<(), Error> {
        let expected = self.sign(sequence, packet);
        verify_slices_are_equal(expected.as_ref(), tag).map_err(|_| Error::Integrity)
    }
}
