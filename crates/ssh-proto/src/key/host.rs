//! Host keys, with or without a certificate.

use super::certificate::SUFFIX;
use super::{
    Certificate, CertificateError, PublicKey, PublicKeyError, RSA, RSA_SHA2_256, RSA_SHA2_512,
    VerifyError,
};

/// The host key of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// A public key.
    Plain(PublicKey),
    /// A certificate with a key in it.
    Certified(Box<Certificate>),
}

/// The reason why a host key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// The public key cannot be used.
    #[error("{0}")]
    Key(#[from] PublicKeyError),
    /// The certificate cannot be used.
    #[error("{0}")]
    Certificate(#[from] CertificateError),
}

impl HostKey {
    /// Reads a host key. The host key algorithm that was agreed on determines whether it has to be a
    /// certificate.
    pub fn parse(algorithm: &str, blob: &[u8]) -> Result<Self, HostKeyError> {
        Ok(match algorithm.strip_suffix(SUFFIX) {
            Some(_) => HostKey::Certified(Box::new(Certificate::parse(blob)?)),
            None => HostKey::Plain(PublicKey::parse(blob)?),
        })
    }

    /// Returns the key, also if it is in a certificate.
    pub fn key(&self) -> &PublicKey {
        match self {
            HostKey::Plain(key) => key,
            HostKey::Certified(certificate) => certificate.key(),
        }
    }

    /// Returns the certificate, if there is one.
    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            HostKey::Plain(_) => None,
            HostKey::Certified(certificate) => Some(certificate),
        }
    }

    /// Verifies that the key made `signature` over `data` with the host key algorithm that was agreed
    /// on. Signatures name the algorithm of the key, not of the certificate.
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

/// Returns the type of the keys of a host key algorithm. It has the same name, except for RSA. `None`
/// for the algorithms of certificates.
pub(crate) fn plain_type(algorithm: &str) -> Option<&str> {
    match algorithm {
        RSA_SHA2_256 | RSA_SHA2_512 => Some(RSA),
        name if name.ends_with(SUFFIX) => None,
        name => Some(name),
    }
}
