//! Strict key exchange, without which a man in the middle can remove the first messages of a
//! session.

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::build;
use super::harness::pair::{Pair, setup};
use super::harness::server::Script;
use crate::Error;
use crate::message::{DEBUG, EXT_INFO, IGNORE, KEXINIT, UNIMPLEMENTED, USERAUTH_BANNER};

/// Messages that are harmless in a session without strict key exchange.
fn harmless() -> [Vec<u8>; 3] {
    [
        build(IGNORE, &[Text(b"noise")]),
        build(DEBUG, &[Flag(true), Text(b"noise"), Text(b"")]),
        build(UNIMPLEMENTED, &[Number(0)]),
    ]
}

/// Connects, with `payload` before or after the first KEXINIT.
fn slip_in(strict: bool, payload: Vec<u8>, before: bool) -> Pair {
    let mut script = Script { strict, ..Script::default() };
    if before {
        script.before.push(payload);
    } else {
        script.within.push(payload);
    }
    let mut pair = Pair::new(setup(), script);
    pair.run();
    pair
}

/// Asserts that only the key exchange was sent.
fn assert_nothing_about_the_user(pair: &mut Pair) {
    assert!(pair.server.numbers().iter().all(|number| *number <= 30 && *number != 5));
}

#[test]
fn other_messages_in_the_first_exchange_are_refused() {
    for payload in harmless() {
        for before in [true, false] {
            let mut pair = slip_in(true, payload.clone(), before);
            let error = pair.failure();
            assert!(matches!(error, Error::Protocol(text) if text.contains("strict")), "{error}");
            assert_nothing_about_the_user(&mut pair);
        }
    }
}

#[test]
fn without_strict_kex_they_are_ignored() {
    for payload in harmless() {
        for before in [true, false] {
            assert!(slip_in(false, payload.clone(), before).client.is_connected());
        }
    }
}

/// After the first exchange they are ignored as usual.
#[test]
fn after_the_first_exchange_they_are_ignored() {
    let mut pair = Pair::connected(Script::default());
    pair.server.start_kex();
    for payload in harmless() {
        pair.server.send(&payload);
    }
    pair.run();
    for payload in harmless() {
        pair.deliver(&payload);
    }
    assert_eq!(pair.error, None);
    assert!(pair.client.is_connected());
}

/// A man in the middle has no keys yet: his list of signature algorithms must not count.
#[test]
fn extensions_in_the_clear_are_refused() {
    for strict in [true, false] {
        for before in [true, false] {
            for names in [&b""[..], b"rsa-sha2-256"] {
                let parts = [Number(1), Text(b"server-sig-algs"), Text(names)];
                let mut pair = slip_in(strict, build(EXT_INFO, &parts), before);
                assert!(matches!(pair.failure(), Error::Protocol(_)));
                assert_nothing_about_the_user(&mut pair);
            }
        }
    }
}

/// With a key alone, such a list used to exclude every attempt.
#[test]
fn extensions_in_the_clear_do_not_exclude_keys() {
    let mut setup = setup();
    setup.credentials.password = None;
    let parts = [Number(1), Text(b"server-sig-algs"), Text(b"")];
    let within = vec![build(EXT_INFO, &parts)];
    let mut pair = Pair::new(setup, Script { strict: false, within, ..Script::default() });
    pair.run();
    assert!(matches!(pair.failure(), Error::Protocol(_)));
}

#[test]
fn messages_of_later_phases_are_refused_before_the_keys() {
    for strict in [true, false] {
        for before in [true, false] {
            for number in (5..=9).chain(22..=29).chain(50..=100).chain([192, 255]) {
                if number == EXT_INFO {
                    continue;
                }
                let mut pair = slip_in(strict, vec![number; 40], before);
                let error = pair.failure();
                assert!(matches!(error, Error::Protocol(_)), "{number}: {error}");
                assert_nothing_about_the_user(&mut pair);
            }
        }
    }
}

#[test]
fn a_second_kexinit_in_an_exchange_is_refused() {
    for strict in [true, false] {
        let mut pair = Pair::new(setup(), Script { strict, ..Script::default() });
        let mut again = vec![KEXINIT];
        again.extend([0; 16]);
        for list in ["curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com"] {
            again.extend(build(0, &[Text(list.as_bytes())]).split_off(1));
        }
        let rest = ["aes256-gcm@openssh.com", "", "", "none", "none", "", ""];
        for list in rest {
            again.extend(build(0, &[Text(list.as_bytes())]).split_off(1));
        }
        again.extend([0; 5]);
        pair.server.send(&again);
        pair.run();
        let error = pair.failure();
        assert!(matches!(error, Error::Protocol(text) if text.contains("within")), "{error}");
    }
}

/// Ciphers and MACs that use the sequence number.
const NUMBERED: [(&str, &str); 3] = [
    ("chacha20-poly1305@openssh.com", ""),
    ("aes128-ctr", "hmac-sha2-256-etm@openssh.com"),
    ("aes256-ctr", "hmac-sha2-512"),
];

/// Sequence numbers restart with the keys, on both sides: packets in each direction before the
/// exchange would make them differ otherwise.
#[test]
fn sequence_numbers_restart_with_the_keys() {
    for (strict, (cipher, mac)) in [true, false].into_iter().flat_map(|s| NUMBERED.map(|n| (s, n)))
    {
        let mut pair = Pair::connected(Script { strict, cipher, mac, ..Script::default() });
        for _ in 0..3 {
            for payload in harmless() {
                pair.deliver(&payload);
            }
            pair.server.start_kex();
            pair.run();
            assert_eq!(pair.error, None);
            let expected = if strict { 0 } else { pair.server.sequence };
            assert_eq!(pair.server.sequence, expected);
            // UNIMPLEMENTED holds the sequence number of the packet.
            pair.server.take();
            let number = pair.server.sequence;
            pair.deliver(&[200]);
            assert_eq!(pair.server.take(), [build(UNIMPLEMENTED, &[Number(number)])]);
        }
    }
}

/// A restart on one side only ends the session.
#[test]
fn sequence_numbers_that_do_not_restart_are_refused() {
    for (cipher, mac) in NUMBERED {
        let mut pair = Pair::new(setup(), Script { cipher, mac, ..Script::default() });
        pair.feed_server();
        pair.feed_client();
        pair.server.script.strict = false;
        pair.feed_server();
        pair.feed_client();
        assert!(pair.error.is_some());
        assert!(!pair.client.is_connected());
    }
}

/// Banners are messages of the authentication: they may not come before the keys.
#[test]
fn a_banner_in_the_clear_is_refused() {
    let banner = build(USERAUTH_BANNER, &[Text(b"give me your password"), Text(b"")]);
    for strict in [true, false] {
        let mut pair = slip_in(strict, banner.clone(), false);
        assert!(matches!(pair.failure(), Error::Protocol(_)));
    }
}
