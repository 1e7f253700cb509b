//! A host key that the user trusts.

use napi_derive::napi;

use crate::binding::errors::{Failure, invalid};
use crate::session::Pin;
use crate::tunnel::{Pending, Tunnel};

/// A host key, and the server of a tunnel that has it.
#[napi(object, object_to_js = false)]
#[derive(Debug, Default)]
pub struct KnownHost {
    /// The option `host` of the server.
    pub host: String,
    /// Its option `port`.
    pub port: u16,
    /// The line of the key.
    pub public_key: String,
}

impl KnownHost {
    /// Begins to add the key to the known_hosts file of its server.
    pub(crate) fn trust(&self, tunnel: &Tunnel) -> Result<Pending<()>, Failure> {
        let text = &self.public_key;
        let invalid = |reason: String| {
            let mut failure = invalid("publicKey", reason, text);
            failure.message = failure.message.replacen("options", "hostKey", 1);
            failure
        };
        let pin: Pin =
            text.parse().map_err(|error: crate::session::PinError| invalid(error.to_string()))?;
        let key = pin.key().ok_or_else(|| invalid("a fingerprint is not a key".into()))?;
        let found = tunnel.trust_host(&self.host, self.port, key.clone());
        found.ok_or_else(|| {
            let message = format!(
                "The argument 'hostKey' must be of a server of this tunnel. Received {:?} and port {}",
                self.host, self.port
            );
            Failure::new("ERR_INVALID_ARG_VALUE", message)
        })
    }
}
