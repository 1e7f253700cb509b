//! The cryptography of one direction, as the tunnel does it.

use std::str::FromStr;

use aws_lc_rs::aead::chacha20_poly1305_openssh::{OpeningKey, SealingKey};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::packet::{LENGTH, TAG};
use crate::error::Error;

/// Nonces come round after so many packets, so that packets can be sealed once and sent again and
/// again. It would be fatal to a secret; nothing here is one.
pub(super) const PERIOD: u32 = 64;

/// Any key is as fast as any other.
const KEY: [u8; 64] = [0x5a; 64];

/// The ciphers that there is a floor of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cipher {
    /// aes256-gcm@openssh.com
    Aes256Gcm,
    /// aes128-gcm@openssh.com
    Aes128Gcm,
    /// chacha20-poly1305@openssh.com
    ChaCha20,
}

impl FromStr for Cipher {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "aes256gcm" => Ok(Self::Aes256Gcm),
            "aes128gcm" => Ok(Self::Aes128Gcm),
            "chacha20" => Ok(Self::ChaCha20),
            _ => Err(()),
        }
    }
}

enum Key {
    Gcm(Box<LessSafeKey>),
    // Both are an opening and a sealing key of the same 64 bytes; each side uses one of them.
    ChaCha20(Box<(SealingKey, OpeningKey)>),
}

/// A key, and the number of the next packet.
pub(super) struct Crypt {
    key: Key,
    number: u32,
}

impl Crypt {
    pub(super) fn new(cipher: Cipher) -> Result<Self, Error> {
        let key = match cipher {
            Cipher::Aes256Gcm => gcm(&AES_256_GCM)?,
            Cipher::Aes128Gcm => gcm(&AES_128_GCM)?,
            Cipher::ChaCha20 => {
                Key::ChaCha20(Box::new((SealingKey::new(&KEY), OpeningKey::new(&KEY))))
            }
        };
        Ok(Self { key, number: 0 })
    }

    /// As if the packets before `number` had been through.
    pub(super) fn skip_to(&mut self, number: u64) {
        self.number = (number % u64::from(PERIOD)) as u32;
    }

    /// Seals a whole packet in place: length, body, room for the tag.
    pub(super) fn seal(&mut self, packet: &mut [u8]) -> Result<(), Error> {
        let number = self.next();
        let (body, tag) = packet.split_last_chunk_mut::<TAG>().ok_or(Error::Sealed)?;
        match &self.key {
            Key::Gcm(key) => {
                let (length, body) = body.split_at_mut(LENGTH);
                let sealed =
                    key.seal_in_place_separate_tag(nonce(number), Aad::from(&*length), body);
                tag.copy_from_slice(sealed.map_err(|_| Error::Sealed)?.as_ref());
            }
            Key::ChaCha20(keys) => keys.0.seal_in_place(number, body, tag),
        }
        Ok(())
    }

    /// The value of the length field of the next packet, which may be sealed too.
    pub(super) fn length(&self, field: [u8; LENGTH]) -> u32 {
        u32::from_be_bytes(match &self.key {
            Key::Gcm(_) => field,
            Key::ChaCha20(keys) => keys.1.decrypt_packet_length(self.number, field),
        })
    }

    /// Opens a whole packet in place.
    pub(super) fn open(&mut self, packet: &mut [u8]) -> Result<(), Error> {
        let number = self.next();
        let opened = match &self.key {
            Key::Gcm(key) => {
                let (length, sealed) = packet.split_at_mut(LENGTH);
                key.open_in_place(nonce(number), Aad::from(&*length), sealed).map(drop)
            }
            Key::ChaCha20(keys) => {
                let (sealed, tag) = packet.split_last_chunk_mut::<TAG>().ok_or(Error::Sealed)?;
                keys.1.open_in_place(number, sealed, tag).map(drop)
            }
        };
        opened.map_err(|_| Error::Sealed)
    }

    fn next(&mut self) -> u32 {
        let number = self.number;
        self.number = (number + 1) % PERIOD;
        number
    }
}

fn gcm(algorithm: &'static Algorithm) -> Result<Key, Error> {
    let key = UnboundKey::new(algorithm, &KEY[..algorithm.key_len()]);
    Ok(Key::Gcm(Box::new(LessSafeKey::new(key.map_err(|_| Error::Sealed)?))))
}

fn nonce(number: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}
