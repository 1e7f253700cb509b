//! The credentials of a user at one server.

use std::sync::Mutex;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use ssh_proto::PublicEntry;
use ssh_proto::agent::Constraints;

use crate::binding::errors::Failure;
use crate::binding::errors::invalid;
use crate::binding::types::enums::AuthMethodName;
use crate::session::{AgentSource, Credentials, EncryptedSecret, KeyFile, Passphrase};

/// What proves who the user is.
#[napi(object, object_to_js = false)]
pub struct CredentialsOptions {
    /// The user's password.
    pub password: Option<Uint8Array>,
    /// Private keys.
    pub private_keys: Vec<PrivateKeyOption>,
    /// Whether `password` is a function.
    pub gives_password: bool,
    /// Whether another option for credentials is a function.
    pub gives_keys: bool,
    /// Whether `passphrase` is a function.
    pub gives_passphrase: bool,
    /// The passphrase of keys that a function gives.
    pub passphrase: Option<Uint8Array>,
    /// The line of the certificate of a key that a function gives.
    pub certificate: Option<Uint8Array>,
    /// Where an agent listens.
    pub agent: Option<String>,
    /// Whether JavaScript has an agent, in place of one that listens.
    pub has_agent: bool,
    /// The only keys of the agent to use: lines of public keys and certificates.
    pub agent_keys: Option<Vec<String>>,
    /// The keys of the agent to offer first: lines of public keys and certificates.
    pub agent_keys_first: Vec<String>,
    /// Whether JavaScript answers the server's questions.
    pub try_keyboard: bool,
    /// Whether JavaScript is asked for a password.
    pub asks_password: bool,
    /// How often it is asked again after a refusal.
    pub repetitions: u32,
    /// Limits with which private keys are added to the agent.
    pub added_keys: Option<AddedKeys>,
    /// The methods of authentication to use, in order.
    pub auth_handler: Option<Vec<AuthMethodName>>,
}

/// A private key.
#[napi(object, object_to_js = false)]
pub struct PrivateKeyOption {
    /// The text of its file.
    pub key: Uint8Array,
    /// The passphrase that it is encrypted with.
    pub passphrase: Option<Uint8Array>,
    /// The line of its certificate.
    pub certificate: Option<Uint8Array>,
}

impl PrivateKeyOption {
    /// Copies the bytes; JavaScript wipes the originals. `is_given`: without a passphrase of its own, the
    /// application gives it for each authentication.
    pub(crate) fn into_key_file(self, is_given: bool) -> KeyFile {
        let certificate = self.certificate.map(|bytes| bytes.to_vec());
        let passphrase = match self.passphrase {
            Some(passphrase) => Passphrase::Kept(EncryptedSecret::new(&passphrase)),
            None if is_given => Passphrase::Given,
            None => Passphrase::None,
        };
        KeyFile::new(&self.key, passphrase, certificate)
    }
}

/// Limits of the use of keys that are added to an agent.
#[napi(object, object_to_js = false)]
pub struct AddedKeys {
    /// Seconds, 0 for any time.
    pub lifetime: u32,
    /// Whether the agent asks its user.
    pub confirm: bool,
}

impl CredentialsOptions {
    /// Returns the credentials. Secrets are copied; JavaScript wipes the originals.
    pub(crate) fn into_credentials(self) -> Result<Credentials, Failure> {
        let mut certificates = Vec::new();
        let agent_keys = self
            .agent_keys
            .map(|lines| public_keys(&lines, "agentKeys", &mut certificates))
            .transpose()?;
        let agent_first = public_keys(&self.agent_keys_first, "agentKeysFirst", &mut certificates)?;
        Ok(Credentials {
            password: self.password.map(|password| EncryptedSecret::new(&password)),
            gives_password: self.gives_password,
            private_keys: self
                .private_keys
                .into_iter()
                .map(|key| key.into_key_file(self.gives_passphrase))
                .collect(),
            gives_keys: self.gives_keys,
            passphrase: self.passphrase.map(|passphrase| EncryptedSecret::new(&passphrase)),
            certificate: self.certificate.map(|line| line.to_vec()),
            agent: match self.agent {
                Some(path) => Some(AgentSource::Socket(path)),
                None => self.has_agent.then_some(AgentSource::Application),
            },
            agent_keys,
            agent_first,
            agent_certificates: certificates,
            interactive: self.try_keyboard,
            asks_password: self.asks_password,
            asked_password: Mutex::default(),
            repetitions: self.repetitions,
            added_keys: self
                .added_keys
                .map(|AddedKeys { lifetime, confirm }| Constraints { lifetime, confirm }),
            methods: self.auth_handler.map(|methods| methods.into_iter().map(Into::into).collect()),
        })
    }
}

/// Returns the blobs of the keys in lines of public keys and certificates. `certificates` gets those of
/// the certificates.
pub(crate) fn public_keys(
    lines: &[String],
    option: &'static str,
    certificates: &mut Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, Failure> {
    let key = |line: &String| {
        let entry = PublicEntry::find(line.as_bytes())
            .ok_or_else(|| invalid(option, "expected lines of public keys", line))?;
        certificates.extend(entry.certificate);
        Ok(entry.key)
    };
    lines.iter().map(key).collect()
}
