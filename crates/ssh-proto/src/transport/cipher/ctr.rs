//! AES in counter mode (RFC 4344) with a MAC.

use aws_lc_rs::cipher::{Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey};

use super::mac::{Covers, Keyed};
use super::{LENGTH, Layout, Mac};
use crate::Error;
use crate::transport::{Direction, Secrets};

/// Bytes of an AES block, and so of the counter.
const BLOCK: usize = 16;

/// One direction under AES-CTR. Decrypting is the same as encrypting.
pub(crate) struct Ctr {
    key: EncryptingKey,
    /// The counter of the packet's first block. It runs on from packet to packet, through all of
    /// its 128 bits; a packet is made of whole blocks, so that no block serves two packets.
    counter: u128,
    mac: Keyed,
    covers: Covers,
}

impl Ctr {
    pub(super) fn new(
        algorithm: &'static Algorithm,
        key_length: usize,
        mac: Mac,
        secrets: &Secrets,
        direction: Direction,
    ) -> Self {
        let key = secrets.key(direction, key_length);
        let key = UnboundCipherKey::new(algorithm, &key)
            .and_then(EncryptingKey::ctr)
            .expect("the key has the algorithm's length");
        let initial = secrets.initial_vector(direction, BLOCK);
        let counter = initial[..].try_into().expect("the vector has the block's length");
        Self {
            key,
            counter: u128::from_be_bytes(counter),
            mac: Keyed::new(mac, secrets, direction),
            covers: mac.covers(),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        let aligned_length = match self.covers {
            Covers::Ciphertext => 0,
            Covers::Plaintext => LENGTH,
        };
        Layout { block: BLOCK, aligned_length, tag: self.mac.tag_length() }
    }

    /// What a packet's length field says. A hidden one is decrypted apart: the packet stays as it
    /// came until all of it is there, and the counter where it is.
    pub(super) fn length(&self, mut field: [u8; LENGTH]) -> [u8; LENGTH] {
        match self.covers {
            Covers::Ciphertext => {}
            Covers::Plaintext => self.apply(&mut field),
        }
        field
    }

    pub(super) fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        let (packet, room) = packet.split_at_mut(packet.len() - self.mac.tag_length());
        let tag = match self.covers {
            Covers::Ciphertext => {
                self.advance(&mut packet[LENGTH..]);
                self.mac.sign(sequence, packet)
            }
            Covers::Plaintext => {
                let tag = self.mac.sign(sequence, packet);
                self.advance(packet);
                tag
            }
        };
        room.copy_from_slice(tag.as_ref());
    }

    pub(super) fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        let (packet, tag) = packet.split_at_mut(packet.len() - self.mac.tag_length());
        match self.covers {
            Covers::Ciphertext => {
                self.mac.verify(sequence, packet, tag)?;
                self.advance(&mut packet[LENGTH..]);
                Ok(())
            }
            Covers::Plaintext => {
                self.advance(packet);
                self.mac.verify(sequence, packet, tag)
            }
        }
    }

    /// Encrypts or decrypts the part of a packet that is hidden, and goes on to the next packet.
    fn advance(&mut self, bytes: &mut [u8]) {
        self.apply(bytes);
        self.counter = self.counter.wrapping_add(bytes.len().div_ceil(BLOCK) as u128);
    }

    /// Goes on from another counter.
    #[cfg(test)]
    pub(super) fn start_at(&mut self, counter: u128) {
        self.counter = counter;
    }

    fn apply(&self, bytes: &mut [u8]) {
        // The cipher goes on from a counter that it is given; that is what keeps it streaming.
        let context = EncryptionContext::Iv128(self.counter.to_be_bytes().into());
        self.key
            .less_safe_encrypt(bytes, context)
            .expect("counter mode takes any length and this form of counter");
    }
}
