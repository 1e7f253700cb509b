//! Receive windows that follow the path, in whole sessions and virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::harness::messages::Part::Text;
use super::harness::messages::{Open, about, build, confirm, data, global, parse_adjust, refuse};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Script, fixture};
use crate::connection::receive_window::{INITIAL_WINDOW, MIN_WINDOW};
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_OPEN, CHANNEL_WINDOW_ADJUST, GLOBAL_REQUEST, KEXINIT, REQUEST_FAILURE,
    REQUEST_SUCCESS,
};
use crate::wire::Writer;
use crate::{ChannelId, Windows};

const MAX_PACKET: usize = 32_768;
const ROUND_TRIP: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// A session whose server has replied to the first keepalive after a round trip.
fn connected(windows: Windows) -> Pair {
    let mut pair = Pair::new(crate::Setup { windows, ..setup() }, Script::default());
    pair.run();
    assert_eq!(pair.server.take().last(), Some(&question()));
    pair.now += ROUND_TRIP;
    pair.deliver(&[REQUEST_FAILURE]);
    pair.take();
    pair
}

fn question() -> Vec<u8> {
    global(b"keepalive@openssh.com", true)
}

/// Opens a channel; returns its initial window.
fn open(pair: &mut Pair, remote: u32) -> (ChannelId, u32) {
    let channel = pair.client.open_direct_tcpip("db", 5432, "127.0.0.1", 4000);
    pair.run();
    let received = pair.server.take();
    let window = Open::parse(&received[0]).window;
    pair.deliver(&confirm(channel.index() as u32, remote, 1000, 1000));
    assert_eq!(pair.take(), [Seen::Opened(channel)]);
    (channel, window)
}

/// The server sends all of its window, then receives credit one round trip later, and replies to
/// keepalives; returns the window after these rounds.
fn download(pair: &mut Pair, channel: ChannelId, mut window: u32, rounds: usize) -> u32 {
    let number = channel.index() as u32;
    for _ in 0..rounds {
        let mut left = window as usize;
        while left > 0 {
            let count = left.min(MAX_PACKET);
            pair.server.send(&data(number, &vec![1; count]));
            pair.feed_client();
            left -= count;
        }
        assert_eq!(pair.error, None);
        pair.now += ROUND_TRIP;
        pair.feed_server();
        let mut credit = 0;
        for payload in pair.server.take() {
            match payload[0] {
                CHANNEL_WINDOW_ADJUST => credit += parse_adjust(&payload).1,
                GLOBAL_REQUEST => pair.server.send(&[REQUEST_FAILURE]),
                other => panic!("message {other}"),
            }
        }
        window = credit;
        pair.take();
    }
    window
}

#[test]
fn a_window_that_limits_the_data_grows_to_its_limit() {
    let mut pair = connected(Windows { limit: 5 << 20, memory: 1 << 30 });
    let (channel, window) = open(&mut pair, 100);
    assert_eq!(window, INITIAL_WINDOW);
    assert_eq!(download(&mut pair, channel, window, 12), 5 << 20);
    // Data beyond the window is still refused.
    for _ in 0..(5 << 20) / MAX_PACKET {
        pair.server.send(&data(0, &[1; MAX_PACKET]));
    }
    pair.consumes = false;
    pair.run();
    assert_eq!(pair.error, None);
    pair.deliver(&data(0, b"x"));
    assert!(pair.failure().to_string().contains("window"));
}

#[test]
fn without_a_round_trip_the_window_does_not_grow() {
    let mut pair = Pair::connected(Script::default());
    let (channel, window) = open(&mut pair, 100);
    assert_eq!(download(&mut pair, channel, window, 12), INITIAL_WINDOW);
}

#[test]
fn channels_share_the_memory_and_give_it_back() {
    let mut pair = connected(Windows { limit: 16 << 20, memory: 5 << 20 });
    let (first, window) = open(&mut pair, 100);
    assert_eq!(download(&mut pair, first, window, 12), 5 << 20);
    let (_, window) = open(&mut pair, 101);
    assert_eq!(window, MIN_WINDOW, "there is nothing left");
    pair.client.close(first);
    pair.deliver(&about(CHANNEL_CLOSE, first.index() as u32));
    pair.take();
    pair.server.take();
    let (_, window) = open(&mut pair, 102);
    assert_eq!(window, INITIAL_WINDOW);
    // A failed channel takes no memory.
    let refused = pair.client.open_direct_tcpip("db", 5432, "127.0.0.1", 4000);
    pair.run();
    assert_eq!(pair.server.take()[0][0], CHANNEL_OPEN);
    pair.deliver(&refuse(refused.index() as u32, 2, b"no"));
    pair.take();
    assert_eq!(open(&mut pair, 103).1, INITIAL_WINDOW);
}

