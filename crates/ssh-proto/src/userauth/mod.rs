//! Authentication of the user (RFC 4252).
//!
//! - `auth`: [`Auth`] sends one request after another until the server accepts one.
//! - `questions`: what it cannot do by itself: signing with an agent's key, and answers to prompts.
//!   It asks a [`Question`] then, and goes on when it is answered.
//! - `attempts`: the requests in their order; `tried`: the requests that were made.
//! - `credentials`, `identity`, `certificate`: the user's name, keys and secrets.
//! - `request`, `prompts`: messages. [`agent`]: messages to an SSH agent.

pub mod agent;
mod attempts;
mod auth;
mod certificate;
mod credentials;
mod identity;
mod prompts;
mod questions;
mod request;
#[cfg(test)]
mod tests;
mod tried;

pub use auth::Banner;
pub(crate) use auth::{Auth, Step};
pub use certificate::{IdentityError, PublicEntry};
pub use credentials::{AuthMethod, Credentials};
pub use identity::Identity;
pub(crate) use identity::user_key_algorithms;
pub use prompts::{Prompt, Prompts};
pub use questions::Question;
