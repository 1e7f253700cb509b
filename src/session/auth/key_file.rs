//! A private key for any number of authentications.

use std::sync::{Mutex, PoisonError};

use ssh_proto::Identity;
use ssh_proto::key::PrivateKey;

use crate::session::auth::encrypted_secret::EncryptedSecret;

/// A private key for any number of authentications. Its text and passphrase are kept until the
/// first one only.
pub struct KeyFile {
    key: Mutex<Key>,
    /// The line of its certificate.
    certificate: Option<Vec<u8>>,
}

/// State of a private key.
enum Key {
    /// Text of its file, and the passphrase.
    Unread { text: EncryptedSecret, passphrase: Option<EncryptedSecret> },
    /// PKCS#8 without a passphrase.
    Read(EncryptedSecret),
    /// Reason why the key cannot be used.
    Unusable(String),
}

impl Key {
    /// Returns the key and the new state. Decrypting takes time.
    fn read(&self) -> (Result<PrivateKey, String>, Option<Self>) {
        match self {
            Key::Unread { text, passphrase } => {
                let passphrase = passphrase.as_ref().map(EncryptedSecret::open);
                let read =
                    PrivateKey::parse(&text.open(), passphrase.as_deref().map(Vec::as_slice));
                let read = read.map_err(|error| error.to_string()).and_then(|key| {
                    let der = key.to_pkcs8().map_err(|error| error.to_string())?;
                    Ok((key, EncryptedSecret::new(&der)))
                });
                match read {
                    Ok((key, der)) => (Ok(key), Some(Key::Read(der))),
                    Err(reason) => (Err(reason.clone()), Some(Key::Unusable(reason))),
                }
            }
            Key::Read(der) => {
                (PrivateKey::from_pkcs8(&der.open()).map_err(|error| error.to_string()), None)
            }
            Key::Unusable(reason) => (Err(reason.clone()), None),
        }
    }
}

impl KeyFile {
    /// Keeps the text of a key file, its passphrase, and the line of its certificate.
    pub fn new(text: &[u8], passphrase: Option<&[u8]>, certificate: Option<Vec<u8>>) -> Self {
        let (text, passphrase) = (EncryptedSecret::new(text), passphrase.map(EncryptedSecret::new));
        Self { key: Mutex::new(Key::Unread { text, passphrase }), certificate }
    }

    /// Reads the key. The first call may take long to decrypt it, and other callers wait for it.
    pub(crate) fn identity(&self) -> Result<Identity, String> {
        let key = {
            let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
            let (read, keep) = key.read();
            if let Some(keep) = keep {
                *key = keep;
            }
            read?
        };
        match &self.certificate {
            Some(line) => Identity::with_certificate(key, line).map_err(|error| error.to_string()),
            None => Ok(key.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENCRYPTED: &[u8] =
        include_bytes!("../../../crates/ssh-proto/src/key/fixtures/p256.pkcs8.enc");

    fn blobs(file: &KeyFile) -> Result<String, String> {
        file.identity().map(|identity| format!("{identity:?}"))
    }

    #[test]
    fn text_and_passphrase_are_forgotten_once_the_key_is_read() {
        let file = KeyFile::new(ENCRYPTED, Some(b"correct-horse"), None);
        let first = blobs(&file).expect("the passphrase is right");
        assert!(matches!(&*file.key.lock().expect("nobody panicked"), Key::Read(_)));
        assert_eq!(blobs(&file), Ok(first));
    }

    #[test]
    fn what_cannot_be_used_is_forgotten_and_refused_alike_each_time() {
        let file = KeyFile::new(ENCRYPTED, Some(b"wrong"), None);
        let first = blobs(&file).expect_err("the passphrase is wrong");
        assert!(first.contains("wrong"), "{first}");
        assert!(matches!(&*file.key.lock().expect("nobody panicked"), Key::Unusable(_)));
        assert_eq!(blobs(&file), Err(first));
    }
}
