//! Key exchanges that the client starts: when, and what may be sent meanwhile.

use std::time::Duration;

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{about, adjust, build, confirm, data, global, parse_data};
use super::harness::pair::{Cut, Pair, Seen, setup};
use super::harness::random::Random;
use super::harness::server::Script;
use crate::client::Rekey;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_FAILURE, CHANNEL_OPEN, CHANNEL_REQUEST,
    CHANNEL_WINDOW_ADJUST, IGNORE, KEX_ECDH_INIT, KEXINIT, NEWKEYS, REQUEST_FAILURE, UNIMPLEMENTED,
};
use crate::{ChannelId, Error};

const MAX_PACKET: u32 = 32_768;
const HOUR: Duration = Duration::from_secs(3600);
const EXCHANGE: [u8; 3] = [KEXINIT, KEX_ECDH_INIT, NEWKEYS];

/// No limits, unless a test sets them.
const NEVER: Rekey = Rekey { bytes: u64::MAX, packets: u32::MAX, interval: None };

/// A session with an open channel, whose number at the server is 100.
fn open(rekey: Rekey, window: u32, script: Script) -> (Pair, ChannelId) {
    let mut setup = setup();
    setup.rekey = rekey;
    let mut pair = Pair::new(setup, script);
    pair.run();
    pair.seen.clear();
    pair.server.take();
    let channel = pair.open_another(100, window, MAX_PACKET);
    (pair, channel)
}

/// The same with a server that answers a KEXINIT when the test says so.
fn open_slow() -> (Pair, ChannelId) {
    let (mut pair, channel) = open(NEVER, INITIAL_WINDOW, Script::default());
    pair.server.script.answers = false;
    (pair, channel)
}

#[test]
fn rekeys_by_sent_bytes() {
    let (mut pair, channel) =
        open(Rekey { bytes: 50_000, ..NEVER }, INITIAL_WINDOW, Script::default());
    pair.fill(channel, &[1; 32_768]).unwrap();
    pair.run();
    assert_eq!(pair.server.numbers(), [CHANNEL_DATA]);
    pair.fill(channel, &[2; 32_768]).unwrap();
    assert!(!pair.client.has_room(), "held until the keys are new");
    assert!(pair.fill(channel, b"not now").is_err());
    pair.run();
    assert_eq!(pair.server.numbers(), [&[CHANNEL_DATA][..], &EXCHANGE].concat());
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    pair.fill(channel, &[3; 32_768]).unwrap();
    pair.run();
    assert_eq!(pair.server.numbers(), [CHANNEL_DATA], "counted from the change");
}

#[test]
fn rekeys_by_received_bytes() {
    let (mut pair, _) = open(Rekey { bytes: 50_000, ..NEVER }, INITIAL_WINDOW, Script::default());
    pair.deliver(&data(0, &[1; 32_768]));
    assert_eq!(pair.server.numbers(), []);
    pair.deliver(&data(0, &[1; 32_768]));
    assert_eq!(pair.server.numbers(), EXCHANGE);
    pair.deliver(&data(0, &[1; 10_000]));
    assert_eq!(pair.server.numbers(), []);
}

#[test]
fn rekeys_by_packets_each_way() {
    for packets in [30, 100] {
        let (mut pair, channel) =
            open(Rekey { packets, ..NEVER }, INITIAL_WINDOW, Script::default());
        // The counters of the first keys are reset first.
        pair.client.start_kex();
        pair.run();
        pair.server.take();
        for _ in 1..packets {
            pair.fill(channel, b"x").unwrap();
        }
        pair.run();
        assert!(pair.server.numbers().iter().all(|number| *number == CHANNEL_DATA));
        pair.fill(channel, b"x").unwrap();
        pair.run();
        assert_eq!(pair.server.numbers(), [&[CHANNEL_DATA][..], &EXCHANGE].concat());
        for _ in 1..packets {
            pair.server.send(&build(IGNORE, &[Text(b"")]));
        }
        pair.run();
        assert_eq!(pair.server.numbers(), []);
        pair.deliver(&build(IGNORE, &[Text(b"")]));
        assert_eq!(pair.server.numbers(), EXCHANGE, "{packets}");
    }
}

