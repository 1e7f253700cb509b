//! Certificates of users' keys, as `ssh-keygen -s` writes them.

use base64ct::{Base64, Encoding};

use super::identity::signature_name;
use crate::key::{Certificate, CertificateError, CertificateKind};
use crate::wire::{Malformed, Reader};

/// Why a text is no certificate that can be used with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not the line of a certificate.
    #[error("the certificate is none: it takes a line such as that of id_ed25519-cert.pub")]
    NotACertificate,
    /// What is in the line cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] CertificateError),
    /// It is for the keys of servers.
    #[error("the certificate is one of a host, not of a user")]
    OfAHost,
    /// It belongs to another key.
    #[error("the certificate belongs to another private key")]
    OtherKey,
}

/// The blob of the certificate in `line`, if it is for the key with the blob `key`.
///
/// How long it is valid, and whether its authority is believed, is for the server to judge.
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

/// The blob of the key in the line of a public key or of a certificate; `None` where it is neither.
pub fn public_blob(line: &str) -> Option<Vec<u8>> {
    match Certificate::parse(&decode(line)?) {
        Ok(certificate) => Some(certificate.key().blob().to_vec()),
        Err(_) => ssh_key::PublicKey::from_openssh(line).ok()?.to_bytes().ok(),
    }
}

/// What is in a line: `type base64 comment`.
fn decode(line: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(line.split_ascii_whitespace().nth(1)?).ok()
}

/// Whether the blob of a certificate is about the key with the blob `key`; of any type, also of
/// security keys. A certificate has the fields of its key behind its own type and a nonce.
pub(super) fn is_about(certificate: &[u8], key: &[u8]) -> bool {
    let about = || {
        let (mut certificate, mut key) = (Reader::new(certificate), Reader::new(key));
        let (certified, key_type) = (certificate.text()?, key.text()?);
        certificate.string()?;
        Ok::<_, Malformed>(
            certified != key_type
                && signature_name(certified) == key_type
                && certificate.rest().starts_with(key.rest()),
        )
    };
    about().unwrap_or(false)
}
