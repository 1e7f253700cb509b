//! Packets under every cipher, compressed or not: the payloads that were sealed are received
//! unchanged, and no others.

use std::collections::VecDeque;
use std::io;

use super::Input;
use crate::Error;
use crate::message::CHANNEL_DATA;
use crate::transport::{
    Compression, Direction, Inbound, Opener, Outbound, Protection, Sealer, Secrets,
};

/// More than the longest message that we send.
const MOST_PAYLOAD: usize = 40_000;
/// Maximum size of a decompressed payload.
const MOST_INFLATED: usize = 262_139;

/// A sender, a receiver, and the bytes between them.
struct Line {
    outbound: Outbound,
    inbound: Inbound,
    /// Whether packets are authenticated.
    is_protected: bool,
    /// The payloads that were sealed and not received yet.
    under_way: VecDeque<Vec<u8>>,
    /// Whether bytes in flight were added or changed.
    is_tampered: bool,
    /// Whether a payload was sealed that is not a compressed stream.
    is_garbled: bool,
    secrets: Secrets,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            outbound: Outbound::new(),
            inbound: Inbound::new(),
            is_protected: false,
            under_way: VecDeque::new(),
            is_tampered: false,
            is_garbled: false,
            secrets: Secrets::for_tests(),
        }
    }
}

/// Seals packets, changes and cuts them on the way, and opens them.
pub fn packets(data: &[u8]) {
    let mut input = Input::new(data);
    let mut line = Line::default();
    line.change_keys(&mut input);
    while !input.is_empty() {
        match input.below(16) {
            0..=3 => line.say(input.chunk()),
            4 | 5 => line.fill(&mut input),
            6 => line.change_keys(&mut input),
            7 => {
                let bytes = input.chunk();
                line.outbound.raw(bytes);
                line.is_tampered |= !bytes.is_empty();
            }
            8 if !line.outbound.pending().is_empty() => {
                let at = input.below(line.outbound.pending().len());
                let mut changed = line.outbound.pending().to_vec();
                changed[at] ^= 1 << input.below(8);
                line.outbound.sent(changed.len());
                line.outbound.raw(&changed);
                line.is_tampered = true;
            }
            9..=11 => {
                let count = line.outbound.pending().len();
                if !line.carry(count) {
                    return;
                }
            }
            _ => {
                let count = 1 + input.below(300);
                if !line.carry(count) {
                    return;
                }
            }
        }
    }
    if line.carry(usize::MAX) && !line.is_tampered {
        assert!(line.under_way.is_empty() && line.inbound.unread().is_empty());
    }
}

/// Sends compressed packets; some are invalid, or expand to much more.
pub fn compression(data: &[u8]) {
    let mut input = Input::new(data);
    let mut line = Line::default();
    line.begin_compression();
    line.outbound.rekey(Sealer::Plain, Compression::Zlib, false);
    line.inbound.rekey(Opener::Plain, Compression::Zlib, false);
    let mut goes_on = true;
    while goes_on && !input.is_empty() {
        match input.below(8) {
            0 | 1 => line.say(input.chunk()),
            // Expands to much more.
            2 => {
                let (value, count) = (input.byte(), input.length());
                line.say(&vec![value; count]);
            }
            3 => line.fill(&mut input),
            4 | 5 => {
                let payload = input.chunk();
                if !payload.is_empty() {
                    line.outbound.uncompressed(payload);
                    line.is_garbled = true;
                }
            }
            _ => {
                let count = 1 + input.below(MOST_PAYLOAD);
                goes_on = line.carry(count);
            }
        }
    }
    if goes_on && line.carry(usize::MAX) && !line.is_garbled {
        assert!(line.under_way.is_empty() && line.inbound.unread().is_empty());
    }
}

impl Line {
    fn say(&mut self, payload: &[u8]) {
        let payload = &payload[..payload.len().min(MOST_PAYLOAD)];
        if !payload.is_empty() {
            self.outbound.packet(payload);
            self.under_way.push_back(payload.to_vec());
        }
    }

    /// Begins the compression that was agreed on, with the next keys.
    fn begin_compression(&mut self) {
        self.outbound.authenticated();
        self.inbound.authenticated();
    }

    /// Sends channel data.
    fn fill(&mut self, input: &mut Input<'_>) {
        let (longest, quota) = (1 + input.length(), input.length());
        let count = input.length().min(quota);
        let mut read = Vec::new();
        let taken = self.outbound.data(7, longest, quota, |slots| {
            let room: usize = slots.iter().map(|slot| slot.len()).sum();
            assert!(room <= quota);
            for slot in slots {
                let length = slot.len().min(count - read.len());
                slot[..length].fill(length as u8);
                read.extend_from_slice(&slot[..length]);
            }
            if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(read.len()) }
        });
        assert_eq!(taken.unwrap_or(0), read.len());
        for data in read.chunks(longest.min(32 * 1024)) {
            let mut payload = vec![CHANNEL_DATA, 0, 0, 0, 7];
            payload.extend((data.len() as u32).to_be_bytes());
            payload.extend(data);
            self.under_way.push_back(payload);
        }
    }

    /// Replaces the keys, when nothing is in flight.
    fn change_keys(&mut self, input: &mut Input<'_>) {
        let is_idle = self.outbound.pending().is_empty() && self.inbound.unread().is_empty();
        if self.is_tampered || !is_idle {
            return;
        }
        let all = Protection::all();
        let choice = input.below(all.len() + 1);
        let Some((.., protection)) = all.get(choice) else { return };
        let sealer = protection.sealer(&self.secrets, Direction::ToClient);
        let opener = protection.opener(&self.secrets, Direction::ToClient);
        let (restart, compression) = (input.flag(), Compression::ALL[input.below(2)].1);
        if input.flag() {
            self.begin_compression();
        }
        self.outbound.rekey(sealer, compression, restart);
        self.inbound.rekey(opener, compression, restart);
        self.is_protected = true;
    }

    /// Delivers `count` bytes to the receiver; returns whether it has accepted them.
    fn carry(&mut self, mut count: usize) -> bool {
        while count > 0 && !self.outbound.pending().is_empty() {
            let pending = self.outbound.pending();
            let space = self.inbound.space();
            assert!(!space.is_empty(), "every whole packet was taken out");
            let moved = count.min(pending.len()).min(space.len());
            space[..moved].copy_from_slice(&pending[..moved]);
            self.inbound.filled(moved);
            self.outbound.sent(moved);
            count -= moved;
            if !self.open() {
                return false;
            }
        }
        true
    }

    fn open(&mut self) -> bool {
        loop {
            match self.inbound.packet() {
                Ok(Some(range)) => {
                    let payload = self.inbound.bytes(range);
                    assert!(!payload.is_empty() && payload.len() <= MOST_INFLATED);
                    if !self.is_garbled && (self.is_protected || !self.is_tampered) {
                        assert!(self.under_way.pop_front().as_deref() == Some(payload));
                    }
                }
                Ok(None) if self.inbound.make_room() => {}
                Ok(None) => return true,
                Err(Error::Integrity | Error::Protocol(_)) => {
                    assert!(self.is_tampered || self.is_garbled);
                    return false;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
