//! The key that a server identifies itself with, and its signature.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaPublicKeyComponents,
};

use super::curve::Curve;
use super::pad::pad_into;
use super::{ED25519, RSA, RSA_SHA2_256, RSA_SHA2_512, rsa};
use crate::wire::{Malformed, Reader};

/// A host key as a server sent it: of a type we can verify, sound, and large enough.
#[derive(Clone)]
pub struct PublicKey {
    /// The key as it was sent, byte for byte: it is hashed into the session and compared.
    blob: Vec<u8>,
    /// What signatures are verified with.
    verifier: Verifier,
}

/// A key in the form that verifies.
#[derive(Clone)]
enum Verifier {
    /// RFC 8709
    Ed25519(ParsedPublicKey),
    /// RFC 5656
    Ecdsa(Curve, ParsedPublicKey),
    /// RFC 4253 for the key, RFC 8332 for its signatures
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

/// Why bytes are no host key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// The fields are cut short, too long, or followed by something.
    #[error("malformed public key")]
    Malformed,
    /// A type of key that is not supported, with its name made printable.
    #[error("public key type {0} is not supported")]
    UnknownType(String),
    /// An RSA key that is too small to be trusted, or larger than can be verified.
    #[error("RSA key of {bits} bits: 2048 to 8192 bits are accepted")]
    RsaSize {
        /// The size of its modulus.
        bits: usize,
    },
    /// The numbers are not those of a key, such as a point that is not on its curve.
    #[error("{0} public key that cannot exist")]
    Invalid(&'static str),
}

/// Why a signature does not prove anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The algorithm that was agreed on is not one of this key.
    #[error("{key_type} keys do not sign with {algorithm}")]
    WrongKeyType {
        /// The type of the key.
        key_type: &'static str,
        /// The algorithm that was agreed on.
        algorithm: String,
    },
    /// The signature names another algorithm than the one that was agreed on.
    #[error("signed with {found} where {expected} was agreed on")]
    WrongAlgorithm {
        /// What was agreed on.
        expected: String,
        /// What the signature names, made printable.
        found: String,
    },
    /// The fields of the signature are cut short, too long, or followed by something.
    #[error("malformed signature")]
    Malformed,
    /// The signature was not made by this key over this data.
    #[error("the signature does not match")]
    Mismatch,
}

impl From<Malformed> for PublicKeyError {
    fn from(_: Malformed) -> Self {
        PublicKeyError::Malformed
    }
}

impl From<Malformed> for VerifyError {
    fn from(_: Malformed) -> Self {
        VerifyError::Malformed
    }
}

impl PublicKey {
    /// Reads a key in the encoding of RFC 4253 section 6.6.
    ///
    /// Takes no memory by a length that `blob` only claims, and refuses bytes behind the key, RSA
    /// keys below 2048 bits and types it does not know.
    pub fn parse(blob: &[u8]) -> Result<Self, PublicKeyError> {
        let mut fields = Reader::new(blob);
        let key_type = fields.string()?;
        let verifier = match str::from_utf8(key_type) {
            Ok(ED25519) => {
                let key = ParsedPublicKey::new(&signature::ED25519, fields.string()?)
                    .map_err(|_| PublicKeyError::Invalid(ED25519))?;
                Verifier::Ed25519(key)
            }
            Ok(RSA) => {
                let (e, n) = (fields.positive()?.to_vec(), fields.positive()?.to_vec());
                let bits = rsa::bits(&n);
                if !rsa::SIZES.contains(&bits) {
                    return Err(PublicKeyError::RsaSize { bits });
                }
                let key = RsaPublicKeyComponents { n, e };
                key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .map_err(|_| PublicKeyError::Invalid(RSA))?;
                Verifier::Rsa(key)
            }
            Ok(name) => {
                let curve = Curve::by_algorithm(name)
                    .ok_or_else(|| PublicKeyError::UnknownType(printable(key_type)))?;
                if fields.string()? != curve.name().as_bytes() {
                    return Err(PublicKeyError::Malformed);
                }
                let key = ParsedPublicKey::new(curve.verification(), fields.string()?)
                    .map_err(|_| PublicKeyError::Invalid(curve.algorithm()))?;
                Verifier::Ecdsa(curve, key)
            }
            Err(_) => return Err(PublicKeyError::UnknownType(printable(key_type))),
        };
        fields.end()?;
        Ok(PublicKey { blob: blob.to_vec(), verifier })
    }

