//! Both sides act at random within the protocol, over many channels and key exchanges.
//!
//! Each side is compared with a model, and every byte has a value that depends on its offset: lost,
//! repeated, swapped or misdirected data is noticed where it happens. The seed of a failed run is
//! in its output.

use super::harness::channel_model::{Answer, Channel, End, byte};
use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{
    Open, about, adjust, build, confirm, data, global, parse_data, refuse,
};
use super::harness::pair::{Pair, Seen};
use super::harness::random::Choices;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_FAILURE, CHANNEL_OPEN, CHANNEL_REQUEST,
    CHANNEL_WINDOW_ADJUST, IGNORE,
};
use crate::transport::Protection;
use crate::wire::Reader;

/// Channels of the client at a time.
const MAX_CHANNELS: usize = 12;

/// A session whose every next step is chosen by `C`.
pub(super) struct RandomSession<C> {
    pub(super) pair: Pair,
    pub(super) choices: C,
    pub(super) channels: Vec<Channel>,
    pub(super) rekeys: usize,
}

impl<C: Choices> RandomSession<C> {
    /// Begins with a connected session.
    pub(super) fn new(mut pair: Pair, choices: C) -> Self {
        assert!(pair.client.is_connected());
        pair.seen.clear();
        pair.server.take();
        pair.consumes = false;
        Self { pair, choices, channels: Vec::new(), rekeys: 0 }
    }

    /// Takes a step: one side acts, or receives what the other has sent.
    pub(super) fn step(&mut self) {
        match self.choices.below(8) {
            0..=2 => self.client_acts(),
            3..=5 => self.server_acts(),
            6 => drop(self.feed_client(false)),
            _ => drop(self.feed_server(false)),
        }
    }

    /// Returns one of the channels that `fits`.
    fn pick(&mut self, fits: impl Fn(&Channel) -> bool) -> Option<usize> {
        let fitting: Vec<_> =
            (0..self.channels.len()).filter(|at| fits(&self.channels[*at])).collect();
        (!fitting.is_empty()).then(|| fitting[self.choices.below(fitting.len())])
    }

    fn client_acts(&mut self) {
        match self.choices.below(20) {
            0 | 1
                if self.channels.iter().filter(|channel| !channel.is_gone()).count()
                    < MAX_CHANNELS =>
            {
                self.open();
            }
            0..=8 => {
                if let Some(at) = self.pick(|channel| !channel.is_gone()) {
                    self.fill(at);
                }
            }
            9 => {
                if let Some(at) = self.pick(|channel| {
                    channel.client_end == End::None && channel.answer == Answer::Confirmed
                }) {
                    let channel = &mut self.channels[at];
                    // Before the client knows that it is open, EOF would have no effect.
                    if self.pair.client.window(channel.id) > 0 {
                        channel.client_end = End::Eof;
                        self.pair.client.eof(channel.id);
                    }
                }
            }
            10 => {
                let patient = !self.choices.once_in(3);
                if let Some(at) = self.pick(|channel| {
                    let due = !patient || channel.client_received_end != End::None;
                    due && channel.client_end != End::Close && !channel.is_gone()
                }) {
                    self.channels[at].client_end = End::Close;
                    self.pair.client.close(self.channels[at].id);
                }
            }
            _ => {
                if let Some(at) = self.pick(|channel| channel.unconsumed > 0 && !channel.is_gone())
                {
                    let count = 1 + self.choices.below(self.channels[at].unconsumed);
                    self.channels[at].unconsumed -= count;
                    self.pair.client.consumed(self.channels[at].id, count, self.pair.now);
                }
            }
        }
    }

    fn open(&mut self) {
        let name = self.channels.len().to_string();
        let id = self.pair.client.open_direct_tcpip(&name, 80, "::1", 4000);
        assert!(
            self.channels.iter().all(|channel| channel.id != id || channel.is_gone()),
            "{id:?} is taken"
        );
        self.channels.push(Channel::new(id));
    }

