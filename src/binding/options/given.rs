//! Credentials that the application gives for one authentication.

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use zeroize::Zeroizing;

use crate::binding::errors::Failure;
use crate::binding::options::credentials::{PrivateKeyOption, public_keys};
use crate::binding::types::enums::CredentialsKind;
use crate::session::{CredentialsAnswer, CredentialsFailure, GivenKeys, Thrown};

/// Credentials as JavaScript gives them; absent members were not given.
#[napi(object, object_to_js = false)]
pub struct CredentialsOption {
    /// The kind of the question.
    pub kind: CredentialsKind,
    /// The name of the server's options in messages.
    pub option: String,
    /// The user's password.
    pub password: Option<Uint8Array>,
    /// Private keys.
    pub private_keys: Option<Vec<PrivateKeyOption>>,
    /// The passphrase of the private keys without one of their own.
    pub passphrase: Option<Uint8Array>,
    /// The line of the certificate of the private keys without one of their own.
    pub certificate: Option<Uint8Array>,
    /// The only keys of the agent to use: lines of public keys and certificates.
    pub agent_keys: Option<Vec<String>>,
    /// The blobs of an agent's public keys and certificates.
    pub identities: Option<Vec<Uint8Array>>,
    /// A signature.
    pub signature: Option<Uint8Array>,
    /// Why there are none.
    pub failure: Option<CredentialsError>,
}

/// Why there are no credentials.
#[napi(object, object_to_js = false)]
pub struct CredentialsError {
    /// The code of the error.
    pub code: String,
    /// Its message.
    pub message: String,
}

impl CredentialsOption {
    /// Returns the answer to question `question`. Secrets are copied; JavaScript wipes the originals.
    pub(crate) fn into_answer(
        self,
        question: u32,
    ) -> Result<CredentialsAnswer, CredentialsFailure> {
        if let Some(CredentialsError { code, message }) = self.failure {
            return Err(CredentialsFailure { code, text: message, thrown: Some(Thrown(question)) });
        }
        let secret = |bytes: Uint8Array| Zeroizing::new(bytes.to_vec());
        Ok(match self.kind {
            CredentialsKind::Password => CredentialsAnswer::Password(self.password.map(secret)),
            CredentialsKind::Identities => CredentialsAnswer::Identities(
                self.identities.unwrap_or_default().iter().map(|key| key.to_vec()).collect(),
            ),
            CredentialsKind::Signature => CredentialsAnswer::Signature(
                self.signature.map(|signature| signature.to_vec()).unwrap_or_default(),
            ),
            CredentialsKind::Keys => {
                let mut agent_certificates = Vec::new();
                let agent_keys = self
                    .agent_keys
                    .map(|lines| public_keys(&lines, "agentKeys", &mut agent_certificates))
                    .transpose()
                    .map_err(|Failure { code, message, .. }| CredentialsFailure {
                        code,
                        text: message.replacen("options", &self.option, 1),
                        thrown: None,
                    })?;
                CredentialsAnswer::Keys(GivenKeys {
                    private_keys: self
                        .private_keys
                        .map(|keys| keys.into_iter().map(|key| key.into_key_file(true)).collect()),
                    passphrase: self.passphrase.map(secret),
                    certificate: self.certificate.map(|line| line.to_vec()),
                    agent_keys,
                    agent_certificates,
                })
            }
        })
    }
}
