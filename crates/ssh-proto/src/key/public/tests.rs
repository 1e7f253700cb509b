//! Keys and signatures, valid and not.

use super::*;
use crate::key::{PrivateKey, rsa};
use crate::wire::Writer;

/// Keys of every type, made by ssh-keygen.
const KEYS: [&[u8]; 5] = [
    include_bytes!("../fixtures/ed25519"),
    include_bytes!("../fixtures/p256"),
    include_bytes!("../fixtures/p384"),
    include_bytes!("../fixtures/p521"),
    include_bytes!("../fixtures/rsa2048"),
];

fn pairs() -> impl Iterator<Item = (PrivateKey, PublicKey)> {
    KEYS.into_iter().map(|text| {
        let key = PrivateKey::parse(text, None).unwrap();
        let public = PublicKey::parse(key.public_blob()).unwrap();
        (key, public)
    })
}

fn blob(algorithm: &str, signature: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(algorithm.as_bytes());
    blob.put_string(signature);
    blob
}

#[test]
fn types_and_fingerprints_are_those_of_ssh_keygen() {
    // ssh-keygen -l -f
    for ((_, key), (key_type, fingerprint)) in pairs().zip([
        ("ssh-ed25519", "SHA256:8G54s4tGjZxgu+82l7k5dN5cEdFTp+MV+D/1lltknOI"),
        ("ecdsa-sha2-nistp256", "SHA256:0NZalUGyk2r7WDVPcpDSPyRz+HmXE1vY2PRz75ggSM0"),
        ("ecdsa-sha2-nistp384", "SHA256:OuPXMmdMcHpza/P7LByMylxQJlDkfacZmEbxTgachso"),
        ("ecdsa-sha2-nistp521", "SHA256:1MlIeJ8oxbKSbbvPEKBxte5FOWpG1X5XMbjPVGs8M+o"),
        ("ssh-rsa", "SHA256:GygJm69v5OoGI8kKnH/U29iun9ETou0uCHNcZ1k0t1g"),
    ]) {
        assert_eq!((key.key_type(), &*key.fingerprint()), (key_type, fingerprint));
        assert_eq!(format!("{key:?}"), format!("PublicKey({key_type} {fingerprint})"));
    }
}

/// Results of ssh-keygen -Y sign, as two strings: the signed data, the signature. The first number
/// of the one on nistp256 has a leading zero byte.
#[test]
fn signatures_of_openssh_verify() {
    for ((private, public), file) in pairs().zip([
        include_bytes!("../fixtures/ed25519.signature").as_slice(),
        include_bytes!("../fixtures/p256.signature"),
        include_bytes!("../fixtures/p384.signature"),
        include_bytes!("../fixtures/p521.signature"),
        include_bytes!("../fixtures/rsa2048.signature"),
    ]) {
        let mut fields = Reader::new(file);
        let (data, signature) = (fields.string().unwrap(), fields.string().unwrap());
        assert_eq!(public.verify(private.algorithms()[0], data, signature), Ok(()));
    }
}

#[test]
fn changed_bytes_are_refused() {
    for (private, public) in pairs() {
        for algorithm in private.algorithms() {
            let good = private.sign(algorithm, b"data").unwrap();
            assert_eq!(public.verify(algorithm, b"data", &good), Ok(()));
            let other_data = public.verify(algorithm, b"date", &good);
            assert_eq!(other_data, Err(VerifyError::Mismatch));
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert!(public.verify(algorithm, b"data", &bad).is_err(), "{algorithm} {at}");
                let cut = public.verify(algorithm, b"data", &good[..at]);
                assert_eq!(cut, Err(VerifyError::Malformed), "{algorithm} {at}");
            }
            let mut longer = good.clone();
            longer.push(0);
            let error = public.verify(algorithm, b"data", &longer);
            assert_eq!(error, Err(VerifyError::Malformed));
        }
    }
}

#[test]
fn only_the_agreed_algorithm_is_accepted() {
    let names = pairs().flat_map(|(key, _)| key.algorithms().to_vec()).chain(["ssh-rsa", ""]);
    for name in names {
        for (private, public) in pairs() {
            for algorithm in private.algorithms().iter().filter(|own| **own != name) {
                let signature = private.sign(algorithm, b"data").unwrap();
                assert_eq!(
                    public.verify(name, b"data", &signature),
                    Err(VerifyError::WrongAlgorithm {
                        expected: name.into(),
                        found: (*algorithm).into()
                    })
                );
                // The same signature with another algorithm.
                let renamed = blob(name, &signature[8 + algorithm.len()..]);
                let error = public.verify(name, b"data", &renamed);
                if private.algorithms().contains(&name) {
                    assert_eq!(error, Err(VerifyError::Mismatch));
                } else {
                    assert_eq!(
                        error,
                        Err(VerifyError::WrongKeyType {
                            key_type: public.key_type(),
                            algorithm: name.into()
                        })
                    );
                }
            }
        }
    }
}

