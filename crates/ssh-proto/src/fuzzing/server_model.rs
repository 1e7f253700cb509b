//! The books of a server about what it said and what the client may answer.

use std::collections::BTreeMap;

use crate::connection::receive_window::MIN_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_WINDOW_ADJUST, DISCONNECT,
    GLOBAL_REQUEST, KEX_DH_GEX_INIT, KEX_DH_GEX_REQUEST, KEX_ECDH_INIT, KEXINIT, REQUEST_FAILURE,
    UNIMPLEMENTED,
};
use crate::wire::Reader;

/// The most that the client may let a server send ahead on one channel.
pub(super) const LIMIT: u32 = 4 * 1024 * 1024;

/// A channel that the server confirmed and that one side has not closed.
#[derive(Debug, Default)]
struct Life {
    remote: u32,
    /// How much the client may still send, and how much at a time.
    window: u64,
    longest: u32,
    /// How much it sent.
    got: usize,
    /// How much the server sent, how much of that on the error stream, which the client discards,
    /// and how much the client let it send.
    sent: u64,
    discarded: u64,
    granted: u64,
    /// What the client said.
    eof: bool,
    closed: bool,
    /// Whether the server closed it.
    over: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The client's numbers of channels that wait for an answer, and their windows.
    pub(super) owed: BTreeMap<u32, u32>,
    /// The same channels by the sequence numbers of the packets that asked for them.
    packets: BTreeMap<u32, u32>,
    /// The server's numbers of channels that it waits for, and what it said of their windows and
    /// packets.
    asked: BTreeMap<u32, (u32, u32)>,
    /// The channels by the client's numbers.
    lives: BTreeMap<u32, Life>,
    /// What the server said, and what was said for nothing but that.
    said: usize,
    replies: usize,
    /// A key exchange began, which cannot come to an end.
    pub(super) exchanging: bool,
    pub(super) disconnected: bool,
}

/// The byte at a place of what the client sends on a channel.
pub(super) fn byte(channel: usize, at: usize) -> u8 {
    (at ^ (at >> 8) ^ channel.wrapping_mul(37)) as u8
}

/// The client asks for what its owner wants to reach, a port or a Unix socket, and says no more.
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

impl Ledger {
    /// The client took this message of the server without complaint.
    pub(super) fn accepted(&mut self, payload: &[u8]) {
        self.said += 1;
        let mut reader = Reader::new(payload);
        let number = reader.byte().unwrap();
        if number == CHANNEL_OPEN {
            reader.string().unwrap();
            let id = reader.uint32().unwrap();
            // Of a type that is not known, no more than this is read.
            let sizes = (reader.uint32().unwrap_or(0), reader.uint32().unwrap_or(0));
            assert!(self.asked.insert(id, sizes).is_none());
            return;
        }
        if number == UNIMPLEMENTED {
            let asked = reader.uint32().ok().and_then(|sequence| self.packets.remove(&sequence));
            if let Some(id) = asked {
                assert!(self.owed.remove(&id).is_some(), "{id} has had its answer");
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
                let granted = self.answered(id).expect("it was asked for").into();
                let (remote, window) = (reader.uint32().unwrap(), reader.uint32().unwrap().into());
                let longest = reader.uint32().unwrap();
                self.lives.insert(id, Life { remote, window, longest, granted, ..Life::default() });
            }
            CHANNEL_OPEN_FAILURE => {
                assert!(self.answered(id).is_some(), "refused without having been asked for");
            }
            CHANNEL_WINDOW_ADJUST => self.life(id).window += u64::from(reader.uint32().unwrap()),
            CHANNEL_DATA => self.life(id).sent += reader.string().unwrap().len() as u64,
            CHANNEL_EXTENDED_DATA => {
                reader.uint32().unwrap();
                let count = reader.string().unwrap().len() as u64;
                self.life(id).sent += count;
                self.life(id).discarded += count;
            }
            CHANNEL_CLOSE => {
                self.life(id).over = true;
                self.forget(id);
            }
            _ => {
                self.life(id);
            }
        }
    }

