//! AES-GCM as OpenSSH uses it (RFC 5647): the length in the clear, the nonce a counter.

use aws_lc_rs::aead::{Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};

use super::{LENGTH, Layout};
use crate::Error;
use crate::transport::{Direction, Secrets};

const TAG: usize = 16;
/// The fixed part and the invocation counter (RFC 5647 section 7.1).
const NONCE: usize = 12;

pub(super) const LAYOUT: Layout = Layout { block: 16, aligned_length: 0, tag: TAG };

/// AES-GCM with its counting nonce.
pub(crate) struct Gcm {
    key: LessSafeKey,
    nonce: [u8; NONCE],
}

impl Gcm {
    pub(super) fn new(
        algorithm: &'static Algorithm,
        secrets: &Secrets,
        direction: Direction,
    ) -> Self {
        let key = secrets.key(direction, algorithm.key_len());
        let key = UnboundKey::new(algorithm, &key).expect("the key has the algorithm's length");
        let initial = secrets.initial_vector(direction, NONCE);
        let nonce = initial[..].try_into().expect("the vector has the nonce's length");
        Self { key: LessSafeKey::new(key), nonce }
    }

    /// Returns the nonce of the next packet. The counter has 64 bits and a random start; keys are
    /// replaced long before it repeats.
    fn next(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let (_, counter) = self.nonce.split_last_chunk_mut::<8>().expect("12 bytes hold 8");
        *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
        nonce
    }

    pub(super) fn seal(&mut self, packet: &mut [u8]) {
        let (length, body) = packet.split_at_mut(LENGTH);
        let (body, room) = body.split_at_mut(body.len() - TAG);
        let nonce = self.next();
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(&*length), body)
            .expect("a packet is far below the limit of the cipher");
        room.copy_from_slice(tag.as_ref());
    }

    pub(super) fn open(&mut self, packet: &mut [u8]) -> Result<(), Error> {
        let (length, sealed) = packet.split_at_mut(LENGTH);
        let nonce = self.next();
        let opened = self.key.open_in_place(nonce, Aad::from(&*length), sealed);
        opened.map(drop).map_err(|_| Error::Integrity)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::AES_256_GCM;

    use super::*;

    /// RFC 5647 section 7.1, computed independently: sealer and opener could share a mistake.
    #[test]
    fn the_nonce_counts_without_its_fixed_part() {
        let secrets = Secrets::for_tests();
        let key = secrets.key(Direction::ToServer, 32);
        let mut gcm = Gcm::new(&AES_256_GCM, &secrets, Direction::ToServer);
        gcm.nonce = [0xff; NONCE];
        for last in [[0xff; 8], [0; 8], [0, 0, 0, 0, 0, 0, 0, 1]] {
            let mut bytes = [&[0, 0, 0, 32][..], &[7; 32], &[0; TAG]].concat();
            gcm.seal(&mut bytes);
            let nonce = [&[0xff; 4][..], &last].concat().try_into().expect("twelve bytes");
            let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key fits");
            let (length, sealed) = bytes.split_at_mut(LENGTH);
            LessSafeKey::new(key)
                .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(&*length), sealed)
                .expect("sealed under this nonce");
        }
    }
}
