//! Certificates of host keys (OpenSSH's PROTOCOL.certkeys): a key, and what an authority says about
//! it.
//!
//! They are read here, as keys are, and not by the crate `ssh-key`: its 0.6 refuses every
//! certificate without an end, and writes one anew to verify it instead of taking it as it came.

use std::ops::Range;

use super::listed::one_form;
use super::public::fingerprint;
use super::rsa::blob_bits;
use super::{PublicKey, PublicKeyError, VerifyError};
use crate::text;
use crate::wire::{Malformed, Reader};

/// What the name of a key's type is followed by in that of its certificates.
pub(crate) const SUFFIX: &str = "-cert-v01@openssh.com";
/// Names in one certificate: as many as OpenSSH takes.
const MOST_PRINCIPALS: usize = 256;
const USER: u32 = 1;
const HOST: u32 = 2;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// A user's key.
    User,
    /// A host's key.
    Host,
}

/// A certificate that is signed by the authority it names. Whether that authority is to be
/// believed, for this host and at this time, is not decided here.
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

/// Why bytes are no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The fields are cut short, too long, too many, or followed by something.
    #[error("malformed certificate")]
    Malformed,
    /// A type of certificate that is not supported, with its name made fit to be shown.
    #[error("certificate type {0} is not supported")]
    UnknownType(String),
    /// For neither a user nor a host.
    #[error("certificate of the unknown kind {0}")]
    UnknownKind(u32),
    /// The key that it is about cannot be used.
    #[error("the key in the certificate: {0}")]
    Key(#[from] PublicKeyError),
    /// The authority that it names has not signed it.
    #[error("certificate that its authority has not signed: {0}")]
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
    /// uint64  the second from which on it is valid
    /// uint64  the second from which on it is not any more
    /// string  critical options, each two strings
    /// string  extensions, each two strings
    /// string  reserved
    /// string  the authority's key
    /// string  its signature over everything before
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

    /// The certificate as it was sent.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The key that it is about.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key of the authority that signed it, as [`PublicKey::blob`] has it.
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The same as `ssh-keygen -l` prints it.
    pub fn authority_fingerprint(&self) -> String {
        fingerprint(&self.authority)
    }

    /// The size of the authority's key, if that is one of RSA.
    pub fn authority_rsa_bits(&self) -> Option<usize> {
        blob_bits(&self.authority)
    }

    /// The algorithm of the authority's signature, made printable.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Whether the authority's signature is of a sort that counts, or why it does not. One that
    /// counts is good.
    pub fn signature(&self) -> Result<(), &str> {
        self.signature.as_ref().copied().map_err(String::as_str)
    }

    /// What it is for.
    pub fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// What its authority calls it: bounded and fit to be shown.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The names that it is good for; of a host they may be patterns.
    pub fn principals(&self) -> impl Iterator<Item = &[u8]> {
        self.principals.iter().map(Vec::as_slice)
    }

    /// When it is valid, in seconds since 1970.
    pub fn validity(&self) -> Range<u64> {
        self.validity.clone()
    }

    /// The names, made fit to be shown, of what has to be understood by whoever believes it.
    pub fn critical_options(&self) -> &[String] {
        &self.critical
    }
}

/// The authority's key in its one form, and whether its signature counts. A key or an algorithm
/// that is not accepted here makes the certificate worthless, not the key that is in it: that may
/// be known by itself.
fn verify(
    authority: &[u8],
    signed: &[u8],
    signature: &[u8],
) -> Result<(Vec<u8>, Result<(), String>), CertificateError> {
    let key = match PublicKey::parse(authority) {
        Ok(key) => key,
        Err(error) => {
            let blob = one_form(authority).unwrap_or_else(|| authority.to_vec());
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
        if principals.len() == MOST_PRINCIPALS {
            return Err(CertificateError::Malformed);
        }
        principals.push(fields.string()?.to_vec());
    }
    Ok(principals)
}

/// The names of options; what they are set to counts for nobody here.
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
