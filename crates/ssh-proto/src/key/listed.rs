//! Public keys in files: `type base64`, of any type.

use base64ct::{Base64, Encoding};

use super::certificate::SUFFIX;
use super::curve::Curve;
use super::public::fingerprint;
use super::{ED25519, PublicKey, RSA, RSA_SHA2_256, RSA_SHA2_512, rsa};
use crate::text;
use crate::wire::{Malformed, Reader, Writer};

const DSA: &str = "ssh-dss";
const SK_ED25519: &str = "sk-ssh-ed25519@openssh.com";
const SK_P256: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const WEBAUTHN_P256: &str = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
/// Types of certificates of security keys, which do not begin with the type of the key.
const SK_CERTIFICATES: [(&str, &str); 2] = [
    ("sk-ssh-ed25519-cert-v01@openssh.com", SK_ED25519),
    ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", SK_P256),
];
/// Bytes of an Ed25519 key.
const ED25519_LENGTH: usize = 32;

/// A public key in a file, to be compared with others. It does not verify signatures, and its type may
/// be one that is not supported otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    key_type: String,
    blob: Vec<u8>,
    certificate: bool,
    known: bool,
}

/// The reason why a listed key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListedKeyError {
    /// The second word is not base64, or is truncated.
    #[error("the base64 of its key is damaged")]
    Base64,
    /// The type in the key is not the type before it.
    #[error("its key has the type {0}, not the type before it")]
    OtherType(String),
    /// A field of the key is truncated or too long, or bytes follow.
    #[error("its key is damaged")]
    Malformed,
    /// The numbers are not a key.
    #[error("its key is an invalid {0} key")]
    Invalid(&'static str),
}

impl From<Malformed> for ListedKeyError {
    fn from(_: Malformed) -> Self {
        ListedKeyError::Malformed
    }
}

impl ListedKey {
    /// Reads the two words of a key. As in OpenSSH, the base64 may contain blanks other than spaces and
    /// tabs, and the type of an RSA key may be a signature algorithm.
    pub fn parse(key_type: &[u8], base64: &[u8]) -> Result<Self, ListedKeyError> {
        let base64: Vec<u8> =
            base64.iter().copied().filter(|byte| !matches!(byte, b'\r' | 0x0b | 0x0c)).collect();
        let text = str::from_utf8(&base64).map_err(|_| ListedKeyError::Base64)?;
        let blob = Base64::decode_vec(text).map_err(|_| ListedKeyError::Base64)?;
        Self::from_blob(type_in_blobs(key_type), &blob)
    }

    /// Reads the blob of a key, whose type has to be `expected`.
    fn from_blob(expected: &[u8], blob: &[u8]) -> Result<Self, ListedKeyError> {
        let mut fields = Reader::new(blob);
        let found = fields.string()?;
        if found != expected {
            return Err(ListedKeyError::OtherType(text::name(found)));
        }
        let name = text::name(found);
        let (certificate, plain) = match certified_type(&name) {
            Some(plain) => (true, plain),
            None => (false, name.as_str()),
        };
        let unknown = |blob: &[u8]| Self {
            key_type: name.clone(),
            blob: blob.to_vec(),
            certificate: false,
            known: false,
        };
        if certificate {
            // The nonce.
            fields.string()?;
        }
        let Some(blob) = canonical(plain, &mut fields)? else { return Ok(unknown(blob)) };
        if !certificate {
            fields.end()?;
        }
        Ok(Self { key_type: plain.to_owned(), blob, certificate, known: true })
    }

    /// Returns the type and fingerprint of a key or certificate, for people. The fingerprint is that of
    /// the key in the certificate, as `ssh-keygen -l` prints it.
    pub fn describe(blob: &[u8]) -> String {
        let key_type = Reader::new(blob).string().unwrap_or_default();
        match Self::from_blob(key_type, blob) {
            Ok(key) => {
                let certified = if key.certificate { " certificate" } else { "" };
                format!("{}{certified} {}", key.key_type, key.fingerprint())
            }
            Err(_) => format!("{} {}", text::name(key_type), fingerprint(blob)),
        }
    }

    /// Returns the two words of a key or certificate: `type base64`.
    pub fn line_of(blob: &[u8]) -> Option<String> {
        let name = Reader::new(blob).text().ok()?;
        Some(format!("{name} {}", Base64::encode_string(blob)))
    }

    /// Returns the type of the key, or of the key in the certificate, printable.
    pub fn key_type(&self) -> &str {
        &self.key_type
    }

    /// Returns the key, or the key in the certificate, in its canonical form.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns whether it is a certificate, which does not list the key in it.
    pub fn is_certificate(&self) -> bool {
        self.certificate
    }

