//! The server's side of every key exchange method, independent of the client's: it hashes by
//! itself, and computes in finite fields with division instead of Montgomery's form.

use aws_lc_rs::agreement::{
    self as ecdh, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, X25519,
};
use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use aws_lc_rs::kem::{EncapsulationKey, ML_KEM_768};
use crypto_bigint::{U2048, U3072, U4096, U8192, Uint};

use super::random::Random;
use crate::wire::Writer;

/// The private exponent of the server in finite fields: small, because these powers are slow.
const EXPONENT: u32 = 21;

/// A group in a message: the contents of the mpints of prime and generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) prime: Vec<u8>,
    pub(crate) generator: Vec<u8>,
}

impl Group {
    /// Returns a group of RFC 3526.
    pub(crate) fn of(digits: &[u8]) -> Self {
        Self { prime: mpint(digits), generator: vec![2] }
    }
}

/// The result of a key exchange.
pub(crate) struct Agreed {
    pub(crate) public: Vec<u8>,
    /// With its length, as it is hashed.
    pub(crate) shared: Vec<u8>,
}

/// Returns the hash of a method.
pub(crate) fn hash(kex: &str) -> &'static Algorithm {
    match kex.rsplit('-').next().unwrap() {
        "sha384" | "nistp384" => &SHA384,
        "sha512" | "nistp521" => &SHA512,
        _ => &SHA256,
    }
}

/// Returns the reply to the client's public value. `group` is the one that was sent, for methods
/// that send one.
pub(crate) fn agree(kex: &str, group: &Group, theirs: &[u8], random: &mut Random) -> Agreed {
    match kex {
        "mlkem768x25519-sha256" => {
            assert_eq!(theirs.len(), 1184 + 32);
            let (key, point) = theirs.split_at(1184);
            let key = EncapsulationKey::new(&ML_KEM_768, key).unwrap();
            let (ciphertext, quantum) = key.encapsulate().unwrap();
            let (own, classical) = x25519(point, random);
            let shared = digest(&SHA256, &[quantum.as_ref(), &classical].concat());
            let mut string = Vec::new();
            string.put_string(shared.as_ref());
            Agreed { public: [ciphertext.as_ref(), &own].concat(), shared: string }
        }
        "curve25519-sha256" | "curve25519-sha256@libssh.org" => {
            let (public, secret) = x25519(theirs, random);
            Agreed { public, shared: with_length(&secret) }
        }
        "ecdh-sha2-nistp256" => nist(&ECDH_P256, theirs),
        "ecdh-sha2-nistp384" => nist(&ECDH_P384, theirs),
        "ecdh-sha2-nistp521" => nist(&ECDH_P521, theirs),
        _ => field(group, theirs),
    }
}

fn x25519(theirs: &[u8], random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let key = PrivateKey::from_private_key(&X25519, &random.bytes(32)).unwrap();
    let public = key.compute_public_key().unwrap().as_ref().to_vec();
    (public, point_agreement(&key, theirs))
}

fn nist(algorithm: &'static ecdh::Algorithm, theirs: &[u8]) -> Agreed {
    let key = PrivateKey::generate(algorithm).unwrap();
    let public = key.compute_public_key().unwrap().as_ref().to_vec();
    Agreed { public, shared: with_length(&point_agreement(&key, theirs)) }
}

fn point_agreement(key: &PrivateKey, theirs: &[u8]) -> Vec<u8> {
    let peer = UnparsedPublicKey::new(key.algorithm(), theirs);
    ecdh::agree(key, peer, (), |secret| Ok(secret.to_vec())).unwrap()
}

fn field(group: &Group, theirs: &[u8]) -> Agreed {
    let modulus = digits(&group.prime);
    let public = mpint(&power(digits(&group.generator), modulus));
    // Larger than the modulus without its reduction.
    assert!(digits(theirs).len() > modulus.len() - 8 && theirs[0] & 0x80 == 0);
    Agreed { public, shared: with_length(&power(digits(theirs), modulus)) }
}

/// Returns the base to the power of [`EXPONENT`].
fn power(base: &[u8], modulus: &[u8]) -> Vec<u8> {
    match modulus.len() {
        ..=256 => wide_power::<{ U2048::LIMBS }>(base, modulus),
        257..=384 => wide_power::<{ U3072::LIMBS }>(base, modulus),
        385..=512 => wide_power::<{ U4096::LIMBS }>(base, modulus),
        _ => wide_power::<{ U8192::LIMBS }>(base, modulus),
    }
}

fn wide_power<const LIMBS: usize>(base: &[u8], modulus: &[u8]) -> Vec<u8> {
    let (base, modulus) = (wide::<LIMBS>(base), wide::<LIMBS>(modulus));
    let mut power = Uint::ONE;
    for bit in (0..u32::BITS - EXPONENT.leading_zeros()).rev() {
        power = Uint::const_rem_wide(power.square_wide(), &modulus).0;
        if EXPONENT >> bit & 1 == 1 {
            power = Uint::const_rem_wide(power.mul_wide(&base), &modulus).0;
        }
    }
    power.as_words().iter().rev().flat_map(|word| word.to_be_bytes()).collect()
}

fn wide<const LIMBS: usize>(digits: &[u8]) -> Uint<LIMBS> {
    let mut wide = Uint::ZERO;
    for digit in digits {
        wide = wide.shl_vartime(8) | Uint::from(*digit);
    }
    wide
}

/// Returns the contents of an mpint with these digits.
pub(crate) fn mpint(digits: &[u8]) -> Vec<u8> {
    with_length(digits).split_off(4)
}

fn with_length(digits: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_mpint(digits);
    out
}

/// Returns the digits of an mpint.
fn digits(body: &[u8]) -> &[u8] {
    body.strip_prefix(&[0]).unwrap_or(body)
}
