//! From a host name to a logged-on SSH session.

mod error;
mod target;

pub use error::{Error, system_code};
pub use target::{Credentials, HostKeyInfo, Target, Trust};
