//! Certificates of users' keys (OpenSSH's PROTOCOL.certkeys), as `ssh-keygen -s` writes them.

use base64ct::{Base64, Encoding};

use crate::wire::{Malformed, Reader, Writer};

/// What the name of a key's type is followed by in that of its certificates.
const SUFFIX: &str = "-cert-v01@openssh.com";
/// The kind of a certificate that is for a user.
const USER: u32 = 1;

/// Why a text is no certificate that can be used with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Something else, or damaged.
    #[error("the certificate is none: it takes a line such as that of id_ed25519-cert.pub")]
    NotACertificate,
    /// It is for the keys of servers.
    #[error("the certificate is one of a host, not of a user")]
    OfAHost,
    /// It belongs to another key.
    #[error("the certificate belongs to another private key")]
    OtherKey,
}

impl From<Malformed> for IdentityError {
    fn from(_: Malformed) -> Self {
        IdentityError::NotACertificate
    }
}

/// The blob of the certificate in `line`, if it is for the key with the blob `key`.
///
/// Who signed it and how long it is valid is for the server to judge.
pub(super) fn certificate_of(key: &[u8], line: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let line = str::from_utf8(line).map_err(|_| IdentityError::NotACertificate)?;
    let encoded = line.split_ascii_whitespace().nth(1).ok_or(IdentityError::NotACertificate)?;
    let blob = Base64::decode_vec(encoded).map_err(|_| IdentityError::NotACertificate)?;
    let (certified, kind) = read(&blob)?;
    if kind != USER {
        return Err(IdentityError::OfAHost);
    }
    if certified == key { Ok(blob) } else { Err(IdentityError::OtherKey) }
}

/// The blob of the key that a certificate is for; `None` where `blob` is that of something else.
pub(super) fn certified(blob: &[u8]) -> Option<Vec<u8>> {
    read(blob).ok().map(|(key, _)| key)
}

/// The blob of a certificate's key, and the certificate's kind.
///
/// ```text
/// string  type, such as ssh-ed25519-cert-v01@openssh.com
/// string  nonce
///         the fields of a key of that type
/// uint64  serial
/// uint32  kind
///         what an authority says about the key
/// ```
fn read(blob: &[u8]) -> Result<(Vec<u8>, u32), Malformed> {
    let mut fields = Reader::new(blob);
    let name = fields.text()?.strip_suffix(SUFFIX).ok_or(Malformed)?;
    fields.string()?;
    let count = match name {
        "ssh-ed25519" => 1,
        "sk-ecdsa-sha2-nistp256" => 3,
        _ => 2, // a curve and a point, an exponent and a modulus, a point and an application
    };
    let mut key = Vec::with_capacity(blob.len());
    if name.starts_with("sk-") {
        key.put_string(format!("{name}@openssh.com").as_bytes());
    } else {
        key.put_string(name.as_bytes());
    }
    for _ in 0..count {
        key.put_string(fields.string()?);
    }
    fields.bytes(size_of::<u64>())?;
    Ok((key, fields.uint32()?))
}
