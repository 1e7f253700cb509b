//! Node-API: what JavaScript calls and what it is told. No logic of its own.
//!
//! JavaScript knows a tunnel by a number (its handle) and a call by another; callbacks never leave
//! JavaScript.
//!
//! - [`exports`]: the functions of tunnels; [`sockopt`]: those of other sockets; [`key_files`]: those
//!   of `lib/ssh-config`. They take plain values that JavaScript has checked.
//! - [`tunnel_object`]: a handle's tunnel; [`calls`]: its calls in their order; [`options`]: its
//!   configuration.
//! - [`environment`]: the one function of a JavaScript environment that takes messages;
//!   [`observer`]: the events among them; [`types`] and [`errors`]: the objects in them.

// The macros of napi-derive expand to the unsafe calls of Node-API; nothing here is written by hand.
#![allow(unsafe_code)]

pub mod calls;
pub mod environment;
pub mod errors;
pub mod exports;
pub mod key_files;
pub mod observer;
pub mod options;
#[cfg(unix)]
pub mod sockopt;
pub mod tunnel_object;
pub mod types;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, poisoned or not: no holder of these locks can leave half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
