//! Data and windows: data arrives whole, and neither side sends more than the window.

use std::io;

use super::harness::messages::{adjust, data, global, parse_data};
use super::harness::pair::{Cut, Pair, Seen};
use super::harness::random::Random;
use crate::ChannelId;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{CHANNEL_EXTENDED_DATA, CHANNEL_WINDOW_ADJUST};
use crate::wire::Reader;

use super::harness::messages::Part::{Number, Text};
use super::harness::messages::build;

const MAX_PACKET: u32 = 32_768;

/// Returns the bytes of all data events, which are all of `channel`.
fn joined(seen: Vec<Seen>, channel: ChannelId) -> Vec<u8> {
    let bytes = seen.into_iter().flat_map(|seen| match seen {
        Seen::Data(id, bytes) if id == channel => bytes,
        other => panic!("{other:?}"),
    });
    bytes.collect()
}

/// Returns the bytes of all data messages, which are all of channel `number`.
fn joined_messages(received: &[Vec<u8>], number: u32) -> Vec<u8> {
    let bytes = received.iter().flat_map(|payload| {
        let (channel, bytes) = parse_data(payload);
        assert_eq!(channel, number);
        bytes.to_vec()
    });
    bytes.collect()
}

/// Returns the credit for channel `number`; no other messages were sent.
fn credit(received: &[Vec<u8>], number: u32) -> u32 {
    let credits = received.iter().map(|payload| {
        let mut reader = Reader::new(payload);
        assert_eq!(reader.byte(), Ok(CHANNEL_WINDOW_ADJUST));
        assert_eq!(reader.uint32(), Ok(number));
        reader.uint32().unwrap()
    });
    credits.sum()
}

#[test]
fn data_of_every_size_arrives_whole() {
    for cut in [Cut::Whole, Cut::Every(1), Cut::Every(4099), Cut::Randomly(Random(5), 70_000)] {
        let (mut pair, [channel]) = Pair::open(u32::MAX, MAX_PACKET);
        let mut random = Random(11);
        let sizes = [0, 1, 2, 15, 16, 17, 50, 255, 256, 2047, 2048, 2049, 8191, 32_767, 32_768];
        let mut sent = Vec::new();
        pair.cut = cut;
        for size in sizes.into_iter().chain((0..40).map(|n| n * n)) {
            let bytes = random.bytes(size);
            pair.server.send(&data(0, &bytes));
            sent.extend(bytes);
        }
        pair.run();
        assert!(joined(pair.take(), channel) == sent);
    }
}

#[test]
fn data_is_sent_whole_with_any_maximum_packet_size() {
    for longest in [1, 7, 1000, 32_767, 32_768, 32_769, 1_000_000, u32::MAX] {
        let (mut pair, [channel]) = Pair::open(u32::MAX, longest);
        let source = Random(2).bytes(if longest < 10 { 500 } else { 700_000 });
        let mut sent = 0;
        while sent < source.len() {
            match pair.fill(channel, &source[sent..]) {
                Ok(count) => sent += count,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    assert!(!pair.client.has_room());
                    pair.run();
                }
            }
        }
        pair.run();
        let received = pair.server.take();
        assert!(
            received.iter().all(|payload| payload.len() - 9 <= longest.min(MAX_PACKET) as usize)
        );
        assert!(joined_messages(&received, 100) == source, "{longest}");
    }
}

#[test]
fn small_payloads_become_one_event() {
    let (mut pair, [channel]) = Pair::open(100, MAX_PACKET);
    let source = Random(3).bytes(50 * 1000);
    for bytes in source.chunks(50) {
        pair.server.send(&data(0, bytes));
    }
    pair.run();
    assert_eq!(pair.take(), [Seen::Data(channel, source)]);
}

/// Payloads of other channels in between keep their channel and order.
#[test]
fn interleaved_channels_stay_separate() {
    let (mut pair, channels) = Pair::open::<3>(100, MAX_PACKET);
    let mut random = Random(4);
    let mut sent = [const { Vec::new() }; 3];
    for _ in 0..2000 {
        let at = random.below(3);
        for _ in 0..random.below(4) {
            let size = [50, 10, 2047, 2048, 3000][random.below(5)];
            let bytes = random.bytes(size);
            pair.server.send(&data(at as u32, &bytes));
            sent[at].extend(bytes);
        }
        if random.once_in(20) {
            pair.run();
        }
    }
    pair.run();
    let mut events = 0;
    let mut got = [const { Vec::new() }; 3];
    for seen in pair.take() {
        let Seen::Data(channel, bytes) = seen else { panic!("{seen:?}") };
        got[channels.iter().position(|other| *other == channel).unwrap()].extend(bytes);
        events += 1;
    }
    assert!(got == sent);
    assert!(events < 3000, "{events} events");
}

/// Messages about other things may come between payloads.
#[test]
fn payloads_are_joined_across_other_messages() {
    let (mut pair, [channel]) = Pair::open(100, MAX_PACKET);
    pair.server.send(&data(0, b"one "));
    pair.server.send(&adjust(0, 1));
    pair.server.send(&build(2, &[Text(b"ignored")]));
    pair.server.send(&global(b"keepalive@openssh.com", true));
    pair.deliver(&data(0, b"two"));
    assert_eq!(pair.take(), [Seen::Data(channel, b"one two".to_vec())]);
}

