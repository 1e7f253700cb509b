//! Credentials of the user.

use ssh_proto::AuthMethod;

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
    /// Whether the application answers keyboard-interactive prompts.
    pub interactive: bool,
    /// Methods to use, in this order; `None` for all that have credentials.
    pub methods: Option<Vec<AuthMethod>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
