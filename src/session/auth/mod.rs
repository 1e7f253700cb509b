//! The application's side of authentication.
//!
//! - `responder`: the answers to what the protocol asks meanwhile; `agent`: signatures by an agent.
//! - `key_file`: a private key and its passphrase; `encrypted_secret`: a secret between two
//!   authentications.

pub(crate) mod agent;
pub(crate) mod encrypted_secret;
pub(crate) mod key_file;
pub(crate) mod responder;
