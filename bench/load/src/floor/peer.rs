//! The other end of the sealed side: packets that were sealed ahead of time.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cipher::{Cipher, Crypt, PERIOD};
use super::packet::{HEAD, PAYLOAD, SLOT, SLOTS, frame, size};
use crate::error::Error;
use crate::stream;

/// One full packet for every nonce, one after the other.
pub(super) struct Ring {
    cipher: Cipher,
    sealed: Vec<u8>,
}

impl Ring {
    pub(super) fn new(cipher: Cipher) -> Result<Self, Error> {
        let mut crypt = Crypt::new(cipher)?;
        let mut sealed = vec![0; PERIOD as usize * SLOT];
        for packet in sealed.chunks_exact_mut(SLOT) {
            fill(packet, PAYLOAD, &mut crypt)?;
        }
        Ok(Self { cipher, sealed })
    }

    /// The packet after `number` full ones, with less payload.
    fn last(&self, number: u64, payload: usize) -> Result<Vec<u8>, Error> {
        let mut crypt = Crypt::new(self.cipher)?;
        crypt.skip_to(number);
        let mut packet = vec![0; size(payload)];
        fill(&mut packet, payload, &mut crypt)?;
        Ok(packet)
    }
}

fn fill(packet: &mut [u8], payload: usize, crypt: &mut Crypt) -> Result<(), Error> {
    packet[HEAD..][..payload].copy_from_slice(stream::bytes(payload));
    frame(packet, payload);
    crypt.seal(packet)
}

/// Reads a number of eight big-endian bytes, and sends packets with as many bytes of payload.
pub(super) async fn send(mut stream: TcpStream, ring: &Ring) -> io::Result<()> {
    let bytes = stream.read_u64().await?;
    let (full, rest) = (bytes / PAYLOAD as u64, (bytes % PAYLOAD as u64) as usize);
    let mut left = full;
    while left > 0 {
        const { assert!((PERIOD as usize).is_multiple_of(SLOTS), "no turn goes over the ring's end") };
        let at = ((full - left) % u64::from(PERIOD)) as usize;
        let packets = left.min(SLOTS as u64);
        stream.write_all(&ring.sealed[at * SLOT..][..packets as usize * SLOT]).await?;
        left -= packets;
    }
    if rest > 0 {
        stream.write_all(&ring.last(full, rest).map_err(io::Error::other)?).await?;
    }
    Ok(())
}
