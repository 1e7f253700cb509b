//! Node-API: the functions that JavaScript calls, and the messages that it receives. No logic.
//!
//! JavaScript has a number for each tunnel (its handle) and for each call; callbacks stay in JavaScript.
//!
//! - [`exports`]: the functions of tunnels; `sockopt`: those of other sockets, [`socket_options`]: the
//!   numbers of their options; [`key_files`]: those of `lib/ssh-config`. They take plain values that JavaScript has checked.
//! - [`tunnel_object`]: the tunnel of a handle; [`calls`]: its methods, [`arguments`]: what these take, `turns`: the order of their
//!   replies; [`options`]: its options.
//! - `process`: what the command does to its process. [`streams`]: the streams that JavaScript reads and writes.
//! - [`environment`]: the link to a JavaScript environment; [`observer`]: the events of a tunnel; `questions`: its
//!   open questions; [`types`] and [`errors`]: the objects in messages.

// The macros of napi-derive expand to the unsafe calls of Node-API; nothing here is written by hand.
#![allow(unsafe_code)]

pub mod arguments;
pub mod calls;
pub mod environment;
pub mod errors;
pub mod exports;
pub mod key_files;
pub mod observer;
pub mod options;
#[cfg(unix)]
pub mod process;
mod questions;
pub mod socket_options;
#[cfg(unix)]
pub mod sockopt;
pub mod streams;
pub mod tunnel_object;
mod turns;
pub mod types;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also a poisoned one: no holder leaves a change half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
