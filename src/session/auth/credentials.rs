//! Credentials of the user.

use std::sync::{Mutex, PoisonError};

use ssh_proto::agent::Constraints;
use ssh_proto::{AuthMethod, Identity};
use zeroize::Zeroizing;

use crate::session::auth::application::GivenKeys;
use crate::session::auth::encrypted_secret::EncryptedSecret;
use crate::session::auth::key_file::{GivenParts, KeyFile};

/// Where an agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentSource {
    /// At a socket with this path.
    Socket(String),
    /// In the application.
    Application,
}

/// Credentials for one server. They are encrypted until they are used, and `Debug` does not print
/// them.
#[derive(Default)]
pub struct Credentials {
    /// Password of the user.
    pub password: Option<EncryptedSecret>,
    /// Whether the application gives the password for each authentication, when it is needed.
    pub gives_password: bool,
    /// Private keys, in the order in which they are tried.
    pub private_keys: Vec<KeyFile>,
    /// Whether the application gives keys, or parts of them, for each authentication.
    pub gives_keys: bool,
    /// Passphrase of the private keys that the application gives without their own.
    pub passphrase: Option<EncryptedSecret>,
    /// Line of the certificate of such a key.
    pub certificate: Option<Vec<u8>>,
    /// Agent with further keys.
    pub agent: Option<AgentSource>,
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
    /// Whether the application asks its user for a password, which is kept.
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

impl Credentials {
    /// Reads the private keys, with what the application has given. Blocks the thread, because decrypting
    /// takes time.
    pub(crate) fn identities(&self, given: &mut GivenKeys) -> Result<Vec<Identity>, String> {
        let mut parts = GivenParts {
            passphrase: given.passphrase.take(),
            certificate: given.certificate.take(),
        };
        if given.private_keys.is_some() {
            parts.passphrase =
                parts.passphrase.or_else(|| self.passphrase.as_ref().map(EncryptedSecret::open));
            parts.certificate = parts.certificate.or_else(|| self.certificate.clone());
        }
        let given = given.private_keys.take();
        let files = given.as_ref().unwrap_or(&self.private_keys);
        let read = |(number, file): (usize, &KeyFile)| {
            file.identity(&parts).map_err(|reason| match files.len() {
                1 => reason,
                _ => format!("privateKey[{number}]: {reason}"),
            })
        };
        files.iter().enumerate().map(read).collect()
    }

    /// Returns the credentials of a session for the user `user`, without limits on algorithms.
    pub(crate) fn for_session(
        &self,
        user: &str,
        keys: Vec<Identity>,
        given: GivenKeys,
    ) -> ssh_proto::Credentials {
        let (agent_keys, agent_certificates) = match given.agent_keys {
            Some(keys) => (Some(keys), given.agent_certificates),
            None => (self.agent_keys.clone(), Vec::new()),
        };
        ssh_proto::Credentials {
            user: user.to_owned(),
            keys,
            agent: self.agent.is_some(),
            agent_keys,
            agent_first: self.agent_first.clone(),
            agent_certificates: [&self.agent_certificates[..], &agent_certificates].concat(),
            interactive: self.interactive,
            password: self.password(),
            asks_password: self.asks_password || self.gives_password,
            repetitions: self.repetitions,
            methods: self.methods.clone(),
            ..ssh_proto::Credentials::default()
        }
    }
}