    /// A channel that was asked for has its answer. Returns its window.
    fn answered(&mut self, id: u32) -> Option<u32> {
        self.packets.retain(|_, asked| *asked != id);
        self.owed.remove(&id)
    }

    fn life(&mut self, id: u32) -> &mut Life {
        self.lives.get_mut(&id).expect("messages are about open channels")
    }

    fn forget(&mut self, id: u32) {
        if self.lives.get(&id).is_some_and(|life| life.over && life.closed) {
            self.lives.remove(&id);
        }
    }

    /// The client said this, in the packet with this sequence number.
    pub(super) fn hear(&mut self, sequence: u32, payload: &[u8]) {
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
                let taken = self.lives.contains_key(&id) || self.owed.insert(id, window).is_some();
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
                let (&id, life) = self
                    .lives
                    .iter_mut()
                    .find(|(_, life)| life.remote == remote)
                    .expect("messages are about open channels");
                life.hear(id, number, reader);
                self.forget(id);
            }
            CHANNEL_OPEN_CONFIRMATION => {
                let remote = reader.uint32().unwrap();
                let (window, longest) = self.asked.remove(&remote).expect("it was asked for");
                let (id, granted) = (reader.uint32().unwrap(), reader.uint32().unwrap());
                assert!((MIN_WINDOW..=LIMIT).contains(&granted), "a window of {granted} bytes");
                let life = Life { remote, window: window.into(), longest, ..Life::default() };
                let life = Life { granted: granted.into(), ..life };
                let taken = self.owed.contains_key(&id) || self.lives.insert(id, life).is_some();
                assert!(!taken, "{id} is taken");
            }
            CHANNEL_OPEN_FAILURE => {
                let remote = reader.uint32().unwrap();
                assert!(self.asked.remove(&remote).is_some(), "it was not asked for");
            }
            REQUEST_FAILURE | UNIMPLEMENTED => self.replies += 1,
            GLOBAL_REQUEST => {}
            DISCONNECT => self.disconnected = true,
            KEXINIT => self.exchanging = true,
            KEX_ECDH_INIT | KEX_DH_GEX_REQUEST | KEX_DH_GEX_INIT => {}
            other => panic!("message {other}"),
        }
    }

    /// The client said this before the session ended, or when it did.
    pub(super) fn hear_last(&mut self, number: u8) {
        assert!(!self.disconnected, "nothing follows a DISCONNECT");
        self.disconnected = number == DISCONNECT;
    }

    /// Whether the client answered no more often than it was spoken to. `more` messages have come
    /// that are not booked yet.
    pub(super) fn replies_are_due(&self, more: usize) -> bool {
        self.replies <= self.said + more
    }

    /// Whether everything that the client took was within what it had let the server send.
    pub(super) fn windows_hold(&self) -> bool {
        self.lives.values().all(|life| life.sent <= life.granted)
    }

    /// What is left of all that the client let the server send on a channel when the owner has
    /// consumed so much; `None` unless the channel is confirmed.
    pub(super) fn window(&self, id: u32, consumed: u64) -> Option<u64> {
        let life = self.lives.get(&id)?;
        Some(life.granted.checked_sub(life.discarded + consumed).expect("it was granted before"))
    }

    /// The channels that the server has not closed.
    pub(super) fn open(&self) -> Vec<u32> {
        self.lives.iter().filter(|(_, life)| !life.over).map(|(id, _)| *id).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty() && self.asked.is_empty() && self.lives.is_empty()
    }
}

impl Life {
    fn hear(&mut self, id: u32, number: u8, mut reader: Reader<'_>) {
        assert!(!self.closed, "message {number} after CLOSE");
        match number {
            CHANNEL_DATA => {
                let data = reader.string().unwrap();
                assert!(!self.eof, "data after EOF");
                assert!(!data.is_empty() && data.len() <= self.longest as usize);
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
            CHANNEL_CLOSE => self.closed = true,
            _ => {}
        }
    }
}
