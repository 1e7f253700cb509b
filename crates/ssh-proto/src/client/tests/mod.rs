//! Sessions in memory: the client against a scripted server, without sockets or sleeps.
//!
//! Every test drives both sides until nothing is pending, and then checks what each of them has
//! received. Time is a value that the test sets, and randomness comes from a seed.
//!
//! The fuzzer uses the same server and models, and so the harness is also built with the feature
//! `fuzzing`.

#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.
#![cfg_attr(not(test), allow(dead_code))]

mod fuzzed_session;
mod harness;
mod hostile_server;
mod random_sessions;

#[cfg(test)]
mod api_misuse;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod early_opens;
#[cfg(test)]
mod flow_control;
#[cfg(test)]
mod global_requests;
#[cfg(test)]
mod host_certificates;
#[cfg(test)]
mod host_key_update;
#[cfg(test)]
mod keepalive;
#[cfg(test)]
mod kex_methods;
#[cfg(test)]
mod kex_reply;
#[cfg(test)]
mod known_attacks;
#[cfg(test)]
mod long_names;
#[cfg(test)]
mod malformed_packets;
#[cfg(test)]
mod protocol_violations;
#[cfg(test)]
mod receive_windows;
#[cfg(test)]
mod rekey_by_client;
#[cfg(test)]
mod rekey_by_server;
#[cfg(test)]
mod remote_forwards;
#[cfg(test)]
mod strict_kex;
#[cfg(test)]
mod userauth;

pub use fuzzed_session::session;
pub use hostile_server::hostile;