#[test]
fn credit_follows_what_is_consumed() {
    let (mut pair, [channel]) = Pair::open(100, MAX_PACKET);
    pair.consumes = false;
    for _ in 0..INITIAL_WINDOW / MAX_PACKET {
        pair.server.send(&data(0, &[1; 32_768]));
    }
    pair.run();
    assert!(pair.server.take().is_empty(), "nothing has left us yet");
    let mut given = 0;
    for step in 1..=64 {
        pair.client.consumed(channel, 32_768, pair.now);
        pair.run();
        given += credit(&pair.server.take(), 100);
        assert!(given <= step * 32_768 && given + INITIAL_WINDOW / 8 > step * 32_768);
    }
    assert_eq!(given, INITIAL_WINDOW);
    pair.deliver(&data(0, b"goes on"));
    assert_eq!(pair.error, None);
}

/// Extended data is discarded, and does not block the channel: it is consumed on arrival.
#[test]
fn extended_data_is_discarded_and_credited() {
    let (mut pair, [channel]) = Pair::open(100, MAX_PACKET);
    let extended = build(CHANNEL_EXTENDED_DATA, &[Number(0), Number(1), Text(&[1; 32_768])]);
    for _ in 0..200 {
        pair.deliver(&extended);
    }
    assert_eq!((pair.take(), &pair.error), (vec![], &None));
    assert!(credit(&pair.server.take(), 100) >= 200 * 32_768 - INITIAL_WINDOW / 8);
    pair.deliver(&data(0, b"data"));
    assert_eq!(pair.take(), [Seen::Data(channel, b"data".to_vec())]);
}

#[test]
fn the_servers_window_is_used_up_exactly() {
    let (mut pair, [channel]) = Pair::open(0, MAX_PACKET);
    assert_eq!(pair.fill(channel, b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let source = Random(6).bytes(100_000);
    let (mut sent, mut granted) = (0, 0);
    for credit in [1, 2, 3, 32_767, 1, 32_769, 5] {
        pair.deliver(&adjust(0, credit));
        granted += credit as usize;
        assert_eq!(pair.take(), [Seen::Window(channel)]);
        while pair.client.window(channel) > 0 {
            sent += pair.fill(channel, &source[sent..]).unwrap();
        }
        assert_eq!(sent, granted);
    }
    pair.run();
    assert!(joined_messages(&pair.server.take(), 100) == source[..sent]);
}

/// Only a channel that waits gets an event.
#[test]
fn credit_without_need_is_no_event() {
    let (mut pair, [channel]) = Pair::open(10, MAX_PACKET);
    pair.deliver(&adjust(0, 5));
    pair.deliver(&adjust(0, 0));
    assert_eq!((pair.take(), pair.client.window(channel)), (vec![], 15));
    pair.fill(channel, &[0; 15]).unwrap();
    pair.deliver(&adjust(0, 0));
    assert_eq!(pair.take(), [], "nothing can be sent with nothing");
    pair.client.eof(channel);
    pair.deliver(&adjust(0, 5));
    assert_eq!(pair.take(), []);
}

/// The socket gets slices of exactly the window, also after a short read.
#[test]
fn reads_are_bounded_by_the_window() {
    let (mut pair, [channel]) = Pair::open(100_000, 1000);
    let measure = |pair: &mut Pair, most: usize| {
        let mut room = 0;
        let count = pair.client.fill(channel, most, |slots| {
            room = slots.iter().map(|slot| slot.len()).sum();
            slots[0][0] = 7;
            Ok(1)
        });
        assert_eq!(count.unwrap(), 1);
        room
    };
    assert_eq!(measure(&mut pair, 3), 3);
    assert_eq!(measure(&mut pair, 2500), 2500);
    assert_eq!(measure(&mut pair, usize::MAX), 8000, "eight packets at a time");
    pair.run();
    assert_eq!(pair.server.take(), [data(100, &[7]), data(100, &[7]), data(100, &[7])]);
}

/// The end of the stream or an error of the socket is returned, and nothing is sent.
#[test]
fn results_of_reads_are_returned() {
    let (mut pair, [channel]) = Pair::open(100, MAX_PACKET);
    assert_eq!(pair.client.fill(channel, 10, |_| Ok(0)).unwrap(), 0);
    let reset = pair.client.fill(channel, 10, |_| Err(io::ErrorKind::ConnectionReset.into()));
    assert_eq!(reset.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!((pair.client.pending(), pair.client.window(channel)), (&b""[..], 100));
}

/// While much is pending, sockets are not read.
#[test]
fn nothing_is_read_while_much_is_pending() {
    let (mut pair, [channel]) = Pair::open(u32::MAX, MAX_PACKET);
    let bytes = vec![5; 32_768];
    let mut taken = 0;
    while pair.client.has_room() {
        taken += pair.fill(channel, &bytes).unwrap();
        assert!(taken < 1024 * 1024);
    }
    let untouched = pair.client.fill(channel, 10, |_| panic!("the socket is not to be asked"));
    assert_eq!(untouched.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    pair.client.sent(100_000);
    assert!(pair.client.has_room());
    assert!(pair.client.pending().len() > 100_000);
    assert_eq!(pair.client.window(channel), u32::MAX as usize - taken);
}
