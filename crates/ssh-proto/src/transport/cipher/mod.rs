//! Ciphers: sealing and opening one packet in place (RFC 4253 section 6).
//!
//! A packet on the wire: `uint32 length, byte padding length, payload, padding`, then a tag. The
//! length is in the clear with GCM and with MACs over the encrypted packet; ChaCha20 encrypts it with
//! a key of its own; with MACs over the plain packet it is a part of the first block. Only in the last
//! case does it count into the alignment.

mod chacha;
mod ctr;
mod gcm;
mod mac;
mod suite;

pub(crate) use mac::Mac;
#[cfg(test)]
pub(super) use suite::ciphers;
pub(crate) use suite::{Cipher, Protection, name_of};

use aws_lc_rs::aead::chacha20_poly1305_openssh as openssh;

use crate::Error;
use ctr::Ctr;
use gcm::Gcm;

/// Bytes of the length field.
pub(crate) const LENGTH: usize = 4;
/// Maximum size of a tag in bytes: that of HMAC-SHA-512.
pub(crate) const MAX_TAG: usize = 64;

/// The layout of packets under a cipher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The aligned part of a packet is a multiple of this.
    pub(crate) block: usize,
    /// How much of the length field counts into the alignment: all of it or nothing.
    pub(crate) aligned_length: usize,
    /// Bytes of the tag.
    pub(crate) tag: usize,
}

const PLAIN: Layout = Layout { block: 8, aligned_length: LENGTH, tag: 0 };

/// Seals the packets that we send.
pub(crate) enum Sealer {
    /// Before the first key exchange: neither encrypted nor authenticated.
    Plain,
    Gcm(Gcm),
    ChaCha(openssh::SealingKey),
    Ctr(Box<Ctr>),
}

/// Opens the packets that we receive.
pub(crate) enum Opener {
    /// Before the first key exchange: neither encrypted nor authenticated.
    Plain,
    Gcm(Gcm),
    ChaCha(openssh::OpeningKey),
    Ctr(Box<Ctr>),
}

impl Sealer {
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Sealer::Plain => PLAIN,
            Sealer::Gcm(_) => gcm::LAYOUT,
            Sealer::ChaCha(_) => chacha::LAYOUT,
            Sealer::Ctr(ctr) => ctr.layout(),
        }
    }

    /// Seals `packet`, which extends from the length field to the room for the tag.
    pub(crate) fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        match self {
            Sealer::Plain => {}
            Sealer::Gcm(gcm) => gcm.seal(packet),
            Sealer::ChaCha(key) => chacha::seal(key, sequence, packet),
            Sealer::Ctr(ctr) => ctr.seal(sequence, packet),
        }
    }
}

impl Opener {
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Opener::Plain => PLAIN,
            Opener::Gcm(_) => gcm::LAYOUT,
            Opener::ChaCha(_) => chacha::LAYOUT,
            Opener::Ctr(ctr) => ctr.layout(),
        }
    }

    /// Returns the length of a packet from its first bytes; it is not authenticated yet.
    pub(crate) fn length(&self, sequence: u32, field: [u8; LENGTH]) -> u32 {
        u32::from_be_bytes(match self {
            Opener::Plain | Opener::Gcm(_) => field,
            Opener::ChaCha(key) => key.decrypt_packet_length(sequence, field),
            Opener::Ctr(ctr) => ctr.length(field),
        })
    }

    /// Opens `packet`, which extends from the length field to the tag. After an error its contents are
    /// undefined.
    pub(crate) fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        match self {
            Opener::Plain => Ok(()),
            Opener::Gcm(gcm) => gcm.open(packet),
            Opener::ChaCha(key) => chacha::open(key, sequence, packet),
            Opener::Ctr(ctr) => ctr.open(sequence, packet),
        }
    }
}

#[cfg(test)]
mod tests;
