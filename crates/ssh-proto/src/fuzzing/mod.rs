//! What the fuzzer runs: one function for each target, which takes the fuzzer's bytes and panics
//! when something is wrong.
//!
//! They are here and not beside the targets because they reach into what is private, and because
//! the tests run them too, over the seeds. They are no part of the library that a program links:
//! only tests and the feature `fuzzing` have them.

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

/// Whether a terminal may show a text of several lines.
fn is_harmless(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
}
