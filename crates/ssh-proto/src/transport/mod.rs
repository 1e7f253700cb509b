//! The transport layer (RFC 4253): packets, their ciphers, and the key exchange.

mod algorithms;
mod cipher;
mod exchange;
mod identification;
mod inbound;
mod negotiation;
mod outbound;

pub use algorithms::{AlgorithmError, AlgorithmKind, Algorithms, Selection};
#[cfg(test)]
pub(crate) use cipher::Protection;
pub(crate) use cipher::{Direction, Opener};
pub(crate) use exchange::{Exchange, Secrets, Transcript};
pub(crate) use identification::Identification;
pub(crate) use inbound::Inbound;
pub(crate) use negotiation::{Agreed, KexInit, Offer};
pub(crate) use outbound::Outbound;
