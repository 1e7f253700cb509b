//! Ciphers: sealing and opening one packet in place.
//!
//! A packet on the wire: `uint32 length, byte padding length, payload, padding`, then a tag. The
//! AEAD ciphers treat the length apart (GCM sends it in the clear, ChaCha20 under a key of its
//! own), so it does not count into the alignment.

use aws_lc_rs::aead::chacha20_poly1305_openssh as chacha;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::kex::Secrets;
use crate::Error;

/// Bytes of the length field.
pub(crate) const LENGTH: usize = 4;
/// Bytes of a tag, for every cipher that has one.
const TAG: usize = 16;
/// The fixed part and the invocation counter of a GCM nonce (RFC 5647 section 7.1).
const GCM_NONCE: usize = 12;
/// Two ChaCha20 keys: one for payloads, one for lengths.
const CHACHA_KEY: usize = 64;

/// Which way packets flow; each has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// A cipher that both sides can agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    /// Every cipher and its name, best first: AES is the faster one where processors know it.
    pub(crate) const ALL: [(&'static str, Cipher); 3] = [
        ("aes256-gcm@openssh.com", Cipher::Aes256Gcm),
        ("aes128-gcm@openssh.com", Cipher::Aes128Gcm),
        ("chacha20-poly1305@openssh.com", Cipher::ChaCha20Poly1305),
    ];

    fn gcm(self, secrets: &Secrets, direction: Direction) -> Gcm {
        let algorithm = match self {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305 => &AES_256_GCM,
        };
        let key = secrets.key(direction, algorithm.key_len());
        let key = UnboundKey::new(algorithm, &key).expect("the key has the algorithm's length");
        let initial = secrets.initial_vector(direction, GCM_NONCE);
        let nonce = initial[..].try_into().expect("the vector has the nonce's length");
        Gcm { key: LessSafeKey::new(key), nonce }
    }

    pub(crate) fn sealer(self, secrets: &Secrets, direction: Direction) -> Sealer {
        match self {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => Sealer::Gcm(self.gcm(secrets, direction)),
            Cipher::ChaCha20Poly1305 => {
                Sealer::ChaCha(chacha::SealingKey::new(&chacha_key(secrets, direction)))
            }
        }
    }

    pub(crate) fn opener(self, secrets: &Secrets, direction: Direction) -> Opener {
        match self {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => Opener::Gcm(self.gcm(secrets, direction)),
            Cipher::ChaCha20Poly1305 => {
                Opener::ChaCha(chacha::OpeningKey::new(&chacha_key(secrets, direction)))
            }
        }
    }
}

fn chacha_key(secrets: &Secrets, direction: Direction) -> zeroize::Zeroizing<[u8; CHACHA_KEY]> {
    let key = secrets.key(direction, CHACHA_KEY);
    zeroize::Zeroizing::new(key[..].try_into().expect("the key was made to this length"))
}

/// AES-GCM with its counting nonce.
pub(crate) struct Gcm {
    key: LessSafeKey,
    nonce: [u8; GCM_NONCE],
}

impl Gcm {
    /// The nonce for the next packet. The counter is 64 bits wide and starts anywhere; keys change
    /// long before it comes round.
    fn next(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let (_, counter) = self.nonce.split_last_chunk_mut::<8>().expect("12 bytes hold 8");
        *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
        nonce
    }
}

/// Seals the packets that we send.
pub(crate) enum Sealer {
    /// Before the first key exchange: neither encrypted nor authenticated.
    Plain,
    Gcm(Gcm),
    ChaCha(chacha::SealingKey),
}

/// Opens the packets that we receive.
pub(crate) enum Opener {
    /// Before the first key exchange: neither encrypted nor authenticated.
    Plain,
    Gcm(Gcm),
    ChaCha(chacha::OpeningKey),
}

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
const GCM: Layout = Layout { block: 16, aligned_length: 0, tag: TAG };
const CHACHA: Layout = Layout { block: 8, aligned_length: 0, tag: TAG };

impl Sealer {
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Sealer::Plain => PLAIN,
            Sealer::Gcm(_) => GCM,
            Sealer::ChaCha(_) => CHACHA,
        }
    }

    /// Seals `packet`: the whole of it, from the length field to the room for the tag.
    pub(crate) fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        match self {
            Sealer::Plain => {}
            Sealer::Gcm(gcm) => {
                let (length, body) = packet.split_at_mut(LENGTH);
                let (body, room) = body.split_at_mut(body.len() - TAG);
                let nonce = gcm.next();
                let tag = gcm
                    .key
                    .seal_in_place_separate_tag(nonce, Aad::from(&*length), body)
                    .expect("a packet is far below the limit of the cipher");
                room.copy_from_slice(tag.as_ref());
            }
            Sealer::ChaCha(key) => {
                let (body, room) =
                    packet.split_last_chunk_mut::<TAG>().expect("packets have room for the tag");
                key.seal_in_place(sequence, body, room);
            }
        }
    }
}

