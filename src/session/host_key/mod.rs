//! Whether a host key is trusted.
//!
//! - `trust`: the sources of trust; `verify`: the decision; `pin`: keys that the application names;
//!   `known_hosts`: files of keys; `known_hosts_command`: a program that prints their lines;
//!   `certificate`: host certificates; `revoked`: files of revoked keys; `refusal`: why a key is refused.
//! - `known_hosts_writer`: adds keys to a file; `update`: other keys of a known host (UpdateHostKeys).

pub(crate) mod certificate;
pub(crate) mod known_hosts;
pub(crate) mod known_hosts_command;
pub(crate) mod known_hosts_writer;
pub(crate) mod pin;
pub(crate) mod refusal;
pub(crate) mod revoked;
pub(crate) mod trust;
pub(crate) mod update;
pub(crate) mod verify;
