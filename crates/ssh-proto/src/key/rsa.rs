//! RSA keys: the size of a modulus, and the private numbers that aws-lc-rs needs.

use std::ops::RangeInclusive;

use aws_lc_rs::rsa::{KeyPair, KeyPairComponents};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use crypto_bigint::{U2048, U4096, U8192, Uint};
use zeroize::Zeroizing;

use super::RSA;
use super::certificate::SUFFIX;
use super::pad::pad_into;
use super::private::PrivateKeyError;
use crate::wire::{Reader, Writer, bits};

/// Accepted sizes of the modulus in bits. Smaller keys are too weak (NIST SP 800-131A); aws-lc-rs does
/// not support larger ones.
pub(super) const SIZES: RangeInclusive<usize> = 2048..=8192;

/// The numbers in an OpenSSH file, big-endian, without leading zeros.
pub(super) struct Numbers<'a> {
    /// The modulus.
    pub(super) n: &'a [u8],
    /// The public exponent.
    pub(super) e: &'a [u8],
    /// The private exponent.
    pub(super) d: &'a [u8],
    /// The inverse of `q` modulo `p`.
    pub(super) iqmp: &'a [u8],
    /// One factor of the modulus.
    pub(super) p: &'a [u8],
    /// The other one.
    pub(super) q: &'a [u8],
}

impl Numbers<'_> {
    /// Returns the key. aws-lc-rs checks that the numbers belong together, and also needs `d mod (p-1)`
    /// and `d mod (q-1)`, which are not in OpenSSH's format.
    pub(super) fn key_pair(&self) -> Result<KeyPair, PrivateKeyError> {
        check_size(bits(self.n))?;
        // The time of a reduction grows with the square of the width.
        let widest = self.d.len().max(self.p.len()).max(self.q.len());
        let reduce = match 8 * widest {
            ..=2048 => reduce::<{ U2048::LIMBS }>,
            2049..=4096 => reduce::<{ U4096::LIMBS }>,
            _ => reduce::<{ U8192::LIMBS }>,
        };
        // Without them aws-lc-rs refuses the key, with the right reason.
        let exponent = |prime| reduce(self.d, prime).unwrap_or_default();
        let pair = KeyPair::from_components(&KeyPairComponents {
            public_key: RsaPublicKeyComponents { n: self.n, e: self.e },
            d: self.d,
            p: self.p,
            q: self.q,
            dP: exponent(self.p).as_slice(),
            dQ: exponent(self.q).as_slice(),
            qInv: self.iqmp,
        });
        Ok(pair?)
    }
}

/// Refuses a private key whose modulus has another size than is supported.
pub(super) fn check_size(bits: usize) -> Result<(), PrivateKeyError> {
    if SIZES.contains(&bits) {
        return Ok(());
    }
    let (least, most) = (SIZES.start(), SIZES.end());
    let what =
        format!("an RSA key of {bits} bits; {least} to {most} are supported without an agent");
    Err(PrivateKeyError::Unsupported(what))
}

/// Returns `d mod (prime - 1)`, in a time that depends on the sizes only.
fn reduce<const LIMBS: usize>(d: &[u8], prime: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let d = wide::<LIMBS>(d)?;
    let modulus = Zeroizing::new(wide::<LIMBS>(prime)?.wrapping_sub(&Uint::ONE));
    let (rest, defined) = d.const_rem(&modulus);
    let rest = Zeroizing::new(rest);
    if !bool::from(defined) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(size_of_val(&*rest)));
    for word in rest.as_words().iter().rev() {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    Some(bytes)
}

/// Returns a number of a fixed width; `None` if it does not fit.
fn wide<const LIMBS: usize>(number: &[u8]) -> Option<Zeroizing<Uint<LIMBS>>> {
    let mut padded = Zeroizing::new(vec![0; size_of::<Uint<LIMBS>>()]);
    pad_into(&mut padded, number)?;
    Some(Zeroizing::new(Uint::from_be_slice(&padded)))
}

/// Returns the bits of the modulus in the blob of an RSA key or its certificate; `None` for other keys.
pub(crate) fn blob_bits(blob: &[u8]) -> Option<usize> {
    let mut fields = Reader::new(blob);
    match fields.text().ok()?.strip_prefix(RSA)? {
        "" => {}
        SUFFIX => drop(fields.string().ok()?),
        _ => return None,
    }
    fields.positive().ok()?;
    fields.positive().ok().map(bits)
}

/// Returns the blob of a public key.
///
/// ```text
/// string  ssh-rsa
/// mpint   e, the public exponent
/// mpint   n, the modulus
/// ```
pub(super) fn public_blob(e: &[u8], n: &[u8]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(32 + e.len() + n.len());
    blob.put_string(RSA.as_bytes());
    blob.put_mpint(e);
    blob.put_mpint(n);
    blob
}