    /// The local socket has data, perhaps less than there is room for.
    fn fill(&mut self, at: usize) {
        let channel = &mut self.channels[at];
        let most = self.choices.amount(100_000);
        let ready = self.choices.amount(most);
        let mut place = channel.client_sent;
        let filled = self.pair.client.fill(channel.id, most, |slots| {
            let mut count = 0;
            for slot in slots.iter_mut().flat_map(|slot| slot.iter_mut()).take(ready) {
                *slot = byte(at, true, place);
                place += 1;
                count += 1;
            }
            assert!(count > 0, "nobody is asked without room");
            Ok(count)
        });
        if filled.is_ok() {
            assert_eq!(channel.client_end, End::None);
        }
        channel.client_sent = place;
    }

    fn server_acts(&mut self) {
        if self.pair.server.is_exchanging() {
            return;
        }
        let open = |channel: &Channel| {
            channel.answer == Answer::Confirmed && channel.server_end < End::Close
        };
        let talking = |channel: &Channel| open(channel) && channel.server_end == End::None;
        match self.choices.below(24) {
            0..=2 => {
                if let Some(at) = self.pick(|channel| channel.answer == Answer::Owed) {
                    self.answer(at);
                }
            }
            3..=11 => {
                if let Some(at) = self.pick(|channel| talking(channel) && channel.down > 0) {
                    let max_packet = if self.choices.once_in(2) { 100 } else { 32_768 };
                    let most = max_packet.min(self.channels[at].down as usize);
                    let count = self.choices.amount(most);
                    let channel = &mut self.channels[at];
                    let places = channel.server_sent..channel.server_sent + count;
                    let bytes: Vec<u8> = places.map(|place| byte(at, false, place)).collect();
                    self.pair.server.send(&data(channel.id.index() as u32, &bytes));
                    channel.server_sent += count;
                    channel.down -= count as u32;
                }
            }
            12 => {
                if let Some(at) = self.pick(talking) {
                    self.channels[at].server_end = End::Eof;
                    self.tell(at, CHANNEL_EOF);
                }
            }
            13 => {
                let patient = !self.choices.once_in(3);
                if let Some(at) = self.pick(|channel| {
                    open(channel) && (!patient || channel.server_received_end != End::None)
                }) {
                    self.channels[at].server_end = End::Close;
                    self.tell(at, CHANNEL_CLOSE);
                }
            }
            14..=19 => {
                if let Some(at) = self.pick(open) {
                    let credit = self.choices.below(120_000) as u32;
                    self.channels[at].up += credit;
                    let id = self.channels[at].id.index() as u32;
                    self.pair.server.send(&adjust(id, credit));
                }
            }
            20 => {
                if let Some(at) = self.pick(open) {
                    let id = self.channels[at].id.index() as u32;
                    let parts = [Number(id), Text(b"keepalive"), Flag(true)];
                    self.pair.server.send(&build(CHANNEL_REQUEST, &parts));
                }
            }
            21 => self.pair.server.send(&global(b"keepalive@openssh.com", true)),
            22 => self.pair.server.send(&build(IGNORE, &[Text(b"padding")])),
            _ => {
                if self.pair.server.is_settled() && self.choices.once_in(2) {
                    let all = Protection::all();
                    let (cipher, mac, _) = all[self.choices.below(all.len())];
                    self.pair.server.script.cipher = cipher;
                    self.pair.server.script.mac = mac;
                    self.pair.server.start_kex();
                }
            }
        }
    }

    fn tell(&mut self, at: usize, number: u8) {
        let id = self.channels[at].id.index() as u32;
        self.pair.server.send(&about(number, id));
    }

    fn answer(&mut self, at: usize) {
        let channel = &mut self.channels[at];
        let id = channel.id.index() as u32;
        if self.choices.once_in(5) {
            channel.answer = Answer::Refused;
            self.pair.server.send(&refuse(id, 2, b"connection refused"));
            return;
        }
        channel.answer = Answer::Confirmed;
        channel.up = [0, 1, 5000, 200_000][self.choices.below(4)];
        channel.max_packet = [1 + self.choices.below(500), 32_768, 100_000][self.choices.below(3)];
        self.pair.server.send(&confirm(id, at as u32, channel.up, channel.max_packet as u32));
    }

