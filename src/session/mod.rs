//! From a host name to a logged-on SSH session.

mod agent;
#[cfg(unix)]
mod carrier;
mod dial;
mod error;
#[cfg(unix)]
mod hop;
mod known_hosts;
mod link;
mod logon;
#[cfg(unix)]
mod proxy;
mod question;
mod stream;
mod target;
mod trust;

pub use ssh_proto::{AuthMethod, Prompt, Prompts};

pub use dial::{Dialing, Family};
pub use error::{Error, system_code};
pub use known_hosts::ReadError;
#[cfg(unix)]
pub use proxy::{ProxyCommand, Tokens};
pub use question::Responses;
pub use target::{Credentials, HostKeyInfo, KeyFile, Route, Target, Trust};
pub use trust::{Pin, PinError, Verdict};

pub(crate) use error::{lookup_code, open_code};
pub(crate) use link::Link;
pub(crate) use logon::open;
