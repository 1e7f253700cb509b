//! The client and the server, connected in memory.

use std::io::Read;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::messages::{Open, confirm};
use super::random::Random;
use super::server::{Script, Server, fixture};
use crate::client::{Client, Event, Keepalive, Phase, Rekey, Setup};
use crate::key::HostKey;
use crate::message::{CHANNEL_OPEN, DISCONNECT};
use crate::transport::Outbound;
use crate::wire::Reader;
use crate::{
    Algorithms, Banner, ChannelId, Credentials, Error, ForwardEvent, ForwardId, KnownKeys, Log,
    OpenFailure, Question, Windows,
};

/// An event with its data, which outlives the receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    HostKey(Vec<u8>),
    Banner(Banner),
    Question(Question),
    Ready,
    Opened(ChannelId),
    OpenFailed(ChannelId, OpenFailure, String),
    Data(ChannelId, Vec<u8>),
    Window(ChannelId),
    Eof(ChannelId),
    Close(ChannelId),
    Rekeyed,
    /// The blobs.
    HostKeys(Vec<Vec<u8>>),
    Forward(ForwardId, ForwardEvent),
}

impl Seen {
    /// Returns the length of this data of `channel`; panics for all other events.
    pub(crate) fn length(&self, channel: ChannelId) -> usize {
        match self {
            Seen::Data(id, bytes) if *id == channel => bytes.len(),
            other => panic!("{other:?}"),
        }
    }
}

/// How the bytes of the server are cut.
pub(crate) enum Cut {
    Whole,
    /// Into pieces of this size.
    Every(usize),
    /// Into pieces of up to this size.
    Randomly(Random, usize),
}

pub(crate) struct Pair {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) seen: Vec<Seen>,
    pub(crate) error: Option<Error>,
    pub(crate) cut: Cut,
    /// Whether host keys are trusted at once.
    pub(crate) trusts: bool,
    /// Whether received data is consumed at once.
    pub(crate) consumes: bool,
}

pub(crate) fn setup() -> Setup {
    Setup {
        credentials: Credentials {
            user: "ann".into(),
            keys: vec![fixture!("ed25519b.pkcs8").into()],
            password: Some(Zeroizing::new("secret".into())),
            ..Credentials::default()
        },
        keepalive: Some(Keepalive { interval: Duration::from_secs(10), count_max: 3 }),
        rekey: Rekey::default(),
        algorithms: Algorithms::default(),
        known_keys: KnownKeys::default(),
        windows: Windows::default(),
        reply_timeout: Duration::from_secs(8),
        log: Log::default(),
    }
}

impl Client {
    /// A connected session without encryption, to which messages can be sent without a server.
    pub(crate) fn connected(windows: Windows) -> Self {
        let mut client = Self::new(Setup { windows, ..setup() }, |bytes| bytes.fill(7));
        client.keys.skip_first_exchange();
        client.outbound = Outbound::new();
        client.phase = Phase::Connected;
        client
    }
}

impl Pair {
    pub(crate) fn new(setup: Setup, script: Script) -> Self {
        let mut random = Random(1);
        Self {
            client: Client::new(setup, move |bytes| random.fill(bytes)),
            server: Server::new(script),
            now: Instant::now(),
            seen: Vec::new(),
            error: None,
            cut: Cut::Whole,
            trusts: true,
            consumes: true,
        }
    }

    /// A connected session, without events left.
    pub(crate) fn connected(script: Script) -> Self {
        let mut pair = Self::new(setup(), script);
        pair.run();
        assert_eq!(pair.error, None);
        assert!(pair.client.is_connected());
        pair.seen.clear();
        pair.server.take();
        pair
    }

    /// A session with `N` open channels of the given window and packet size; the server's numbers
    /// are 100 and so on.
    pub(crate) fn open<const N: usize>(window: u32, longest: u32) -> (Self, [ChannelId; N]) {
        let mut pair = Self::connected(Script::default());
        let channels =
            std::array::from_fn(|at| pair.open_another(100 + at as u32, window, longest));
        (pair, channels)
    }

