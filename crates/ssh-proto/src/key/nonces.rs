//! The nonces of ECDSA signatures, computed with the private key.
//!
//! If a few bits of each nonce are known, some dozens of signatures reveal the private key, and
//! every server that a user authenticates to sees signatures. PuTTY's nonces on nistp521 began with
//! nine zeros (CVE-2024-31497).

use std::collections::HashSet;

use aws_lc_rs::agreement::{Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey as Scalar};
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512, digest};
use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{NonZero, U1024};

use super::PrivateKey;
use super::pem::Block;
use crate::wire::Reader;

const SIGNATURES: usize = 100;

type Element = DynResidue<{ U1024::LIMBS }>;

/// Numbers modulo the order of a group.
struct Field(NonZero<U1024>, DynResidueParams<{ U1024::LIMBS }>);

impl Field {
    fn new(order: &str) -> Self {
        let order = U1024::from_be_hex(&format!("{order:0>256}"));
        Self(NonZero::new(order).unwrap(), DynResidueParams::new(&order))
    }

    fn element(&self, value: &U1024) -> Element {
        DynResidue::new(&value.rem(&self.0), self.1)
    }
}

/// A private key, as a file, and its curve.
struct Sample {
    pem: &'static str,
    hash: &'static digest::Algorithm,
    curve: &'static Algorithm,
    /// The order of the group (SEC 2, version 2.0).
    order: &'static str,
    bits: usize,
}

const SAMPLES: [Sample; 3] = [
    Sample {
        pem: include_str!("fixtures/p256.pem"),
        hash: &SHA256,
        curve: &ECDH_P256,
        order: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        bits: 256,
    },
    Sample {
        pem: include_str!("fixtures/p384.pem"),
        hash: &SHA384,
        curve: &ECDH_P384,
        order: "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
                581a0db248b0a77aecec196accc52973",
        bits: 384,
    },
    Sample {
        pem: include_str!("fixtures/p521.pem"),
        hash: &SHA512,
        curve: &ECDH_P521,
        order: "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
                a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        bits: 521,
    },
];

fn number(bytes: &[u8]) -> U1024 {
    let mut wide = [0; U1024::BYTES];
    wide[U1024::BYTES - bytes.len()..].copy_from_slice(bytes);
    U1024::from_be_slice(&wide)
}

impl Sample {
    /// Returns the private number: the first field after the version (RFC 5915).
    fn private(&self) -> U1024 {
        let body = Block::find(self.pem.as_bytes()).unwrap().body;
        let at = body.windows(4).position(|bytes| bytes == [2, 1, 1, 4]).unwrap() + 4;
        number(&body[at + 1..=at + usize::from(body[at])])
    }

    /// Returns the nonce of a signature over `data`: (hash + r * private) / s.
    fn nonce(&self, field: &Field, data: &[u8], signature: &[u8]) -> U1024 {
        let mut fields = Reader::new(signature);
        fields.string().unwrap();
        let mut numbers = Reader::new(fields.string().unwrap());
        let (r, s) = (numbers.positive().unwrap(), numbers.positive().unwrap());
        let [hash, r, s, private] =
            [number(digest(self.hash, data).as_ref()), number(r), number(s), self.private()]
                .map(|value| field.element(&value));
        let nonce = hash.add(&r.mul(&private)).mul(&s.invert().0).retrieve();

        // The nonce is right if its multiple of the base point has `r` as its first coordinate.
        let width = self.bits.div_ceil(8);
        let bytes: Vec<u8> =
            nonce.as_words().iter().rev().flat_map(|word| word.to_be_bytes()).collect();
        let scalar = Scalar::from_private_key(self.curve, &bytes[U1024::BYTES - width..]).unwrap();
        let point = scalar.compute_public_key().unwrap();
        let first = number(&point.as_ref()[1..=width]);
        assert_eq!(field.element(&first).retrieve(), r.retrieve());
        nonce
    }
}

/// Every bit is set about half of the time, and no nonce repeats.
#[test]
fn nonces_have_no_bias() {
    for sample in SAMPLES {
        let key = PrivateKey::parse(sample.pem.as_bytes(), None).unwrap();
        let field = Field::new(sample.order);
        let mut seen = HashSet::new();
        let mut set = vec![0_usize; sample.bits];
        for count in 0..SIGNATURES {
            // The same data is signed twice: a nonce that depends on it alone would repeat.
            let data = [b"data", &(count / 2).to_be_bytes()[..]].concat();
            let nonce = sample.nonce(&field, &data, &key.sign(key.algorithms()[0], &data).unwrap());
            assert!(seen.insert(nonce), "a nonce came twice");
            for (bit, count) in set.iter_mut().enumerate() {
                *count += usize::from(nonce.bit_vartime(bit));
            }
        }
        // 7 standard deviations: by chance, once in 10^9 runs.
        let spread = (7.0 * (SIGNATURES as f64).sqrt() / 2.0) as usize;
        for (bit, count) in set.into_iter().enumerate() {
            let bits = sample.bits;
            assert!(count.abs_diff(SIGNATURES / 2) < spread, "bit {bit} of {bits}: {count}");
        }
    }
}