/// The keys are replaced in the middle of the numbers, so that no number repeats, whatever the
/// server does.
#[test]
fn rekeys_before_sequence_numbers_repeat() {
    let (mut pair, _) = open_slow();
    let noise = build(IGNORE, &[Text(b"")]);
    pair.client.inbound.wear((1 << 31) - 20);
    pair.deliver(&noise);
    assert_eq!(pair.server.numbers(), []);
    pair.client.inbound.wear(20);
    pair.deliver(&noise);
    assert_eq!(pair.server.numbers(), [KEXINIT]);
    let used = pair.client.inbound.volume().packets;
    pair.client.inbound.wear(u32::MAX - used - 2);
    pair.deliver(&noise);
    assert_eq!(pair.error, None);
    pair.deliver(&noise);
    assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("numbers")));
}

/// Messages without data count too.
#[test]
fn rekeys_by_commands_and_replies() {
    let (mut pair, channel) =
        open(Rekey { packets: 20, ..NEVER }, INITIAL_WINDOW, Script::default());
    let mut received = Vec::new();
    for _ in 0..40 {
        pair.deliver(&global(b"keepalive@openssh.com", true));
        pair.client.consumed(channel, INITIAL_WINDOW as usize / 8, pair.now);
        pair.run();
        received.extend(pair.server.numbers());
    }
    assert_eq!(received.iter().filter(|number| **number == REQUEST_FAILURE).count(), 40);
    assert!(received.iter().filter(|number| **number == KEXINIT).count() >= 3);
}

#[test]
fn rekeys_by_time() {
    let interval = Some(HOUR);
    let (mut pair, channel) = open(Rekey { interval, ..NEVER }, INITIAL_WINDOW, Script::default());
    let keepalive = Duration::from_secs(10);
    let start = pair.now;
    assert_eq!(pair.client.timeout(), Some(start + keepalive), "what comes first");
    let late = HOUR - Duration::from_secs(1);
    pair.now = start + late;
    pair.deliver(&data(0, b"received"));
    pair.take();
    assert_eq!(pair.client.timeout(), Some(start + HOUR));
    pair.client.handle_timeout(start + late).unwrap();
    assert_eq!(pair.client.pending(), b"");

    pair.now = start + HOUR;
    pair.client.handle_timeout(pair.now).unwrap();
    assert!(!pair.client.pending().is_empty() && !pair.client.has_room());
    assert_eq!(pair.client.timeout(), Some(start + late + keepalive), "it is under way");
    pair.client.handle_timeout(pair.now).unwrap();
    pair.run();
    assert_eq!((pair.server.numbers(), pair.take()), (EXCHANGE.to_vec(), vec![Seen::Rekeyed]));
    assert_eq!(pair.client.timeout(), Some(start + HOUR + keepalive));

    // An exchange that the server starts resets the timer too.
    pair.now += HOUR - Duration::from_secs(5);
    pair.server.start_kex();
    pair.run();
    pair.server.take();
    pair.client.handle_timeout(start + HOUR * 2).unwrap();
    assert_eq!(pair.client.pending(), b"");
    assert!(pair.fill(channel, b"on").is_ok());
}

#[test]
fn without_an_interval_time_has_no_effect() {
    let mut setup = setup();
    (setup.keepalive, setup.rekey) = (None, NEVER);
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.server.take();
    assert_eq!(pair.client.timeout(), None);
    pair.client.handle_timeout(pair.now + HOUR * 10_000).unwrap();
    assert_eq!(pair.client.pending(), b"");
}

