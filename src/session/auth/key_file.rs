//! A private key for any number of authentications.

use std::sync::{Mutex, PoisonError};

use ssh_proto::Identity;
use ssh_proto::key::{PrivateKey, PrivateKeyError};
use zeroize::Zeroizing;

use crate::session::auth::encrypted_secret::EncryptedSecret;

/// A private key for any number of authentications. Its text and passphrase are kept until the
/// first one only, unless the application gives the passphrase each time.
pub struct KeyFile {
    key: Mutex<Key>,
    /// The line of its certificate.
    certificate: Option<Vec<u8>>,
}

/// Passphrase of a private key.
pub enum Passphrase {
    /// There is none.
    None,
    /// It is kept until the key was read.
    Kept(EncryptedSecret),
    /// The application gives it for each authentication.
    Given,
}

/// Parts of private keys that were given for one authentication, for keys without their own.
#[derive(Default)]
pub(crate) struct GivenParts {
    pub(crate) passphrase: Option<Zeroizing<Vec<u8>>>,
    /// The line of the certificate.
    pub(crate) certificate: Option<Vec<u8>>,
}

/// State of a private key.
enum Key {
    /// Text of its file, and the passphrase.
    Unread { text: EncryptedSecret, passphrase: Passphrase },
    /// PKCS#8 without a passphrase.
    Read(EncryptedSecret),
    /// Reason why the key cannot be used.
    Unusable(String),
}

impl Key {
    /// Returns the key and the new state. Decrypting takes time. `given` is the passphrase of the
    /// application.
    fn read(&self, given: Option<&[u8]>) -> (Result<PrivateKey, String>, Option<Self>) {
        match self {
            Key::Unread { text, passphrase } => {
                let own = match passphrase {
                    Passphrase::Kept(passphrase) => Some(passphrase.open()),
                    Passphrase::None | Passphrase::Given => None,
                };
                let text = text.open();
                let read = PrivateKey::parse(&text, own.as_deref().map(Vec::as_slice));
                if let (Err(PrivateKeyError::PassphraseMissing), Passphrase::Given) =
                    (&read, passphrase)
                {
                    let read = PrivateKey::parse(&text, given);
                    return (read.map_err(|error| error.to_string()), None);
                }
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
    pub fn new(text: &[u8], passphrase: Passphrase, certificate: Option<Vec<u8>>) -> Self {
        let text = EncryptedSecret::new(text);
        Self { key: Mutex::new(Key::Unread { text, passphrase }), certificate }
    }

    /// Reads the key. The first call may take long to decrypt it, and other callers wait for it.
    pub(crate) fn identity(&self, given: &GivenParts) -> Result<Identity, String> {
        let key = {
            let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
            let (read, keep) = key.read(given.passphrase.as_deref().map(Vec::as_slice));
            if let Some(keep) = keep {
                *key = keep;
            }
            read?
        };
        match self.certificate.as_ref().or(given.certificate.as_ref()) {
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
        file.identity(&GivenParts::default()).map(|identity| format!("{identity:?}"))
    }

    fn kept(passphrase: &[u8]) -> Passphrase {
        Passphrase::Kept(EncryptedSecret::new(passphrase))
    }

    #[test]
    fn text_and_passphrase_are_forgotten_once_the_key_is_read() {
        let file = KeyFile::new(ENCRYPTED, kept(b"correct-horse"), None);
        let first = blobs(&file).expect("the passphrase is right");
        assert!(matches!(&*file.key.lock().expect("nobody panicked"), Key::Read(_)));
        assert_eq!(blobs(&file), Ok(first));
    }

    #[test]
    fn what_cannot_be_used_is_forgotten_and_refused_alike_each_time() {
        let file = KeyFile::new(ENCRYPTED, kept(b"wrong"), None);
        let first = blobs(&file).expect_err("the passphrase is wrong");
        assert!(first.contains("wrong"), "{first}");
        assert!(matches!(&*file.key.lock().expect("nobody panicked"), Key::Unusable(_)));
        assert_eq!(blobs(&file), Err(first));
    }

    #[test]
    fn a_given_passphrase_decrypts_the_key_anew_each_time() {
        let file = KeyFile::new(ENCRYPTED, Passphrase::Given, None);
        let with = |passphrase: Option<&[u8]>| {
            let passphrase = passphrase.map(|bytes| Zeroizing::new(bytes.to_vec()));
            file.identity(&GivenParts { passphrase, certificate: None }).map(drop)
        };
        for _ in 0..2 {
            assert_eq!(with(Some(b"correct-horse")), Ok(()));
            assert!(with(Some(b"wrong")).is_err_and(|reason| reason.contains("wrong")));
            assert!(with(None).is_err());
        }
        assert!(matches!(&*file.key.lock().expect("nobody panicked"), Key::Unread { .. }));
    }

    #[test]
    fn a_given_certificate_is_for_keys_without_their_own() {
        let key = include_bytes!("../../../crates/ssh-proto/src/key/fixtures/ed25519");
        let line = include_bytes!("../../../crates/ssh-proto/src/key/fixtures/ed25519-cert.pub");
        let certificate =
            |line: &[u8]| GivenParts { certificate: Some(line.to_vec()), ..GivenParts::default() };
        let file = KeyFile::new(key, Passphrase::None, None);
        let certified = file.identity(&certificate(line)).expect("it is of this key");
        assert!(format!("{certified:?}").contains("certificate: Some"));
        assert!(file.identity(&certificate(b"no certificate")).is_err());
        assert!(blobs(&file).is_ok_and(|text| text.contains("certificate: None")));
        let file = KeyFile::new(key, Passphrase::None, Some(line.to_vec()));
        assert!(file.identity(&certificate(b"no certificate")).is_ok());
    }
}
