//! Both sides do at random whatever the protocol allows, over many channels and key changes.
//!
//! Each side keeps its own books, and every byte has a value that its place demands: what is lost,
//! doubled, swapped or sent to the wrong channel is noticed where it happens. The seed of a failed
//! run is in its output.

use super::harness::channel_model::{Answer, Link, Said, byte};
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

/// Channels that the client has at a time.
const MOST: usize = 12;

/// A session, whose every next step is chosen by `C`.
pub(super) struct Turmoil<C> {
    pub(super) pair: Pair,
    pub(super) choices: C,
    pub(super) links: Vec<Link>,
    pub(super) rekeys: usize,
}

impl<C: Choices> Turmoil<C> {
    /// Begins with a session that is logged on.
    pub(super) fn new(mut pair: Pair, choices: C) -> Self {
        assert!(pair.client.is_connected());
        pair.seen.clear();
        pair.server.take();
        pair.consumes = false;
        Self { pair, choices, links: Vec::new(), rekeys: 0 }
    }

    /// Something happens: one side acts, or hears of what the other did.
    pub(super) fn step(&mut self) {
        match self.choices.below(8) {
            0..=2 => self.client_acts(),
            3..=5 => self.server_acts(),
            6 => drop(self.feed_client(false)),
            _ => drop(self.feed_server(false)),
        }
    }

    /// One of the links that `fits`.
    fn pick(&mut self, fits: impl Fn(&Link) -> bool) -> Option<usize> {
        let fitting: Vec<_> = (0..self.links.len()).filter(|at| fits(&self.links[*at])).collect();
        (!fitting.is_empty()).then(|| fitting[self.choices.below(fitting.len())])
    }

    fn client_acts(&mut self) {
        match self.choices.below(20) {
            0 | 1 if self.links.iter().filter(|link| !link.is_gone()).count() < MOST => self.open(),
            0..=8 => {
                if let Some(at) = self.pick(|link| !link.is_gone()) {
                    self.fill(at);
                }
            }
            9 => {
                if let Some(at) = self.pick(|link| {
                    link.client_said == Said::Nothing && link.answer == Answer::Confirmed
                }) {
                    let link = &mut self.links[at];
                    // Before the client knows that it is open, an end would be lost.
                    if self.pair.client.window(link.id) > 0 {
                        link.client_said = Said::Eof;
                        self.pair.client.eof(link.id);
                    }
                }
            }
            10 => {
                let patient = !self.choices.once_in(3);
                if let Some(at) = self.pick(|link| {
                    let due = !patient || link.seen != Said::Nothing;
                    due && link.client_said != Said::Close && !link.is_gone()
                }) {
                    self.links[at].client_said = Said::Close;
                    self.pair.client.close(self.links[at].id);
                }
            }
            _ => {
                if let Some(at) = self.pick(|link| link.unconsumed > 0 && !link.is_gone()) {
                    let count = 1 + self.choices.below(self.links[at].unconsumed);
                    self.links[at].unconsumed -= count;
                    self.pair.client.consumed(self.links[at].id, count, self.pair.now);
                }
            }
        }
    }

    fn open(&mut self) {
        let name = self.links.len().to_string();
        let id = self.pair.client.open_direct_tcpip(&name, 80, "::1", 4000);
        assert!(self.links.iter().all(|link| link.id != id || link.is_gone()), "{id:?} is taken");
        self.links.push(Link::new(id));
    }

