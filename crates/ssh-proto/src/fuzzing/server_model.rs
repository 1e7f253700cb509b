//! A model of the server: the messages that it has sent, and the replies that the client may send.

use std::collections::BTreeMap;

use crate::connection::receive_window::MIN_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_WINDOW_ADJUST, DISCONNECT,
    GLOBAL_REQUEST, KEX_DH_GEX_INIT, KEX_DH_GEX_REQUEST, KEX_ECDH_INIT, KEXINIT, REQUEST_FAILURE,
    UNIMPLEMENTED,
};
use crate::wire::Reader;

/// Channels of the application at a time.
pub(super) const MAX_CHANNELS: usize = 8;
/// The largest receive window of the client.
pub(super) const LIMIT: u32 = 4 * 1024 * 1024;

/// A channel that the server has confirmed and that both sides have not closed.
#[derive(Debug, Default)]
struct Channel {
    remote: u32,
    /// How much the client may still send, in all and in one packet.
    window: u64,
    max_packet: u32,
    /// How much it has sent.
    got: usize,
    /// How much the server has sent, how much of it as extended data, which the client discards,
    /// and how much the client has allowed.
    sent: u64,
    discarded: u64,
    granted: u64,
    /// What the client has sent.
    eof: bool,
    client_closed: bool,
    /// Whether the server has closed it.
    server_closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct ServerModel {
    /// The client's numbers of channels that await a reply, and their windows.
    pub(super) opening: BTreeMap<u32, u32>,
    /// The same channels by the sequence numbers of their CHANNEL_OPEN packets.
    packets: BTreeMap<u32, u32>,
    /// The server's numbers of channels that await a reply, with their windows and maximum packet
    /// sizes.
    inbound: BTreeMap<u32, (u32, u32)>,
    /// The channels by the client's numbers.
    channels: BTreeMap<u32, Channel>,
    /// How many messages the server has sent, and how many replies the client.
    messages: usize,
    replies: usize,
    /// A key exchange has begun, which cannot end.
    pub(super) exchanging: bool,
    pub(super) disconnected: bool,
}

/// Returns the byte at an offset of the data that the client sends on a channel.
pub(super) fn byte(channel: usize, at: usize) -> u8 {
    (at ^ (at >> 8) ^ channel.wrapping_mul(37)) as u8
}

/// Checks that the client opens a channel to the requested target, and sends nothing else.
fn check_target(kind: &[u8], reader: &mut Reader<'_>) {
    let (originator, number) = match kind {
        b"direct-tcpip" => {
            assert_eq!((reader.string(), reader.uint32()), (Ok(&b"db"[..]), Ok(5432)));
            ("::1", 4000)
        }
        b"direct-streamlocal@openssh.com" => {
            assert_eq!(reader.string(), Ok(&b"/run/db"[..]));
            ("", 0)
        }
        other => panic!("a channel of the kind {}", other.escape_ascii()),
    };
    assert_eq!((reader.string(), reader.uint32()), (Ok(originator.as_bytes()), Ok(number)));
    assert_eq!(reader.remaining(), 0);
}

impl ServerModel {
    /// Records a message of the server that the client has accepted.
    pub(super) fn accepted(&mut self, payload: &[u8]) {
        self.messages += 1;
        let mut reader = Reader::new(payload);
        let number = reader.byte().unwrap();
        if number == CHANNEL_OPEN {
            reader.string().unwrap();
            let id = reader.uint32().unwrap();
            // Of an unknown type no more is read.
            let sizes = (reader.uint32().unwrap_or(0), reader.uint32().unwrap_or(0));
            assert!(self.inbound.insert(id, sizes).is_none());
            return;
        }
        if number == UNIMPLEMENTED {
            let inbound = reader.uint32().ok().and_then(|sequence| self.packets.remove(&sequence));
            if let Some(id) = inbound {
                assert!(self.opening.remove(&id).is_some(), "{id} has had its answer");
            }
            return;
        }
        let about = CHANNEL_OPEN_CONFIRMATION..=CHANNEL_CLOSE;
        if !about.contains(&number) {
            return;
        }
        let id = reader.uint32().unwrap();
        match number {
            CHANNEL_OPEN_CONFIRMATION => {
                let granted = self.answered(id).expect("it was inbound for").into();
                let (remote, window) = (reader.uint32().unwrap(), reader.uint32().unwrap().into());
                let max_packet = reader.uint32().unwrap();
                self.channels.insert(
                    id,
                    Channel { remote, window, max_packet, granted, ..Channel::default() },
                );
            }
            CHANNEL_OPEN_FAILURE => {
                assert!(self.answered(id).is_some(), "refused without having been inbound for");
            }
            CHANNEL_WINDOW_ADJUST => self.channel(id).window += u64::from(reader.uint32().unwrap()),
            CHANNEL_DATA => self.channel(id).sent += reader.string().unwrap().len() as u64,
            CHANNEL_EXTENDED_DATA => {
                reader.uint32().unwrap();
                let count = reader.string().unwrap().len() as u64;
                self.channel(id).sent += count;
                self.channel(id).discarded += count;
            }
            CHANNEL_CLOSE => {
                self.channel(id).server_closed = true;
                self.forget(id);
            }
            _ => {
                self.channel(id);
            }
        }
    }

    /// Records the reply to a CHANNEL_OPEN; returns the window of the channel.
    fn answered(&mut self, id: u32) -> Option<u32> {
        self.packets.retain(|_, inbound| *inbound != id);
        self.opening.remove(&id)
    }