    /// Returns whether OpenSSH has keys of this type.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Returns `SHA256:` and the unpadded base64 of the digest, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.blob)
    }

    /// Returns whether a word is a type of key.
    pub fn is_type(word: &[u8]) -> bool {
        let word = type_in_blobs(word);
        let Ok(name) = str::from_utf8(word) else { return false };
        let plain = certified_type(name).unwrap_or(name);
        [ED25519, RSA, DSA, SK_ED25519, SK_P256].contains(&plain)
            || Curve::by_algorithm(plain).is_some()
    }
}

impl PublicKey {
    /// Returns the key as it is written in files: `type base64`.
    pub fn line(&self) -> String {
        format!("{} {}", self.key_type(), Base64::encode_string(self.blob()))
    }
}

/// Returns whether the blob is a certificate of a user, of any type. Its authority's signature is not
/// verified.
pub(crate) fn certifies_user(blob: &[u8]) -> bool {
    /// The kind of users' certificates.
    const USER: u32 = 1;
    let kind = || {
        let mut fields = Reader::new(blob);
        let plain = certified_type(fields.text()?).ok_or(Malformed)?;
        fields.string()?;
        canonical(plain, &mut fields)?;
        fields.uint64()?;
        Ok::<_, ListedKeyError>(fields.uint32()?)
    };
    kind() == Ok(USER)
}

/// Returns the blob in its canonical form, if it is valid.
pub(super) fn canonical_blob(blob: &[u8]) -> Option<Vec<u8>> {
    let expected = Reader::new(blob).string().ok()?;
    ListedKey::from_blob(expected, blob).ok().map(|key| key.blob)
}

/// Returns the type in the blob of a key whose listed type may be a signature algorithm.
fn type_in_blobs(name: &[u8]) -> &[u8] {
    for rsa in [RSA_SHA2_256, RSA_SHA2_512] {
        match name.strip_prefix(rsa.as_bytes()) {
            Some(b"") => return RSA.as_bytes(),
            Some(suffix) if suffix == SUFFIX.as_bytes() => return b"ssh-rsa-cert-v01@openssh.com",
            Some(_) | None => {}
        }
    }
    if name == WEBAUTHN_P256.as_bytes() { SK_P256.as_bytes() } else { name }
}

/// Returns the type of the key in certificates of this type.
fn certified_type(name: &str) -> Option<&str> {
    let security = SK_CERTIFICATES.iter().find(|(certificate, _)| *certificate == name);
    security.map(|(_, plain)| *plain).or_else(|| name.strip_suffix(SUFFIX))
}

/// Reads the fields after the type (and a certificate's nonce). Numbers may have leading zeros, which
/// would make a different key of one that is known or revoked. `None` if the type is unknown.
fn canonical(key_type: &str, fields: &mut Reader<'_>) -> Result<Option<Vec<u8>>, ListedKeyError> {
    let mut blob = Vec::new();
    match key_type {
        ED25519 => {
            blob.put_string(ED25519.as_bytes());
            blob.put_string(ed25519(fields)?);
        }
        RSA => blob = rsa::public_blob(fields.positive()?, fields.positive()?),
        DSA => {
            blob.put_string(DSA.as_bytes());
            for _ in 0..4 {
                blob.put_mpint(fields.positive()?);
            }
        }
        SK_ED25519 => {
            blob.put_string(SK_ED25519.as_bytes());
            blob.put_string(ed25519(fields)?);
            blob.put_string(fields.string()?);
        }
        SK_P256 => {
            let point = point(Curve::P256, fields)?;
            blob.put_string(SK_P256.as_bytes());
            blob.put_string(Curve::P256.name().as_bytes());
            blob.put_string(point);
            blob.put_string(fields.string()?);
        }
        name => match Curve::by_algorithm(name) {
            Some(curve) => blob = curve.public_blob(point(curve, fields)?),
            None => return Ok(None),
        },
    }
    Ok(Some(blob))
}

fn ed25519<'a>(fields: &mut Reader<'a>) -> Result<&'a [u8], ListedKeyError> {
    let key = fields.string()?;
    if key.len() == ED25519_LENGTH { Ok(key) } else { Err(ListedKeyError::Malformed) }
}

/// Reads the name of a curve and a point on it.
fn point<'a>(curve: Curve, fields: &mut Reader<'a>) -> Result<&'a [u8], ListedKeyError> {
    if fields.string()? != curve.name().as_bytes() {
        return Err(ListedKeyError::Malformed);
    }
    let point = fields.string()?;
    if curve.has(point) { Ok(point) } else { Err(ListedKeyError::Invalid(curve.algorithm())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests;
