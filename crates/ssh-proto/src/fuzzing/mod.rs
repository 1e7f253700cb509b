//! The fuzz targets: each is a function that takes the fuzzer's bytes and panics when something is
//! wrong.
//!
//! They are in this crate because they need private items, and because the tests run them over the
//! seeds. Only tests and the feature `fuzzing` build them.

#![allow(clippy::unwrap_used)] // What does not hold is to end the run.

mod channels;
mod handshake;
mod input;
mod keys;
mod packets;
mod server_messages;
mod server_model;
#[cfg(test)]
mod tests;
mod userauth;

pub use crate::client::tests::{hostile, session};
pub use channels::channels;
pub use handshake::{identification, kexinit, key_exchange};
pub(crate) use input::Input;
pub use keys::{agent, certificate, private_key, public_key};
pub use packets::{compression, packets};
pub use userauth::authentication;

/// Returns whether a terminal may show a text of several lines.
fn is_harmless(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
}