    fn channel(&mut self, id: u32) -> &mut Channel {
        self.channels.get_mut(&id).expect("messages are about open channels")
    }

    fn forget(&mut self, id: u32) {
        if self
            .channels
            .get(&id)
            .is_some_and(|channel| channel.server_closed && channel.client_closed)
        {
            self.channels.remove(&id);
        }
    }

    /// Checks a message of the client, in the packet with this sequence number.
    pub(super) fn client_sent(&mut self, sequence: u32, payload: &[u8]) {
        assert!(!self.disconnected, "nothing follows a DISCONNECT");
        let mut reader = Reader::new(payload);
        let number = reader.byte().unwrap();
        if self.exchanging {
            assert!(number < 50, "message {number} in a key exchange");
        }
        match number {
            CHANNEL_OPEN => {
                let kind = reader.string().unwrap();
                let (id, window) = (reader.uint32().unwrap(), reader.uint32().unwrap());
                assert!((MIN_WINDOW..=LIMIT).contains(&window), "a window of {window} bytes");
                assert!(reader.uint32().unwrap() > 0);
                check_target(kind, &mut reader);
                let taken =
                    self.channels.contains_key(&id) || self.opening.insert(id, window).is_some();
                assert!(!taken, "{id} is taken");
                self.packets.insert(sequence, id);
            }
            CHANNEL_DATA
            | CHANNEL_WINDOW_ADJUST
            | CHANNEL_EOF
            | CHANNEL_CLOSE
            | CHANNEL_FAILURE => {
                let remote = reader.uint32().unwrap();
                self.replies += usize::from(number == CHANNEL_FAILURE);
                let (&id, channel) = self
                    .channels
                    .iter_mut()
                    .find(|(_, channel)| channel.remote == remote)
                    .expect("messages are about open channels");
                channel.client_sent(id, number, reader);
                self.forget(id);
            }
            CHANNEL_OPEN_CONFIRMATION => {
                let remote = reader.uint32().unwrap();
                let (window, max_packet) =
                    self.inbound.remove(&remote).expect("it was inbound for");
                let (id, granted) = (reader.uint32().unwrap(), reader.uint32().unwrap());
                assert!((MIN_WINDOW..=LIMIT).contains(&granted), "a window of {granted} bytes");
                let channel =
                    Channel { remote, window: window.into(), max_packet, ..Channel::default() };
                let channel = Channel { granted: granted.into(), ..channel };
                let taken =
                    self.opening.contains_key(&id) || self.channels.insert(id, channel).is_some();
                assert!(!taken, "{id} is taken");
            }
            CHANNEL_OPEN_FAILURE => {
                let remote = reader.uint32().unwrap();
                assert!(self.inbound.remove(&remote).is_some(), "it was not inbound for");
            }
            REQUEST_FAILURE | UNIMPLEMENTED => self.replies += 1,
            GLOBAL_REQUEST => {}
            DISCONNECT => self.disconnected = true,
            KEXINIT => self.exchanging = true,
            KEX_ECDH_INIT | KEX_DH_GEX_REQUEST | KEX_DH_GEX_INIT => {}
            other => panic!("message {other}"),
        }
    }

    /// Checks a message that the client has sent before or when the session has ended.
    pub(super) fn client_sent_last(&mut self, number: u8) {
        assert!(!self.disconnected, "nothing follows a DISCONNECT");
        self.disconnected = number == DISCONNECT;
    }

    /// Returns whether the client has sent no more replies than the server has sent messages;
    /// `more` of these are not counted yet.
    pub(super) fn replies_are_due(&self, more: usize) -> bool {
        self.replies <= self.messages + more
    }

    /// Returns whether the client has accepted no more data than it has allowed.
    pub(super) fn windows_hold(&self) -> bool {
        self.channels.values().all(|channel| channel.sent <= channel.granted)
    }

    /// Returns the window of a channel when the application has consumed this much; `None` unless
    /// the channel is confirmed.
    pub(super) fn window(&self, id: u32, consumed: u64) -> Option<u64> {
        let channel = self.channels.get(&id)?;
        Some(
            channel
                .granted
                .checked_sub(channel.discarded + consumed)
                .expect("it was granted before"),
        )
    }

    /// Returns the channels that the server has not closed.
    pub(super) fn open(&self) -> Vec<u32> {
        self.channels
            .iter()
            .filter(|(_, channel)| !channel.server_closed)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.opening.is_empty() && self.inbound.is_empty() && self.channels.is_empty()
    }
}

impl Channel {
    fn client_sent(&mut self, id: u32, number: u8, mut reader: Reader<'_>) {
        assert!(!self.client_closed, "message {number} after CLOSE");
        match number {
            CHANNEL_DATA => {
                let data = reader.string().unwrap();
                assert!(!self.eof, "data after EOF");
                assert!(!data.is_empty() && data.len() <= self.max_packet as usize);
                self.window =
                    self.window.checked_sub(data.len() as u64).expect("within the window");
                for value in data {
                    assert_eq!(*value, byte(id as usize, self.got));
                    self.got += 1;
                }
            }
            CHANNEL_WINDOW_ADJUST => {
                let credit = u64::from(reader.uint32().unwrap());
                self.granted += credit;
                assert!(credit > 0 && self.granted <= self.sent + u64::from(LIMIT), "{credit}");
            }
            CHANNEL_EOF => {
                assert!(!self.eof);
                self.eof = true;
            }
            CHANNEL_CLOSE => self.client_closed = true,
            _ => {}
        }
    }
}
