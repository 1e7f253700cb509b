//! Receiving: one large buffer in which packets are opened where they lie.

use std::ops::Range;

use super::cipher::{LENGTH, LONGEST_TAG, Opener};
use super::compression::{Compression, Delayed, Inflater};
use super::volume::Volume;
use crate::Error;

/// The most that one read takes; larger ones gained nothing.
const READ: usize = 256 * 1024;
/// The longest packet that is accepted, without length and tag: as long as OpenSSH takes them. RFC
/// 4253 section 6.1 asks for 35,000 bytes, and allows more where both sides do. Channel data never
/// comes near, but a banner, a question or a list of keys may.
const LONGEST: usize = 256 * 1024;
/// Room for a full read behind the beginning of a packet.
const CAPACITY: usize = READ + LENGTH + LONGEST + LONGEST_TAG;
/// Padding is at least this long.
const LEAST_PADDING: usize = 4;
/// The shortest payload has one byte.
const SHORTEST: usize = 1 + 1 + LEAST_PADDING;
/// The longest payload.
const MOST_PAYLOAD: usize = LONGEST - 1 - LEAST_PADDING;
/// When decompressed payloads fill this much, no further packet is opened before they are used up:
/// the few bytes that they came in could make any amount of them.
const MOST_INFLATED: usize = READ;

/// The receive buffer and the cipher that opens what is in it.
pub(crate) struct Inbound {
    /// Where bytes are received, and behind that, once there are any, the decompressed payloads.
    buffer: Vec<u8>,
    /// The bytes that have come and are not used up.
    filled: Range<usize>,
    opener: Opener,
    sequence: u32,
    volume: Volume,
    /// The length of the packet at the front once it is known: it is decrypted only once.
    length: Option<usize>,
    compression: Delayed<Inflater>,
    /// How much of the buffer decompressed payloads fill.
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

    /// Where the next bytes go. Ranges handed out before are void from here on.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.inflated = 0;
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if CAPACITY - self.filled.end < READ {
            // Little is left: every complete packet has been taken out, unless decompressed ones
            // left no room. Then there is less space, but there is some.
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let end = CAPACITY.min(self.filled.end + READ);
        &mut self.buffer[self.filled.end..end]
    }

    pub(crate) fn filled(&mut self, count: usize) {
        self.filled.end = CAPACITY.min(self.filled.end + count);
    }

    /// What has come and is not used up; for the lines that precede the first packet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    pub(crate) fn skip(&mut self, count: usize) {
        self.filled.start = self.filled.end.min(self.filled.start + count);
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Moves `from` down to `to`; both lie in what was handed out since the last read.
    pub(crate) fn close_up(&mut self, from: Range<usize>, to: usize) {
        self.buffer.copy_within(from, to);
    }

    /// Makes room for more packets if decompressed ones have left none, and says whether it did:
    /// then there may be more in what has come. Ranges handed out before are void from then on.
    pub(crate) fn make_room(&mut self) -> bool {
        let was_full = self.inflated >= MOST_INFLATED;
        if was_full {
            self.inflated = 0;
        }
        was_full
    }

    /// The user is logged on: compression begins, if it was agreed on.
    pub(crate) fn authenticated(&mut self) {
        self.compression.begin();
    }

    /// Packets from here on are sealed with other keys.
    pub(crate) fn rekey(&mut self, opener: Opener, compression: Compression, reset_sequence: bool) {
        self.opener = opener;
        self.compression.renew(compression);
        self.volume = Volume::default();
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// What was opened with the present keys.
    pub(crate) fn volume(&self) -> Volume {
        self.volume
    }

    /// As if so many packets more had been opened with the present keys.
    #[cfg(test)]
    pub(crate) fn wear(&mut self, packets: u32) {
        self.volume.packets += packets;
    }

    /// How many packets have been taken out since the sequence number began at zero.
    pub(crate) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Opens the next packet and returns where its payload lies; `None` until it is complete, and
    /// while there is no room for it.
    pub(crate) fn packet(&mut self) -> Result<Option<Range<usize>>, Error> {
        if self.inflated >= MOST_INFLATED {
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
        if padding < LEAST_PADDING || padding + 1 >= length {
            return Err(Error::Protocol("a packet's padding does not fit"));
        }
        let payload = start + LENGTH + 1..start + LENGTH + length - padding;
        let Some(inflater) = &mut self.compression.stream else { return Ok(Some(payload)) };
        self.buffer.resize(CAPACITY + MOST_INFLATED + MOST_PAYLOAD + 1, 0);
        let (received, room) = self.buffer.split_at_mut(CAPACITY);
        let room = &mut room[self.inflated..][..MOST_PAYLOAD + 1];
        let length = inflater.inflate(&received[payload], room)?;
        let start = CAPACITY + self.inflated;
        self.inflated += length;
        Ok(Some(start..start + length))
    }

    fn check_length(&self, length: usize) -> Result<(), Error> {
        let layout = self.opener.layout();
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(Error::Protocol("a packet's length is out of bounds"));
        }
        if !(length + layout.aligned_length).is_multiple_of(layout.block) {
            return Err(Error::Protocol("a packet's length is not a multiple of the block size"));
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
    fn packets_come_out_whole_however_they_came_in() {
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
    fn a_length_is_refused_before_anything_waits_for_it() {
        for field in [0_u32, 5, 13, 0xffff_ffff, LONGEST as u32 + 4, LONGEST as u32 + 1] {
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
