//! Credentials of the user.

use std::sync::{Mutex, PoisonError};

use ssh_proto::AuthMethod;
use ssh_proto::agent::Constraints;
use zeroize::Zeroizing;

use crate::session::auth::encrypted_secret::EncryptedSecret;
use crate::session::auth::key_file::KeyFile;

/// Credentials for one server. They are encrypted until they are used, and `Debug` does not print
/// them.
#[derive(Default)]
pub struct Credentials {
    /// Password of the user.
    pub password: Option<EncryptedSecret>,
    /// Private keys, in the order in which they are tried.
    pub private_keys: Vec<KeyFile>,
    /// Path of the agent's socket.
    pub agent: Option<String>,
    /// Blobs of the agent's keys to use; `None` for all of them.
    pub agent_keys: Option<Vec<Vec<u8>>>,
    /// Blobs of the agent's keys to offer first.
    pub agent_first: Vec<Vec<u8>>,
    /// Blobs of certificates to offer with the agent's keys.
    pub agent_certificates: Vec<Vec<u8>>,
    /// Limits with which private keys are added to the agent, if the application agrees; `None` for not
    /// at all.
    pub added_keys: Option<Constraints>,
    /// Whether the application answers keyboard-interactive prompts.
    pub interactive: bool,
    /// Whether the application is asked for a password.
    pub asks_password: bool,
    /// The password that the application was asked for last, when it authenticated the user.
    pub asked_password: Mutex<Option<EncryptedSecret>>,
    /// How often the application is asked again after a refusal.
    pub repetitions: u32,
    /// Methods to use, in this order; `None` for all that have credentials.
    pub methods: Option<Vec<AuthMethod>>,
}

impl Credentials {
    /// Returns the password to try first, if there is one.
    pub(crate) fn password(&self) -> Option<Zeroizing<Vec<u8>>> {
        let asked = self.asked_password.lock().unwrap_or_else(PoisonError::into_inner);
        self.password.as_ref().or(asked.as_ref()).map(EncryptedSecret::open)
    }

    /// Keeps a password that the application was asked for, so that it is not asked by each session.
    pub(crate) fn keep_password(&self, password: EncryptedSecret) {
        let mut asked = self.asked_password.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = Some(password);
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