    /// Delivers some of the bytes in flight to the client.
    fn feed_client(&mut self, all: bool) -> usize {
        let pending = self.pair.server.outbound.pending();
        let room = pending.len().min(self.pair.client.space().len());
        let count = if all { room } else { self.choices.below(room + 1) };
        let bytes = pending[..count].to_vec();
        self.pair.server.outbound.sent(count);
        self.pair.inject(&bytes);
        assert_eq!(self.pair.error, None);
        for seen in self.pair.take() {
            self.see(seen);
        }
        count
    }

    /// Updates the model for an event. A number of the client's means its latest channel.
    fn see(&mut self, seen: Seen) {
        let channels = &mut self.channels;
        let find = |id| {
            let at = channels.iter().rposition(|channel| channel.id == id).unwrap();
            assert!(!channels[at].is_gone() || channels[at].answer == Answer::Refused);
            at
        };
        match seen {
            Seen::Opened(id) => {
                let at = find(id);
                assert_eq!(self.channels[at].client_end, End::None);
            }
            Seen::OpenFailed(id, ..) => {
                let at = find(id);
                assert_eq!(self.channels[at].client_end, End::None);
                self.channels[at].refusal_seen = true;
            }
            Seen::Data(id, bytes) => {
                let at = find(id);
                let channel = &mut self.channels[at];
                assert_eq!(channel.client_received_end, End::None);
                for value in &bytes {
                    assert_eq!(*value, byte(at, false, channel.client_got));
                    channel.client_got += 1;
                }
                channel.unconsumed += bytes.len();
            }
            Seen::Window(id) => {
                find(id);
                assert!(self.pair.client.window(id) > 0);
            }
            Seen::Eof(id) => {
                let at = find(id);
                let channel = &mut self.channels[at];
                assert_eq!(channel.client_received_end, End::None);
                assert_eq!(channel.client_got, channel.server_sent);
                channel.client_received_end = End::Eof;
            }
            Seen::Close(id) => {
                let at = find(id);
                let channel = &mut self.channels[at];
                assert!(channel.client_received_end < End::Close);
                assert_eq!(channel.client_got, channel.server_sent);
                channel.client_received_end = End::Close;
            }
            Seen::Rekeyed => self.rekeys += 1,
            Seen::HostKey(_) | Seen::Question(_) | Seen::Ready => panic!("a second logon"),
            Seen::HostKeys(_) | Seen::Forward(..) | Seen::Banner(_) => {
                panic!("nobody has asked for them")
            }
        }
    }

    /// Delivers some of the bytes in flight to the server.
    fn feed_server(&mut self, all: bool) -> usize {
        let pending = self.pair.client.pending();
        let count = if all { pending.len() } else { self.choices.below(pending.len() + 1) };
        let bytes = pending[..count].to_vec();
        self.pair.client.sent(count);
        self.pair.server.receive(&bytes);
        for payload in self.pair.server.take() {
            self.hear(&payload);
        }
        count
    }

