//! Ciphers: sealing and opening one packet in place.
//!
//! A packet on the wire: `uint32 length, byte padding length, payload, padding`, then a tag. How
//! the length travels differs: GCM and MACs over the encrypted packet leave it in the clear,
//! ChaCha20 has a key of its own for it, and MACs over the plain packet hide it in the first block.
//! Only in the last case does it count into the alignment.

mod chacha;
mod ctr;
mod gcm;
mod mac;
mod suite;

pub(crate) use mac::Mac;
#[cfg(test)]
pub(super) use suite::ciphers;
pub(crate) use suite::{Cipher, Protection};

use aws_lc_rs::aead::chacha20_poly1305_openssh as openssh;

use crate::Error;
use ctr::Ctr;
use gcm::Gcm;

/// Bytes of the length field.
pub(crate) const LENGTH: usize = 4;
/// Bytes of the longest tag: that of HMAC-SHA-512.
pub(crate) const LONGEST_TAG: usize = 64;

/// How packets are laid out under a cipher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The aligned part of a packet is a multiple of this.
    pub(crate) block: usize,
    /// How much of the length field counts into the alignment: all of it or nothing.
    pub(crate) aligned_length: usize,
    /// Bytes after the padding.
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

    /// Seals `packet`: the whole of it, from the length field to the room for the tag.
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

    /// The length that a packet claims to have, from its first bytes; not authenticated yet.
    pub(crate) fn length(&self, sequence: u32, field: [u8; LENGTH]) -> u32 {
        u32::from_be_bytes(match self {
            Opener::Plain | Opener::Gcm(_) => field,
            Opener::ChaCha(key) => key.decrypt_packet_length(sequence, field),
            Opener::Ctr(ctr) => ctr.length(field),
        })
    }

    /// Opens `packet`: the whole of it, from the length field to the tag. After an error what is in
    /// it means nothing.
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
