//! Opening and closing of channels, in every order.

use super::harness::messages::{Open, about, adjust, confirm, data, parse_data, refuse};
use super::harness::pair::{Pair, Seen};
use super::harness::server::Script;
use crate::OpenFailure;
use crate::message::{CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_OPEN};
use crate::wire::Reader;

const INITIAL_WINDOW: u32 = 1_000_000;
const MAX_PACKET: u32 = 32_768;

#[test]
fn an_open_holds_the_target_and_the_originator() {
    let mut pair = Pair::connected(Script::default());
    let channel = pair.client.open_direct_tcpip("db.internal", 65_535, "::1", 50_000);
    assert_eq!(pair.client.window(channel), 0);
    assert!(!pair.client.is_idle());
    pair.run();
    let received = pair.server.take();
    let expected = Open {
        channel: channel.index() as u32,
        window: 2_097_152,
        longest: 32_768,
        host: "db.internal".into(),
        port: 65_535,
        originator: "::1".into(),
        originator_port: 50_000,
    };
    assert_eq!(Open::parse(&received[0]), expected);
    assert!(pair.fill(channel, b"too early").is_err());
}

#[test]
fn an_open_of_a_unix_socket_holds_its_path() {
    let mut pair = Pair::connected(Script::default());
    let channel = pair.client.open_direct_streamlocal("/run/db.sock");
    pair.run();
    let received = pair.server.take();
    let mut reader = Reader::new(&received[0]);
    assert_eq!(reader.byte(), Ok(CHANNEL_OPEN));
    assert_eq!(reader.text(), Ok("direct-streamlocal@openssh.com"));
    assert_eq!(reader.uint32(), Ok(channel.index() as u32));
    assert_eq!((reader.uint32(), reader.uint32()), (Ok(2_097_152), Ok(MAX_PACKET)));
    assert_eq!(reader.text(), Ok("/run/db.sock"));
    assert_eq!((reader.text(), reader.uint32()), (Ok(""), Ok(0)));
    assert_eq!(reader.remaining(), 0);
    pair.deliver(&confirm(channel.index() as u32, 100, INITIAL_WINDOW, MAX_PACKET));
    assert_eq!(pair.take(), [Seen::Opened(channel)]);
}

#[test]
fn a_confirmed_channel_carries_data_both_ways() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    assert_eq!(pair.client.window(channel), INITIAL_WINDOW as usize);
    assert_eq!(pair.fill(channel, b"question").unwrap(), 8);
    assert_eq!(pair.client.window(channel), INITIAL_WINDOW as usize - 8);
    pair.run();
    assert_eq!(pair.server.take(), [data(100, b"question")]);
    pair.deliver(&data(0, b"answer"));
    assert_eq!(pair.take(), [Seen::Data(channel, b"answer".to_vec())]);
}

#[test]
fn the_description_of_a_failed_open_is_printable() {
    let mut pair = Pair::connected(Script::default());
    for (code, reason) in [
        (1, OpenFailure::AdministrativelyProhibited),
        (2, OpenFailure::ConnectFailed),
        (3, OpenFailure::UnknownChannelType),
        (4, OpenFailure::ResourceShortage),
        (0xdead_beef, OpenFailure::Other(0xdead_beef)),
    ] {
        let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
        pair.run();
        pair.deliver(&refuse(channel.index() as u32, code, b"no\x1b[2J\r\nway\xff"));
        let words = "no?[2J  way\u{fffd}".to_owned();
        assert_eq!(pair.take(), [Seen::OpenFailed(channel, reason, words)]);
        assert!(pair.client.is_idle());
    }
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    pair.deliver(&refuse(channel.index() as u32, 2, &[b'x'; 30_000]));
    let [Seen::OpenFailed(_, _, words)] = &pair.take()[..] else { panic!("it was refused") };
    assert!(words.len() < 1000);
}

/// A failure of one channel has no effect on the others.
#[test]
fn a_failed_open_does_not_affect_other_channels() {
    let (mut pair, [first]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    let second = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    pair.server.take();
    pair.deliver(&refuse(1, 2, b"no"));
    assert!(matches!(pair.take()[..], [Seen::OpenFailed(channel, ..)] if channel == second));
    pair.fill(first, b"still here").unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [data(100, b"still here")]);
}

