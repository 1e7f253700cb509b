//! The client side of the SSH protocol as a state machine: bytes in, bytes and events out.
//!
//! Nothing here opens a socket, reads a clock or starts a thread. [`Client`] lends out the place
//! to receive into and the bytes to send; whoever drives it does the input and output. That is
//! what lets a test play the whole protocol in memory, and the tunnel move bytes without copying.
//!
//! - [`client`]: the machine, and the order in which its methods are called.
//! - `transport`: identification, packets, ciphers, key exchange (RFC 4253).
//! - `userauth`: proving who the user is (RFC 4252); [`agent`]: messages to an agent that holds the
//!   user's keys.
//! - `connection`: the channels, how much the server may send on them, and how much of what it takes
//!   is sent at once (RFC 4254).
//! - [`key`]: private keys, host keys and signatures.
//! - `server_text`, `text`: what the other side says, made fit to be shown.
//! - `wire`, `message`: the encoding of values and the numbers of messages (RFC 4250, 4251).

#![forbid(unsafe_code)]

pub mod client;
mod connection;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod key;
mod message;
mod server_text;
mod text;
mod transport;
mod userauth;
mod wire;

pub use client::{Client, Event, ForwardEvent, ForwardId, Keepalive, Place, Refusal, Rekey, Setup};
pub use connection::channel::ChannelId;
pub use connection::receive_window::Windows;
pub use error::Error;
pub use message::{DisconnectReason, OpenFailure};
pub use text::{one_line, tail};
pub use transport::{AlgorithmError, AlgorithmKind, Algorithms, KnownKeys, Selection};
pub use userauth::agent;
pub use userauth::{
    AuthMethod, Banner, Credentials, Identity, IdentityError, Prompt, Prompts, Question,
    public_blob,
};
