//! The SSH client protocol as a state machine: bytes in, bytes and events out.
#![forbid(unsafe_code)]

pub mod key;
