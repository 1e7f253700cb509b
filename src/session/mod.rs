//! From a host name to an authenticated SSH session, and when to try again.
//!
//! - `config`: the server and how to connect to it; `error`: why there is no session.
//! - `connect`: how a session comes up; `auth`: keys, agent and prompts; `host_key`: trust.
//! - `connection`: a session that is up; `pump`: between a socket and a channel of it;
//!   `backoff`: when to reconnect.

mod auth;
mod backoff;
mod config;
mod connect;
mod connection;
mod error;
#[cfg(test)]
mod fixtures;
mod host_key;
mod pump;

pub use ssh_proto::{AuthMethod, Prompt, Prompts};

pub use auth::credentials::Credentials;
pub use auth::encrypted_secret::EncryptedSecret;
pub use auth::key_file::KeyFile;
pub use auth::responder::Responses;
pub use backoff::Reconnect;
pub use config::{Banner, Route, Target};
pub use connect::happy_eyeballs::{Dialing, Family};
#[cfg(unix)]
pub use connect::proxy_command::{ProxyCommand, Tokens};
#[cfg(unix)]
pub use connect::sock::Sock;
pub use error::{Error, FileLine, HostKeyReason, HostKeyRefusal, LossReason, system_code};
pub use host_key::known_hosts::ReadError;
pub use host_key::known_hosts_writer::RecordError;
pub use host_key::pin::{Pin, PinError};
pub use host_key::trust::{HostKeyInfo, Strictness, Trust};
pub use host_key::verify::HostKeyDecision;

pub(crate) use backoff::{Attempt, Backoff};
pub(crate) use connect::establish::connect;
pub(crate) use connect::happy_eyeballs::dial;
pub(crate) use connection::{FINAL_BRIDGE_TIMEOUT, Session, TimeoutGate};
pub(crate) use error::{lookup_code, open_code};
pub(crate) use pump::{Down, Pump, ReadOutcome, Up};
