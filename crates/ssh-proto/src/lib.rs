//! The client side of the SSH protocol as a state machine: bytes in, bytes and events out.
//!
//! Nothing here opens a socket, reads a clock or starts a thread. [`Client`] lends out the place
//! to receive into and the bytes to send; whoever drives it does the input and output. That is
//! what lets a test play the whole protocol in memory, and the tunnel move bytes without copying.
//!
//! - [`client`]: the machine, and the order in which its methods are called.
//! - `transport`: identification, packets, ciphers, key exchange (RFC 4253).
//! - [`agent`]: what is said to an agent that holds the user's keys.
//! - `auth`: proving who the user is (RFC 4252).
//! - `channel`, `window`, `pacing`: the channels, how much the server may send on them, and how
//!   much of what it takes is sent at once (RFC 4254).
//! - [`key`]: private keys, host keys and signatures.
//! - `said`, `text`: what the other side says, made fit to be shown.
//! - `wire`, `message`: the encoding of values and the numbers of messages (RFC 4250, 4251).

#![forbid(unsafe_code)]

pub mod agent;
mod auth;
mod channel;
pub mod client;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod key;
mod message;
mod pacing;
mod said;
mod text;
mod transport;
mod window;
mod wire;

pub use auth::{
    AuthMethod, Banner, Credentials, Identity, IdentityError, Prompt, Prompts, Question,
    public_blob,
};
pub use channel::ChannelId;
pub use client::{Client, Event, ForwardEvent, ForwardId, Keepalive, Place, Refusal, Rekey, Setup};
pub use error::Error;
pub use message::{DisconnectReason, OpenFailure};
pub use text::{one_line, tail};
pub use transport::{AlgorithmError, AlgorithmKind, Algorithms, KnownKeys, Selection};
pub use window::Windows;
