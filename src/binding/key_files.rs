//! Functions for key files and algorithms, which `lib/ssh-config` calls.

// The macro hands arguments over by value.
#![allow(clippy::needless_pass_by_value)]

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use ssh_proto::key::{ListedKey, PrivateKey, PrivateKeyError};
use ssh_proto::{Algorithms, PublicEntry};

use crate::binding::types::enums::AlgorithmKind;

/// Whether a private key file can be used.
#[napi(object, object_from_js = false)]
pub struct KeyFileInfo {
    /// The blob of its public half, if it is known.
    pub public_key: Option<Uint8Array>,
    /// Its comment, if it can be used.
    pub comment: Option<String>,
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// Whether that is because the passphrase is missing or wrong.
    pub locked: bool,
}

/// Reads a private key file, and decrypts it if there is a passphrase.
#[napi(catch_unwind)]
pub fn inspect_private_key(text: Uint8Array, passphrase: Option<Uint8Array>) -> KeyFileInfo {
    match PrivateKey::parse(&text, passphrase.as_deref()) {
        Ok(key) => KeyFileInfo {
            public_key: Some(key.public_blob().to_vec().into()),
            comment: Some(String::from_utf8_lossy(key.comment()).into_owned()),
            problem: None,
            locked: false,
        },
        Err(error) => KeyFileInfo {
            public_key: PrivateKey::public_half(&text).map(Into::into),
            comment: None,
            locked: matches!(
                error,
                PrivateKeyError::PassphraseMissing | PrivateKeyError::PassphraseWrong
            ),
            problem: Some(error.to_string()),
        },
    }
}

/// A public key or certificate in a file.
#[napi(object, object_from_js = false)]
pub struct PublicKeyInfo {
    /// The blob of the key, also if it is in a certificate.
    pub public_key: Uint8Array,
    /// The line of a user's certificate: its type and its base64.
    pub certificate: Option<String>,
}

/// Finds the first public key or certificate in the text of a file; `null` if there is none.
#[napi(catch_unwind)]
pub fn inspect_public_key(text: Uint8Array) -> Option<PublicKeyInfo> {
    let PublicEntry { key, certificate } = PublicEntry::find(&text)?;
    let certificate = certificate.and_then(|blob| ListedKey::line_of(&blob));
    Some(PublicKeyInfo { public_key: key.into(), certificate })
}

/// What others than the user, the administrators and the system may do with a file of Windows.
#[napi(object, object_from_js = false)]
pub struct FileAccess {
    /// Own it.
    pub owned: bool,
    /// Use it in any way.
    pub used: bool,
    /// Change it.
    pub changed: bool,
}

/// Returns who may use a file; `null` if that cannot be read, and on other systems.
#[napi(catch_unwind)]
pub fn file_access(path: String) -> Option<FileAccess> {
    #[cfg(windows)]
    return crate::net::sys::file_access(&path).ok().map(|it| FileAccess {
        owned: it.owned,
        used: it.used,
        changed: it.changed,
    });
    #[cfg(not(windows))]
    {
        let _ = path;
        None
    }
}

/// Returns the names of the algorithms of one kind, the preferred first.
#[napi(catch_unwind)]
pub fn known_algorithms(kind: AlgorithmKind) -> Vec<&'static str> {
    Algorithms::default().names(kind.into()).to_vec()
}
