//! A silent server, and endless key exchanges, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use super::harness::messages::{data, global};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::Script;
use crate::log::tests::Lines;
use crate::message::{GLOBAL_REQUEST, IGNORE, KEX_ECDH_INIT, KEXINIT, REQUEST_FAILURE};
use crate::{Error, Log, Setup};

/// The limits of the harness, with three keepalives.
const INTERVAL: Duration = Duration::from_secs(10);
/// The time limit of a key exchange.
const CHANGE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_server_is_given_up() {
    let mut pair = Pair::connected(Script::default());
    let start = pair.now;
    for asked in 1..=3 {
        let deadline = start + INTERVAL * asked;
        assert_eq!(pair.client.timeout(), Some(deadline));
        assert_eq!(pair.client.handle_timeout(deadline - Duration::from_millis(1)), Ok(()));
        assert_eq!(pair.client.pending(), b"", "too early");
        assert_eq!(pair.client.handle_timeout(deadline), Ok(()));
        pair.feed_server();
        assert_eq!(pair.server.take(), [global(b"keepalive@openssh.com", true)]);
    }
    let deadline = start + INTERVAL * 4;
    assert_eq!(pair.client.timeout(), Some(deadline));
    assert_eq!(pair.client.handle_timeout(deadline), Err(Error::KeepaliveTimeout(40_000)));
    assert_eq!((pair.client.timeout(), pair.client.pending()), (None, &b""[..]));
    assert!(!pair.client.is_connected());
    assert_eq!(pair.client.handle_timeout(deadline + INTERVAL), Ok(()), "it is found dead once");
    assert!(matches!(pair.client.next_event(), Ok(None)));
}

#[test]
fn each_keepalive_without_an_answer_and_the_end_are_logged() {
    let lines = Arc::new(Lines::default());
    let mut pair =
        Pair::new(Setup { log: Log::new(lines.clone(), ""), ..setup() }, Script::default());
    pair.run();
    lines.take();
    for asked in 1..=4 {
        let _ = pair.client.handle_timeout(pair.now + INTERVAL * asked);
    }
    let expected = [
        "keepalive: 1 sent since the server was heard",
        "keepalive: 2 sent since the server was heard",
        "keepalive: 3 sent since the server was heard",
        "the server has not responded for 40000 ms",
    ];
    assert_eq!(lines.take(), expected);
}

/// Any packet counts, a reply or not.
#[test]
fn any_packet_restarts_the_keepalives() {
    let mut pair = Pair::connected(Script::default());
    for sign in [&[REQUEST_FAILURE][..], &[IGNORE, 0, 0, 0, 0], &[200]] {
        for _ in 0..3 {
            pair.now += INTERVAL;
            pair.client.handle_timeout(pair.now).unwrap();
        }
        pair.deliver(sign);
        assert_eq!(pair.client.timeout(), Some(pair.now + INTERVAL));
    }
}

/// A damaged length takes the bytes of all later packets, until it is filled: 16 bytes each time here.
#[test]
fn a_packet_that_is_never_complete_is_no_sign_of_life() {
    let mut pair = Pair::connected(Script::default());
    let start = pair.now;
    pair.inject(&200_000_u32.to_be_bytes());
    for _ in 0..3 {
        pair.now += INTERVAL;
        assert_eq!(pair.client.handle_timeout(pair.now), Ok(()));
        pair.feed_server();
        assert_eq!(pair.server.take(), [global(b"keepalive@openssh.com", true)]);
        pair.now += SECOND;
        pair.inject(&[7; 16]);
        assert_eq!(pair.client.timeout(), Some(pair.now + INTERVAL));
    }
    pair.now += INTERVAL;
    let silence = (pair.now - start).as_millis();
    assert_eq!(pair.client.handle_timeout(pair.now), Err(Error::KeepaliveTimeout(silence)));
}

/// Over a slow path a packet may take longer than all keepalives together.
#[test]
fn a_packet_that_is_still_arriving_is_waited_for() {
    let (mut pair, [channel]) = Pair::open(1 << 20, 32_768);
    let bytes = vec![7; 30_000];
    pair.server.send(&data(0, &bytes));
    let sealed = pair.server.outbound.pending().to_vec();
    let (last, all) = sealed.split_last().unwrap();
    for piece in all.chunks(sealed.len() / 10) {
        pair.now += INTERVAL - SECOND;
        assert_eq!(pair.client.handle_timeout(pair.now), Ok(()));
        assert_eq!(pair.client.pending(), b"", "no keepalive is due while bytes come");
        pair.inject(piece);
        assert_eq!(pair.take(), []);
    }
    // A path that stands still for a time sends keepalives, and the packet ends their count.
    for _ in 0..3 {
        pair.now += INTERVAL;
        assert_eq!(pair.client.handle_timeout(pair.now), Ok(()));
    }
    pair.inject(&[*last]);
    assert_eq!(pair.take(), [Seen::Data(channel, bytes)]);
    for _ in 0..3 {
        pair.now += INTERVAL;
        assert_eq!(pair.client.handle_timeout(pair.now), Ok(()));
    }
}

/// A late caller sends one keepalive, not as many as it has missed.
#[test]
fn a_late_timeout_sends_one_keepalive() {
    let mut pair = Pair::connected(Script::default());
    pair.now += INTERVAL * 3;
    pair.client.handle_timeout(pair.now).unwrap();
    pair.run();
    assert_eq!(pair.server.take().len(), 1);
    assert!(pair.client.is_connected());
}

