//! A session that is logged on, in the clear, with a server that says what it likes and an owner
//! who does what the interface allows.
//!
//! Whatever the server says, the owner's view stays in order: each channel opens and ends once,
//! data comes as it was sent and within the window. What the client sends stays in order too, and
//! while the server has not broken the rules, every channel comes to its end.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::server_model::{LIMIT, Ledger, byte};
use super::{Input, server_messages};
use crate::connection::receive_window::MIN_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE,
};
use crate::transport::{Inbound, Outbound};
use crate::wire::{Reader, Writer, message};
use crate::{
    ChannelId, Client, DisconnectReason, Error, Event, ForwardEvent, ForwardId, ListenAddr,
    OpenFailure, Windows,
};

/// Channels that the owner has at a time.
pub(super) const MOST: usize = 8;

/// Forwards that the owner asks for at a time.
const MOST_FORWARDS: usize = 4;

/// What the windows of all channels may come to, beside a least one for each.
const MEMORY: u64 = 10 * 1024 * 1024;

/// Pieces that what is on the line is cut into.
const MOST_PIECES: usize = 1000;

/// A channel as its owner sees it.
#[derive(Debug)]
struct View {
    id: ChannelId,
    opened: bool,
    /// What the owner said.
    closed: bool,
    eof: bool,
    /// What the owner saw.
    ended: bool,
    over: bool,
    got: usize,
    consumed: usize,
    sent: usize,
}

struct Play {
    client: Client,
    now: Instant,
    /// The server's line to the client, and the messages on it.
    line: Outbound,
    said: Vec<Vec<u8>>,
    /// The data among them that the owner has to see.
    data: VecDeque<(u32, Vec<u8>)>,
    /// Opens what the client says.
    ear: Inbound,
    ledger: Ledger,
    views: BTreeMap<usize, View>,
    /// What the owner asked for, and whether it was given up.
    forwards: Vec<(ForwardId, bool)>,
    /// Channels of the server that the owner has not answered.
    offers: Vec<ChannelId>,
    error: Option<Error>,
    /// The server's own next number of a channel.
    next: u32,
    /// Whether the owner waits for other host keys.
    learns: bool,
}

/// Messages about channels and requests, valid and not, among the commands of the owner.
pub fn channels(data: &[u8]) {
    let mut input = Input::new(data);
    let mut play = Play {
        client: Client::connected(Windows { limit: LIMIT, memory: MEMORY }),
        now: Instant::now(),
        line: Outbound::new(),
        said: Vec::new(),
        data: VecDeque::new(),
        ear: Inbound::new(),
        ledger: Ledger::default(),
        views: BTreeMap::new(),
        forwards: Vec::new(),
        offers: Vec::new(),
        error: None,
        next: 1000,
        learns: input.flag(),
    };
    if play.learns {
        play.client.request_host_keys(Vec::new());
    }
    while !input.is_empty() {
        match input.below(4) {
            0 => play.owner_acts(&mut input),
            1 => {
                let cut = 1 + input.below(1 << 16);
                play.feed(cut);
            }
            _ => {
                play.say(server_messages::message(&mut input));
            }
        }
        play.listen();
    }
    play.end();
}

