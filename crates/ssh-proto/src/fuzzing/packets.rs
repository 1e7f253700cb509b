//! Packets under every cipher: what was sealed comes out as it was, and nothing else does.

use std::collections::VecDeque;
use std::io;

use super::Input;
use crate::Error;
use crate::message::CHANNEL_DATA;
use crate::transport::{Direction, Inbound, Outbound, Protection, Secrets};

/// No message that we send comes near the longest packet that we accept.
const MOST_PAYLOAD: usize = 40_000;

/// A sender, a receiver, and the line between them.
struct Line {
    outbound: Outbound,
    inbound: Inbound,
    /// Whether packets are authenticated.
    is_protected: bool,
    /// The payloads that were sealed and have not come out.
    under_way: VecDeque<Vec<u8>>,
    /// Bytes on the way that nobody sealed, or that were changed.
    is_tampered: bool,
    secrets: Secrets,
}

/// Packets are sealed, changed on their way, cut anywhere, and opened.
pub fn packets(data: &[u8]) {
    let mut input = Input::new(data);
    let mut line = Line {
        outbound: Outbound::new(),
        inbound: Inbound::new(),
        is_protected: false,
        under_way: VecDeque::new(),
        is_tampered: false,
        secrets: Secrets::for_tests(),
    };
    line.change_keys(&mut input);
    while !input.is_empty() {
        match input.below(16) {
            0..=3 => {
                let payload = input.chunk();
                let length = payload.len().min(MOST_PAYLOAD);
                if length > 0 {
                    line.outbound.packet(&payload[..length]);
                    line.under_way.push_back(payload[..length].to_vec());
                }
            }
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

impl Line {
    /// Lets channel data be read into its packets.
    fn fill(&mut self, input: &mut Input<'_>) {
        let longest = 1 + input.below(40_000);
        let quota = input.below(100_000);
        let count = input.below(quota + 1);
        let mut read = Vec::new();
        let taken = self.outbound.data(7, longest, quota, |slots| {
            let room: usize = slots.iter().map(|slot| slot.len()).sum();
            assert!(room <= quota);
            for slot in slots.iter_mut().flat_map(|slot| slot.iter_mut()).take(count) {
                *slot = read.len() as u8 ^ 0x55;
                read.push(*slot);
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

    /// Other keys, when nothing is under way.
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
        let restart = input.flag();
        self.outbound.rekey(sealer, restart);
        self.inbound.rekey(opener, restart);
        self.is_protected = true;
    }

    /// Brings `count` bytes to the receiver; tells whether it goes on.
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
                    assert!(!payload.is_empty());
                    if self.is_protected || !self.is_tampered {
                        assert!(self.under_way.pop_front().as_deref() == Some(payload));
                    }
                }
                Ok(None) => return true,
                Err(Error::Integrity | Error::Protocol(_)) => {
                    assert!(self.is_tampered);
                    return false;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
