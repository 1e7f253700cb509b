//! AES in counter mode (RFC 4344) with a MAC.

use aws_lc_rs::cipher::{Algorithm, EncryptingKey, EncryptionContext, UnboundCipherKey};

use super::mac::{Covers, Keyed};
use super::{LENGTH, Layout, Mac};
use crate::Error;
use crate::transport::{Direction, Secrets};

/// Bytes of an AES block and of the counter.
const BLOCK: usize = 16;

/// One direction under AES-CTR. Decryption is the same as encryption.
pub(crate) struct Ctr {
    key: EncryptingKey,
    /// The counter of the next packet's first block. It runs on from packet to packet, in all of its
    /// 128 bits; packets consist of whole blocks, so no block is used twice.
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

    /// Returns the length field of a packet in the clear. An encrypted one is decrypted as a copy: the
    /// packet and the counter stay as they are until all of the packet is received.
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

    /// Encrypts or decrypts the encrypted part of a packet, and advances the counter behind it.
    fn advance(&mut self, bytes: &mut [u8]) {
        self.apply(bytes);
        self.counter = self.counter.wrapping_add(bytes.len().div_ceil(BLOCK) as u128);
    }

    /// Encrypts or decrypts from the counter on.
    #[cfg(test)]
    pub(super) fn start_at(&mut self, counter: u128) {
        self.counter = counter;
    }

    fn apply(&self, bytes: &mut [u8]) {
        // The counter is passed to each call, so that the key needs no state.
        let context = EncryptionContext::Iv128(self.counter.to_be_bytes().into());
        self.key
            .less_safe_encrypt(bytes, context)
            .expect("counter mode takes any length and this form of counter");
    }
}
