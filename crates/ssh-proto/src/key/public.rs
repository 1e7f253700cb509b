//! Public keys of servers and authorities, and their signatures.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaPublicKeyComponents,
};

use super::curve::Curve;
use super::pad::pad_into;
use super::{ED25519, RSA, RSA_SHA2_256, RSA_SHA2_512, rsa};
use crate::text;
use crate::wire::{Malformed, Reader, Writer, bits};

/// A valid public key of a supported type and size.
#[derive(Clone)]
pub struct PublicKey {
    /// The key in its canonical form. Numbers may be received with leading zeros, which would make a
    /// different key of one that is known or revoked.
    blob: Vec<u8>,
    /// Verifies signatures.
    verifier: Verifier,
}

/// A public key of aws-lc-rs.
#[derive(Clone)]
enum Verifier {
    /// RFC 8709.
    Ed25519(ParsedPublicKey),
    /// RFC 5656.
    Ecdsa(Curve, ParsedPublicKey),
    /// RFC 4253 for the key, RFC 8332 for its signatures.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

/// The reason why a public key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// A field is truncated or too long, or bytes follow.
    #[error("malformed public key")]
    Malformed,
    /// The type is not supported; its name is printable.
    #[error("public key type {0} is not supported")]
    UnknownType(String),
    /// The RSA key is too small to be secure, or too large to be verified.
    #[error("RSA key of {bits} bits: 2048 to 8192 bits are accepted")]
    RsaSize {
        /// The size of the modulus.
        bits: usize,
    },
    /// The numbers are not a key, such as a point that is not on the curve.
    #[error("invalid {0} public key")]
    Invalid(&'static str),
}

/// The reason why a signature is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The key does not support the algorithm.
    #[error("{key_type} keys do not sign with {algorithm}")]
    WrongKeyType {
        /// The type of the key.
        key_type: &'static str,
        /// The algorithm.
        algorithm: String,
    },
    /// The algorithm in the signature is not the one that was agreed on.
    #[error("signed with {found} instead of {expected}")]
    WrongAlgorithm {
        /// The algorithm that was agreed on.
        expected: String,
        /// The algorithm in the signature, printable.
        found: String,
    },
    /// A field of the signature is truncated or too long, or bytes follow.
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
    /// Fails for RSA keys of less than 2048 bits, unknown types, and bytes after the key. Allocates no
    /// memory for claimed lengths.
    pub fn parse(blob: &[u8]) -> Result<Self, PublicKeyError> {
        let mut fields = Reader::new(blob);
        let key_type = fields.string()?;
        let key = Self::read(key_type, &mut fields)?;
        fields.end()?;
        Ok(key)
    }

    /// Reads the fields that follow the type.
    pub(super) fn read(key_type: &[u8], fields: &mut Reader<'_>) -> Result<Self, PublicKeyError> {
        let unknown = || PublicKeyError::UnknownType(text::name(key_type));
        match str::from_utf8(key_type).map_err(|_| unknown())? {
            ED25519 => {
                let point = fields.string()?;
                let key = ParsedPublicKey::new(&signature::ED25519, point)
                    .map_err(|_| PublicKeyError::Invalid(ED25519))?;
                let mut blob = Vec::with_capacity(64);
                blob.put_string(ED25519.as_bytes());
                blob.put_string(point);
                Ok(PublicKey { blob, verifier: Verifier::Ed25519(key) })
            }
            RSA => {
                let (e, n) = (fields.positive()?.to_vec(), fields.positive()?.to_vec());
                let bits = bits(&n);
                if !rsa::SIZES.contains(&bits) {
                    return Err(PublicKeyError::RsaSize { bits });
                }
                let blob = rsa::public_blob(&e, &n);
                let key = RsaPublicKeyComponents { n, e };
                key.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .map_err(|_| PublicKeyError::Invalid(RSA))?;
                Ok(PublicKey { blob, verifier: Verifier::Rsa(key) })
            }
            name => {
                let curve = Curve::by_algorithm(name).ok_or_else(unknown)?;
                if fields.string()? != curve.name().as_bytes() {
                    return Err(PublicKeyError::Malformed);
                }
                let point = fields.string()?;
                let invalid = || PublicKeyError::Invalid(curve.algorithm());
                if !curve.has(point) {
                    return Err(invalid());
                }
                let key =
                    ParsedPublicKey::new(curve.verification(), point).map_err(|_| invalid())?;
                Ok(PublicKey {
                    blob: curve.public_blob(point),
                    verifier: Verifier::Ecdsa(curve, key),
                })
            }
        }
    }

    /// Returns the type: `ssh-ed25519`, `ecdsa-sha2-nistp256` (or 384, 521) or `ssh-rsa`.
    pub fn key_type(&self) -> &'static str {
        match &self.verifier {
            Verifier::Ed25519(_) => ED25519,
            Verifier::Ecdsa(curve, _) => curve.algorithm(),
            Verifier::Rsa(_) => RSA,
        }
    }

    /// Returns the key in the encoding of RFC 4253 section 6.6, in its canonical form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the bits of an RSA key's modulus; `None` for keys of other types.
    pub fn rsa_bits(&self) -> Option<usize> {
        rsa::blob_bits(&self.blob)
    }

    /// Returns `SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// Returns the signature algorithms of the key.
    fn algorithms(&self) -> &'static [&'static str] {
        match &self.verifier {
            Verifier::Ed25519(_) => &[ED25519],
            Verifier::Ecdsa(curve, _) => curve.algorithms(),
            Verifier::Rsa(_) => &[RSA_SHA2_512, RSA_SHA2_256],
        }
    }

    /// Verifies a signature with the algorithm in it, which has to be one of this key's, where none was
    /// agreed on. All of them are secure.
    pub(crate) fn verify_any(&self, data: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let name = Reader::new(signature).string()?;
        let own = self.algorithms().iter().find(|own| own.as_bytes() == name);
        let algorithm = own.ok_or_else(|| VerifyError::WrongKeyType {
            key_type: self.key_type(),
            algorithm: text::name(name),
        })?;
        self.verify(algorithm, data, signature)
    }

    /// Verifies that this key made `signature` over `data`.
    ///
    /// `algorithm` is the host key algorithm that was agreed on. The signature must have the same one:
    /// otherwise the server could choose a weaker one afterwards.
    ///
    /// ```text
    /// string  algorithm
    /// string  signature, in the encoding of the algorithm
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
                found: text::name(found),
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
                // Some servers omit leading zeros; OpenSSH adds them as well.
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

/// Returns the fingerprint of a key's blob: `SHA256:` and the unpadded base64 of the digest.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, blob);
    let digest = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
    ssh_key::Fingerprint::Sha256(digest).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests;
