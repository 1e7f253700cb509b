//! Keys of the user, and the algorithms to use them with. Of an agent's key only the type matters
//! here: the agent signs and the server verifies.

use super::certificate::{IdentityError, certificate_of};
use crate::key::{CERTIFICATE_SUFFIX, PrivateKey};
use crate::wire::Reader;

/// A private key, with or without a certificate. Wiped from memory when dropped.
#[derive(Debug)]
pub struct Identity {
    key: PrivateKey,
    /// The certificate's blob.
    certificate: Option<Vec<u8>>,
}

impl Identity {
    /// Adds a certificate to a key: the text of a `-cert.pub` file. Fails if the certificate is not
    /// for the key, as the server would refuse it.
    pub fn with_certificate(key: PrivateKey, certificate: &[u8]) -> Result<Self, IdentityError> {
        let certificate = certificate_of(key.public_blob(), certificate)?;
        Ok(Self { key, certificate: Some(certificate) })
    }

    /// Returns the private key.
    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Returns the blobs to offer, in the order of OpenSSH: the certificate, then the public key.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &[u8]> {
        self.certificate.as_deref().into_iter().chain([self.key.public_blob()])
    }
}

impl From<PrivateKey> for Identity {
    fn from(key: PrivateKey) -> Self {
        Self { key, certificate: None }
    }
}

/// Maximum size of a signature in bytes: one of RSA with 16384 bits has 2 KiB.
const MAX_SIGNATURE: usize = 16 * 1024;

/// Types of keys with their algorithms, best first. Certificates (OpenSSH's PROTOCOL.certkeys) have
/// types of their own; DSA is not supported.
const ALGORITHMS: [(&str, &[&str]); 14] = [
    ("ssh-ed25519", &["ssh-ed25519"]),
    ("ecdsa-sha2-nistp256", &["ecdsa-sha2-nistp256"]),
    ("ecdsa-sha2-nistp384", &["ecdsa-sha2-nistp384"]),
    ("ecdsa-sha2-nistp521", &["ecdsa-sha2-nistp521"]),
    ("sk-ssh-ed25519@openssh.com", &["sk-ssh-ed25519@openssh.com"]),
    ("sk-ecdsa-sha2-nistp256@openssh.com", &["sk-ecdsa-sha2-nistp256@openssh.com"]),
    ("ssh-rsa", &["rsa-sha2-512", "rsa-sha2-256"]),
    ("ssh-ed25519-cert-v01@openssh.com", &["ssh-ed25519-cert-v01@openssh.com"]),
    ("ecdsa-sha2-nistp256-cert-v01@openssh.com", &["ecdsa-sha2-nistp256-cert-v01@openssh.com"]),
    ("ecdsa-sha2-nistp384-cert-v01@openssh.com", &["ecdsa-sha2-nistp384-cert-v01@openssh.com"]),
    ("ecdsa-sha2-nistp521-cert-v01@openssh.com", &["ecdsa-sha2-nistp521-cert-v01@openssh.com"]),
    ("sk-ssh-ed25519-cert-v01@openssh.com", &["sk-ssh-ed25519-cert-v01@openssh.com"]),
    (
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        &["sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"],
    ),
    (
        "ssh-rsa-cert-v01@openssh.com",
        &["rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com"],
    ),
];

/// Returns the algorithms to use a public key or certificate with; none if its type is unknown.
pub(super) fn algorithms(blob: &[u8]) -> &'static [&'static str] {
    let Ok(key_type) = Reader::new(blob).text() else { return &[] };
    let known = ALGORITHMS.iter().find(|(name, _)| *name == key_type);
    known.map_or(&[], |(_, algorithms)| algorithms)
}

/// Returns every algorithm of users' keys.
pub(crate) fn user_key_algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.into_iter().flat_map(|(_, algorithms)| algorithms).copied()
}

/// Returns the name in the signatures of an algorithm: of a certificate, its key's. It does the same
/// for the types of certificates.
pub(super) fn signature_name(algorithm: &str) -> &str {
    match algorithm {
        "sk-ssh-ed25519-cert-v01@openssh.com" => "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" => "sk-ecdsa-sha2-nistp256@openssh.com",
        other => other.strip_suffix(CERTIFICATE_SUFFIX).unwrap_or(other),
    }
}

/// Returns whether `blob` can be a signature with `algorithm`: old agents sign with SHA-1 when asked
/// for RSA with SHA-2.
pub(super) fn is_signature(blob: &[u8], algorithm: &'static str) -> bool {
    blob.len() <= MAX_SIGNATURE && Reader::new(blob).text() == Ok(signature_name(algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    #[test]
    fn a_signature_has_the_name_of_its_key() {
        for (key_type, algorithms) in ALGORITHMS {
            for algorithm in algorithms {
                let name = signature_name(algorithm);
                assert!(!name.contains("cert"), "{name}");
                assert_eq!(name.starts_with("sk-"), key_type.starts_with("sk-"));
                assert_eq!(name.contains('@'), key_type.starts_with("sk-"));
                let mut blob = Vec::new();
                blob.put_string(name.as_bytes());
                assert!(is_signature(&blob, algorithm));
                assert!(!is_signature(&blob, "none"));
                blob.resize(MAX_SIGNATURE + 1, 0);
                assert!(!is_signature(&blob, algorithm));
            }
        }
    }

    #[test]
    fn unknown_types_have_no_algorithm() {
        for name in ["ssh-dss", "", "ssh-ed25519-cert-v02@openssh.com"] {
            let mut blob = Vec::new();
            blob.put_string(name.as_bytes());
            assert!(algorithms(&blob).is_empty(), "{name}");
        }
        assert!(algorithms(&[0xff, 0xff, 0xff, 0xff]).is_empty());
        assert!(algorithms(&[]).is_empty());
    }
}