    /// Updates the model for a message of the client: by the server's numbers, which are not
    /// reused.
    fn hear(&mut self, payload: &[u8]) {
        let mut reader = Reader::new(payload);
        reader.byte().unwrap();
        match payload[0] {
            CHANNEL_OPEN => {
                let open = Open::parse(payload);
                let channel = &mut self.channels[open.host.parse::<usize>().unwrap()];
                assert_eq!(channel.id.index() as u32, open.channel);
                assert_eq!(channel.answer, Answer::NotArrived);
                (channel.answer, channel.down) = (Answer::Owed, open.window);
            }
            CHANNEL_DATA => {
                let (number, bytes) = parse_data(payload);
                let channel = &mut self.channels[number as usize];
                assert!(channel.server_received_end == End::None && !bytes.is_empty());
                assert!(bytes.len() <= channel.max_packet);
                channel.up = channel.up.checked_sub(bytes.len() as u32).expect("within the window");
                for value in bytes {
                    assert_eq!(*value, byte(number as usize, true, channel.server_got));
                    channel.server_got += 1;
                }
            }
            CHANNEL_WINDOW_ADJUST => {
                let channel = &mut self.channels[reader.uint32().unwrap() as usize];
                assert_ne!(channel.server_received_end, End::Close);
                channel.down += reader.uint32().unwrap();
                assert!(channel.down <= INITIAL_WINDOW);
            }
            CHANNEL_EOF => {
                let channel = &mut self.channels[reader.uint32().unwrap() as usize];
                assert_eq!(channel.server_received_end, End::None);
                assert_eq!(channel.server_got, channel.client_sent);
                channel.server_received_end = End::Eof;
            }
            CHANNEL_CLOSE => {
                let channel = &mut self.channels[reader.uint32().unwrap() as usize];
                assert_ne!(channel.server_received_end, End::Close);
                assert_eq!(channel.server_got, channel.client_sent);
                channel.server_received_end = End::Close;
            }
            CHANNEL_FAILURE => {
                let channel = &self.channels[reader.uint32().unwrap() as usize];
                assert_ne!(channel.server_received_end, End::Close);
            }
            number => assert!([20, 21, 30, 82].contains(&number), "{number}"),
        }
    }

    /// Delivers everything in flight.
    fn settle(&mut self) {
        while self.feed_client(true) + self.feed_server(true) > 0 {}
        assert!(self.pair.server.is_settled());
    }

    /// Replies to and closes everything on both sides, until nothing is left.
    pub(super) fn end(&mut self) {
        self.settle();
        for at in 0..self.channels.len() {
            if self.channels[at].answer == Answer::Owed {
                self.answer(at);
            }
            if self.channels[at].client_end != End::Close {
                self.channels[at].client_end = End::Close;
                if !self.channels[at].refusal_seen {
                    self.pair.client.close(self.channels[at].id);
                }
            }
        }
        self.settle();
        for at in 0..self.channels.len() {
            let channel = &mut self.channels[at];
            if channel.answer == Answer::Confirmed && channel.server_end != End::Close {
                channel.server_end = End::Close;
                self.tell(at, CHANNEL_CLOSE);
            }
        }
        self.settle();
        assert!(self.pair.client.is_idle() && self.channels.iter().all(Channel::is_gone));
        assert_eq!(self.pair.client.pending(), b"");
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::pair::setup;
    use super::super::harness::random::Random;
    use super::super::harness::server::Script;
    use super::*;

    const STEPS: usize = 6000;

    fn connected(seed: u64) -> Pair {
        let strict = seed.is_multiple_of(2);
        let mut setup = setup();
        // In a third of the sessions only the server starts key exchanges.
        match seed % 3 {
            0 => {}
            1 => setup.rekey.bytes = 300_000,
            _ => setup.rekey.packets = 60,
        }
        let mut pair = Pair::new(setup, Script { strict, ..Script::default() });
        pair.run();
        pair
    }

    #[test]
    fn random_sessions_deliver_every_byte() {
        let (mut channels, mut rekeys, mut up, mut down) = (0, 0, 0, 0);
        for seed in 0..9 {
            eprintln!("seed {seed}");
            let mut session = RandomSession::new(connected(seed), Random(seed));
            for _ in 0..STEPS {
                session.step();
            }
            session.end();
            channels += session.channels.len();
            rekeys += session.rekeys;
            up += session.channels.iter().map(|channel| channel.server_got).sum::<usize>();
            down += session.channels.iter().map(|channel| channel.client_got).sum::<usize>();
        }
        // Enough happened for the test to be meaningful.
        assert!(channels > 500 && rekeys > 100, "{channels} channels, {rekeys} key changes");
        assert!(up > 2_000_000 && down > 2_000_000, "{up} bytes up, {down} bytes down");
    }
}
