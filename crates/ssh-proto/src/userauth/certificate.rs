//! Certificates of users' keys, in the form of `ssh-keygen -s`.

use base64ct::{Base64, Encoding};

use super::identity::signature_name;
use crate::key::{Certificate, CertificateError, CertificateKind};
use crate::wire::{Malformed, Reader};

/// The reason why a certificate cannot be used with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The text is not the line of a certificate.
    #[error("not a certificate: a line such as that of id_ed25519-cert.pub is needed")]
    NotACertificate,
    /// The certificate is malformed or not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] CertificateError),
    /// The certificate is a host's.
    #[error("the certificate is for a host, not for a user")]
    OfAHost,
    /// The certificate is for another key.
    #[error("the certificate is for another private key")]
    OtherKey,
}

/// Returns the blob of the certificate in `line`, if it is for the key with the blob `key`. The server
/// verifies its validity and its authority.
pub(super) fn certificate_of(key: &[u8], line: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let line = str::from_utf8(line).map_err(|_| IdentityError::NotACertificate)?;
    let certificate = Certificate::parse(&decode(line).ok_or(IdentityError::NotACertificate)?)?;
    if certificate.kind() != CertificateKind::User {
        return Err(IdentityError::OfAHost);
    }
    if certificate.key().blob() != key {
        return Err(IdentityError::OtherKey);
    }
    Ok(certificate.blob().to_vec())
}

/// Returns the blob of the key in the line of a public key or of a certificate; `None` if it is
/// neither.
pub fn public_blob(line: &str) -> Option<Vec<u8>> {
    match Certificate::parse(&decode(line)?) {
        Ok(certificate) => Some(certificate.key().blob().to_vec()),
        Err(_) => ssh_key::PublicKey::from_openssh(line).ok()?.to_bytes().ok(),
    }
}

/// Decodes a line: `type base64 comment`.
fn decode(line: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(line.split_ascii_whitespace().nth(1)?).ok()
}

/// Returns whether the blob of a certificate, of any type, is for the key with the blob `key`. The
/// fields of the key follow the certificate's type and nonce.
pub(super) fn is_for(certificate: &[u8], key: &[u8]) -> bool {
    let is_for = || {
        let (mut certificate, mut key) = (Reader::new(certificate), Reader::new(key));
        let (certified, key_type) = (certificate.text()?, key.text()?);
        certificate.string()?;
        Ok::<_, Malformed>(
            certified != key_type
                && signature_name(certified) == key_type
                && certificate.rest().starts_with(key.rest()),
        )
    };
    is_for().unwrap_or(false)
}
