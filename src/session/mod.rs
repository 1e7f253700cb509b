//! SSH sessions: connecting, authenticating, reconnecting.
//!
//! - `config`: the server and how to connect to it; `error`: why there is no session.
//! - `connect`: connects a session; `auth`: credentials, agent and prompts; `host_key`: trust.
//! - `connection`: an established session; `pump`: moves bytes between a socket and a channel;
//!   `path`: whether its path may have changed; `backoff`: when to reconnect.

mod auth;
mod backoff;
mod config;
mod connect;
mod connection;
mod error;
#[cfg(test)]
mod fixtures;
mod host_key;
mod path;
mod pump;

pub use ssh_proto::{AuthMethod, Log, LogSink, Prompt, Prompts};

pub use auth::application::{
    Application, Banner, CredentialsAnswer, CredentialsQuestion, CredentialsRequest, GivenKeys,
    Inquiry, PendingCredentials, Responses, Subject, Verdict,
};
pub use auth::credentials::{AgentSource, Credentials};
pub use auth::encrypted_secret::EncryptedSecret;
pub use auth::key_file::{KeyFile, Passphrase};
pub use backoff::Reconnect;
pub use config::{Route, Target};
pub use connect::happy_eyeballs::{Dialing, Family};
pub use connect::proxy::{Proxy, ProxyLogin, ProxyProtocol};
pub use connect::proxy_command::{ProxyCommand, Tokens};
pub use connect::sock::SockStream;
pub use error::{CredentialsFailure, Error, LossReason, ProxyFault, ProxyRefusal, Thrown};
pub use host_key::known_hosts::ReadError;
pub use host_key::known_hosts_command::KnownHostsCommand;
pub use host_key::known_hosts_writer::WriteError;
pub use host_key::pin::{Pin, PinError};
pub use host_key::refusal::{FileLine, HostKeyReason, HostKeyRefusal, OfferedKey};
pub use host_key::trust::{HostKeyInfo, Strictness, Trust};
pub use host_key::verify::HostKeyDecision;

pub(crate) use backoff::{Attempt, Backoff};
pub(crate) use connect::establish::connect;
pub(crate) use connect::happy_eyeballs::dial;
pub(crate) use connection::{BULK, FINAL_BRIDGE_TIMEOUT, OpenEarly, Session, TimeoutGate};
pub(crate) use error::open_code;
pub(crate) use pump::{Down, Pump, ReadOutcome, Up};
