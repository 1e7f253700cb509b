//! The arguments of calls.

use napi_derive::napi;

use crate::binding::types::known_host::KnownHost;
use crate::binding::types::{self, ForwardOption};
use crate::net::rate::MaxRate;
use crate::tunnel::ForwardOptions;

/// The arguments of a call. Plain numbers cost less on the way than objects.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// What the method says; 0 if it has none.
    pub(crate) number: f64,
    /// A LINGER structure, packed, or milliseconds; 0 if it has none.
    pub(crate) value: f64,
    /// The limits of a rate.
    pub(crate) rate: MaxRate,
    /// The forward to start.
    pub(crate) forward: Option<ForwardOptions>,
    /// The host key to trust.
    pub(crate) host_key: Option<KnownHost>,
}

/// What a call is about, where numbers do not say it.
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct Subject {
    /// The forward to start.
    pub forward: Option<ForwardOption>,
    /// The host key to trust.
    pub host_key: Option<KnownHost>,
    /// The limits of a rate.
    pub rate: Option<types::MaxRate>,
}

impl TryFrom<Subject> for Arguments {
    type Error = napi::Error;

    fn try_from(Subject { forward, host_key, rate }: Subject) -> Result<Self, napi::Error> {
        let forward = forward.map(TryInto::try_into).transpose()?;
        let rate = rate.map(Into::into).unwrap_or_default();
        Ok(Self { forward, host_key, rate, ..Self::default() })
    }
}

impl Arguments {
    pub(crate) fn id(&self) -> u64 {
        self.number as u64
    }

    pub(crate) fn forward_id(&self) -> i64 {
        self.number as i64
    }
}
