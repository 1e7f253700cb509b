//! Certificates of users' keys, in the form of `ssh-keygen -s`.

use base64ct::{Base64, Encoding};

use super::identity::signature_name;
use crate::key::{Certificate, CertificateError, CertificateKind, ListedKey, certifies_user, utf8};
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

/// Returns the blob of the certificate in the text of a file, if it is for the key with the blob `key`.
/// The server verifies its validity and its authority.
pub(super) fn certificate_of(key: &[u8], text: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let text = utf8(text);
    let blob =
        lines(&text).find_map(|(_, base64)| Base64::decode_vec(str::from_utf8(base64).ok()?).ok());
    let certificate = Certificate::parse(&blob.ok_or(IdentityError::NotACertificate)?)?;
    if certificate.kind() != CertificateKind::User {
        return Err(IdentityError::OfAHost);
    }
    if certificate.key().blob() != key {
        return Err(IdentityError::OtherKey);
    }
    Ok(certificate.blob().to_vec())
}

/// A public key or certificate in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct PublicEntry {
    /// The blob of the key, also if it is in a certificate.
    pub key: Vec<u8>,
    /// The blob of a user's certificate that can be used.
    pub certificate: Option<Vec<u8>>,
}

impl PublicEntry {
    /// Finds the first public key or certificate in the text of a file. As in OpenSSH, comments and other
    /// lines are skipped, and there is none after the BEGIN line of a private key.
    pub fn find(text: &[u8]) -> Option<Self> {
        let text = utf8(text);
        lines(&text).find_map(|(key_type, base64)| {
            let key = ListedKey::parse(key_type, base64).ok()?;
            let entry = Self { key: key.blob().to_vec(), certificate: None };
            if !key.is_certificate() {
                return Some(entry);
            }
            let blob = Base64::decode_vec(str::from_utf8(base64).ok()?).ok()?;
            // Certificates of security keys cannot be used here but by an agent.
            let is_valid = key.key_type().starts_with("sk-") || Certificate::parse(&blob).is_ok();
            let certificate = (is_valid && certifies_user(&blob)).then_some(blob);
            Some(Self { certificate, ..entry })
        })
    }
}

/// Returns the first two words of each line that may be a key.
fn lines(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .take_while(|line| !line.starts_with(b"-----BEGIN"))
        .filter(|line| !line.starts_with(b"#"))
        .filter_map(|line| {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            Some((words.next()?, words.next()?))
        })
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
