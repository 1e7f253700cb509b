//! From a host name to a logged-on SSH session, and when to go that way again.

mod agent;
#[cfg(unix)]
mod carrier;
mod certificate;
mod dial;
mod error;
#[cfg(test)]
mod fixtures;
#[cfg(unix)]
mod hop;
mod key_file;
mod known_hosts;
mod learning;
mod link;
mod logon;
mod pin;
#[cfg(unix)]
mod proxy;
mod question;
mod reconnect;
mod record;
mod revoked;
mod shield;
#[cfg(unix)]
mod sock;
mod stream;
mod target;
mod trust;

pub use ssh_proto::{AuthMethod, Prompt, Prompts};

pub use dial::{Dialing, Family};
pub use error::{Error, system_code};
pub use key_file::KeyFile;
pub use known_hosts::ReadError;
pub use pin::{Pin, PinError};
#[cfg(unix)]
pub use proxy::{ProxyCommand, Tokens};
pub use question::Responses;
pub use reconnect::Reconnect;
pub use record::RecordError;
pub use shield::Shielded;
#[cfg(unix)]
pub use sock::Sock;
pub use target::{Banner, Credentials, HostKeyInfo, Route, Strictness, Target, Trust};
pub use trust::Verdict;

pub(crate) use dial::dial;
pub(crate) use error::{lookup_code, open_code};
pub(crate) use learning::learn;
pub(crate) use link::{Hearing, LAST_MOMENT, Link};
pub(crate) use logon::{open, random};
pub(crate) use reconnect::{Attempt, Backoff};
