//! HMAC with SHA-2 (RFC 6668), for ciphers that do not authenticate packets themselves.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Algorithm, Context, HMAC_SHA256, HMAC_SHA512, Key, Tag};

use crate::Error;
use crate::transport::{Direction, Secrets};

/// A MAC that both sides can agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mac {
    Sha256Etm,
    Sha512Etm,
    Sha256,
    Sha512,
}

/// What of a packet goes into its MAC, after the sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    /// What is sent: the length in the clear, the rest encrypted ("encrypt then MAC"). A forged
    /// packet is found out before anything of it is decrypted.
    Ciphertext,
    /// What is meant: the whole packet before it is encrypted, its length too (RFC 4253 section
    /// 6.4, "encrypt and MAC"). The length has to be decrypted first, and believed within bounds.
    Plaintext,
}

impl Mac {
    /// Every MAC and its name, best first: those that show a forgery before anything is decrypted,
    /// the shorter tag of two. This is OpenSSH's order without SHA-1 and UMAC.
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
        // Keys are as long as tags (RFC 6668 section 2).
        Self(Key::new(algorithm, &secrets.integrity_key(direction, algorithm.tag_len())))
    }

    /// Bytes of a tag.
    pub(super) fn tag_length(&self) -> usize {
        self.0.algorithm().tag_len()
    }

    /// The key is set up already: this copies a few hundred bytes of state and allocates nothing.
    pub(super) fn sign(&self, sequence: u32, packet: &[u8]) -> Tag {
        let mut context = Context::with_key(&self.0);
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        context.sign()
    }

    /// Takes the same time wherever the tags differ.
    pub(super) fn verify(&self, sequence: u32, packet: &[u8], tag: &[u8]) -> Result<(), Error> {
        let expected = self.sign(sequence, packet);
        verify_slices_are_equal(expected.as_ref(), tag).map_err(|_| Error::Integrity)
    }
}
