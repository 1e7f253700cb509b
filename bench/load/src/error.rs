//! What can go wrong, and the count of it.

use std::fmt;
use std::io;

use thiserror::Error;

/// Why a command could not start, or one exchange of it failed.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The command line is not understood.
    #[error("{0}; --help tells what there is")]
    Usage(String),
    /// A socket said no: refused, reset, or anything else of the kernel's words.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer ended its direction too early.
    #[error("ended after {got} of {expected} bytes")]
    Early {
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come.
        expected: u64,
    },
    /// The peer sent more than it should.
    #[error("{got} bytes where {expected} were expected")]
    Excess {
        /// Bytes that came, at least.
        got: u64,
        /// Bytes that should have come.
        expected: u64,
    },
    /// The sink counted something else than was sent.
    #[error("{sent} bytes were sent and {counted} arrived")]
    Count {
        /// Bytes that were written.
        sent: u64,
        /// Bytes that the sink has read.
        counted: u64,
    },
    /// The two ends do not have the same cipher, or one has ended within a packet.
    #[error("a packet is not whole or does not open")]
    Sealed,
    /// No end came in the time given.
    #[error("no end within {0} seconds")]
    Timeout(u64),
    /// A task of our own has panicked.
    #[error("a task has failed")]
    Task,
}

/// Counts failed exchanges; says on stderr what the first one was.
#[derive(Debug, Default)]
pub(crate) struct Failures(u64);

impl Failures {
    pub(crate) fn add(&mut self, reason: &dyn fmt::Display) {
        if self.0 == 0 {
            eprintln!("sshtunnel-load: first failure: {reason}");
        }
        self.0 += 1;
    }

    pub(crate) fn count(&self) -> u64 {
        self.0
    }
}
