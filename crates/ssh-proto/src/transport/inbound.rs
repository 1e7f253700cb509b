//! Receiving: one large buffer, in which packets are opened in place.

use std::ops::Range;

use super::cipher::{LENGTH, MAX_TAG, Opener};
use super::compression::{Compression, Delayed, Inflater};
use super::volume::Volume;
use crate::Error;

/// Bytes that one read can fill; larger reads gained nothing.
const READ: usize = 256 * 1024;
/// Maximum size of a packet without length and tag, the same as OpenSSH's. RFC 4253 section 6.1 asks
/// for 35,000 bytes, and allows more. Channel data needs less, but a banner, a prompt or a list of
/// keys may need more.
const MAX_PACKET: usize = 256 * 1024;
/// Room for a full read after the beginning of a packet.
const CAPACITY: usize = READ + LENGTH + MAX_PACKET + MAX_TAG;
/// Minimum padding in bytes.
const MIN_PADDING: usize = 4;
/// Minimum size of a packet: its payload has one byte.
const MIN_PACKET: usize = 1 + 1 + MIN_PADDING;
/// Maximum size of a payload.
const MAX_PAYLOAD: usize = MAX_PACKET - 1 - MIN_PADDING;
/// Bytes of decompressed payloads after which no further packet is opened before they are used up: a
/// few received bytes can become any amount.
const MAX_INFLATED: usize = READ;

