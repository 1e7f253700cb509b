//! Keys that log the user on. What an agent holds is passed on as it is: only its type is of
//! interest here, the agent signs and the server verifies.

use super::certificate::{IdentityError, certificate_of};
use crate::key::{CERTIFICATE_SUFFIX, PrivateKey};
use crate::wire::Reader;

/// A private key, alone or with a certificate. Wiped from memory when dropped.
#[derive(Debug)]
pub struct Identity {
    key: PrivateKey,
    /// The certificate's blob.
    certificate: Option<Vec<u8>>,
}

impl Identity {
    /// With a certificate, the line of a `-cert.pub` file. One that does not belong to the key is
    /// refused: it could only be refused by the server.
    pub fn certified(key: PrivateKey, certificate: &[u8]) -> Result<Self, IdentityError> {
        let certificate = certificate_of(key.public_blob(), certificate)?;
        Ok(Self { key, certificate: Some(certificate) })
    }

    /// What signs.
    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// What is offered to the server, in the order of OpenSSH: the certificate, then the key alone.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &[u8]> {
        self.certificate.as_deref().into_iter().chain([self.key.public_blob()])
    }
}

impl From<PrivateKey> for Identity {
    fn from(key: PrivateKey) -> Self {
        Self { key, certificate: None }
    }
}

/// No signature comes near this: one of RSA with 16384 bits has 2 KiB.
const MOST_SIGNATURE: usize = 16 * 1024;

/// Types of keys with the algorithms to use them with, best first. Certificates (of OpenSSH's
/// PROTOCOL.certkeys) come under names of their own; DSA is left out.
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

/// The algorithms to use a public key or certificate with; none when its type is not known.
pub(super) fn algorithms(blob: &[u8]) -> &'static [&'static str] {
    let Ok(key_type) = Reader::new(blob).text() else { return &[] };
    let known = ALGORITHMS.iter().find(|(name, _)| *name == key_type);
    known.map_or(&[], |(_, algorithms)| algorithms)
}

/// Every algorithm that users' keys are used with.
pub(crate) fn user_key_algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.into_iter().flat_map(|(_, algorithms)| algorithms).copied()
}

/// What the signature of an algorithm is called: a certificate's is its key's. The types of
/// certificates and of keys are named alike.
pub(super) fn signature_name(algorithm: &str) -> &str {
    match algorithm {
        "sk-ssh-ed25519-cert-v01@openssh.com" => "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com" => "sk-ecdsa-sha2-nistp256@openssh.com",
        other => other.strip_suffix(CERTIFICATE_SUFFIX).unwrap_or(other),
    }
}

/// Whether `blob` can be a signature by `algorithm`: old agents, asked for RSA with SHA-2, answer
/// with SHA-1.
pub(super) fn is_signature(blob: &[u8], algorithm: &'static str) -> bool {
    blob.len() <= MOST_SIGNATURE && Reader::new(blob).text() == Ok(signature_name(algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    #[test]
    fn a_signature_is_called_as_its_key_is() {
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
                blob.resize(MOST_SIGNATURE + 1, 0);
                assert!(!is_signature(&blob, algorithm));
            }
        }
    }

    #[test]
    fn types_that_nobody_knows_have_no_algorithm() {
        for name in ["ssh-dss", "", "ssh-ed25519-cert-v02@openssh.com"] {
            let mut blob = Vec::new();
            blob.put_string(name.as_bytes());
            assert!(algorithms(&blob).is_empty(), "{name}");
        }
        assert!(algorithms(&[0xff, 0xff, 0xff, 0xff]).is_empty());
        assert!(algorithms(&[]).is_empty());
    }
}
