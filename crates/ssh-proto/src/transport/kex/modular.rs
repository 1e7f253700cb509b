//! Arithmetic of finite fields: powers in constant time, and checks of numbers.
//!
//! aws-lc-rs has no Diffie-Hellman of this kind; the Montgomery exponentiation is crypto-bigint's.

use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{Encoding, U512, U2048, U3072, U4096, U6144, U8192, Uint};
use zeroize::Zeroizing;

/// Accepted sizes of moduli in bits. Smaller ones are too weak (RFC 8270); larger ones are not used
/// (RFC 4419 section 3).
pub(super) const SIZES: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A private exponent, with twice the bits of the longest derived key (RFC 4419 section 6.2).
pub(super) type Exponent = Zeroizing<[u8; U512::BYTES]>;

/// Returns the digits of a positive number, given the contents of an mpint. `None` for a number that
/// is negative, zero, or has unnecessary leading bytes (RFC 4251 section 5).
pub(super) fn digits(body: &[u8]) -> Option<&[u8]> {
    match body {
        [0, rest @ ..] => rest.first().is_some_and(|byte| byte & 0x80 != 0).then_some(rest),
        [first, ..] => (first & 0x80 == 0).then_some(body),
        [] => None,
    }
}

/// Returns whether a number is from 2 to two less than the modulus: the others generate at most two
/// elements. Both begin with a digit that is not zero; the modulus is odd.
pub(super) fn is_element(number: &[u8], modulus: &[u8]) -> bool {
    let Some((low, high)) = modulus.split_last() else { return false };
    let above_one = number.len() > 1 || number.first().is_some_and(|digit| *digit > 1);
    let below = match number.len().cmp(&modulus.len()) {
        std::cmp::Ordering::Less => true,
        // The odd modulus minus one differs in the last bit only.
        std::cmp::Ordering::Equal => {
            let (last, rest) = number.split_last().expect("as long as the modulus");
            (rest, *last) < (high, low & !1)
        }
        std::cmp::Ordering::Greater => false,
    };
    above_one && below
}

/// Returns `base` to the power of `exponent`, in a time that depends on the size of the modulus only.
/// `None` if the power is no element: the base generates so few that it could be guessed. The modulus
/// is odd and of a size in [`SIZES`]; the base is smaller.
pub(super) fn power(
    base: &[u8],
    exponent: &Exponent,
    modulus: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let power = match 8 * modulus.len() {
        ..=2048 => wide_power::<{ U2048::LIMBS }>,
        2049..=3072 => wide_power::<{ U3072::LIMBS }>,
        3073..=4096 => wide_power::<{ U4096::LIMBS }>,
        4097..=6144 => wide_power::<{ U6144::LIMBS }>,
        _ => wide_power::<{ U8192::LIMBS }>,
    };
    power(base, exponent, modulus)
}

fn wide_power<const LIMBS: usize>(
    base: &[u8],
    exponent: &Exponent,
    modulus: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let modulus = widen::<LIMBS>(modulus)?;
    let exponent = Zeroizing::new(U512::from_be_bytes(**exponent));
    let base = DynResidue::new(&widen(base)?, DynResidueParams::new(&modulus));
    let power = Zeroizing::new(base.pow(&exponent).retrieve());
    // These comparisons take constant time.
    if *power <= Uint::ONE || *power >= modulus.wrapping_sub(&Uint::ONE) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(size_of_val(&*power)));
    for word in power.as_words().iter().rev() {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    Some(bytes)
}

/// Returns the number with leading zeros; `None` if it does not fit.
fn widen<const LIMBS: usize>(digits: &[u8]) -> Option<Uint<LIMBS>> {
    let mut words = [0; LIMBS];
    let mut chunks = digits.rchunks(size_of::<crypto_bigint::Word>());
    for (word, chunk) in words.iter_mut().zip(&mut chunks) {
        *word = chunk.iter().fold(0, |word, byte| word << 8 | crypto_bigint::Word::from(*byte));
    }
    chunks.next().is_none().then(|| Uint::from_words(words))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::super::primes::{GENERATOR, GROUP_14, GROUP_16, GROUP_18};
    use super::*;
    use crate::transport::kex::hex;

    fn exponent() -> Exponent {
        Zeroizing::new(std::array::from_fn(|at| at as u8 + 1))
    }

    /// The hashes of 2^0x010203...40 modulo each prime, worked out by Python.
    #[test]
    fn powers_match_known_answers() {
        let known = [
            (&GROUP_14[..], "5141ed60d422816c251a9a61f4dc090fc6161ec870357a0af29fb84a0bb34e5e"),
            (&GROUP_16, "0439872574dafc9b300359ea0dd742c3976ccf9fa56883bdb8268462adedf8cf"),
            (&GROUP_18, "86b83427a715cae1ac4f0f7ce33a65bdce79ab5608db0fb2aad514b29f74e68a"),
        ];
        for (modulus, expected) in known {
            let power = power(GENERATOR, &exponent(), modulus).expect("an element");
            assert_eq!(digest(&SHA256, &power).as_ref(), hex(expected));
        }
    }

    /// One that fills no width, to the same power, of the base 0x0505...05 (200 bytes).
    #[test]
    fn moduli_may_have_any_size() {
        let modulus = [&[1][..], &[0xa5; 258], &[0x5b]].concat();
        let power = power(&[5; 200], &exponent(), &modulus).expect("an element");
        let expected = "b343c8f631913733d69a38113bffe8468ea96f71d7ba57558bed499756a557a0";
        assert_eq!(digest(&SHA256, &power[power.len() - modulus.len()..]).as_ref(), hex(expected));
        assert!(power[..power.len() - modulus.len()].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn guessable_powers_are_refused() {
        let less = [&GROUP_14[..255], &[0xfe]].concat();
        for base in [&[0][..], &[1], &less] {
            assert!(power(base, &exponent(), &GROUP_14).is_none());
        }
        // Too wide for its modulus: not to be computed with.
        assert!(power(&[2; 300], &exponent(), &GROUP_14).is_none());
        assert!(power(&[2], &exponent(), &[5; 1025]).is_none());
    }

    #[test]
    fn elements_are_within_bounds() {
        let modulus = [0x10, 0x01];
        for number in [&[2][..], &[0xff], &[0x0f, 0xff], &[0x0f, 0x00]] {
            assert!(is_element(number, &modulus), "{number:?}");
        }
        for number in [&[][..], &[1], &[0x10, 0x00], &[0x10, 0x01], &[0x10, 0x02], &[1, 0, 0]] {
            assert!(!is_element(number, &modulus), "{number:?}");
        }
        assert!(is_element(&[0x0f, 0xff], &modulus) && !is_element(&[2], &[]));
        assert!(is_element(&[0x10, 0x05], &[0x10, 0x07]));
        assert!(!is_element(&[0x10, 0x06], &[0x10, 0x07]));
    }

    #[test]
    fn numbers_have_one_encoding() {
        assert_eq!(digits(&[5, 0]), Some(&[5, 0][..]));
        assert_eq!(digits(&[0, 0x80]), Some(&[0x80][..]));
        for body in [&[][..], &[0], &[0, 0], &[0, 5], &[0x80], &[0xff, 1]] {
            assert_eq!(digits(body), None, "{body:?}");
        }
    }
}