#[test]
fn eof_ends_one_direction_only() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.fill(channel, b"all of it").unwrap();
    pair.client.eof(channel);
    pair.client.eof(channel);
    assert_eq!(pair.client.window(channel), 0);
    assert!(pair.fill(channel, b"more").is_err());
    pair.run();
    assert_eq!(pair.server.take(), [data(100, b"all of it"), about(CHANNEL_EOF, 100)]);
    pair.server.send(&data(0, b"the reply"));
    pair.deliver(&about(CHANNEL_EOF, 0));
    let reply = Seen::Data(channel, b"the reply".to_vec());
    assert_eq!(pair.take(), [reply, Seen::Eof(channel)]);
    assert!(!pair.client.is_idle(), "nobody said CLOSE");
}

#[test]
fn eof_of_the_server_leaves_our_direction_open() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.deliver(&about(CHANNEL_EOF, 0));
    assert_eq!(pair.take(), [Seen::Eof(channel)]);
    pair.fill(channel, b"still talking").unwrap();
    pair.run();
    assert_eq!(pair.server.take(), [data(100, b"still talking")]);
    pair.deliver(&adjust(0, 1));
    assert_eq!(pair.error, None);
}

/// A step of closing a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    OurEof,
    OurClose,
    TheirEof,
    TheirClose,
}

/// Every order of the four steps, with or without EOF, leaves nothing behind, sends one CLOSE from
/// each side, and frees the number.
#[test]
fn closes_in_every_order() {
    use End::{OurClose, OurEof, TheirClose, TheirEof};
    let all = [OurEof, OurClose, TheirEof, TheirClose];
    let mut orders = vec![vec![]];
    for _ in 0..4 {
        let mut longer = Vec::new();
        for order in &orders {
            for step in all.iter().filter(|step| !order.contains(*step)) {
                longer.push([&order[..], &[*step]].concat());
            }
            if order.contains(&OurClose) && order.contains(&TheirClose) {
                longer.push(order.clone());
            }
        }
        orders = longer;
    }
    let (mut pair, [mut channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    let mut number = 100;
    for order in orders {
        let place = |step| order.iter().position(|other| *other == step);
        let (our_close, their_close) = (place(OurClose).unwrap(), place(TheirClose).unwrap());
        if place(TheirEof).is_some_and(|at| at > their_close) {
            continue; // Nothing may follow CLOSE: see the hostile cases.
        }
        for (at, step) in order.iter().enumerate() {
            let over = at > our_close.max(their_close);
            assert_eq!(pair.client.is_idle(), over, "{order:?} at {at}");
            match step {
                OurEof => pair.client.eof(channel),
                OurClose => pair.client.close(channel),
                TheirEof => pair.server.send(&about(CHANNEL_EOF, 0)),
                TheirClose => pair.server.send(&about(CHANNEL_CLOSE, 0)),
            }
            pair.run();
        }
        assert!(pair.client.is_idle(), "{order:?}");
        let mut received = Vec::new();
        if place(OurEof).is_some_and(|at| at < our_close) {
            received.push(about(CHANNEL_EOF, number));
        }
        received.push(about(CHANNEL_CLOSE, number));
        assert_eq!(pair.server.take(), received, "{order:?}");
        let mut seen = Vec::new();
        if place(TheirEof).is_some() {
            seen.push(Seen::Eof(channel));
        }
        seen.push(Seen::Close(channel));
        assert_eq!(pair.take(), seen, "{order:?}");
        // A repeated command has no effect.
        pair.client.close(channel);
        pair.client.eof(channel);
        pair.client.consumed(channel, 1_000_000, pair.now);
        assert_eq!(pair.client.pending(), b"");
        number += 1;
        let next = pair.open_another(number, INITIAL_WINDOW, MAX_PACKET);
        assert_eq!(next.index(), channel.index(), "its number is free");
        channel = next;
    }
}

/// The server had sent it before our CLOSE: it is delivered, up to the end.
#[test]
fn data_after_our_close_arrives_and_gets_no_credit() {
    let (mut pair, [channel, other]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.client.close(channel);
    pair.run();
    for _ in 0..40 {
        pair.server.send(&data(0, &[7; 32_768]));
    }
    pair.run();
    let bytes: usize = pair.take().into_iter().map(|seen| seen.length(channel)).sum();
    assert_eq!(bytes, 40 * 32_768);
    pair.server.send(&data(1, b"for the other"));
    pair.server.send(&adjust(0, 5));
    pair.deliver(&about(CHANNEL_EOF, 0));
    let expected = [Seen::Data(other, b"for the other".to_vec()), Seen::Eof(channel)];
    assert_eq!(pair.take(), expected);
    assert_eq!(pair.server.take(), [about(CHANNEL_CLOSE, 100)], "and gives no credit");
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    assert_eq!(pair.take(), [Seen::Close(channel)]);
    assert!(!pair.client.is_idle(), "the other is still there");
}

/// Between the two CLOSE messages the number is in use, and a new channel gets another.
#[test]
fn a_number_is_not_reused_before_both_sides_have_closed() {
    let (mut pair, [first]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.client.close(first);
    pair.run();
    pair.server.take();
    let second = pair.open_another(101, INITIAL_WINDOW, MAX_PACKET);
    assert_ne!(first, second);
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    let third = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    assert_eq!(first.index(), third.index());
}

#[test]
fn a_confirmation_after_close_is_answered_with_close() {
    let mut pair = Pair::connected(Script::default());
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.client.close(channel);
    pair.client.close(channel);
    pair.run();
    assert_eq!(pair.server.numbers(), [CHANNEL_OPEN]);
    assert!(!pair.client.is_idle());
    pair.server.send(&confirm(0, 55, INITIAL_WINDOW, MAX_PACKET));
    // The server has sent this before our CLOSE.
    pair.deliver(&data(0, b"220 ready"));
    assert_eq!(pair.server.take(), [about(CHANNEL_CLOSE, 55)]);
    assert_eq!(pair.take(), [Seen::Data(channel, b"220 ready".to_vec())]);
    assert_eq!(pair.client.window(channel), 0);
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    assert_eq!(pair.take(), [Seen::Close(channel)]);
    assert!(pair.client.is_idle());
}

#[test]
fn a_failure_after_close_frees_the_number() {
    let mut pair = Pair::connected(Script::default());
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.client.close(channel);
    pair.run();
    pair.server.take();
    pair.deliver(&refuse(0, 2, b"no"));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![]));
    assert!(pair.client.is_idle());
}

/// The server sends everything at once: every byte is delivered, in order.
#[test]
fn confirmation_data_and_close_may_arrive_at_once() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.server.send(&data(0, &[1; 5000]));
    pair.server.send(&data(0, &[2; 10]));
    pair.server.send(&about(CHANNEL_EOF, 0));
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    let bytes = [vec![1; 5000], vec![2; 10]].concat();
    let expected = [Seen::Data(channel, bytes), Seen::Eof(channel), Seen::Close(channel)];
    assert_eq!(pair.take(), expected);
    assert!(pair.fill(channel, b"into the void").is_ok(), "ours ends with our own CLOSE");
    pair.client.close(channel);
    assert!(pair.client.is_idle());
}

/// Data and EOF that are sent before the server reads arrive in order.
#[test]
fn data_and_eof_are_sent_before_close() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.fill(channel, &[9; 100_000]).unwrap();
    pair.client.close(channel);
    pair.run();
    let received = pair.server.take();
    let (close, packets) = received.split_last().unwrap();
    assert_eq!(*close, about(CHANNEL_CLOSE, 100));
    assert!(packets.iter().all(|packet| packet[0] == CHANNEL_DATA));
    assert_eq!(packets.iter().map(|packet| parse_data(packet).1.len()).sum::<usize>(), 100_000);
}