/// Some servers do not support it before authentication.
#[test]
fn does_not_rekey_before_authentication() {
    let mut setup = setup();
    setup.rekey = Rekey { bytes: 0, packets: 0, interval: Some(Duration::ZERO) };
    let mut pair = Pair::new(setup, Script { user: None, ..Script::default() });
    let mut received = Vec::new();
    while !pair.client.is_connected() {
        assert_eq!(pair.client.timeout(), None);
        pair.client.handle_timeout(pair.now).unwrap();
        received.extend(pair.server.numbers());
        assert!(pair.feed_server() + pair.feed_client() > 0);
    }
    assert_eq!(received.iter().filter(|number| **number == KEXINIT).count(), 1);
    // The lowest limits are reached with each packet, but not without one.
    pair.run();
    pair.server.take();
    for _ in 0..5 {
        pair.deliver(&global(b"keepalive@openssh.com", true));
        let received = pair.server.numbers();
        assert_eq!(received.iter().filter(|number| **number == REQUEST_FAILURE).count(), 1);
        assert!((4..=7).contains(&received.len()), "{received:?}");
    }
}

/// Until the server's KEXINIT it may send anything; our messages wait for the new keys.
#[test]
fn the_server_may_send_until_it_answers() {
    let (mut pair, channel) = open_slow();
    let other = pair.open_another(101, INITIAL_WINDOW, MAX_PACKET);
    pair.consumes = false;
    pair.fill(channel, b"before").unwrap();
    pair.client.start_kex();
    assert!(!pair.client.has_room());
    let third = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    assert_eq!(pair.server.numbers(), [CHANNEL_DATA, KEXINIT]);

    pair.server.send(&data(0, b"down"));
    pair.server.send(&adjust(0, 5));
    pair.server.send(&build(CHANNEL_REQUEST, &[Number(0), Text(b"x"), Flag(true)]));
    pair.server.send(&global(b"keepalive@openssh.com", true));
    pair.server.send(&[200]);
    pair.server.send(&about(CHANNEL_EOF, 0));
    pair.server.send(&about(CHANNEL_CLOSE, 1));
    pair.run();
    let expected = [Seen::Data(channel, b"down".to_vec()), Seen::Eof(channel), Seen::Close(other)];
    assert_eq!(pair.take(), expected);
    pair.client.close(other);
    pair.client.eof(channel);
    pair.run();
    assert_eq!(pair.server.numbers(), [], "held");

    pair.server.send(&build(IGNORE, &[Text(b"")]));
    pair.server.start_kex();
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    let held =
        [CHANNEL_OPEN, CHANNEL_FAILURE, REQUEST_FAILURE, UNIMPLEMENTED, CHANNEL_CLOSE, CHANNEL_EOF];
    assert_eq!(pair.server.numbers(), [&EXCHANGE[1..], &held].concat());
    pair.deliver(&confirm(third.index() as u32, 200, 10, MAX_PACKET));
    assert_eq!(pair.take(), [Seen::Opened(third)]);
}

/// Also after its KEXINIT, although it should not.
#[test]
fn the_server_may_send_after_its_kexinit() {
    for message in [data(0, b"data"), adjust(0, 1), global(b"x", true), vec![255]] {
        let (mut pair, channel) = open_slow();
        pair.client.start_kex();
        pair.feed_server();
        pair.server.send(&data(0, b"before"));
        pair.server.start_kex();
        pair.deliver(&message);
        assert_eq!(pair.error, None);
        let seen = pair.take();
        let Some(Seen::Data(of, bytes)) = seen.first() else { panic!("{seen:?}") };
        assert!(*of == channel && bytes.starts_with(b"before"));
        assert!(seen.contains(&Seen::Rekeyed));
    }
}

/// Each side takes the other's KEXINIT for the answer to its own.
#[test]
fn simultaneous_kexinits_make_one_exchange() {
    for cut in [Cut::Whole, Cut::Every(1), Cut::Randomly(Random(3), 300)] {
        let (mut pair, channel) = open(NEVER, INITIAL_WINDOW, Script::default());
        pair.cut = cut;
        for round in 0..5 {
            pair.fill(channel, b"up").unwrap();
            pair.client.start_kex();
            pair.server.send(&data(0, b"down"));
            pair.server.start_kex();
            if round % 2 == 0 {
                pair.feed_client()
            } else {
                pair.feed_server()
            };
            pair.client.consumed(channel, INITIAL_WINDOW as usize / 8, pair.now);
            pair.run();
            assert_eq!(pair.take(), [Seen::Data(channel, b"down".to_vec()), Seen::Rekeyed]);
            let expected = [&[CHANNEL_DATA][..], &EXCHANGE, &[CHANNEL_WINDOW_ADJUST]].concat();
            assert_eq!(pair.server.numbers(), expected);
            assert!(pair.server.is_settled() && pair.client.has_room());
        }
    }
}