    /// `ssh-ed25519`, `ecdsa-sha2-nistp256` (or 384, 521), `ssh-rsa`.
    pub fn key_type(&self) -> &'static str {
        match &self.verifier {
            Verifier::Ed25519(_) => ED25519,
            Verifier::Ecdsa(curve, _) => curve.algorithm(),
            Verifier::Rsa(_) => RSA,
        }
    }

    /// The key as it was sent.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// `SHA256:` and the unpadded base64 of its digest, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let digest = digest::digest(&digest::SHA256, &self.blob);
        let digest = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        ssh_key::Fingerprint::Sha256(digest).to_string()
    }

    /// Verifies that this key made `signature` over `data`.
    ///
    /// `algorithm` is the host key algorithm that was agreed on. The signature has to name exactly
    /// that one: to take its word for it would let the server choose a weaker one afterwards.
    ///
    /// ```text
    /// string  algorithm
    /// string  the signature itself, in the form of the algorithm
    /// ```
    pub fn verify(
        &self,
        algorithm: &str,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let mut fields = Reader::new(signature);
        let (found, signature) = (fields.string()?, fields.string()?);
        fields.end()?;
        if found != algorithm.as_bytes() {
            return Err(VerifyError::WrongAlgorithm {
                expected: algorithm.to_owned(),
                found: printable(found),
            });
        }
        let verified = match (&self.verifier, algorithm) {
            (Verifier::Ed25519(key), ED25519) => key.verify_sig(data, signature),
            (Verifier::Ecdsa(curve, key), name) if name == curve.algorithm() => {
                key.verify_sig(data, &curve.fixed_signature(signature)?)
            }
            (Verifier::Rsa(key), RSA_SHA2_256 | RSA_SHA2_512) => {
                let parameters = if algorithm == RSA_SHA2_512 {
                    &RSA_PKCS1_2048_8192_SHA512
                } else {
                    &RSA_PKCS1_2048_8192_SHA256
                };
                // Some servers leave out leading zeros; OpenSSH puts them back as well.
                let mut padded = vec![0; key.n.len()];
                pad_into(&mut padded, signature).ok_or(VerifyError::Malformed)?;
                key.verify(parameters, data, &padded)
            }
            (Verifier::Ed25519(_) | Verifier::Ecdsa(..) | Verifier::Rsa(_), _) => {
                return Err(VerifyError::WrongKeyType {
                    key_type: self.key_type(),
                    algorithm: algorithm.to_owned(),
                });
            }
        };
        verified.map_err(|_| VerifyError::Mismatch)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.key_type(), self.fingerprint())
    }
}

/// A name from the other side for an error message: bounded, and harmless on a terminal.
fn printable(name: &[u8]) -> String {
    // Names of algorithms have at most 64 characters (RFC 4251 section 6).
    name[..name.len().min(64)].escape_ascii().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use super::*;
    use crate::key::{PrivateKey, rsa};
    use crate::wire::Writer;

    /// Keys of every type, made by ssh-keygen.
    const KEYS: [&[u8]; 5] = [
        include_bytes!("fixtures/ed25519"),
        include_bytes!("fixtures/p256"),
        include_bytes!("fixtures/p384"),
        include_bytes!("fixtures/p521"),
        include_bytes!("fixtures/rsa2048"),
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

    /// What ssh-keygen -Y sign made, as two strings: the data that was signed, the signature. The
    /// first number of the one on nistp256 is a byte shorter than the curve is wide.
    #[test]
    fn signatures_of_openssh_verify() {
        for ((private, public), file) in pairs().zip([
            include_bytes!("fixtures/ed25519.signature").as_slice(),
            include_bytes!("fixtures/p256.signature"),
            include_bytes!("fixtures/p384.signature"),
            include_bytes!("fixtures/p521.signature"),
            include_bytes!("fixtures/rsa2048.signature"),
        ]) {
            let mut fields = Reader::new(file);
            let (data, signature) = (fields.string().unwrap(), fields.string().unwrap());
            assert_eq!(public.verify(private.algorithms()[0], data, signature), Ok(()));
        }
    }

    #[test]
    fn whatever_was_tampered_with_is_refused() {
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
    fn only_the_algorithm_agreed_on_counts() {
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
                    // The same signature under another name.
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
    fn an_rsa_signature_may_leave_out_leading_zeros() {
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
                        assert!(
                            key.verify(key.key_type(), b"", &blob(key.key_type(), b"")).is_err()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn unfit_keys_are_named() {
        let key = |bytes: &[u8]| PublicKey::parse(bytes).unwrap_err();
        assert_eq!(key(&blob("ssh-dss", b"")), PublicKeyError::UnknownType("ssh-dss".into()));
        let certificate = "ssh-ed25519-cert-v01@openssh.com";
        assert_eq!(key(&blob(certificate, b"")), PublicKeyError::UnknownType(certificate.into()));
        assert_eq!(
            key(&blob("\x1b[2J", b"")).to_string(),
            r"public key type \x1b[2J is not supported"
        );
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
}
