//! SHA-1 in the key derivations of old formats, for reading only.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use zeroize::Zeroizing;

/// Bytes of a block of SHA-1.
const BLOCK: usize = 64;

/// What a key of PKCS#12 is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The key of a cipher.
    Cipher = 1,
    /// Its initialization vector.
    Iv = 2,
}

/// Returns the digest of all parts.
pub(super) fn sha1(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    Zeroizing::new(context.finish().as_ref().to_vec())
}

/// Derives `length` bytes from a passphrase as PKCS#12 does (RFC 7292 appendix B.2).
pub(super) fn pkcs12(
    passphrase: &str,
    salt: &[u8],
    rounds: u32,
    purpose: Purpose,
    length: usize,
) -> Zeroizing<Vec<u8>> {
    // Nothing grows: that would leave a copy of the passphrase in memory.
    let mut wide = Zeroizing::new(Vec::with_capacity(2 * passphrase.len() + 2));
    for unit in passphrase.encode_utf16().chain([0]) {
        wide.extend_from_slice(&unit.to_be_bytes());
    }
    let sizes = [salt.len(), wide.len()].map(|length| length.next_multiple_of(BLOCK));
    let mut input = Zeroizing::new(Vec::with_capacity(sizes[0] + sizes[1]));
    for (part, size) in [salt, &wide].into_iter().zip(sizes) {
        input.extend(part.iter().cycle().take(size));
    }
    let diversifier = [purpose as u8; BLOCK];
    let mut derived = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(20)));
    loop {
        let mut digest = sha1(&[&diversifier, &input]);
        for _ in 1..rounds {
            digest = sha1(&[&digest]);
        }
        derived.extend_from_slice(&digest);
        if derived.len() >= length {
            derived.truncate(length);
            return derived;
        }
        // Adds the repeated digest and one to each block.
        for block in input.chunks_exact_mut(BLOCK) {
            let mut carry = 1;
            for (at, byte) in block.iter_mut().enumerate().rev() {
                let sum = u16::from(*byte) + u16::from(digest[at % digest.len()]) + carry;
                *byte = sum.to_le_bytes()[0];
                carry = sum >> 8;
            }
        }
    }
}