    /// The client's socket has something to say, perhaps less than there is room for.
    fn fill(&mut self, at: usize) {
        let link = &mut self.links[at];
        let most = self.choices.amount(100_000);
        let ready = self.choices.amount(most);
        let mut place = link.client_sent;
        let filled = self.pair.client.fill(link.id, most, |slots| {
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
            assert_eq!(link.client_said, Said::Nothing);
        }
        link.client_sent = place;
    }

    fn server_acts(&mut self) {
        if self.pair.server.is_exchanging() {
            return;
        }
        let open = |link: &Link| link.answer == Answer::Confirmed && link.server_said < Said::Close;
        let talking = |link: &Link| open(link) && link.server_said == Said::Nothing;
        match self.choices.below(24) {
            0..=2 => {
                if let Some(at) = self.pick(|link| link.answer == Answer::Owed) {
                    self.answer(at);
                }
            }
            3..=11 => {
                if let Some(at) = self.pick(|link| talking(link) && link.down > 0) {
                    let longest = if self.choices.once_in(2) { 100 } else { 32_768 };
                    let most = longest.min(self.links[at].down as usize);
                    let count = self.choices.amount(most);
                    let link = &mut self.links[at];
                    let places = link.server_sent..link.server_sent + count;
                    let bytes: Vec<u8> = places.map(|place| byte(at, false, place)).collect();
                    self.pair.server.send(&data(link.id.index() as u32, &bytes));
                    link.server_sent += count;
                    link.down -= count as u32;
                }
            }
            12 => {
                if let Some(at) = self.pick(talking) {
                    self.links[at].server_said = Said::Eof;
                    self.tell(at, CHANNEL_EOF);
                }
            }
            13 => {
                let patient = !self.choices.once_in(3);
                if let Some(at) =
                    self.pick(|link| open(link) && (!patient || link.server_heard != Said::Nothing))
                {
                    self.links[at].server_said = Said::Close;
                    self.tell(at, CHANNEL_CLOSE);
                }
            }
            14..=19 => {
                if let Some(at) = self.pick(open) {
                    let credit = self.choices.below(120_000) as u32;
                    self.links[at].up += credit;
                    let id = self.links[at].id.index() as u32;
                    self.pair.server.send(&adjust(id, credit));
                }
            }
            20 => {
                if let Some(at) = self.pick(open) {
                    let id = self.links[at].id.index() as u32;
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
                    self.pair.server.offer();
                }
            }
        }
    }

    fn tell(&mut self, at: usize, number: u8) {
        let id = self.links[at].id.index() as u32;
        self.pair.server.send(&about(number, id));
    }

    fn answer(&mut self, at: usize) {
        let link = &mut self.links[at];
        let id = link.id.index() as u32;
        if self.choices.once_in(5) {
            link.answer = Answer::Refused;
            self.pair.server.send(&refuse(id, 2, b"connection refused"));
            return;
        }
        link.answer = Answer::Confirmed;
        link.up = [0, 1, 5000, 200_000][self.choices.below(4)];
        link.longest = [1 + self.choices.below(500), 32_768, 100_000][self.choices.below(3)];
        self.pair.server.send(&confirm(id, at as u32, link.up, link.longest as u32));
    }

    /// Some of what is under way to the client arrives.
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

    /// The client's books: by its numbers, of which the latest link counts.
    fn see(&mut self, seen: Seen) {
        let links = &mut self.links;
        let find = |id| {
            let at = links.iter().rposition(|link| link.id == id).unwrap();
            assert!(!links[at].is_gone() || links[at].answer == Answer::Refused);
            at
        };
        match seen {
            Seen::Opened(id) => {
                let at = find(id);
                assert_eq!(self.links[at].client_said, Said::Nothing);
            }
            Seen::OpenFailed(id, ..) => {
                let at = find(id);
                assert_eq!(self.links[at].client_said, Said::Nothing);
                self.links[at].refusal_seen = true;
            }
            Seen::Data(id, bytes) => {
                let at = find(id);
                let link = &mut self.links[at];
                assert_eq!(link.seen, Said::Nothing);
                for value in &bytes {
                    assert_eq!(*value, byte(at, false, link.client_got));
                    link.client_got += 1;
                }
                link.unconsumed += bytes.len();
            }
            Seen::Window(id) => {
                find(id);
                assert!(self.pair.client.window(id) > 0);
            }
            Seen::Eof(id) => {
                let at = find(id);
                let link = &mut self.links[at];
                assert_eq!(link.seen, Said::Nothing);
                assert_eq!(link.client_got, link.server_sent);
                link.seen = Said::Eof;
            }
            Seen::Close(id) => {
                let at = find(id);
                let link = &mut self.links[at];
                assert!(link.seen < Said::Close);
                assert_eq!(link.client_got, link.server_sent);
                link.seen = Said::Close;
            }
            Seen::Rekeyed => self.rekeys += 1,
            Seen::HostKey(_) | Seen::Question(_) | Seen::Ready => panic!("a second logon"),
            Seen::HostKeys(_) | Seen::Forward(..) | Seen::Banner(_) => {
                panic!("nobody has asked for them")
            }
        }
    }

    /// Some of what is under way to the server arrives.
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

    /// The server's books: by its numbers, which it gives only once.
    fn hear(&mut self, payload: &[u8]) {
        let mut reader = Reader::new(payload);
        reader.byte().unwrap();
        match payload[0] {
            CHANNEL_OPEN => {
                let open = Open::parse(payload);
                let link = &mut self.links[open.host.parse::<usize>().unwrap()];
                assert_eq!(link.id.index() as u32, open.channel);
                assert_eq!(link.answer, Answer::Unheard);
                (link.answer, link.down) = (Answer::Owed, open.window);
            }
            CHANNEL_DATA => {
                let (number, bytes) = parse_data(payload);
                let link = &mut self.links[number as usize];
                assert!(link.server_heard == Said::Nothing && !bytes.is_empty());
                assert!(bytes.len() <= link.longest);
                link.up = link.up.checked_sub(bytes.len() as u32).expect("within the window");
                for value in bytes {
                    assert_eq!(*value, byte(number as usize, true, link.server_got));
                    link.server_got += 1;
                }
            }
            CHANNEL_WINDOW_ADJUST => {
                let link = &mut self.links[reader.uint32().unwrap() as usize];
                assert_ne!(link.server_heard, Said::Close);
                link.down += reader.uint32().unwrap();
                assert!(link.down <= INITIAL_WINDOW);
            }
            CHANNEL_EOF => {
                let link = &mut self.links[reader.uint32().unwrap() as usize];
                assert_eq!(link.server_heard, Said::Nothing);
                assert_eq!(link.server_got, link.client_sent);
                link.server_heard = Said::Eof;
            }
            CHANNEL_CLOSE => {
                let link = &mut self.links[reader.uint32().unwrap() as usize];
                assert_ne!(link.server_heard, Said::Close);
                assert_eq!(link.server_got, link.client_sent);
                link.server_heard = Said::Close;
            }
            CHANNEL_FAILURE => {
                let link = &self.links[reader.uint32().unwrap() as usize];
                assert_ne!(link.server_heard, Said::Close);
            }
            number => assert!([20, 21, 30, 82].contains(&number), "{number}"),
        }
    }

    /// Everything that is under way arrives.
    fn settle(&mut self) {
        while self.feed_client(true) + self.feed_server(true) > 0 {}
        assert!(self.pair.server.is_settled());
    }

    /// Both sides answer and close what there is, until nothing is left.
    pub(super) fn end(&mut self) {
        self.settle();
        for at in 0..self.links.len() {
            if self.links[at].answer == Answer::Owed {
                self.answer(at);
            }
            if self.links[at].client_said != Said::Close {
                self.links[at].client_said = Said::Close;
                if !self.links[at].refusal_seen {
                    self.pair.client.close(self.links[at].id);
                }
            }
        }
        self.settle();
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            if link.answer == Answer::Confirmed && link.server_said != Said::Close {
                link.server_said = Said::Close;
                self.tell(at, CHANNEL_CLOSE);
            }
        }
        self.settle();
        assert!(self.pair.client.is_idle() && self.links.iter().all(Link::is_gone));
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
        // A third of the sessions leave it to the server.
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
    fn ends_with_every_byte_where_it_belongs() {
        let (mut links, mut rekeys, mut up, mut down) = (0, 0, 0, 0);
        for seed in 0..9 {
            eprintln!("seed {seed}");
            let mut turmoil = Turmoil::new(connected(seed), Random(seed));
            for _ in 0..STEPS {
                turmoil.step();
            }
            turmoil.end();
            links += turmoil.links.len();
            rekeys += turmoil.rekeys;
            up += turmoil.links.iter().map(|link| link.server_got).sum::<usize>();
            down += turmoil.links.iter().map(|link| link.client_got).sum::<usize>();
        }
        // Enough happened for the test to mean something.
        assert!(links > 500 && rekeys > 100, "{links} channels, {rekeys} key changes");
        assert!(up > 2_000_000 && down > 2_000_000, "{up} bytes up, {down} bytes down");
    }
}