    pub(crate) fn open_another(&mut self, remote: u32, window: u32, longest: u32) -> ChannelId {
        let channel = self.client.open_direct_tcpip("db", 5432, "127.0.0.1", 4000);
        self.run();
        let received = self.server.take();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0][0], CHANNEL_OPEN);
        assert_eq!(Open::parse(&received[0]).channel, channel.index() as u32);
        self.server.send(&confirm(channel.index() as u32, remote, window, longest));
        self.run();
        assert_eq!(self.take(), [Seen::Opened(channel)]);
        channel
    }

    /// Takes the events so far.
    pub(crate) fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// Delivers everything in both directions, until nothing is pending.
    pub(crate) fn run(&mut self) {
        loop {
            let moved = self.feed_client() + self.feed_server();
            if moved == 0 {
                return;
            }
        }
    }

    /// Sends `payload` to the client, and delivers everything.
    pub(crate) fn deliver(&mut self, payload: &[u8]) {
        self.server.send(payload);
        self.run();
    }

    /// Delivers the server's pending bytes to the client; returns their number.
    pub(crate) fn feed_client(&mut self) -> usize {
        let mut moved = 0;
        loop {
            let pending = self.server.outbound.pending();
            if self.error.is_some() {
                self.server.outbound.sent(pending.len());
                return moved;
            }
            let most = match &mut self.cut {
                Cut::Whole => usize::MAX,
                Cut::Every(size) => *size,
                Cut::Randomly(random, size) => 1 + random.below(*size),
            };
            let space = self.client.space();
            let count = pending.len().min(most).min(space.len());
            if count == 0 {
                return moved;
            }
            space[..count].copy_from_slice(&pending[..count]);
            self.server.outbound.sent(count);
            self.client.received(count, self.now);
            moved += count;
            self.drain_all();
        }
    }

    /// Delivers bytes to the client that the server has not sealed.
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(100_000) {
            if self.error.is_none() {
                self.client.space()[..bytes.len()].copy_from_slice(bytes);
                self.client.received(bytes.len(), self.now);
                self.drain_all();
            }
        }
    }

    /// Delivers the client's pending bytes to the server; returns their number.
    pub(crate) fn feed_server(&mut self) -> usize {
        let pending = self.client.pending().to_vec();
        self.client.sent(pending.len());
        self.server.receive(&pending);
        pending.len()
    }

    /// Takes every event from the client, in as many portions as needed.
    fn drain_all(&mut self) {
        self.drain();
        while self.client.make_room() {
            self.drain();
        }
    }

    /// Takes every event from the client that there is room for.
    pub(crate) fn drain(&mut self) {
        loop {
            let event = match self.client.next_event() {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    assert_eq!(self.error, None, "a session ends once");
                    self.error = Some(error);
                    assert!(matches!(self.client.next_event(), Ok(None)));
                    assert!(!self.client.is_connected() && !self.client.has_room());
                    return;
                }
            };
            let seen = match event {
                Event::HostKey(HostKey::Plain(key)) => Seen::HostKey(key.blob().to_vec()),
                Event::HostKey(HostKey::Certified(certificate)) => {
                    Seen::HostKey(certificate.blob().to_vec())
                }
                Event::Banner(banner) => Seen::Banner(banner),
                Event::Question(question) => Seen::Question(question),
                Event::Ready => Seen::Ready,
                Event::Opened(channel) => Seen::Opened(channel),
                Event::OpenFailed { channel, reason, description } => {
                    Seen::OpenFailed(channel, reason, description)
                }
                Event::Data { channel, range } => {
                    let bytes = self.client.bytes(range).to_vec();
                    if self.consumes {
                        self.client.consumed(channel, bytes.len(), self.now);
                    }
                    Seen::Data(channel, bytes)
                }
                Event::Window(channel) => Seen::Window(channel),
                Event::Eof(channel) => Seen::Eof(channel),
                Event::Close(channel) => Seen::Close(channel),
                Event::Rekeyed => Seen::Rekeyed,
                Event::HostKeys(keys) => {
                    Seen::HostKeys(keys.proved.iter().map(|key| key.blob().to_vec()).collect())
                }
                Event::Forward(forward, event) => Seen::Forward(forward, event),
            };
            if matches!(seen, Seen::HostKey(_)) && self.trusts {
                self.client.trust(true).unwrap();
            }
            self.seen.push(seen);
        }
    }

    /// Sends as much of `bytes` as the client accepts now; returns the number.
    pub(crate) fn fill(&mut self, channel: ChannelId, bytes: &[u8]) -> std::io::Result<usize> {
        self.client.fill(channel, bytes.len(), |slots| (&*bytes).read_vectored(slots))
    }

    /// Returns the reason of DISCONNECT, if that was the client's last message.
    pub(crate) fn disconnect_reason(&mut self) -> Option<u32> {
        let last = self.server.received.last().filter(|payload| payload[0] == DISCONNECT)?;
        let mut reader = Reader::new(last);
        reader.byte().unwrap();
        let reason = reader.uint32().unwrap();
        assert!(!reader.text().unwrap().is_empty());
        assert_eq!(reader.text(), Ok(""));
        Some(reason)
    }

    /// Returns the error of the session, after the server has received everything.
    pub(crate) fn failure(&mut self) -> Error {
        let error = self.error.clone().expect("the session is over");
        assert_eq!(self.disconnect_reason(), error.reason().map(|reason| reason as u32), "{error}");
        error
    }
}
