//! ChaCha20-Poly1305 as OpenSSH uses it: one key for lengths, one for the rest, and the sequence number
//! as the nonce.

use aws_lc_rs::aead::chacha20_poly1305_openssh::{OpeningKey, SealingKey};
use zeroize::Zeroizing;

use super::Layout;
use crate::Error;
use crate::transport::{Direction, Secrets};

const TAG: usize = 16;
/// Both keys.
pub(super) const KEY: usize = 64;

pub(super) const LAYOUT: Layout = Layout { block: 8, aligned_length: 0, tag: TAG };

pub(super) fn key(secrets: &Secrets, direction: Direction) -> Zeroizing<[u8; KEY]> {
    let key = secrets.key(direction, KEY);
    Zeroizing::new(key[..].try_into().expect("the key was made to this length"))
}

pub(super) fn seal(key: &SealingKey, sequence: u32, packet: &mut [u8]) {
    let (body, room) = packet.split_last_chunk_mut::<TAG>().expect("packets have room for the tag");
    key.seal_in_place(sequence, body, room);
}

pub(super) fn open(key: &OpeningKey, sequence: u32, packet: &mut [u8]) -> Result<(), Error> {
    let (sealed, tag) = packet.split_last_chunk_mut::<TAG>().ok_or(Error::Integrity)?;
    key.open_in_place(sequence, sealed, tag).map(drop).map_err(|_| Error::Integrity)
}
