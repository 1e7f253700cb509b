//! Diffie-Hellman in a group that the server chooses (RFC 4419), in two rounds.

use std::borrow::Cow;

use super::group::Half;
use super::invalid;
use super::modular::{Exponent, SIZES, digits, is_element};
use crate::Error;
use crate::message::KEX_DH_GEX_REQUEST;
use crate::wire::{Reader, Writer, bits, message};

/// Returns the preferred size of the group for keys of `bits`: the strength of the ciphers and MACs,
/// as OpenSSH estimates it (NIST SP 800-57 part 1, table 2).
pub(super) fn preferred_size(bits: usize) -> u32 {
    match bits {
        ..=112 => 2048,
        113..=128 => 3072,
        129..=192 => 7680,
        _ => 8192,
    }
}

/// Returns KEX_DH_GEX_REQUEST: `byte, uint32 min, uint32 preferred, uint32 max`.
pub(super) fn request(preferred: u32) -> Vec<u8> {
    let mut payload = message(KEX_DH_GEX_REQUEST);
    put_sizes(&mut payload, preferred);
    payload
}

fn put_sizes(out: &mut Vec<u8>, preferred: u32) {
    for bits in [*SIZES.start() as u32, preferred, *SIZES.end() as u32] {
        out.put_uint32(bits);
    }
}

/// Reads KEX_DH_GEX_GROUP: `byte, mpint prime, mpint generator`. Returns our half, and what the
/// exchange hash covers before the public values: the requested sizes, and the group.
///
/// That the number is prime is not checked, as in other clients: the server signs it, and knows the
/// secret anyway.
pub(super) fn choose(
    payload: &[u8],
    exponent: Exponent,
    preferred: u32,
) -> Result<(Half, Vec<u8>), Error> {
    let mut reader = Reader::new(payload);
    reader.byte()?;
    let (prime, generator) = (reader.string()?, reader.string()?);
    let modulus = digits(prime).ok_or_else(invalid)?;
    if !SIZES.contains(&bits(modulus)) {
        return Err(Error::Protocol("the group of the key exchange is too small or too large"));
    }
    let is_odd = modulus.last().is_some_and(|digit| digit & 1 == 1);
    let element = digits(generator).filter(|digits| is_odd && is_element(digits, modulus));
    let element = element.ok_or_else(invalid)?;
    let half = Half::within(Cow::Owned(modulus.to_vec()), element, exponent)?;
    let mut hashed = Vec::new();
    put_sizes(&mut hashed, preferred);
    hashed.put_string(prime);
    hashed.put_string(generator);
    Ok((half, hashed))
}
