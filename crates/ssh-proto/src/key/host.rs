//! What a server identifies itself with: a key, or a certificate with a key in it.

use super::certificate::SUFFIX;
use super::{
    Certificate, CertificateError, PublicKey, PublicKeyError, RSA, RSA_SHA2_256, RSA_SHA2_512,
    VerifyError,
};

/// A key that a server identifies itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// The key alone.
    Plain(PublicKey),
    /// The key, and the word of an authority for it.
    Certified(Box<Certificate>),
}

/// Why bytes are no host key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// They were to be a key.
    #[error("{0}")]
    Key(#[from] PublicKeyError),
    /// They were to be a certificate.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
}

impl HostKey {
    /// Reads what a server sent. The host key algorithm that was agreed on says whether that has
    /// to be a certificate.
    pub fn parse(algorithm: &str, blob: &[u8]) -> Result<Self, HostKeyError> {
        Ok(match algorithm.strip_suffix(SUFFIX) {
            Some(_) => HostKey::Certified(Box::new(Certificate::parse(blob)?)),
            None => HostKey::Plain(PublicKey::parse(blob)?),
        })
    }

    /// The key itself.
    pub fn key(&self) -> &PublicKey {
        match self {
            HostKey::Plain(key) => key,
            HostKey::Certified(certificate) => certificate.key(),
        }
    }

    /// The certificate around it.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            HostKey::Plain(_) => None,
            HostKey::Certified(certificate) => Some(certificate),
        }
    }

    /// Verifies that the key made `signature` over `data`, by the algorithm that was agreed on:
    /// signatures do not name certificates.
    pub(crate) fn verify(
        &self,
        algorithm: &str,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let algorithm = algorithm.strip_suffix(SUFFIX).unwrap_or(algorithm);
        self.key().verify(algorithm, data, signature)
    }
}

/// What a key that signs by a host key algorithm is called: algorithms are named after it, but for
/// RSA's. `None` for the algorithms of certificates.
pub(crate) fn plain_type(algorithm: &str) -> Option<&str> {
    match algorithm {
        RSA_SHA2_256 | RSA_SHA2_512 => Some(RSA),
        name if name.ends_with(SUFFIX) => None,
        name => Some(name),
    }
}
