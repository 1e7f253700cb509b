//! A connected session without encryption: a server sends arbitrary messages, and an application
//! gives any commands that the API allows.
//!
//! Whatever the server sends, the application's view stays consistent: each channel opens and ends
//! once, data arrives as it was sent and within the window. What the client sends is consistent
//! too, and while the server has not violated the protocol, every channel ends.

mod application;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::server_model::{LIMIT, MAX_CHANNELS, ServerModel};
use super::{Input, server_messages};
use crate::connection::receive_window::MIN_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE,
};
use crate::transport::{Inbound, Outbound};
use crate::wire::{Reader, Writer, message};
use crate::{ChannelId, Client, Error, Event, ForwardEvent, ForwardId, Windows};
use application::View;

/// Forwards of the application at a time.
const MAX_FORWARDS: usize = 4;

/// Limit of all receive windows together, in addition to a minimum window for each.
const MEMORY: u64 = 10 * 1024 * 1024;

/// Pieces that the server's bytes are cut into.
const MAX_PIECES: usize = 1000;

struct Session {
    client: Client,
    now: Instant,
    /// The server's packets to the client, and the messages in them that it has not accepted yet.
    line: Outbound,
    unconfirmed: Vec<Vec<u8>>,
    /// The data in them that the application has to receive.
    data: VecDeque<(u32, Vec<u8>)>,
    /// Opens the client's packets.
    receiver: Inbound,
    model: ServerModel,
    views: BTreeMap<usize, View>,
    /// The forwards, and whether each was cancelled.
    forwards: Vec<(ForwardId, bool)>,
    /// Inbound channels that were neither accepted nor rejected.
    inbound: Vec<ChannelId>,
    error: Option<Error>,
    /// The server's number of the next channel.
    next: u32,
    /// Whether the application has requested the host keys.
    awaits_host_keys: bool,
}

/// Sends messages about channels and requests, valid and not, between commands of the application.
pub fn channels(data: &[u8]) {
    let mut input = Input::new(data);
    let mut session = Session {
        client: Client::connected(Windows { limit: LIMIT, memory: MEMORY }),
        now: Instant::now(),
        line: Outbound::new(),
        unconfirmed: Vec::new(),
        data: VecDeque::new(),
        receiver: Inbound::new(),
        model: ServerModel::default(),
        views: BTreeMap::new(),
        forwards: Vec::new(),
        inbound: Vec::new(),
        error: None,
        next: 1000,
        awaits_host_keys: input.flag(),
    };
    if session.awaits_host_keys {
        session.client.request_host_keys(Vec::new());
    }
    while !input.is_empty() {
        match input.below(4) {
            0 => session.run_command(&mut input),
            1 => {
                let cut = 1 + input.below(1 << 16);
                session.feed(cut);
            }
            _ => {
                session.server_sends(server_messages::message(&mut input));
            }
        }
        session.receive();
    }
    session.end();
}

