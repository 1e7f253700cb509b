//! Sending: one buffer, in which packets are sealed in place.

use std::io::{self, IoSliceMut};
use std::ops::Range;

use super::cipher::{LENGTH, Layout, Sealer};
use super::compression::{Compression, Deflater, Delayed};
use super::volume::Volume;
use crate::message::CHANNEL_DATA;

/// Pending bytes beyond which no channel data is accepted.
const MAX_PENDING: usize = 256 * 1024;
/// Bytes of data in one packet; larger packets gain nothing, also where servers accept them.
const MAX_DATA: usize = 32 * 1024;
/// Packets that one read can fill.
const SLOTS: usize = 8;
/// Bytes between the padding length and the data: message number, channel, length of the data.
const DATA_HEADER: usize = 1 + 4 + 4;
/// Bytes from the start of a packet to its payload.
const PAYLOAD: usize = LENGTH + 1;
/// Minimum padding in bytes (RFC 4253 section 6).
const MIN_PADDING: usize = 4;

/// The number of a packet that we send. The sequence number alone may repeat with new keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketNumber {
    /// How often the sequence numbers have restarted.
    pub(crate) epoch: u32,
    /// The sequence number, which UNIMPLEMENTED refers to.
    pub(crate) sequence: u32,
}

/// The send buffer, and the cipher that seals its packets.
pub(crate) struct Outbound {
    /// Initialized in its whole length, so that reads can go straight into it.
    buffer: Vec<u8>,
    /// The sealed bytes that are not sent yet.
    filled: Range<usize>,
    sealer: Sealer,
    next: PacketNumber,
    volume: Volume,
    compression: Delayed<Deflater>,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            filled: 0..0,
            sealer: Sealer::Plain,
            next: PacketNumber { epoch: 0, sequence: 0 },
            volume: Volume::default(),
            compression: Delayed::default(),
        }
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer[self.filled.clone()]
    }

    pub(crate) fn sent(&mut self, count: usize) {
        self.filled.start = self.filled.end.min(self.filled.start + count);
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
    }

    /// Returns whether channel data is accepted: not while much is pending.
    pub(crate) fn has_room(&self) -> bool {
        self.filled.len() < MAX_PENDING
    }

    /// Begins compression, if it was agreed on: the user is authenticated.
    pub(crate) fn authenticated(&mut self) {
        self.compression.begin();
    }

    /// Returns whether compression begins with [`Outbound::authenticated`].
    pub(crate) fn will_compress(&self) -> bool {
        self.compression.is_agreed()
    }

    /// Replaces the keys of the packets that follow.
    pub(crate) fn rekey(&mut self, sealer: Sealer, compression: Compression, reset_sequence: bool) {
        self.sealer = sealer;
        self.compression.renew(compression);
        self.volume = Volume::default();
        if reset_sequence {
            let epoch = self.next.epoch.wrapping_add(1);
            self.next = PacketNumber { epoch, sequence: 0 };
        }
    }

    /// Returns the number of the next packet.
    pub(crate) fn next_number(&self) -> PacketNumber {
        self.next
    }

    /// Returns what was sealed with the current keys.
    pub(crate) fn volume(&self) -> Volume {
        self.volume
    }

    /// Adds bytes that are not a packet: the identification string.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let start = self.reserve(bytes.len());
        self.buffer[start..][..bytes.len()].copy_from_slice(bytes);
        self.filled.end += bytes.len();
    }

    /// Seals a message.
    pub(crate) fn packet(&mut self, payload: &[u8]) {
        match self.compression.stream.take() {
            None => self.place(payload),
            Some(mut deflater) => {
                self.place(deflater.deflate([payload, &[]]));
                self.compression.stream = Some(deflater);
            }
        }
    }

    /// Seals a payload as it is.
    fn place(&mut self, payload: &[u8]) {
        let size = sizes(self.sealer.layout(), payload.len());
        let start = self.reserve(size.packet);
        self.buffer[start + PAYLOAD..][..payload.len()].copy_from_slice(payload);
        self.seal(start, payload.len());
    }

    /// Seals a payload without compressing it.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn uncompressed(&mut self, payload: &[u8]) {
        self.place(payload);
    }

    /// Lets `read` write up to `quota` bytes of channel data straight into packets, then seals as many
    /// as it filled. `remote` is the server's number of the channel, `max_packet` its maximum packet
    /// size.
    pub(crate) fn data(
        &mut self,
        remote: u32,
        max_packet: usize,
        quota: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let max_packet = max_packet.min(MAX_DATA);
        if let Some(mut deflater) = self.compression.stream.take() {
            let outcome = self.deflated_data(&mut deflater, remote, max_packet, quota, read);
            self.compression.stream = Some(deflater);
            return outcome;
        }
        let full = sizes(self.sealer.layout(), DATA_HEADER + max_packet);
        let quota = quota.min(SLOTS * max_packet);
        let start = self.reserve(full.packet * quota.div_ceil(max_packet.max(1)));
        let mut left = quota;
        let mut packets = self.buffer[start..].chunks_mut(full.packet);
        let mut slots: [IoSliceMut<'_>; SLOTS] = std::array::from_fn(|_| {
            let data = left.min(max_packet);
            left -= data;
            let packet = packets.next().filter(|_| data > 0).unwrap_or_default();
            let room = packet.get_mut(PAYLOAD + DATA_HEADER..).unwrap_or_default();
            IoSliceMut::new(&mut room[..data])
        });
        let used = quota.div_ceil(max_packet.max(1));
        let count = read(&mut slots[..used])?.min(quota);
        let mut unsealed = count;
        let mut at = start;
        while unsealed > 0 {
            let data = unsealed.min(max_packet);
            let header = &mut self.buffer[at + PAYLOAD..][..DATA_HEADER];
            header.copy_from_slice(&data_header(remote, data));
            at += self.seal(at, DATA_HEADER + data);
            unsealed -= data;
        }
        Ok(count)
    }

    /// Does the same with compression: the places of the packets are not known beforehand.
    fn deflated_data(
        &mut self,
        deflater: &mut Deflater,
        remote: u32,
        max_packet: usize,
        quota: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let max_packet = max_packet.max(1);
        let quota = quota.min(SLOTS * max_packet);
        let mut plain = std::mem::take(&mut deflater.plain);
        plain.resize(quota, 0);
        let outcome = read(&mut [IoSliceMut::new(&mut plain)]).map(|count| count.min(quota));
        for data in plain[..*outcome.as_ref().unwrap_or(&0)].chunks(max_packet) {
            self.place(deflater.deflate([&data_header(remote, data.len()), data]));
        }
        deflater.plain = plain;
        outcome
    }

    /// Seals the packet at `start`, whose payload is in place; returns its size.
    fn seal(&mut self, start: usize, payload: usize) -> usize {
        let size = sizes(self.sealer.layout(), payload);
        let packet = &mut self.buffer[start..][..size.packet];
        let length = 1 + payload + size.padding;
        packet[..LENGTH].copy_from_slice(&(length as u32).to_be_bytes());
        packet[LENGTH] = size.padding as u8;
        packet[PAYLOAD + payload..][..size.padding].fill(0);
        self.sealer.seal(self.next.sequence, packet);
        self.next.sequence = self.next.sequence.wrapping_add(1);
        self.volume.add(size.packet);
        self.filled.end += size.packet;
        size.packet
    }

    /// Makes room for `count` bytes after the filled ones; returns its start.
    fn reserve(&mut self, count: usize) -> usize {
        if self.buffer.len() - self.filled.end < count && self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let end = self.filled.end + count;
        if self.buffer.len() < end {
            self.buffer.resize(end.next_power_of_two(), 0);
        }
        self.filled.end
    }
}

