//! Diffie-Hellman in a group that the server chooses (RFC 4419), in two rounds.

use std::borrow::Cow;

use super::group::Half;
use super::invalid;
use super::modular::{Exponent, SIZES, digits, is_element};
use crate::Error;
use crate::message::KEX_DH_GEX_REQUEST;
use crate::wire::{Reader, Writer, bits, message};

/// The preferred size of the group: a strength of 128 bits, as that of the other methods (NIST SP
/// 800-57 part 1, table 2).
const PREFERRED: u32 = 3072;

/// Returns KEX_DH_GEX_REQUEST: `byte, uint32 min, uint32 preferred, uint32 max`.
pub(super) fn request() -> Vec<u8> {
    let mut payload = message(KEX_DH_GEX_REQUEST);
    put_sizes(&mut payload);
    payload
}

fn put_sizes(out: &mut Vec<u8>) {
    for bits in [*SIZES.start() as u32, PREFERRED, *SIZES.end() as u32] {
        out.put_uint32(bits);
    }
}

/// Reads KEX_DH_GEX_GROUP: `byte, mpint prime, mpint generator`. Returns our half, and what the
/// exchange hash covers before the public values: the requested sizes, and the group.
///
/// That the number is prime is not checked, as in other clients: the server signs it, and knows the
/// secret anyway.
pub(super) fn choose(payload: &[u8], exponent: Exponent) -> Result<(Half, Vec<u8>), Error> {
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
    put_sizes(&mut hashed);
    hashed.put_string(prime);
    hashed.put_string(generator);
    Ok((half, hashed))
}