/// A measurement goes with credit: at most once a second, only one at a time, and it does not count
/// as a keepalive.
#[test]
fn the_round_trip_is_measured_while_data_moves() {
    let mut pair = connected(Windows::default());
    let (channel, _) = open(&mut pair, 100);
    pair.consumes = false;
    for _ in 0..INITIAL_WINDOW as usize / MAX_PACKET {
        pair.server.send(&data(0, &[1; MAX_PACKET]));
    }
    pair.run();
    let asked = |pair: &mut Pair| {
        pair.client.consumed(channel, INITIAL_WINDOW as usize / 8, pair.now);
        pair.run();
        let received = pair.server.take();
        assert_eq!(received[0][0], CHANNEL_WINDOW_ADJUST);
        received[1..].to_vec()
    };
    assert!(asked(&mut pair).is_empty(), "it was asked just now");
    pair.now += SECOND;
    let due = pair.client.timeout();
    assert_eq!(asked(&mut pair), [question()]);
    assert_eq!(pair.client.timeout(), due, "no sign of life is waited for");
    pair.now += SECOND;
    assert!(asked(&mut pair).is_empty(), "the answer is missing");
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(asked(&mut pair), [question()]);
    // Not during a key exchange.
    pair.deliver(&[REQUEST_FAILURE]);
    pair.now += SECOND;
    pair.server.script.answers = false;
    pair.client.start_kex();
    pair.client.consumed(channel, INITIAL_WINDOW as usize / 8, pair.now);
    pair.run();
    assert_eq!(pair.server.numbers(), [KEXINIT]);
    pair.server.start_kex();
    pair.run();
    let numbers = pair.server.numbers();
    assert_eq!((numbers.len(), numbers[2]), (3, CHANNEL_WINDOW_ADJUST), "{numbers:?}");
}

/// Each of three kinds of requests gets its own reply: the round trip is that of its own request,
/// not of the proof or the keepalive.
#[test]
fn replies_match_their_requests() {
    let p256 = fixture!("p256");
    let windows = Windows { limit: 16 << 20, memory: 1 << 30 };
    let mut pair = Pair::new(crate::Setup { windows, ..setup() }, Script::default());
    pair.client.request_host_keys(Vec::new());
    pair.run();
    assert_eq!(pair.server.take().last(), Some(&question()));
    pair.now += SECOND * 10;
    pair.deliver(&[REQUEST_FAILURE]);
    let mut announcement = global(b"hostkeys-00@openssh.com", false);
    announcement.put_string(p256.public_blob());
    pair.now += SECOND * 10;
    pair.client.handle_timeout(pair.now).unwrap();
    pair.deliver(&announcement);
    assert_eq!(pair.server.take().len(), 2, "a keepalive and the proof");
    pair.take();
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [], "that was the answer to the first");
    let mut signed = Vec::new();
    signed.put_string(b"hostkeys-prove-00@openssh.com");
    signed.put_string(pair.server.session.as_ref().unwrap());
    signed.put_string(p256.public_blob());
    let signature = p256.sign(p256.algorithms()[0], &signed).unwrap();
    pair.deliver(&build(REQUEST_SUCCESS, &[Text(&signature)]));
    assert_eq!(pair.take(), [Seen::HostKeys(vec![p256.public_blob().to_vec()])]);
    pair.now += SECOND;
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.client.rtt.min(), Some(SECOND * 10));
    // A reply without a request has no effect.
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!((pair.client.rtt.min(), &pair.error), (Some(SECOND * 10), &None));
}

/// Bytes a second of a link.
const RATE: usize = 1_000_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Some downloads over a link whose round trip is [`ROUND_TRIP`], in steps of a millisecond.
struct Link {
    pair: Pair,
    /// By their numbers: what the server may send, and what has arrived.
    windows: Vec<usize>,
    arrived: Vec<usize>,
    /// Credit that is on its way to the server, and when it arrives.
    credit: VecDeque<(Instant, usize, usize)>,
    /// When replies to keepalives are due.
    replies: VecDeque<Instant>,
    /// Whose packet is next.
    next: usize,
    /// What the link has not carried yet.
    budget: usize,
}

impl Link {
    /// Lets a time pass, in which `asker` asks every 50 ms.
    fn run(&mut self, time: Duration, asker: Option<ChannelId>) {
        let end = self.pair.now + time;
        let mut tick = 0;
        while self.pair.now < end {
            if let Some(asker) = asker.filter(|_| tick % 50 == 0) {
                self.pair.client.asked(asker, self.pair.now);
                self.pair.deliver(&data(asker.index() as u32, b"answer"));
            }
            tick += 1;
            self.step();
        }
    }

