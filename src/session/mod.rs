//! From a host name to a logged-on SSH session, and when to go that way again.

mod agent;
mod dial;
mod error;
mod known_hosts;
mod logon;
mod question;
mod reconnect;
mod target;
mod trust;

pub use ssh_proto::{AuthMethod, Prompt, Prompts};

pub use error::{Error, system_code};
pub use known_hosts::ReadError;
pub use question::Responses;
pub use reconnect::Reconnect;
pub use target::{Credentials, HostKeyInfo, Target, Trust};
pub use trust::{Pin, PinError, Verdict};

pub(crate) use error::lookup_code;
pub(crate) use logon::{Session, open};
pub(crate) use reconnect::{Attempt, Backoff};
