//! The transport layer (RFC 4253).
//!
//! - `identification`: the version strings.
//! - `inbound`, `outbound`: the buffers in which packets are opened and sealed; `volume` counts them.
//! - `cipher`, `compression`: what is done to packets.
//! - `algorithms`, `negotiation`: the algorithms that are offered, and KEXINIT.
//! - `kex`: the key exchange methods; `secrets`: the exchange hash and the keys derived from it.

mod algorithms;
mod cipher;
mod compression;
mod identification;
mod inbound;
mod kex;
mod negotiation;
mod outbound;
mod secrets;
mod volume;

pub use algorithms::{AlgorithmError, AlgorithmKind, Algorithms, Selection};
pub(crate) use cipher::Opener;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use cipher::{Protection, Sealer};
pub(crate) use compression::Compression;
pub(crate) use identification::Identification;
pub(crate) use inbound::Inbound;
pub(crate) use kex::{Exchange, Step};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use kex::{GROUP_14, GROUP_16, GROUP_18, Kex};
pub use negotiation::KnownKeys;
pub(crate) use negotiation::{Agreed, KexInit, Offer};
pub(crate) use outbound::{Outbound, PacketNumber};
pub(crate) use secrets::{Direction, Secrets, Transcript};
pub(crate) use volume::Volume;
