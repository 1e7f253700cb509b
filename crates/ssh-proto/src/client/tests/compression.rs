//! Compression that begins after authentication: in each direction, across key exchanges, and with
//! a decompression bomb.

use super::harness::messages::Part::Text;
use super::harness::messages::{adjust, build, data, global, parse_data};
use super::harness::pair::{Cut, Pair, Seen, setup};
use super::harness::random::Random;
use super::harness::server::Script;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{CHANNEL_DATA, DISCONNECT, GLOBAL_REQUEST, IGNORE, REQUEST_FAILURE};
use crate::transport::Protection;
use crate::{AlgorithmKind, ChannelId, Error, Selection};

const ZLIB: &str = "zlib@openssh.com";
const MAX_PACKET: u32 = 32_768;
/// Maximum size of a payload, compressed or not.
const MAX_PAYLOAD: usize = 262_139;

/// A pair whose client offers these methods.
fn pair(offered: &[&str], script: Script) -> Pair {
    let mut setup = setup();
    let names = offered.iter().map(|name| (*name).to_owned()).collect();
    setup.algorithms.select(AlgorithmKind::Compression, &Selection::Only(names)).unwrap();
    Pair::new(setup, script)
}

/// A session with an open channel, whose number at the server is 100.
fn open(script: Script) -> (Pair, ChannelId) {
    let mut pair = pair(&[ZLIB, "none"], script);
    pair.run();
    assert_eq!(pair.error, None);
    pair.take();
    pair.server.take();
    let channel = pair.open_another(100, u32::MAX, MAX_PACKET);
    (pair, channel)
}

fn both() -> Script {
    Script { compression: [ZLIB; 2], ..Script::default() }
}

/// Returns the bytes that each side sends to transfer many equal bytes, up and down.
fn volume(pair: &mut Pair, channel: ChannelId) -> (usize, usize) {
    assert_eq!(pair.fill(channel, &[7; 20_000]).unwrap(), 20_000);
    let up = pair.client.pending().len();
    pair.run();
    assert_eq!(pair.server.take(), [data(100, &[7; 20_000])]);
    pair.server.send(&data(0, &[8; 20_000]));
    let down = pair.server.outbound.pending().len();
    pair.run();
    assert_eq!(pair.take(), [Seen::Data(channel, vec![8; 20_000])]);
    (up, down)
}

#[test]
fn each_direction_compresses_by_itself_with_every_cipher() {
    for (cipher, mac, _) in Protection::all() {
        for compression in [["none", ZLIB], [ZLIB, "none"], [ZLIB; 2], ["none"; 2]] {
            let script = Script { cipher, mac, compression, ..Script::default() };
            let (mut pair, channel) = open(script);
            let (up, down) = volume(&mut pair, channel);
            for (way, length) in compression.into_iter().zip([up, down]) {
                assert_eq!(length < 1000, way == ZLIB, "{cipher} {mac} {compression:?}: {length}");
            }
        }
    }
}

#[test]
fn nothing_is_compressed_by_default() {
    let mut plain = Pair::new(setup(), both());
    plain.run();
    let Error::NoCommonAlgorithm { kind, theirs, ours } = plain.failure() else { panic!() };
    assert_eq!((kind, theirs.as_str(), ours.as_str()), ("compression", ZLIB, "none"));
    // The client's order decides.
    let mut pair = pair(&["none", ZLIB], Script { compression: ["none"; 2], ..Script::default() });
    pair.run();
    assert!(pair.client.is_connected());
}

/// Before that, bytes of strangers would reach the decompressor.
#[test]
fn compression_begins_after_authentication() {
    let noise = build(IGNORE, &[Text(&[0; 5000])]);
    let mut pair = pair(&[ZLIB], Script { user: None, ..both() });
    let send = |pair: &mut Pair| {
        pair.server.send(&noise);
        let length = pair.server.outbound.pending().len();
        pair.feed_client();
        length
    };
    while pair.server.session.is_none() {
        pair.feed_server();
        pair.feed_client();
    }
    assert!(!pair.client.is_connected(), "the key is refused, the password comes next");
    assert!(send(&mut pair) > 5000);
    pair.run();
    assert!(pair.client.is_connected());
    assert!(send(&mut pair) < 200);
    assert_eq!(pair.error, None);
}

/// The streams start over with the keys: earlier data is not in their dictionary.
#[test]
fn new_keys_start_new_streams() {
    for strict in [true, false] {
        let (mut pair, channel) = open(Script { strict, ..both() });
        let source = Random(3).bytes(10_000);
        let mut sizes = Vec::new();
        for round in 0..6 {
            if round % 2 == 0 {
                if round % 4 == 0 {
                    pair.server.start_kex();
                } else {
                    pair.client.start_kex();
                }
                pair.run();
                assert_eq!(pair.take(), [Seen::Rekeyed]);
                pair.server.take();
            }
            pair.fill(channel, &source).unwrap();
            sizes.push(pair.client.pending().len());
            pair.server.send(&data(0, &source));
            pair.run();
            assert_eq!(pair.server.take(), [data(100, &source)]);
            assert_eq!(pair.take(), [Seen::Data(channel, source.clone())]);
        }
        for pair in sizes.chunks(2) {
            assert!(pair[0] > 10_000 && pair[1] < 1000, "{sizes:?}");
        }
    }
}

