//! Questions for credentials.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::binding::types::enums::CredentialsKind;
use crate::session::{CredentialsQuestion as Question, CredentialsRequest};

/// A question for credentials.
#[napi(object, object_from_js = false)]
pub struct CredentialsQuestion {
    /// The index of the jump host that they are for, if it is one.
    pub hop: Option<u32>,
    /// What is asked for.
    pub kind: CredentialsKind,
    /// The blob of the key to sign with.
    pub key: Option<Buffer>,
    /// The algorithm of the signature.
    pub algorithm: Option<&'static str>,
    /// The data to sign.
    pub data: Option<Buffer>,
}

impl From<CredentialsRequest> for CredentialsQuestion {
    fn from(request: CredentialsRequest) -> Self {
        let hop = request.hop;
        let plain = |kind| Self { hop, kind, key: None, algorithm: None, data: None };
        match request.question {
            Question::Keys => plain(CredentialsKind::Keys),
            Question::Password => plain(CredentialsKind::Password),
            Question::Identities => plain(CredentialsKind::Identities),
            Question::Signature { key, algorithm, data } => Self {
                key: Some(key.into()),
                algorithm: Some(algorithm),
                data: Some(data.into()),
                ..plain(CredentialsKind::Signature)
            },
        }
    }
}
