//! The three curves of ECDSA keys in SSH (RFC 5656).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, ParsedPublicKey,
};

use super::pad::pad_into;
use crate::wire::{Malformed, Reader, Writer};

/// First byte of an uncompressed point (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A curve, which also determines the hash (RFC 5656).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// `nistp256` with SHA-256.
    P256,
    /// `nistp384` with SHA-384.
    P384,
    /// `nistp521` with SHA-512.
    P521,
}

/// Bytes of a number on the widest curve.
pub(super) const MAX_WIDTH: usize = 66;

impl Curve {
    /// Every curve.
    pub(super) const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    /// Returns the curve whose keys and signatures have this name.
    pub(super) fn by_algorithm(algorithm: &str) -> Option<Self> {
        Curve::ALL.into_iter().find(|curve| curve.algorithm() == algorithm)
    }

    /// Returns the name of its keys and signatures.
    pub(super) fn algorithm(self) -> &'static str {
        self.algorithms()[0]
    }

    /// Returns the same as a list.
    pub(super) fn algorithms(self) -> &'static [&'static str] {
        match self {
            Curve::P256 => &["ecdsa-sha2-nistp256"],
            Curve::P384 => &["ecdsa-sha2-nistp384"],
            Curve::P521 => &["ecdsa-sha2-nistp521"],
        }
    }

    /// Returns the name of the curve itself.
    pub(super) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "nistp256",
            Curve::P384 => "nistp384",
            Curve::P521 => "nistp521",
        }
    }

    /// Returns the bytes of a number on the curve.
    pub(super) fn width(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => MAX_WIDTH,
        }
    }

    pub(super) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }

    pub(super) fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED,
            Curve::P521 => &ECDSA_P521_SHA512_FIXED,
        }
    }

    /// Returns whether a point is on the curve and uncompressed: with compressed points, which RFC 5656
    /// allows and OpenSSH does not, one key would have two encodings.
    pub(super) fn has(self, point: &[u8]) -> bool {
        point.first() == Some(&UNCOMPRESSED)
            && ParsedPublicKey::new(self.verification(), point).is_ok()
    }

    /// Returns the blob of a public key.
    ///
    /// ```text
    /// string  ecdsa-sha2-[curve]
    /// string  [curve]
    /// string  Q, the uncompressed point
    /// ```
    pub(super) fn public_blob(self, point: &[u8]) -> Vec<u8> {
        let mut blob = Vec::with_capacity(64 + point.len());
        blob.put_string(self.algorithm().as_bytes());
        blob.put_string(self.name().as_bytes());
        blob.put_string(point);
        blob
    }

    /// Converts a signature of aws-lc-rs, two numbers as wide as the curve, to the two `mpint` of SSH.
    pub(super) fn wire_signature(self, fixed: &[u8]) -> Vec<u8> {
        let (r, s) = fixed.split_at(fixed.len() / 2);
        let mut wire = Vec::with_capacity(fixed.len() + 10);
        wire.put_mpint(r);
        wire.put_mpint(s);
        wire
    }

    /// Converts a signature of SSH to that of aws-lc-rs. Fails if a number is negative, zero or wider
    /// than the curve: truncation would give one signature many encodings.
    pub(super) fn fixed_signature(self, wire: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut fields = Reader::new(wire);
        let (r, s) = (fields.positive()?, fields.positive()?);
        fields.end()?;
        let mut fixed = vec![0; 2 * self.width()];
        let (left, right) = fixed.split_at_mut(self.width());
        pad_into(left, r).and_then(|()| pad_into(right, s)).ok_or(Malformed)?;
        Ok(fixed)
    }
}