#[test]
fn compression_may_change_with_the_keys() {
    let (mut pair, channel) = open(both());
    for compression in [["none"; 2], [ZLIB, "none"], [ZLIB; 2], ["none", ZLIB], [ZLIB; 2]] {
        pair.server.script.compression = compression;
        pair.server.start_kex();
        pair.run();
        assert_eq!(pair.take(), [Seen::Rekeyed]);
        pair.server.take();
        let (up, down) = volume(&mut pair, channel);
        assert_eq!([up < 1000, down < 1000], compression.map(|way| way == ZLIB));
    }
}

#[test]
fn streams_arrive_whole_through_many_key_exchanges() {
    for cut in [Cut::Whole, Cut::Randomly(Random(8), 70_000)] {
        let (mut pair, channel) = open(both());
        pair.cut = cut;
        let mut random = Random(4);
        // Random bytes, repeating bytes, and empty payloads.
        let mut source = random.bytes(300_000);
        source.extend_from_within(..200_000);
        source.resize(1_500_000, 0);
        let (mut up, mut down, mut received, mut seen) = (0, 0, Vec::new(), Vec::new());
        for round in 0.. {
            if received.len() == source.len() && seen.len() == source.len() {
                break;
            }
            up += pair.fill(channel, &source[up..]).unwrap_or(0);
            if !pair.server.is_exchanging() {
                let end = source.len().min(down + random.below(MAX_PACKET as usize));
                pair.server.send(&data(0, &source[down..end]));
                down = end;
            }
            match round % 20 {
                5 if pair.server.is_settled() => pair.server.start_kex(),
                15 if pair.client.has_room() => pair.client.start_kex(),
                _ => {}
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
                if let Seen::Data(_, bytes) = event {
                    seen.extend(bytes);
                }
            }
        }
        assert!(received == source && seen == source);
    }
}

/// A few bytes that would become gigabytes are decompressed to the size of one packet at most.
#[test]
fn a_decompression_bomb_is_refused() {
    for length in [MAX_PAYLOAD - 5 + 1, 1 << 20, 1 << 26] {
        let (mut pair, _) = open(both());
        pair.server.send(&build(IGNORE, &[Text(&vec![0; length])]));
        if pair.server.outbound.pending().len() > 260_000 {
            continue; // too long also as it came
        }
        pair.run();
        let error = pair.failure();
        assert!(matches!(error, Error::Protocol(text) if text.contains("too long")), "{error}");
    }
    // Payloads just below the limit pass.
    let (mut pair, _) = open(both());
    pair.deliver(&build(IGNORE, &[Text(&vec![0; MAX_PAYLOAD - 5])]));
    assert_eq!(pair.error, None);
}

/// Many packets of that size in one read are handled in portions.
#[test]
fn payloads_of_the_maximum_size_are_handled_in_portions() {
    let (mut pair, channel) = open(both());
    pair.consumes = false;
    let mut random = Random(2);
    for round in 0..500 {
        pair.server.send(&build(IGNORE, &[Text(&vec![round as u8; MAX_PAYLOAD - 5])]));
    }
    let filler = random.bytes(100);
    for _ in 0..INITIAL_WINDOW / MAX_PACKET {
        pair.server.send(&data(0, &[filler.clone(), vec![0; MAX_PACKET as usize - 100]].concat()));
    }
    pair.server.send(&global(b"last", true));
    let count = pair.server.outbound.pending().len();
    assert!(count < 250_000, "{count}");
    pair.client.space()[..count].copy_from_slice(&pair.server.outbound.pending()[..count]);
    pair.server.outbound.sent(count);
    pair.client.received(count, pair.now);

    let (mut portions, mut bytes) = (0, 0);
    loop {
        pair.drain();
        let seen: usize = pair.take().iter().map(|event| event.length(channel)).sum();
        assert!(seen < 400_000, "{seen}");
        bytes += seen;
        if !pair.client.make_room() {
            break;
        }
        portions += 1;
    }
    assert!(portions >= 200, "{portions}");
    assert_eq!(bytes, INITIAL_WINDOW as usize);
    pair.run();
    assert_eq!(pair.server.numbers(), [REQUEST_FAILURE]);
}

/// A caller that does not make room gets less space and loses nothing.
#[test]
fn reading_without_making_room_loses_nothing() {
    let (mut pair, _) = open(both());
    for _ in 0..100 {
        pair.server.send(&build(IGNORE, &[Text(&[1; 60_000])]));
        pair.server.send(&global(b"x", true));
    }
    loop {
        let pending = pair.server.outbound.pending();
        let count = pending.len().min(50);
        pair.client.space()[..count].copy_from_slice(&pending[..count]);
        pair.server.outbound.sent(count);
        pair.client.received(count, pair.now);
        pair.drain();
        if count == 0 && !pair.client.make_room() {
            break;
        }
    }
    pair.run();
    assert_eq!(pair.server.numbers(), [REQUEST_FAILURE; 100]);
}

#[test]
fn invalid_compressed_packets_are_refused() {
    // The server continues without compression.
    for message in [data(0, b"plain"), vec![GLOBAL_REQUEST], adjust(0, 1), vec![0; 9000]] {
        let mut script = both();
        script.compression[1] = ZLIB;
        let (mut pair, _) = open(script);
        pair.server.outbound.uncompressed(&message);
        pair.run();
        let error = pair.failure();
        assert!(matches!(error, Error::Protocol(text) if text.contains("compress")), "{error}");
        assert_eq!(pair.server.numbers(), [DISCONNECT]);
    }
}