impl Play {
    fn owner_acts(&mut self, input: &mut Input<'_>) {
        let choice = input.below(16);
        let at = input.below(MOST);
        let has_room = self.views.len() < MOST;
        let view = self.views.values_mut().nth(at);
        match (choice, view) {
            (0 | 1, _) if has_room => {
                let id = self.client.open_direct_tcpip("db", 5432, "::1", 4000);
                self.add(id, false);
            }
            (2, _) if has_room => {
                let id = self.client.open_direct_streamlocal("/run/db");
                self.add(id, false);
            }
            (3..=6, Some(view)) => {
                let most = input.length();
                let ready = input.length().min(most);
                let window = self.client.window(view.id);
                let filled = self.client.fill(view.id, most, |slots| {
                    let room: usize = slots.iter().map(|slot| slot.len()).sum();
                    assert!(room > 0 && room <= most.min(window));
                    for slot in slots.iter_mut().flat_map(|slot| slot.iter_mut()).take(ready) {
                        *slot = byte(view.id.index(), view.sent);
                        view.sent += 1;
                    }
                    Ok(ready.min(room))
                });
                let filled = filled.unwrap_or(0);
                assert_eq!(self.client.window(view.id), window - filled);
                assert!(filled == 0 || view.opened && !view.closed && !view.eof);
            }
            (7..=9, Some(view)) => {
                let count = input.below(view.got - view.consumed + 1);
                view.consumed += count;
                self.client.consumed(view.id, count, self.now);
            }
            (10 | 11, Some(view)) => {
                view.eof |= view.opened;
                self.client.eof(view.id);
                assert_eq!(self.client.window(view.id), 0);
            }
            (12 | 13, Some(view)) => {
                view.closed = true;
                let id = view.id;
                self.client.close(id);
                assert_eq!(self.client.window(id), 0);
                self.views.retain(|_, view| !(view.closed && view.over));
            }
            (14, _) => self.wait(Duration::from_millis(input.below(60_000) as u64)),
            (15, _) => match input.below(16) {
                0 => {
                    self.client.disconnect(DisconnectReason::ByApplication);
                    assert!(matches!(self.client.next_event(), Ok(None)));
                    self.error.get_or_insert(Error::HostKeyRejected);
                }
                choice => self.owner_forwards(choice, at),
            },
            _ => {}
        }
    }

    /// What the owner does about forwards and who connects to them.
    fn owner_forwards(&mut self, choice: usize, at: usize) {
        let offers = self.offers.len();
        match choice {
            1..=3 if self.forwards.len() < MOST_FORWARDS => {
                let places = [
                    ListenAddr::Tcp { host: "localhost".into(), port: 8080 },
                    ListenAddr::Tcp { host: "localhost".into(), port: 0 },
                    ListenAddr::Unix("/run/app".into()),
                ];
                let place = places.into_iter().nth(at % 3).expect("there are three");
                self.forwards.push((self.client.request_forward(place), false));
            }
            4 => {
                if let Some((forward, cancelled)) = self.forwards.get_mut(at) {
                    *cancelled = true;
                    self.client.cancel_forward(*forward);
                }
            }
            5..=12 if offers > 0 && self.views.len() < MOST => {
                let id = self.offers.swap_remove(at % offers);
                self.client.accept(id);
                self.add(id, true);
            }
            13 | 14 if offers > 0 => {
                let id = self.offers.swap_remove(at % offers);
                self.client.reject(id, OpenFailure::ConnectFailed);
            }
            15 if offers > 0 => self.client.close(self.offers.swap_remove(at % offers)),
            _ => {}
        }
    }

    fn add(&mut self, id: ChannelId, opened: bool) {
        self.forget_given_up(id);
        let view = View {
            id,
            opened,
            closed: false,
            eof: false,
            ended: false,
            over: false,
            got: 0,
            consumed: 0,
            sent: 0,
        };
        self.views.insert(id.index(), view);
    }

