//! A silent server, and one that never gets done with new keys, in virtual time.

use std::time::Duration;

use super::harness::messages::{data, global};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::Script;
use crate::Error;
use crate::message::{GLOBAL_REQUEST, IGNORE, KEX_ECDH_INIT, KEXINIT, REQUEST_FAILURE};

/// As the setup of the tests has it, with three questions.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a change of keys may take.
const CHANGE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silent_server_is_found_dead() {
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

/// Anything counts, an answer or not; half a packet too, for it was not there before.
#[test]
fn any_sign_of_life_starts_over() {
    let mut pair = Pair::connected(Script::default());
    for sign in [&[REQUEST_FAILURE][..], &[IGNORE, 0, 0, 0, 0], &[200]] {
        for _ in 0..2 {
            pair.now += INTERVAL;
            pair.client.handle_timeout(pair.now).unwrap();
        }
        pair.say(sign);
        assert_eq!(pair.client.timeout(), Some(pair.now + INTERVAL));
    }
    pair.now += INTERVAL;
    pair.client.handle_timeout(pair.now).unwrap();
    pair.inject(&[0]);
    assert_eq!(pair.client.timeout(), Some(pair.now + INTERVAL));
}

/// A driver that comes late asks one question, not as many as it missed.
#[test]
fn a_late_call_is_one_question() {
    let mut pair = Pair::connected(Script::default());
    pair.now += INTERVAL * 3;
    pair.client.handle_timeout(pair.now).unwrap();
    pair.run();
    assert_eq!(pair.server.take().len(), 1);
    assert!(pair.client.is_connected());
}

#[test]
fn without_one_nothing_is_ever_asked() {
    let mut setup = setup();
    setup.keepalive = None;
    setup.rekey.interval = None;
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    assert_eq!(pair.client.timeout(), None);
    assert_eq!(pair.client.handle_timeout(pair.now + INTERVAL * 1000), Ok(()));
    assert_eq!(pair.client.pending(), b"");
}

/// Until the user is logged on, the one who connects watches the clock.
#[test]
fn nothing_is_asked_before_the_session_stands() {
    let mut pair = Pair::new(setup(), Script::default());
    assert_eq!(pair.client.timeout(), None);
    pair.feed_client();
    assert_eq!(pair.client.timeout(), None);
    assert_eq!(pair.client.handle_timeout(pair.now + INTERVAL * 1000), Ok(()));
    pair.run();
    assert!(pair.client.is_connected());
}

/// A server that stops in the middle of a key exchange is as dead as any other, though the
/// questions have to wait.
#[test]
fn a_server_that_stops_changing_keys_is_found_dead() {
    let mut pair = Pair::connected(Script::default());
    pair.server.offer();
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

/// A session whose keys do not wear out, without questions to the server, that was idle for long.
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

/// Looks at the clock now, then just before the time is up, then when it is.
fn runs_out_of_patience(mut pair: Pair) {
    let start = pair.now;
    assert!(pair.client.timeout().is_some_and(|due| due <= start), "it asks what time it is");
    assert_eq!(pair.client.handle_timeout(start), Ok(()));
    assert_eq!(pair.client.timeout(), Some(start + CHANGE));
    // Whatever it says meanwhile does not help.
    pair.now += CHANGE - SECOND;
    if pair.server.is_settled() {
        pair.say(&global(b"busy", false));
    }
    assert_eq!(pair.client.handle_timeout(pair.now), Ok(()));
    assert_eq!(pair.client.timeout(), Some(start + CHANGE));
    pair.now += SECOND;
    assert_eq!(pair.client.handle_timeout(pair.now), Err(Error::RekeyTimeout(120)));
    assert_eq!((pair.client.timeout(), pair.client.is_connected()), (None, false));
}

#[test]
fn a_server_that_does_not_get_done_with_new_keys_is_given_up() {
    // It does not answer.
    let mut pair = idle();
    pair.client.start_kex();
    pair.run();
    runs_out_of_patience(pair);

    // It asks, and does not go on with it.
    let mut pair = idle();
    pair.server.offer();
    pair.feed_client();
    runs_out_of_patience(pair);

    // It does not use the keys.
    let mut pair = idle();
    pair.server.offer();
    pair.feed_client();
    pair.feed_server();
    let newkeys = 4 + 1 + 11 + 16;
    let all = pair.server.outbound.pending().to_vec();
    assert!(all.len() > 2 * newkeys);
    pair.inject(&all[..all.len() - newkeys]);
    assert!(pair.client.has_room(), "we use ours");
    runs_out_of_patience(pair);
}

/// The next one has as much time again, and time between them does not count.
#[test]
fn each_change_of_keys_has_its_own_time() {
    let mut pair = idle();
    let channel = pair.open_another(100, 1000, 1000);
    for _ in 0..3 {
        pair.client.start_kex();
        pair.client.handle_timeout(pair.now).unwrap();
        pair.now += CHANGE - SECOND;
        pair.client.handle_timeout(pair.now).unwrap();
        pair.say(&data(0, b"down"));
        pair.server.offer();
        pair.run();
        assert_eq!(pair.take(), [Seen::Data(channel, b"down".to_vec()), Seen::Rekeyed]);
        assert_eq!(pair.client.timeout(), None);
        pair.now += CHANGE;
    }
}

/// One that falls silent instead of answering is found out like any other.
#[test]
fn a_server_that_does_not_answer_is_given_up() {
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