/// The receive buffer, and the cipher that opens its packets.
pub(crate) struct Inbound {
    /// Received bytes, and after them, once there are any, the decompressed payloads.
    buffer: Vec<u8>,
    /// The received bytes that are not used up.
    filled: Range<usize>,
    opener: Opener,
    sequence: u32,
    volume: Volume,
    /// The length of the first packet once it is known: it is decrypted only once.
    length: Option<usize>,
    compression: Delayed<Inflater>,
    /// Bytes of decompressed payloads in the buffer.
    inflated: usize,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; CAPACITY],
            filled: 0..0,
            opener: Opener::Plain,
            sequence: 0,
            volume: Volume::default(),
            length: None,
            compression: Delayed::default(),
            inflated: 0,
        }
    }

    /// Returns the buffer for the next bytes. Earlier ranges are invalid from here on.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.inflated = 0;
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if CAPACITY - self.filled.end < READ {
            // Every complete packet was taken out, unless decompressed ones left no room. Then there
            // is less space, but some.
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let end = CAPACITY.min(self.filled.end + READ);
        &mut self.buffer[self.filled.end..end]
    }

    pub(crate) fn filled(&mut self, count: usize) {
        self.filled.end = CAPACITY.min(self.filled.end + count);
    }

    /// Returns the bytes that are not used up, for the lines before the first packet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    pub(crate) fn skip(&mut self, count: usize) {
        self.filled.start = self.filled.end.min(self.filled.start + count);
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Moves the bytes at `from` to `to`; both are in ranges that were returned since the last read.
    pub(crate) fn close_up(&mut self, from: Range<usize>, to: usize) {
        self.buffer.copy_within(from, to);
    }

    /// Makes room for more packets if decompressed ones have left none; returns whether it did: then
    /// more packets may have been received. Earlier ranges are invalid from then on.
    pub(crate) fn make_room(&mut self) -> bool {
        let was_full = self.inflated >= MAX_INFLATED;
        if was_full {
            self.inflated = 0;
        }
        was_full
    }

    /// Begins decompression, if it was agreed on: the user is authenticated.
    pub(crate) fn authenticated(&mut self) {
        self.compression.begin();
    }

    /// Replaces the keys of the packets that follow.
    pub(crate) fn rekey(&mut self, opener: Opener, compression: Compression, reset_sequence: bool) {
        self.opener = opener;
        self.compression.renew(compression);
        self.volume = Volume::default();
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// Returns what was opened with the current keys.
    pub(crate) fn volume(&self) -> Volume {
        self.volume
    }

    /// Counts packets as opened with the current keys.
    #[cfg(test)]
    pub(crate) fn wear(&mut self, packets: u32) {
        self.volume.packets += packets;
    }

    /// Returns the sequence number of the next packet.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Opens the next packet and returns the range of its payload; `None` until it is complete, and
    /// while there is no room for it.
    pub(crate) fn packet(&mut self) -> Result<Option<Range<usize>>, Error> {
        if self.inflated >= MAX_INFLATED {
            return Ok(None);
        }
        let start = self.filled.start;
        let length = match self.length {
            Some(length) => length,
            None => {
                let Some(field) = self.unread().first_chunk::<LENGTH>() else { return Ok(None) };
                let length = self.opener.length(self.sequence, *field) as usize;
                self.check_length(length)?;
                self.length = Some(length);
                length
            }
        };
        let end = start + LENGTH + length + self.opener.layout().tag;
        if self.filled.end < end {
            return Ok(None);
        }
        self.opener.open(self.sequence, &mut self.buffer[start..end])?;
        self.sequence = self.sequence.wrapping_add(1);
        self.volume.add(end - start);
        self.length = None;
        self.filled.start = end;
        let padding = usize::from(self.buffer[start + LENGTH]);
        if padding < MIN_PADDING || padding + 1 >= length {
            return Err(Error::Protocol("the padding of a packet is out of bounds"));
        }
        let payload = start + LENGTH + 1..start + LENGTH + length - padding;
        let Some(inflater) = &mut self.compression.stream else { return Ok(Some(payload)) };
        self.buffer.resize(CAPACITY + MAX_INFLATED + MAX_PAYLOAD + 1, 0);
        let (received, room) = self.buffer.split_at_mut(CAPACITY);
        let room = &mut room[self.inflated..][..MAX_PAYLOAD + 1];
        let length = inflater.inflate(&received[payload], room)?;
        let start = CAPACITY + self.inflated;
        self.inflated += length;
        Ok(Some(start..start + length))
    }

    fn check_length(&self, length: usize) -> Result<(), Error> {
        let layout = self.opener.layout();
        if !(MIN_PACKET..=MAX_PACKET).contains(&length) {
            return Err(Error::Protocol("the length of a packet is out of bounds"));
        }
        if !(length + layout.aligned_length).is_multiple_of(layout.block) {
            return Err(Error::Protocol(
                "the length of a packet is not a multiple of the block size",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(inbound: &mut Inbound, bytes: &[u8]) {
        inbound.space()[..bytes.len()].copy_from_slice(bytes);
        inbound.filled(bytes.len());
    }

    fn plain(payload: &[u8]) -> Vec<u8> {
        let padding = 4 + (8 - (LENGTH + 1 + payload.len() + 4) % 8) % 8;
        let mut packet = ((1 + payload.len() + padding) as u32).to_be_bytes().to_vec();
        packet.push(padding as u8);
        packet.extend(payload);
        packet.extend(vec![0; padding]);
        packet
    }

    #[test]
    fn packets_open_whatever_the_pieces() {
        let mut inbound = Inbound::new();
        let stream = [plain(b"one"), plain(b"second")].concat();
        let mut payloads = Vec::new();
        for byte in stream {
            receive(&mut inbound, &[byte]);
            while let Some(range) = inbound.packet().expect("plain packets") {
                payloads.push(inbound.bytes(range).to_vec());
            }
        }
        assert_eq!(payloads, [b"one".to_vec(), b"second".to_vec()]);
    }

    #[test]
    fn an_invalid_length_is_refused_at_once() {
        for field in [0_u32, 5, 13, 0xffff_ffff, MAX_PACKET as u32 + 4, MAX_PACKET as u32 + 1] {
            let mut inbound = Inbound::new();
            receive(&mut inbound, &field.to_be_bytes());
            assert!(matches!(inbound.packet(), Err(Error::Protocol(_))), "{field}");
        }
    }

    #[test]
    fn padding_must_lie_within_the_packet() {
        for padding in [0, 3, 11, 255] {
            let mut inbound = Inbound::new();
            let mut packet = plain(b"abc");
            packet[LENGTH] = padding;
            receive(&mut inbound, &packet);
            assert!(matches!(inbound.packet(), Err(Error::Protocol(_))), "{padding}");
        }
    }
}