impl Session {
    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.client.timeout().is_some_and(|due| due <= self.now)
            && let Err(error) = self.client.handle_timeout(self.now)
        {
            assert!(matches!(error, Error::KeepaliveTimeout(_)));
            assert_eq!(self.error.replace(error), None);
        }
        // The events come before the next command.
        self.drain();
    }

    /// Sends a message to the client.
    fn server_sends(&mut self, mut payload: Vec<u8>) {
        if payload.is_empty() || payload.len() > 50_000 {
            return;
        }
        // Each channel gets a number of its own, so that they can be distinguished.
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
        self.unconfirmed.push(payload);
    }

    /// Delivers everything to the client, in pieces of `cut` bytes, but not in a million of them.
    fn feed(&mut self, cut: usize) {
        let cut = cut.max(self.line.pending().len() / MAX_PIECES);
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
            for payload in std::mem::take(&mut self.unconfirmed) {
                self.model.accepted(&payload);
            }
            assert!(self.data.is_empty(), "data that came to nothing");
        }
    }

    fn drain(&mut self) {
        loop {
            match self.client.next_event() {
                Ok(Some(event)) => {
                    assert_eq!(self.error, None, "{event:?} after the end");
                    self.handle_event(event);
                }
                Ok(None) => return,
                Err(error) => {
                    assert!(matches!(error, Error::Protocol(_)) || is_telling(&error), "{error}");
                    assert_eq!(self.error.replace(error), None, "a session ends once");
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        if let Event::HostKeys(keys) = &event {
            assert!(self.awaits_host_keys);
            assert!(keys.proved.iter().all(|key| key.blob() == server_messages::KEY.public_blob()));
            self.awaits_host_keys = false;
            return;
        }
        let event = match event {
            Event::Forward(forward, event) => return self.handle_forward_event(forward, event),
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

    fn handle_forward_event(&mut self, forward: ForwardId, event: ForwardEvent) {
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
                assert!(!self.inbound.contains(&channel));
                self.forget_abandoned(channel);
                self.inbound.push(channel);
            }
        }
    }

    /// Receives what the client sends.
    fn receive(&mut self) {
        while !self.client.pending().is_empty() {
            let pending = self.client.pending();
            let space = self.receiver.space();
            let count = pending.len().min(space.len());
            space[..count].copy_from_slice(&pending[..count]);
            self.receiver.filled(count);
            self.client.sent(count);
            while let Some(range) = self.receiver.packet().expect("the client's packets are sound")
            {
                let sequence = self.receiver.sequence().wrapping_sub(1);
                let payload = self.receiver.bytes(range);
                match self.error {
                    None => self.model.client_sent(sequence, payload),
                    // Its last messages may be replies to messages that were not counted.
                    Some(_) => self.model.client_sent_last(payload[0]),
                }
            }
        }
        assert!(self.model.replies_are_due(self.unconfirmed.len()), "answers without questions");
        if self.error.is_none() && self.unconfirmed.is_empty() {
            self.check_windows();
        }
    }

    /// Checks that the windows are within the limits, for each channel and for all.
    fn check_windows(&self) {
        assert!(self.model.windows_hold());
        let mut sum = 0;
        for view in self.views.values() {
            let window = self.model.window(view.id.index() as u32, view.consumed as u64);
            let Some(window) = window else { continue };
            assert!(window <= LIMIT.into(), "a window of {window} bytes");
            sum += window;
        }
        assert!(
            sum <= MEMORY + MAX_CHANNELS as u64 * u64::from(MIN_WINDOW),
            "windows of {sum} bytes"
        );
    }

    /// Closes everything on both sides.
    fn end(mut self) {
        self.feed(usize::MAX);
        self.receive();
        if let Some(error) = &self.error {
            let told = !matches!(error, Error::Disconnected { .. } | Error::KeepaliveTimeout(_));
            assert_eq!(self.model.disconnected, told, "{error}");
            assert!(!self.client.is_connected() && !self.client.has_room());
            return;
        }
        if self.model.exchanging {
            return;
        }
        let ids: Vec<_> = self.views.values().map(|view| view.id).collect();
        for id in ids {
            self.client.close(id);
            self.views.get_mut(&id.index()).expect("it is there").closed = true;
        }
        self.views.retain(|_, view| !(view.closed && view.over));
        for id in std::mem::take(&mut self.inbound) {
            self.client.close(id);
        }
        self.receive();
        for (at, id) in self.model.opening.clone().into_keys().enumerate() {
            let mut answer =
                message(if at % 2 == 0 { CHANNEL_OPEN_FAILURE } else { CHANNEL_OPEN_CONFIRMATION });
            for number in [id, 0, 0, 1] {
                answer.put_uint32(number);
            }
            self.server_sends(answer);
        }
        self.feed(usize::MAX);
        self.receive();
        for id in self.model.open() {
            let mut close = message(CHANNEL_CLOSE);
            close.put_uint32(id);
            self.server_sends(close);
        }
        self.feed(usize::MAX);
        self.receive();
        assert_eq!(self.error, None);
        assert!(self.client.is_idle() && self.model.is_empty());
        assert!(self.views.values().all(|view| view.closed && !view.opened));
    }
}

/// Returns whether the session may have ended because of a message of the server.
fn is_telling(error: &Error) -> bool {
    matches!(
        error,
        Error::Disconnected { .. } | Error::NoCommonAlgorithm { .. } | Error::HostKey(_)
    )
}