/// Returns the beginning of a CHANNEL_DATA payload.
fn data_header(remote: u32, length: usize) -> [u8; DATA_HEADER] {
    let mut header = [CHANNEL_DATA; DATA_HEADER];
    header[1..5].copy_from_slice(&remote.to_be_bytes());
    header[5..9].copy_from_slice(&(length as u32).to_be_bytes());
    header
}

struct Sizes {
    padding: usize,
    /// Bytes from the length field to the tag.
    packet: usize,
}

fn sizes(layout: Layout, payload: usize) -> Sizes {
    let aligned = layout.aligned_length + 1 + payload + MIN_PADDING;
    let padding = MIN_PADDING + aligned.next_multiple_of(layout.block) - aligned;
    Sizes { padding, packet: PAYLOAD + payload + padding + layout.tag }
}

#[cfg(test)]
mod tests {
    use super::super::inbound::Inbound;
    use super::*;

    fn payloads(outbound: &mut Outbound) -> Vec<Vec<u8>> {
        let mut inbound = Inbound::new();
        let mut payloads = Vec::new();
        while !outbound.pending().is_empty() {
            let space = inbound.space();
            let count = space.len().min(outbound.pending().len());
            space[..count].copy_from_slice(&outbound.pending()[..count]);
            inbound.filled(count);
            outbound.sent(count);
            while let Some(range) = inbound.packet().expect("well formed") {
                payloads.push(inbound.bytes(range).to_vec());
            }
        }
        payloads
    }

    #[test]
    fn messages_are_padded_to_the_block() {
        for length in 1..40 {
            let mut outbound = Outbound::new();
            outbound.packet(&vec![9; length]);
            assert!(outbound.pending().len().is_multiple_of(8));
            assert_eq!(payloads(&mut outbound), [vec![9; length]]);
        }
    }

    /// Every amount of data around packet boundaries arrives as it was read.
    #[test]
    fn data_is_split_into_packets_in_place() {
        for count in [0, 1, 999, 1000, 1001, 3000, 7999, 8000] {
            let mut outbound = Outbound::new();
            outbound.packet(b"before");
            let source: Vec<u8> = (0..count).map(|n| n as u8).collect();
            let read =
                |slots: &mut [IoSliceMut<'_>]| io::Read::read_vectored(&mut &source[..], slots);
            assert_eq!(outbound.data(5, 1000, 8000, read).expect("reads"), count);
            outbound.packet(b"after");
            let payloads = payloads(&mut outbound);
            let (before, rest) = payloads.split_first().expect("a packet before");
            let (after, data) = rest.split_last().expect("a packet after");
            assert_eq!((&before[..], &after[..]), (&b"before"[..], &b"after"[..]));
            assert!(data.iter().all(|packet| packet[..5] == [CHANNEL_DATA, 0, 0, 0, 5]));
            let joined: Vec<u8> =
                data.iter().flat_map(|packet| packet[DATA_HEADER..].to_vec()).collect();
            assert_eq!(joined, source);
        }
    }

    #[test]
    fn a_failed_read_leaves_nothing() {
        let mut outbound = Outbound::new();
        let refuse = |_: &mut [IoSliceMut<'_>]| Err(io::ErrorKind::WouldBlock.into());
        assert!(outbound.data(1, 1000, 5000, refuse).is_err());
        assert!(outbound.pending().is_empty());
    }

    #[test]
    fn a_quota_bounds_what_is_read() {
        let mut outbound = Outbound::new();
        let mut offered = 0;
        let measure = |slots: &mut [IoSliceMut<'_>]| {
            offered = slots.iter().map(|slot| slot.len()).sum();
            Ok(0)
        };
        outbound.data(1, 32_768, 100_000, measure).expect("reads");
        assert_eq!(offered, 100_000);
    }
}