impl Opener {
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Opener::Plain => PLAIN,
            Opener::Gcm(_) => GCM,
            Opener::ChaCha(_) => CHACHA,
        }
    }

    /// The length that a packet claims to have; not authenticated yet.
    pub(crate) fn length(&self, sequence: u32, field: [u8; LENGTH]) -> u32 {
        u32::from_be_bytes(match self {
            Opener::Plain | Opener::Gcm(_) => field,
            Opener::ChaCha(key) => key.decrypt_packet_length(sequence, field),
        })
    }

    /// Opens `packet`: the whole of it, from the length field to the tag.
    pub(crate) fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
        match self {
            Opener::Plain => Ok(()),
            Opener::Gcm(gcm) => {
                let (length, sealed) = packet.split_at_mut(LENGTH);
                let nonce = gcm.next();
                let opened = gcm.key.open_in_place(nonce, Aad::from(&*length), sealed);
                opened.map(drop).map_err(|_| Error::Integrity)
            }
            Opener::ChaCha(key) => {
                let (sealed, tag) = packet.split_last_chunk_mut::<TAG>().ok_or(Error::Integrity)?;
                key.open_in_place(sequence, sealed, tag).map(drop).map_err(|_| Error::Integrity)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(cipher: Cipher) -> (Sealer, Opener) {
        let secrets = Secrets::for_tests();
        let direction = Direction::ToServer;
        (cipher.sealer(&secrets, direction), cipher.opener(&secrets, direction))
    }

    fn packet() -> Vec<u8> {
        let mut packet = vec![0, 0, 0, 32];
        packet.extend([7; 32]);
        packet.extend([0; TAG]);
        packet
    }

    #[test]
    fn what_is_sealed_opens_once_and_in_order() {
        for (name, cipher) in Cipher::ALL {
            let (mut sealer, mut opener) = pair(cipher);
            for sequence in [0, 1, 2] {
                let mut bytes = packet();
                sealer.seal(sequence, &mut bytes);
                assert_ne!(bytes[LENGTH..][..32], [7; 32], "{name} hides the payload");
                let field = bytes[..LENGTH].try_into().expect("four bytes");
                assert_eq!(opener.length(sequence, field), 32, "{name}");
                opener.open(sequence, &mut bytes).expect(name);
                assert_eq!(bytes[LENGTH..][..32], [7; 32], "{name}");
            }
        }
    }

    /// RFC 5647 section 7.1, worked out apart: both of our sides would make the same mistake.
    #[test]
    fn the_counter_of_gcm_goes_up_by_one_and_leaves_the_fixed_part_alone() {
        let secrets = Secrets::for_tests();
        let key = secrets.key(Direction::ToServer, 32);
        let (mut sealer, _) = pair(Cipher::Aes256Gcm);
        let Sealer::Gcm(gcm) = &mut sealer else { panic!("the cipher is GCM") };
        gcm.nonce = [0xff; GCM_NONCE];
        for last in [[0xff; 8], [0; 8], [0, 0, 0, 0, 0, 0, 0, 1]] {
            let mut bytes = packet();
            sealer.seal(0, &mut bytes);
            let nonce = [&[0xff; 4][..], &last].concat().try_into().expect("twelve bytes");
            let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key fits");
            let (length, sealed) = bytes.split_at_mut(LENGTH);
            LessSafeKey::new(key)
                .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(&*length), sealed)
                .expect("sealed under this nonce");
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        for (name, cipher) in Cipher::ALL {
            for at in 0..packet().len() {
                let (mut sealer, mut opener) = pair(cipher);
                let mut bytes = packet();
                sealer.seal(0, &mut bytes);
                bytes[at] ^= 1;
                assert_eq!(opener.open(0, &mut bytes), Err(Error::Integrity), "{name} at {at}");
            }
        }
    }

    #[test]
    fn a_packet_out_of_order_is_noticed() {
        for (name, cipher) in Cipher::ALL {
            let (mut sealer, mut opener) = pair(cipher);
            let mut first = packet();
            sealer.seal(0, &mut first);
            let mut second = packet();
            sealer.seal(1, &mut second);
            assert_eq!(opener.open(0, &mut second), Err(Error::Integrity), "{name}");
        }
    }
}
