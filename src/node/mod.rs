//! Node-API: what JavaScript calls and what it is told. No logic of its own.
//!
//! JavaScript knows a tunnel by a number (its handle) and a call by another; callbacks never leave
//! JavaScript. The way in: [`binding`] takes plain numbers that `index.js` has checked, [`calls`]
//! keeps them in order, [`object`] is what a handle stands for, [`options`] makes a tunnel's
//! configuration, with [`algorithms`] and [`routes`]; [`keys`] tells what is in key files. Sockets
//! that are not the addon's come in through `sockets`. The way out: [`events`] and the replies of
//! [`calls`] become messages that [`environment`] hands to the one function JavaScript attached;
//! [`shapes`], [`stats`], [`prompts`] and [`errors`] have the objects in them.

// The macros of napi-derive expand to the unsafe calls of Node-API; nothing here is written by hand.
#![allow(unsafe_code)]

pub mod algorithms;
pub mod binding;
pub mod calls;
pub mod environment;
pub mod errors;
pub mod events;
pub mod keys;
pub mod object;
pub mod options;
pub mod prompts;
pub mod routes;
pub mod shapes;
#[cfg(unix)]
pub mod sockets;
pub mod stats;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, poisoned or not: no holder of these locks can leave half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
