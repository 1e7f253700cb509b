//! The three curves that SSH has ECDSA keys on (RFC 5656).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, ParsedPublicKey,
};

use super::pad::pad_into;
use crate::wire::{Malformed, Reader, Writer};

/// How a point begins that has both of its coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A curve, and with it the hash: RFC 5656 leaves no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// `nistp256`, SHA-256
    P256,
    /// `nistp384`, SHA-384
    P384,
    /// `nistp521`, SHA-512
    P521,
}

/// Bytes of a number on the widest curve.
pub(super) const MAX_WIDTH: usize = 66;

impl Curve {
    /// All of them.
    pub(super) const ALL: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    /// The curve whose keys and signatures have this name.
    pub(super) fn by_algorithm(algorithm: &str) -> Option<Self> {
        Curve::ALL.into_iter().find(|curve| curve.algorithm() == algorithm)
    }

    /// The name of its keys and signatures.
    pub(super) fn algorithm(self) -> &'static str {
        self.algorithms()[0]
    }

    /// The same as a list.
    pub(super) fn algorithms(self) -> &'static [&'static str] {
        match self {
            Curve::P256 => &["ecdsa-sha2-nistp256"],
            Curve::P384 => &["ecdsa-sha2-nistp384"],
            Curve::P521 => &["ecdsa-sha2-nistp521"],
        }
    }

    /// Its own name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "nistp256",
            Curve::P384 => "nistp384",
            Curve::P521 => "nistp521",
        }
    }

    /// Bytes of a number on it.
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

    /// Whether a point is on it, and written with both of its coordinates: a shorter way, which RFC
    /// 5656 allows and OpenSSH does not, would give one key two faces.
    pub(super) fn has(self, point: &[u8]) -> bool {
        point.first() == Some(&UNCOMPRESSED)
            && ParsedPublicKey::new(self.verification(), point).is_ok()
    }

    /// The blob of a public key.
    ///
    /// ```text
    /// string  ecdsa-sha2-[curve]
    /// string  [curve]
    /// string  Q, the point, uncompressed
    /// ```
    pub(super) fn public_blob(self, point: &[u8]) -> Vec<u8> {
        let mut blob = Vec::with_capacity(64 + point.len());
        blob.put_string(self.algorithm().as_bytes());
        blob.put_string(self.name().as_bytes());
        blob.put_string(point);
        blob
    }

    /// From the two numbers of a signature side by side, each as wide as the curve, which is what
    /// aws-lc-rs makes, to the two `mpint` that SSH sends.
    pub(super) fn wire_signature(self, fixed: &[u8]) -> Vec<u8> {
        let (r, s) = fixed.split_at(fixed.len() / 2);
        let mut wire = Vec::with_capacity(fixed.len() + 10);
        wire.put_mpint(r);
        wire.put_mpint(s);
        wire
    }

    /// The way back. A number that is negative, zero or wider than the curve is refused: cutting
    /// it down would make one signature of many.
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
