//! Host keys that the application names.

use std::str::FromStr;

use ssh_proto::key::{ListedKey, PublicKey, PublicKeyError};

/// A host key that the application names: a fingerprint, `SHA256:...`, or a line of a public key
/// file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin(Kind);

/// Form of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Fingerprint as [`PublicKey::fingerprint`] formats it.
    Fingerprint(String),
    /// The whole key.
    Key(PublicKey),
}

/// Why a text is not a host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The text has neither form.
    #[error("expected 'SHA256:' and 43 characters of base64, or a line of a public key")]
    Form,
    /// The digest of the fingerprint is not SHA256.
    #[error("only SHA256 fingerprints are accepted, such as ssh-keygen -l prints")]
    Digest,
    /// `SHA256:` is not followed by the base64 of 32 bytes.
    #[error("'SHA256:' has to be followed by 43 characters of base64")]
    Fingerprint,
    /// The base64 of the public key is damaged or has another type.
    #[error("the public key is damaged")]
    Damaged,
    /// The public key cannot be a host key.
    #[error("{0}")]
    Key(#[from] PublicKeyError),
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let mut fields = text.split_ascii_whitespace();
        let first = fields.next().ok_or(PinError::Form)?;
        if let Some((digest, base64)) = first.split_once(':') {
            if fields.next().is_some() {
                return Err(PinError::Form);
            }
            // Older tools print MD5 as 16 bytes in hexadecimal, without a name.
            let md5 = digest.len() == 2 && first.len() == 47;
            return match digest {
                "SHA256" => format!("SHA256:{}", base64.trim_end_matches('='))
                    .parse::<ssh_key::Fingerprint>()
                    .map(|fingerprint| Pin(Kind::Fingerprint(fingerprint.to_string())))
                    .map_err(|_| PinError::Fingerprint),
                "MD5" | "SHA1" | "SHA512" => Err(PinError::Digest),
                _ if md5 => Err(PinError::Digest),
                _ => Err(PinError::Form),
            };
        }
        let base64 = fields.next().ok_or(PinError::Form)?;
        // The base64 of every key begins with the length of its type.
        if !base64.starts_with("AAAA") {
            return Err(PinError::Form);
        }
        let key = ListedKey::parse(first.as_bytes(), base64.as_bytes())
            .ok()
            .filter(|key| !key.is_certificate())
            .ok_or(PinError::Damaged)?;
        Ok(Pin(Kind::Key(PublicKey::parse(key.blob())?)))
    }
}

impl Pin {
    /// Returns whether the pin is for this key.
    pub(crate) fn matches(&self, key: &PublicKey) -> bool {
        match &self.0 {
            Kind::Fingerprint(fingerprint) => *fingerprint == key.fingerprint(),
            Kind::Key(pinned) => pinned == key,
        }
    }

    /// Returns the key; `None` for a fingerprint.
    pub(crate) fn key(&self) -> Option<&PublicKey> {
        match &self.0 {
            Kind::Key(key) => Some(key),
            Kind::Fingerprint(_) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use super::*;

    const HOST: &str = "gateway.example.org";
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkqvR5oGJ88+ILy2bqTRrF/STgQypgyhBZw3/v+mroE";
    const FINGERPRINT: &str = "SHA256:8G54s4tGjZxgu+82l7k5dN5cEdFTp+MV+D/1lltknOI";

    #[test]
    fn an_invalid_pin_says_why() {
        let error = |text: &str| text.parse::<Pin>().unwrap_err();
        for text in ["", "  ", "gateway", "ssh-ed25519", "yes please", &format!("{HOST} {ED25519}")]
        {
            assert_eq!(error(text), PinError::Form, "{text}");
        }
        assert_eq!(error(&format!("{FINGERPRINT} {ED25519}")), PinError::Form);
        assert_eq!(error("SHA256:"), PinError::Fingerprint);
        assert_eq!(error(&FINGERPRINT[..49]), PinError::Fingerprint);
        assert_eq!(error(&format!("{FINGERPRINT}A")), PinError::Fingerprint);
        assert_eq!(error(&FINGERPRINT.replace("SHA256", "SHA512")), PinError::Digest);
        let md5 = "3b:".repeat(15) + "3b";
        assert_eq!(error(&md5), PinError::Digest);
        assert_eq!(error(&format!("MD5:{md5}")), PinError::Digest);
        assert_eq!(error(&ED25519[..60]), PinError::Damaged);
        assert_eq!(error(&ED25519.replace("ssh-ed25519", "ssh-rsa")), PinError::Damaged);
        let rsa1024 = include_str!("../../../crates/ssh-proto/src/key/fixtures/rsa1024.pub");
        assert_eq!(error(rsa1024), PinError::Key(PublicKeyError::RsaSize { bits: 1024 }));
        for length in 0..ED25519.len() {
            assert!(ED25519[..length].parse::<Pin>().is_err(), "{length}");
        }
    }
}
