//! The client side of the SSH protocol as a state machine: bytes in, bytes and events out.
//!
//! Nothing here opens a socket, reads a clock or starts a thread. [`Client`] lends the caller the
//! buffer to receive into and the bytes to send; the caller does the input and output. So a test can
//! run the whole protocol in memory, and the tunnel moves bytes without copying.
//!
//! - [`client`]: the state machine, and the order in which its methods are called.
//! - `transport`: identification, packets, ciphers, key exchange (RFC 4253).
//! - `userauth`: authentication of the user (RFC 4252); [`agent`]: messages to an SSH agent.
//! - `connection`: channels, flow control, global requests and remote forwards (RFC 4254).
//! - [`key`]: private keys, host keys, certificates and signatures.
//! - `log`: what a session does, a line an event.
//! - `server_text`, `text`: text of the server, made printable.
//! - `wire`, `message`: the encoding of values and the numbers of messages (RFC 4250, 4251).

#![forbid(unsafe_code)]

pub mod client;
mod connection;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod key;
mod log;
mod message;
mod server_text;
mod text;
mod transport;
mod userauth;
mod wire;

pub use client::{Client, Event, Keepalive, Rekey, Setup};
pub use connection::channel::ChannelId;
pub use connection::global_request::RequestError;
pub use connection::host_key_update::HostKeys;
pub use connection::receive_window::Windows;
pub use connection::remote_forward::{ForwardEvent, ForwardId, ListenAddr};
pub use error::{AuthFailure, Error};
pub use log::{Log, LogSink};
pub use message::{DisconnectReason, OpenFailure};
pub use text::{one_line, tail};
pub use transport::{AlgorithmError, AlgorithmKind, Algorithms, KnownKeys, Selection};
pub use userauth::{
    AuthMethod, Banner, Credentials, Identity, IdentityError, Prompt, Prompts, PublicEntry,
    Question, agent,
};
