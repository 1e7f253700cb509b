//! Sessions played in memory: the client against a scripted server, without sockets or sleeps.
//!
//! Every test drives both sides until nothing is pending any more and then looks at what each of
//! them saw. Time is a value that the test moves, and randomness comes from a seed.
//!
//! The fuzzer plays with the same server and keeps the same books: what it needs is there with the
//! feature `fuzzing` too.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.
#![cfg_attr(not(test), allow(dead_code))]

mod agreement;
mod judge;
mod link;
mod messages;
mod pair;
mod random;
mod server;
mod session;
mod siege;
mod turmoil;

#[cfg(test)]
mod authentication;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod forwards;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod host_keys;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keepalive;
#[cfg(test)]
mod kex;
#[cfg(test)]
mod known_attacks;
#[cfg(test)]
mod logon;
#[cfg(test)]
mod misuse;
#[cfg(test)]
mod names;
#[cfg(test)]
mod rekey;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod windows;

pub use session::session;
pub use siege::hostile;