#[test]
fn empty_windows_do_not_block_the_exchange() {
    let (mut pair, channel) = open(NEVER, 1000, Script::default());
    pair.consumes = false;
    pair.fill(channel, &[1; 1000]).unwrap();
    for _ in 0..INITIAL_WINDOW / MAX_PACKET {
        pair.server.send(&data(0, &[2; 32_768]));
    }
    pair.run();
    pair.take();
    pair.server.take();
    pair.client.start_kex();
    for _ in 0..8 {
        pair.client.consumed(channel, INITIAL_WINDOW as usize / 8, pair.now);
    }
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    let expected = [&EXCHANGE[..], &[CHANNEL_WINDOW_ADJUST; 8]].concat();
    assert_eq!(pair.server.numbers(), expected);

    // Now the server gives credit before it answers.
    pair.server.script.answers = false;
    pair.client.start_kex();
    pair.run();
    pair.deliver(&adjust(0, 5));
    assert_eq!(pair.take(), [Seen::Window(channel)]);
    assert!(pair.fill(channel, b"12345").is_err(), "not before the keys are new");
    pair.server.start_kex();
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    assert_eq!(pair.fill(channel, b"12345").unwrap(), 5);
}

/// Streams in each direction, with key exchanges of each side.
#[test]
fn transfers_continue_through_many_exchanges() {
    for strict in [true, false] {
        let rekey = Rekey { bytes: 200_000, ..NEVER };
        let (mut pair, channel) = open(rekey, u32::MAX, Script { strict, ..Script::default() });
        pair.cut = Cut::Randomly(Random(4), 50_000);
        let source = Random(5).bytes(3_000_000);
        let (mut up, mut down) = (0, 0);
        let (mut received, mut seen, mut rekeys) = (Vec::new(), Vec::new(), 0);
        while up < source.len() || down < source.len() {
            up += pair.fill(channel, &source[up..]).unwrap_or(0);
            let most = source.len().min(down + 30_000);
            if down < most && !pair.server.is_exchanging() {
                pair.server.send(&data(0, &source[down..most]));
                down = most;
                if down % 400_000 < 30_000 && pair.server.is_settled() {
                    pair.server.start_kex();
                }
            }
            pair.feed_client();
            pair.feed_server();
            assert_eq!(pair.error, None);
            for payload in pair.server.take() {
                if payload[0] == CHANNEL_DATA {
                    received.extend_from_slice(parse_data(&payload).1);
                }
            }
            for event in pair.take() {
                match event {
                    Seen::Data(_, bytes) => seen.extend(bytes),
                    Seen::Rekeyed => rekeys += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(received == source && rekeys > 15, "{rekeys}");
        pair.run();
        for event in pair.take() {
            if let Seen::Data(_, bytes) = event {
                seen.extend(bytes);
            }
        }
        assert!(seen == source);
    }
}

/// A server that sends requests and no KEXINIT must not fill our memory.
#[test]
fn held_replies_are_bounded() {
    let (mut pair, _) = open_slow();
    pair.client.start_kex();
    let request = global(b"keepalive@openssh.com", true);
    for _ in 0..4096 {
        pair.deliver(&request);
    }
    assert_eq!(pair.error, None);
    pair.deliver(&request);
    assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("too many")));

    // After an exchange the limit applies anew.
    let (mut pair, _) = open_slow();
    for _ in 0..3 {
        pair.client.start_kex();
        for _ in 0..3000 {
            pair.deliver(&request);
        }
        pair.server.start_kex();
        pair.run();
        assert_eq!((pair.take(), &pair.error), (vec![Seen::Rekeyed], &None));
    }
}