    fn step(&mut self) {
        while let Some((_, number, credit)) =
            self.credit.pop_front_if(|(at, ..)| *at <= self.pair.now)
        {
            self.windows[number] += credit;
        }
        while self.replies.pop_front_if(|at| *at <= self.pair.now).is_some() {
            self.pair.server.send(&[REQUEST_FAILURE]);
        }
        self.budget += RATE / 1000;
        for _ in 0..self.windows.len() {
            let number = self.next % self.windows.len();
            let count = self.windows[number].min(8192);
            if count == 0 {
                self.next += 1;
                continue;
            }
            if count > self.budget {
                break;
            }
            self.budget -= count;
            self.windows[number] -= count;
            self.arrived[number] += count;
            self.next += 1;
            self.pair.server.send(&data(number as u32, &vec![1; count]));
        }
        self.budget = self.budget.min(8192);
        self.pair.run();
        assert_eq!(self.pair.error, None);
        self.pair.take();
        for payload in self.pair.server.take() {
            match payload[0] {
                CHANNEL_WINDOW_ADJUST => {
                    let (remote, credit) = parse_adjust(&payload);
                    let number = remote as usize - 100;
                    self.credit.push_back((self.pair.now + ROUND_TRIP, number, credit as usize));
                }
                GLOBAL_REQUEST => self.replies.push_back(self.pair.now + ROUND_TRIP),
                other => panic!("message {other}"),
            }
        }
        self.pair.now += MILLISECOND;
    }

    /// What is in flight on all channels but the first.
    fn in_flight(&self) -> usize {
        let returning: usize = self
            .credit
            .iter()
            .filter(|(_, number, _)| *number > 0)
            .map(|(.., credit)| credit)
            .sum();
        self.windows[1..].iter().sum::<usize>() + returning
    }
}

/// A link with this many downloads and a channel that asks, each with its usual window.
fn link(downloads: usize) -> (Link, ChannelId) {
    let mut pair = connected(Windows::default());
    let (asker, window) = open(&mut pair, 100);
    let mut windows = vec![window as usize];
    for number in 0..downloads {
        windows.push(open(&mut pair, 101 + number as u32).1 as usize);
    }
    let arrived = vec![0; windows.len()];
    // The asker sends what it is asked for alone.
    windows[0] = 0;
    let (credit, replies) = (VecDeque::new(), VecDeque::new());
    (Link { pair, windows, arrived, credit, replies, next: 1, budget: 0 }, asker)
}

/// While somebody asks, all downloads together have in flight what the path carries in a round trip
/// and a little more, and lose nothing by that; nobody asks any more, and their windows are whole.
#[test]
fn beside_requests_the_queue_is_short_and_the_link_full() {
    let product = RATE / 10;
    for downloads in [1, 4] {
        let (mut link, asker) = link(downloads);
        let whole = link.in_flight();
        link.run(SECOND * 15, None);
        assert!(link.in_flight() > whole / 8 * 7, "nobody asks");
        link.run(SECOND * 25, Some(asker));
        let limit = product + product / 4 + 64 * 1024;
        assert!(link.in_flight() <= limit + limit / 5, "{downloads}: {}", link.in_flight());
        let before: usize = link.arrived.iter().sum();
        link.run(SECOND * 10, Some(asker));
        let moved = link.arrived.iter().sum::<usize>() - before;
        assert!(moved > 10 * RATE / 100 * 97, "{downloads}: {moved}");
        link.run(SECOND * 21, None);
        assert!(link.in_flight() > whole / 8 * 7, "{downloads}: {}", link.in_flight());
    }
}

/// Whatever their age, downloads beside requests get equal parts.
#[test]
fn downloads_beside_requests_have_equal_parts() {
    let (mut link, asker) = link(4);
    let late = std::mem::take(&mut link.windows[4]);
    link.run(SECOND * 20, Some(asker));
    link.windows[4] = late;
    link.run(SECOND * 20, Some(asker));
    let before = link.arrived.clone();
    link.run(SECOND * 10, Some(asker));
    let moved: Vec<usize> =
        link.arrived.iter().zip(before).map(|(now, before)| now - before).collect();
    let (least, most) = (moved[1..].iter().min().unwrap(), moved[1..].iter().max().unwrap());
    assert!(least * 10 >= most * 8, "{moved:?}");
}

/// A channel that is opened while somebody asks begins with a small window.
#[test]
fn a_new_channel_beside_requests_begins_small() {
    let mut pair = connected(Windows::default());
    let (asker, _) = open(&mut pair, 100);
    pair.client.asked(asker, pair.now);
    pair.client.set_clock(pair.now);
    pair.deliver(&[REQUEST_FAILURE]);
    pair.server.take();
    let (channel, window) = open(&mut pair, 101);
    assert_eq!(window, 64 * 1024);
    pair.deliver(&data(asker.index() as u32, b"answer"));
    pair.take();
    pair.now += SECOND * 10;
    pair.client.set_clock(pair.now);
    assert_eq!(open(&mut pair, 102).1, INITIAL_WINDOW, "nobody asks any more");
    assert!(download(&mut pair, channel, window, 1) > INITIAL_WINDOW - 64 * 1024);
}