/// A thousand channels at once, and every number is freed.
#[test]
fn many_channels_at_once() {
    let mut pair = Pair::connected(Script::default());
    let open = |pair: &mut Pair| -> Vec<_> {
        (0..1000).map(|port| pair.client.open_direct_tcpip("db", port, "::1", 1)).collect()
    };
    let first = open(&mut pair);
    pair.run();
    assert_eq!(pair.server.take().len(), 1000);
    for channel in (0..1000).rev() {
        pair.server.send(&confirm(channel, channel + 5000, INITIAL_WINDOW, MAX_PACKET));
    }
    pair.run();
    assert_eq!(pair.take().len(), 1000);
    for (at, channel) in first.iter().enumerate() {
        pair.fill(*channel, &at.to_be_bytes()).unwrap();
        pair.client.close(*channel);
        pair.server.send(&about(CHANNEL_CLOSE, channel.index() as u32));
    }
    pair.run();
    for (at, messages) in pair.server.take().chunks(2).enumerate() {
        let remote = 5000 + at as u32;
        assert_eq!(messages, [data(remote, &at.to_be_bytes()), about(CHANNEL_CLOSE, remote)]);
    }
    assert!(pair.client.is_idle());
    let mut again: Vec<_> = open(&mut pair).iter().map(|channel| channel.index()).collect();
    again.sort_unstable();
    assert_eq!(again, (0..1000).collect::<Vec<_>>());
}
