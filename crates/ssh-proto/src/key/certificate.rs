//! Certificates (OpenSSH's PROTOCOL.certkeys): a key, and the statements of an authority about it.
//!
//! They are read here and not by the crate `ssh-key`: its 0.6 refuses certificates that never expire,
//! and encodes a certificate again to verify it instead of verifying the received bytes.

use std::ops::Range;

use super::listed::canonical_blob;
use super::public::fingerprint;
use super::rsa::blob_bits;
use super::{PublicKey, PublicKeyError, VerifyError};
use crate::text;
use crate::wire::{Malformed, Reader};

/// Suffix of the types of certificates, after the type of the key.
pub(crate) const SUFFIX: &str = "-cert-v01@openssh.com";
/// Maximum number of principals, the same as OpenSSH's.
const MAX_PRINCIPALS: usize = 256;
const USER: u32 = 1;
const HOST: u32 = 2;

/// The kind of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// A user's key.
    User,
    /// A host's key.
    Host,
}

/// A certificate that is signed by the authority in it. The caller decides whether the authority is
/// trusted, for this host and at this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    blob: Vec<u8>,
    key: PublicKey,
    authority: Vec<u8>,
    algorithm: String,
    signature: Result<(), String>,
    kind: CertificateKind,
    id: String,
    principals: Vec<Vec<u8>>,
    validity: Range<u64>,
    critical: Vec<String>,
}

/// The reason why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A field is truncated or too long, or there are too many fields.
    #[error("malformed certificate")]
    Malformed,
    /// The type is not supported; its name is printable.
    #[error("certificate type {0} is not supported")]
    UnknownType(String),
    /// The certificate is neither for users nor for hosts.
    #[error("certificate of the unknown kind {0}")]
    UnknownKind(u32),
    /// The certified key cannot be used.
    #[error("the key in the certificate: {0}")]
    Key(#[from] PublicKeyError),
    /// The signature of the authority is not valid.
    #[error("certificate with an invalid signature of its authority: {0}")]
    Forged(VerifyError),
}

impl From<Malformed> for CertificateError {
    fn from(_: Malformed) -> Self {
        CertificateError::Malformed
    }
}

impl Certificate {
    /// Reads a certificate and verifies its authority's signature.
    ///
    /// ```text
    /// string  type, such as ssh-ed25519-cert-v01@openssh.com
    /// string  nonce
    ///         the fields of a key of that type
    /// uint64  serial
    /// uint32  kind
    /// string  id
    /// string  principals, each a string
    /// uint64  start of its validity, in seconds since 1970
    /// uint64  end of its validity
    /// string  critical options, each two strings
    /// string  extensions, each two strings
    /// string  reserved
    /// string  public key of the authority
    /// string  its signature over all fields above
    /// ```
    pub fn parse(blob: &[u8]) -> Result<Self, CertificateError> {
        let mut fields = Reader::new(blob);
        let name = fields.string()?;
        let key_type = name
            .strip_suffix(SUFFIX.as_bytes())
            .ok_or_else(|| CertificateError::UnknownType(text::name(name)))?;
        fields.string()?;
        let key = PublicKey::read(key_type, &mut fields)?;
        fields.uint64()?;
        let kind = match fields.uint32()? {
            USER => CertificateKind::User,
            HOST => CertificateKind::Host,
            other => return Err(CertificateError::UnknownKind(other)),
        };
        let id = text::name(fields.string()?);
        let principals = principals(fields.string()?)?;
        let validity = fields.uint64()?..fields.uint64()?;
        let critical = options(fields.string()?)?;
        options(fields.string()?)?;
        fields.string()?;
        let authority = fields.string()?;
        let signed = &blob[..blob.len() - fields.remaining()];
        let signature = fields.string()?;
        fields.end()?;
        let algorithm = text::name(Reader::new(signature).string().unwrap_or_default());
        let (authority, signature) = verify(authority, signed, signature)?;
        Ok(Self {
            blob: blob.to_vec(),
            key,
            authority,
            algorithm,
            signature,
            kind,
            id,
            principals,
            validity,
            critical,
        })
    }

    /// Returns the certificate as it was received.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Returns the certified key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Returns the public key of the authority, in the encoding of [`PublicKey::blob`].
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// Returns the fingerprint of the authority's key, as `ssh-keygen -l` prints it.
    pub fn authority_fingerprint(&self) -> String {
        fingerprint(&self.authority)
    }

    /// Returns the size of the authority's key in bits, if it is an RSA key.
    pub fn authority_rsa_bits(&self) -> Option<usize> {
        blob_bits(&self.authority)
    }

    /// Returns the algorithm of the authority's signature, printable.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Returns whether the authority's signature has a supported key and algorithm, and so was
    /// verified, or the reason why not.
    pub fn signature(&self) -> Result<(), &str> {
        self.signature.as_ref().copied().map_err(String::as_str)
    }

    /// Returns whether it is for users or hosts.
    pub fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// Returns the key ID that the authority has chosen, bounded and printable.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the names that it is valid for; those of a host may be patterns.
    pub fn principals(&self) -> impl Iterator<Item = &[u8]> {
        self.principals.iter().map(Vec::as_slice)
    }

    /// Returns its validity, in seconds since 1970.
    pub fn validity(&self) -> Range<u64> {
        self.validity.clone()
    }

    /// Returns the names of its critical options, printable. A certificate with an unknown one must be
    /// refused.
    pub fn critical_options(&self) -> &[String] {
        &self.critical
    }
}

/// Returns the authority's key in its canonical form, and whether its signature counts. A key or
/// algorithm that is not supported makes the certificate worthless, but not the key in it, which may
/// be known by itself.
fn verify(
    authority: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> Result<(Vec<u8>, Result<(), String>), CertificateError> {
    let key = match PublicKey::parse(authority) {
        Ok(key) => key,
        Err(error) => {
            let blob = canonical_blob(authority).unwrap_or_else(|| authority.to_vec());
            return Ok((blob, Err(error.to_string())));
        }
    };
    let verified = match key.verify_any(signed, signature) {
        Ok(()) => Ok(()),
        Err(error @ VerifyError::WrongKeyType { .. }) => Err(error.to_string()),
        Err(error) => return Err(CertificateError::Forged(error)),
    };
    Ok((key.blob().to_vec(), verified))
}

fn principals(list: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    let mut fields = Reader::new(list);
    let mut principals = Vec::new();
    while fields.remaining() > 0 {
        if principals.len() == MAX_PRINCIPALS {
            return Err(CertificateError::Malformed);
        }
        principals.push(fields.string()?.to_vec());
    }
    Ok(principals)
}

/// Returns the names of options; their values are not used.
fn options(list: &[u8]) -> Result<Vec<String>, CertificateError> {
    let mut fields = Reader::new(list);
    let mut names = Vec::new();
    while fields.remaining() > 0 {
        names.push(text::name(fields.string()?));
        fields.string()?;
    }
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests;