    /// Nobody is told what became of an open that was given up, until its number is taken again.
    fn forget_given_up(&mut self, id: ChannelId) {
        if let Some(before) = self.views.remove(&id.index()) {
            assert!(before.closed && !before.opened && before.got == 0, "{before:?}");
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.client.timeout().is_some_and(|due| due <= self.now)
            && let Err(error) = self.client.handle_timeout(self.now)
        {
            assert!(matches!(error, Error::KeepaliveTimeout(_)));
            assert_eq!(self.error.replace(error), None);
        }
        // What came of it is told before the owner does anything else.
        self.drain();
    }

    /// Puts a message on the line.
    fn say(&mut self, mut payload: Vec<u8>) {
        if payload.is_empty() || payload.len() > 50_000 {
            return;
        }
        // Each channel gets a number of its own, or nobody could tell them apart.
        if let [CHANNEL_OPEN_CONFIRMATION, _, _, _, _, remote @ ..] = &mut payload[..]
            && let Some(remote) = remote.first_chunk_mut::<4>()
        {
            *remote = self.next.to_be_bytes();
            self.next += 1;
        }
        let mut reader = Reader::new(&payload);
        if reader.byte() == Ok(CHANNEL_OPEN) && reader.string().is_ok() && reader.remaining() >= 4 {
            let at = payload.len() - reader.remaining();
            payload[at..at + 4].copy_from_slice(&self.next.to_be_bytes());
            self.next += 1;
        }
        let mut reader = Reader::new(&payload);
        if reader.byte() == Ok(CHANNEL_DATA)
            && let (Ok(channel), Ok(data)) = (reader.uint32(), reader.string())
            && !data.is_empty()
        {
            self.data.push_back((channel, data.to_vec()));
        }
        self.line.packet(&payload);
        self.said.push(payload);
    }

    /// Brings everything to the client, in pieces of `cut` bytes; a million of one byte each would
    /// only take time.
    fn feed(&mut self, cut: usize) {
        let cut = cut.max(self.line.pending().len() / MOST_PIECES);
        while !self.line.pending().is_empty() && self.client.wants_input() {
            let pending = self.line.pending();
            let space = self.client.space();
            assert!(!space.is_empty() || self.error.is_some());
            let count = cut.min(pending.len()).min(space.len());
            if count == 0 {
                return;
            }
            space[..count].copy_from_slice(&pending[..count]);
            self.line.sent(count);
            self.client.received(count, self.now);
            self.drain();
        }
        if self.error.is_none() {
            for payload in std::mem::take(&mut self.said) {
                self.ledger.accepted(&payload);
            }
            assert!(self.data.is_empty(), "data that came to nothing");
        }
    }

    fn drain(&mut self) {
        loop {
            match self.client.next_event() {
                Ok(Some(event)) => {
                    assert_eq!(self.error, None, "{event:?} after the end");
                    self.see(event);
                }
                Ok(None) => return,
                Err(error) => {
                    assert!(matches!(error, Error::Protocol(_)) || is_telling(&error), "{error}");
                    assert_eq!(self.error.replace(error), None, "a session ends once");
                }
            }
        }
    }

    fn see(&mut self, event: Event) {
        if let Event::HostKeys(keys) = &event {
            assert!(self.learns);
            assert!(keys.iter().all(|key| key.blob() == server_messages::KEY.public_blob()));
            self.learns = false;
            return;
        }
        let event = match event {
            Event::Forward(forward, event) => return self.see_forward(forward, event),
            event => event,
        };
        let id = match &event {
            Event::Opened(id) | Event::Window(id) | Event::Eof(id) | Event::Close(id) => *id,
            Event::OpenFailed { channel, .. } | Event::Data { channel, .. } => *channel,
            other => panic!("{other:?}"),
        };
        let view = self.views.get_mut(&id.index()).expect("channels of ours");
        match event {
            Event::Opened(_) => {
                assert!(!view.opened && !view.closed);
                view.opened = true;
            }
            Event::OpenFailed { description, .. } => {
                assert!(!view.opened && !view.closed && description.len() < 2000);
                assert!(!description.contains(char::is_control));
                self.views.remove(&id.index());
            }
            Event::Data { range, .. } => {
                assert!((view.opened || view.closed) && !view.ended && !view.over);
                view.got += range.len();
                assert!(view.got <= LIMIT as usize + view.consumed, "beyond the window");
                let mut bytes = self.client.bytes(range);
                assert!(!bytes.is_empty());
                while !bytes.is_empty() {
                    let (channel, data) = self.data.pop_front().expect("data that was sent");
                    assert!(channel as usize == id.index() && bytes.starts_with(&data));
                    bytes = &bytes[data.len()..];
                }
            }
            Event::Window(_) => {
                assert!(view.opened && !view.eof && !view.closed);
                assert!(self.client.window(id) > 0);
            }
            Event::Eof(_) => {
                assert!((view.opened || view.closed) && !view.ended && !view.over);
                view.ended = true;
            }
            Event::Close(_) => {
                assert!((view.opened || view.closed) && !view.over);
                view.over = true;
                self.views.retain(|_, view| !(view.closed && view.over));
            }
            other => panic!("{other:?}"),
        }
    }

    fn see_forward(&mut self, forward: ForwardId, event: ForwardEvent) {
        let found = self.forwards.iter().position(|(known, _)| *known == forward);
        let at = found.expect("it was asked for");
        let (_, cancelled) = self.forwards[at];
        assert_eq!(cancelled, matches!(event, ForwardEvent::Cancelled(_)), "{event:?}");
        match event {
            ForwardEvent::Listening { .. } => {}
            ForwardEvent::Failed(_) | ForwardEvent::Cancelled(_) => {
                self.forwards.swap_remove(at);
            }
            ForwardEvent::InboundChannel { channel, originator, .. } => {
                assert!(originator.len() < 2000 && !originator.contains(char::is_control));
                assert!(!self.offers.contains(&channel));
                self.forget_given_up(channel);
                self.offers.push(channel);
            }
        }
    }

    /// Takes what the client has to say.
    fn listen(&mut self) {
        while !self.client.pending().is_empty() {
            let pending = self.client.pending();
            let space = self.ear.space();
            let count = pending.len().min(space.len());
            space[..count].copy_from_slice(&pending[..count]);
            self.ear.filled(count);
            self.client.sent(count);
            while let Some(range) = self.ear.packet().expect("the client's packets are sound") {
                let sequence = self.ear.sequence().wrapping_sub(1);
                let payload = self.ear.bytes(range);
                match self.error {
                    None => self.ledger.hear(sequence, payload),
                    // What it said before the end may answer what is not booked.
                    Some(_) => self.ledger.hear_last(payload[0]),
                }
            }
        }
        assert!(self.ledger.replies_are_due(self.said.len()), "answers without questions");
        if self.error.is_none() && self.said.is_empty() {
            self.check_windows();
        }
    }

    /// What lies here and what may come stays within the limits, for each channel and for all.
    fn check_windows(&self) {
        assert!(self.ledger.windows_hold());
        let mut sum = 0;
        for view in self.views.values() {
            let window = self.ledger.window(view.id.index() as u32, view.consumed as u64);
            let Some(window) = window else { continue };
            assert!(window <= LIMIT.into(), "a window of {window} bytes");
            sum += window;
        }
        assert!(sum <= MEMORY + MOST as u64 * u64::from(MIN_WINDOW), "windows of {sum} bytes");
    }

    /// Both sides close what there is.
    fn end(mut self) {
        self.feed(usize::MAX);
        self.listen();
        if let Some(error) = &self.error {
            let told = !matches!(error, Error::Disconnected { .. } | Error::KeepaliveTimeout(_));
            assert_eq!(self.ledger.disconnected, told, "{error}");
            assert!(!self.client.is_connected() && !self.client.has_room());
            return;
        }
        if self.ledger.exchanging {
            return;
        }
        let ids: Vec<_> = self.views.values().map(|view| view.id).collect();
        for id in ids {
            self.client.close(id);
            self.views.get_mut(&id.index()).expect("it is there").closed = true;
        }
        self.views.retain(|_, view| !(view.closed && view.over));
        for id in std::mem::take(&mut self.offers) {
            self.client.close(id);
        }
        self.listen();
        for (at, id) in self.ledger.owed.clone().into_keys().enumerate() {
            let mut answer =
                message(if at % 2 == 0 { CHANNEL_OPEN_FAILURE } else { CHANNEL_OPEN_CONFIRMATION });
            for number in [id, 0, 0, 1] {
                answer.put_uint32(number);
            }
            self.say(answer);
        }
        self.feed(usize::MAX);
        self.listen();
        for id in self.ledger.open() {
            let mut close = message(CHANNEL_CLOSE);
            close.put_uint32(id);
            self.say(close);
        }
        self.feed(usize::MAX);
        self.listen();
        assert_eq!(self.error, None);
        assert!(self.client.is_idle() && self.ledger.is_empty());
        assert!(self.views.values().all(|view| view.closed && !view.opened));
    }
}

/// Whether the session may have ended because the server said so.
fn is_telling(error: &Error) -> bool {
    matches!(
        error,
        Error::Disconnected { .. } | Error::NoCommonAlgorithm { .. } | Error::HostKey(_)
    )
}