#[test]
fn an_rsa_signature_may_omit_leading_zeros() {
    let (private, public) = pairs().last().unwrap();
    // PKCS #1 v1.5 has no randomness: some of these begin with a zero byte.
    let mut seen = 0;
    for number in 0..2000_u32 {
        let data = number.to_be_bytes();
        let signature = private.sign(RSA_SHA2_256, &data).unwrap();
        let inner = &signature[8 + RSA_SHA2_256.len()..];
        if inner[0] == 0 {
            let short = blob(RSA_SHA2_256, &inner[1..]);
            assert_eq!(public.verify(RSA_SHA2_256, &data, &short), Ok(()));
            seen += 1;
            break;
        }
    }
    assert_eq!(seen, 1);
    let long = blob(RSA_SHA2_256, &[0; 257]);
    assert_eq!(public.verify(RSA_SHA2_256, b"", &long), Err(VerifyError::Malformed));
}

#[test]
fn ecdsa_numbers_are_neither_negative_nor_zero_nor_too_wide() {
    let (_, public) = pairs().nth(1).unwrap();
    let name = public.key_type();
    let one = [0, 0, 0, 1, 1];
    let mut wide = Vec::new();
    wide.put_mpint(&[1; 33]);
    for bad in [&[0, 0, 0, 0][..], &[0, 0, 0, 1, 0], &[0, 0, 0, 1, 0x80], &wide] {
        for signature in [[bad, &one].concat(), [&one, bad].concat()] {
            let error = public.verify(name, b"data", &blob(name, &signature));
            assert_eq!(error, Err(VerifyError::Malformed));
        }
    }
    let mismatch = public.verify(name, b"data", &blob(name, &[one, one].concat()));
    assert_eq!(mismatch, Err(VerifyError::Mismatch));
}

#[test]
fn no_part_of_a_key_is_a_key() {
    for (_, key) in pairs() {
        for length in 0..key.blob().len() {
            assert!(PublicKey::parse(&key.blob()[..length]).is_err(), "{length}");
        }
        let longer = [key.blob(), &[0]].concat();
        assert_eq!(PublicKey::parse(&longer), Err(PublicKeyError::Malformed));
        for at in 0..key.blob().len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = key.blob().to_vec();
                changed[at] = value;
                if let Ok(key) = PublicKey::parse(&changed) {
                    assert!(key.verify(key.key_type(), b"", &blob(key.key_type(), b"")).is_err());
                }
            }
        }
    }
}

/// A key has one encoding, or a revoked one would not be recognized.
#[test]
fn a_key_has_one_canonical_form() {
    let (_, rsa) = pairs().last().unwrap();
    let mut fields = Reader::new(rsa.blob());
    let (name, e, n) = (fields.string(), fields.string(), fields.string());
    let mut padded = Vec::new();
    padded.put_string(name.unwrap());
    padded.put_string(&[&[0, 0], e.unwrap()].concat());
    padded.put_string(&[&[0], n.unwrap()].concat());
    let parsed = PublicKey::parse(&padded).unwrap();
    assert_ne!(padded, rsa.blob());
    assert_eq!((parsed.blob(), parsed.fingerprint()), (rsa.blob(), rsa.fingerprint()));
    for (curve, (_, key)) in Curve::ALL.into_iter().zip(pairs().skip(1)) {
        let mut fields = Reader::new(key.blob());
        let (_, _, point) = (fields.string(), fields.string(), fields.string().unwrap());
        let mut short = point[..=curve.width()].to_vec();
        short[0] = 2 + (point.last().unwrap() & 1);
        let error = PublicKey::parse(&curve.public_blob(&short));
        assert_eq!(error, Err(PublicKeyError::Invalid(curve.algorithm())));
    }
}

#[test]
fn the_algorithm_in_a_signature_counts_where_none_was_agreed_on() {
    for (private, public) in pairs() {
        for algorithm in private.algorithms() {
            let good = private.sign(algorithm, b"data").unwrap();
            assert_eq!(public.verify_any(b"data", &good), Ok(()));
            assert_eq!(public.verify_any(b"date", &good), Err(VerifyError::Mismatch));
            for name in ["ssh-rsa", "ssh-dss", ""] {
                let renamed = blob(name, &good[8 + algorithm.len()..]);
                let error = public.verify_any(b"data", &renamed);
                assert!(matches!(error, Err(VerifyError::WrongKeyType { .. })), "{error:?}");
            }
        }
    }
    let (_, public) = pairs().next().unwrap();
    assert_eq!(public.verify_any(b"data", b""), Err(VerifyError::Malformed));
}

#[test]
fn invalid_keys_are_reported() {
    let key = |bytes: &[u8]| PublicKey::parse(bytes).unwrap_err();
    assert_eq!(key(&blob("ssh-dss", b"")), PublicKeyError::UnknownType("ssh-dss".into()));
    let certificate = "ssh-ed25519-cert-v01@openssh.com";
    assert_eq!(key(&blob(certificate, b"")), PublicKeyError::UnknownType(certificate.into()));
    assert_eq!(key(&blob("\x1b[2J", b"")).to_string(), "public key type ?[2J is not supported");
    assert_eq!(key(&blob("ssh-ed25519", &[1; 31])), PublicKeyError::Invalid("ssh-ed25519"));
    for bits in [1024, 2047, 8193, 16384_usize] {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= n.len() * 8 - bits;
        let small = key(&rsa::public_blob(&[1, 0, 1], &n));
        assert_eq!(small, PublicKeyError::RsaSize { bits });
    }
    // A point that is not on the curve.
    let mut point = [1; 65];
    point[0] = 4;
    let invalid = key(&Curve::P256.public_blob(&point));
    assert_eq!(invalid, PublicKeyError::Invalid("ecdsa-sha2-nistp256"));
}
