//! The application's side of authentication.
//!
//! - `application`: what the application is asked.
//! - `credentials`: password, keys and methods; `key_file`: a private key and its passphrase;
//!   `encrypted_secret`: a secret that a later authentication needs.
//! - `responder`: answers to the questions of a server; `agent`: signatures by an agent.

pub(crate) mod agent;
pub(crate) mod application;
pub(crate) mod credentials;
pub(crate) mod encrypted_secret;
pub(crate) mod key_file;
pub(crate) mod responder;