#[test]
fn without_keepalive_nothing_is_sent() {
    let mut setup = setup();
    setup.keepalive = None;
    setup.rekey.interval = None;
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    assert_eq!(pair.client.timeout(), None);
    assert_eq!(pair.client.handle_timeout(pair.now + INTERVAL * 1000), Ok(()));
    assert_eq!(pair.client.pending(), b"");
}

/// Before that, the caller limits the time.
#[test]
fn no_keepalive_is_sent_before_the_session_is_connected() {
    let mut pair = Pair::new(setup(), Script::default());
    assert_eq!(pair.client.timeout(), None);
    pair.feed_client();
    assert_eq!(pair.client.timeout(), None);
    assert_eq!(pair.client.handle_timeout(pair.now + INTERVAL * 1000), Ok(()));
    pair.run();
    assert!(pair.client.is_connected());
}

/// A server that falls silent during a key exchange is given up too, although keepalives have to
/// wait.
#[test]
fn a_server_that_falls_silent_in_a_key_exchange_is_given_up() {
    let mut pair = Pair::connected(Script::default());
    pair.server.start_kex();
    pair.feed_client();
    for _ in 0..3 {
        pair.now += INTERVAL;
        pair.client.handle_timeout(pair.now).unwrap();
    }
    pair.now += INTERVAL;
    assert_eq!(pair.client.handle_timeout(pair.now), Err(Error::KeepaliveTimeout(40_000)));
    pair.feed_server();
    assert_eq!(pair.server.numbers(), [KEXINIT, KEX_ECDH_INIT]);
}

/// A session without rekey limits and keepalives, that was idle for long.
fn idle() -> Pair {
    let mut setup = setup();
    (setup.keepalive, setup.rekey.interval) = (None, None);
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.take();
    pair.server.take();
    pair.server.script.answers = false;
    pair.now += CHANGE * 10;
    pair
}

/// Handles timeouts now, just before the time is over, and when it is over.
fn runs_out_of_patience(mut pair: Pair) {
    let start = pair.now;
    assert!(pair.client.timeout().is_some_and(|due| due <= start), "it asks what time it is");
    assert_eq!(pair.client.handle_timeout(start), Ok(()));
    assert_eq!(pair.client.timeout(), Some(start + CHANGE));
    // Other messages meanwhile make no difference.
    pair.now += CHANGE - SECOND;
    if pair.server.is_settled() {
        pair.deliver(&global(b"busy", false));
    }
    assert_eq!(pair.client.handle_timeout(pair.now), Ok(()));
    assert_eq!(pair.client.timeout(), Some(start + CHANGE));
    pair.now += SECOND;
    assert_eq!(pair.client.handle_timeout(pair.now), Err(Error::RekeyTimeout(120)));
    assert_eq!((pair.client.timeout(), pair.client.is_connected()), (None, false));
}

#[test]
fn an_endless_key_exchange_times_out() {
    // The server does not answer.
    let mut pair = idle();
    pair.client.start_kex();
    pair.run();
    runs_out_of_patience(pair);

    // The server starts an exchange and does not continue it.
    let mut pair = idle();
    pair.server.start_kex();
    pair.feed_client();
    runs_out_of_patience(pair);

    // The server does not use the keys.
    let mut pair = idle();
    pair.server.start_kex();
    pair.feed_client();
    pair.feed_server();
    let newkeys = 4 + 1 + 11 + 16;
    let all = pair.server.outbound.pending().to_vec();
    assert!(all.len() > 2 * newkeys);
    pair.inject(&all[..all.len() - newkeys]);
    assert!(pair.client.has_room(), "we use ours");
    runs_out_of_patience(pair);
}

/// The next exchange has the full time, and time between them does not count.
#[test]
fn each_key_exchange_has_its_own_time() {
    let mut pair = idle();
    let channel = pair.open_another(100, 1000, 1000);
    for _ in 0..3 {
        pair.client.start_kex();
        pair.client.handle_timeout(pair.now).unwrap();
        pair.now += CHANGE - SECOND;
        pair.client.handle_timeout(pair.now).unwrap();
        pair.deliver(&data(0, b"down"));
        pair.server.start_kex();
        pair.run();
        assert_eq!(pair.take(), [Seen::Data(channel, b"down".to_vec()), Seen::Rekeyed]);
        assert_eq!(pair.client.timeout(), None);
        pair.now += CHANGE;
    }
}

/// A server that falls silent instead of answering is given up.
#[test]
fn a_server_that_does_not_answer_a_kexinit_is_given_up() {
    let mut pair = Pair::connected(Script::default());
    pair.server.script.answers = false;
    pair.client.start_kex();
    pair.run();
    assert_eq!(pair.server.numbers(), [KEXINIT]);
    pair.client.handle_timeout(pair.now).unwrap();
    for _ in 0..3 {
        pair.now = pair.client.timeout().unwrap();
        pair.client.handle_timeout(pair.now).unwrap();
        pair.run();
    }
    let numbers = pair.server.numbers();
    assert!(!numbers.contains(&GLOBAL_REQUEST), "{numbers:?}");
    pair.now = pair.client.timeout().unwrap();
    assert!(matches!(pair.client.handle_timeout(pair.now), Err(Error::KeepaliveTimeout(40_000))));
}
