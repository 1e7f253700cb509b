//! Attacks on other clients that have a number, unless other tests try them: docs/security.md has
//! the table of all of them.

use std::collections::HashSet;

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{about, build, confirm, data, global};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Script, fixture};
use crate::key::PrivateKey;
use crate::message::{
    CHANNEL_OPEN, CHANNEL_OPEN_FAILURE, DISCONNECT, EXT_INFO, REQUEST_FAILURE, REQUEST_SUCCESS,
    UNIMPLEMENTED, USERAUTH_FAILURE, USERAUTH_REQUEST, USERAUTH_SUCCESS,
};
use crate::transport::{Exchange, Kex};
use crate::wire::{Reader, Writer};
use crate::{Error, Question};

/// `SSH2_MSG_PING` of OpenSSH.
const PING: u8 = 192;

/// A session whose host key awaits the decision.
fn undecided(script: Script) -> Pair {
    let mut pair = Pair::new(setup(), script);
    pair.trusts = false;
    pair.run();
    assert!(matches!(pair.take()[..], [Seen::HostKey(_)]));
    pair
}

/// Asserts that the session failed with a protocol error, was never connected, and that the server
/// received nothing about the user.
fn assert_failed_before_the_user(mut pair: Pair, what: &str) {
    assert!(!pair.client.is_connected(), "{what}");
    assert!(!pair.take().contains(&Seen::Ready), "{what}");
    assert!(matches!(pair.failure(), Error::Protocol(_)), "{what}");
    let received = pair.server.numbers();
    assert!(received.iter().all(|number| *number < USERAUTH_REQUEST), "{what}: {received:?}");
}

/// CVE-2018-10933, CVE-2025-14942: a state machine that accepts success before it has begun.
#[test]
fn early_success_is_refused() {
    let success = vec![USERAUTH_SUCCESS];
    for strict in [true, false] {
        for (place, before) in [("before KEXINIT", true), ("behind KEXINIT", false)] {
            let mut script = Script { strict, ..Script::default() };
            if before { &mut script.before } else { &mut script.within }.push(success.clone());
            let mut pair = Pair::new(setup(), script);
            pair.run();
            assert_failed_before_the_user(pair, place);
        }
        // Before its NEWKEYS, unencrypted: a man in the middle can send it.
        let script = Script { strict, between: vec![success.clone()], ..Script::default() };
        let mut pair = Pair::new(setup(), script);
        pair.run();
        assert!(!pair.client.is_connected() && !pair.seen.contains(&Seen::Ready));
        assert!(matches!(pair.failure(), Error::Protocol(_)));
    }
}

/// The same with the new keys, while the host key is being decided about: the user is not
/// authenticated to a server that is not trusted.
#[test]
fn success_before_the_host_key_is_trusted_is_ignored() {
    let mut pair = undecided(Script::default());
    pair.server.send(&[USERAUTH_SUCCESS]);
    pair.run();
    assert!(!pair.client.is_connected());
    assert_eq!(pair.take(), []);
    assert!(pair.server.numbers().iter().all(|number| *number < USERAUTH_REQUEST));
}

/// CVE-2018-7749, CVE-2018-7750, CVE-2025-32433: channels and requests of a peer before the
/// authentication.
#[test]
fn connection_messages_before_success_have_no_effect() {
    let open = [Text(b"forwarded-tcpip"), Number(1), Number(1 << 20), Number(32_768)];
    for message in [
        build(CHANNEL_OPEN, &open),
        build(CHANNEL_OPEN, &[Text(b"session"), Number(1), Number(1 << 20), Number(32_768)]),
        global(b"tcpip-forward", true),
        global(b"hostkeys-00@openssh.com", false),
        confirm(0, 1, 1 << 20, 32_768),
        data(0, b"x"),
        about(REQUEST_SUCCESS, 0),
        about(REQUEST_FAILURE, 0),
    ] {
        // The server does not reply about the user.
        let mut setup = setup();
        setup.credentials.interactive = true;
        setup.credentials.keys.clear();
        setup.credentials.password = None;
        let rounds = vec![vec![("Code: ", "7")]];
        let script = Script { rounds, methods: "keyboard-interactive", ..Script::default() };
        let mut pair = Pair::new(setup, script);
        pair.run();
        let asked = pair.take();
        assert!(matches!(asked.last(), Some(Seen::Question(Question::Prompts(_)))), "{asked:?}");
        pair.server.take();
        pair.deliver(&message);
        assert!(!pair.client.is_connected());
        assert_eq!(pair.take(), []);
        match pair.error {
            Some(Error::Protocol(_)) => {}
            // Answered with UNIMPLEMENTED, without another effect.
            None => assert_eq!(pair.server.numbers(), [UNIMPLEMENTED], "{message:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// CVE-2016-0777, CVE-2016-0778: a server that asks the client to resume a session, and to send the
/// contents of its memory.
#[test]
fn roaming_is_not_supported() {
    let mut pair = Pair::connected(Script {
        kex: "resume@appgate.com,curve25519-sha256",
        ..Script::default()
    });
    pair.deliver(&global(b"roaming@appgate.com", true));
    assert_eq!(pair.server.take(), [[REQUEST_FAILURE]]);
    let mut pair = Pair::new(setup(), Script { kex: "resume@appgate.com", ..Script::default() });
    pair.run();
    assert!(matches!(pair.failure(), Error::NoCommonAlgorithm { .. }));
}

/// CVE-2025-26466: replies to PING that are stored during a key exchange. It is an unknown message,
/// which is refused in the first exchange; in later ones the number of replies is bounded.
#[test]
fn replies_to_pings_are_bounded() {
    let ping = build(PING, &[Text(&[b'x'; 1000])]);
    let mut pair = Pair::new(setup(), Script { within: vec![ping.clone()], ..Script::default() });
    pair.run();
    assert_failed_before_the_user(pair, "in the first exchange");

    let mut pair = Pair::connected(Script { answers: false, ..Script::default() });
    pair.client.start_kex();
    pair.run();
    let before = pair.client.pending().len();
    let mut count = 0;
    while pair.error.is_none() {
        pair.server.send(&ping);
        pair.feed_client();
        count += 1;
        assert!(count < 10_000, "it stores what has to wait");
    }
    assert!(pair.client.pending().len() < before + 1000);
    assert!(matches!(pair.error, Some(Error::Protocol(text)) if text.contains("too many")));
}

/// CVE-2016-8858: one KEXINIT after another, which each took 384 bytes and more.
#[test]
fn a_second_kexinit_ends_the_session() {
    let mut again = vec![20; 17];
    for list in ["curve25519-sha256", "ssh-ed25519"] {
        again.put_string(list.as_bytes());
    }
    for list in ["aes256-gcm@openssh.com", "aes256-gcm@openssh.com", "", "", "none", "none"] {
        again.put_string(list.as_bytes());
    }
    again.extend([0; 13]);

    let between = || vec![again.clone()];
    let mut pair = Pair::new(setup(), Script { between: between(), ..Script::default() });
    pair.run();
    assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("within")));
    assert!(!pair.client.is_connected());

    let mut pair = Pair::connected(Script::default());
    pair.server.script.between = between();
    pair.client.start_kex();
    pair.run();
    assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("within")));
}

/// CVE-2026-55199: a count of extensions that are not there.
#[test]
fn claimed_counts_of_extensions_are_not_trusted() {
    for count in [1, 2, 1000, u32::MAX] {
        let mut pair = Pair::connected(Script::default());
        pair.deliver(&build(EXT_INFO, &[Number(count)]));
        assert!(matches!(pair.failure(), Error::Protocol(_)), "{count}");
    }
}

/// GHSA-4p9f-7p9m-5vfg: endless extensions, which were all stored.
#[test]
fn extensions_are_not_stored() {
    let mut pair = Pair::connected(Script::default());
    let name = vec![b'x'; 10_000];
    for _ in 0..1000 {
        let parts =
            [Number(2), Text(b"server-sig-algs"), Text(b"rsa-sha2-512"), Text(&name), Text(b"")];
        pair.server.send(&build(EXT_INFO, &parts));
        pair.feed_client();
    }
    assert_eq!((pair.take(), pair.error), (vec![], None));
    assert!(pair.server.take().is_empty() && pair.client.pending().is_empty());
}

/// CVE-2026-39830: replies without a request.
#[test]
fn unrequested_replies_block_nothing() {
    let (mut pair, [channel]) = Pair::open(1000, 1000);
    for count in 0..50_000 {
        pair.server.send(&[if count % 2 == 0 { REQUEST_SUCCESS } else { REQUEST_FAILURE }]);
        pair.feed_client();
    }
    pair.deliver(&data(0, b"x"));
    assert_eq!((pair.take(), pair.error), (vec![Seen::Data(channel, b"x".to_vec())], None));
}

/// CVE-2026-39827, CVE-2026-81535: unrequested channels that are rejected leave nothing behind.
#[test]
fn rejected_channels_leave_nothing() {
    let mut pair = Pair::connected(Script::default());
    for remote in 0..20_000 {
        pair.deliver(&super::harness::messages::forwarded(remote));
        assert_eq!(pair.server.numbers(), [CHANNEL_OPEN_FAILURE]);
    }
    assert!(pair.client.is_idle());
    // Their numbers are free: our first channel has the first number.
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    assert_eq!(channel.index(), 0);
    assert_eq!((pair.take(), pair.error), (vec![], None));
}

/// CVE-2026-59843, GHSA-fw5c-8223-6h42: a maximum packet size of zero, with which no data can be
/// sent.
#[test]
fn a_maximum_packet_size_of_zero_is_refused() {
    for longest in [0, 1] {
        let mut pair = Pair::connected(Script::default());
        let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
        pair.run();
        pair.server.take();
        pair.deliver(&confirm(0, 5, 1000, longest));
        if longest == 0 {
            assert!(matches!(pair.failure(), Error::Protocol(_)));
        } else {
            assert_eq!(pair.fill(channel, b"abc").unwrap(), 3);
            pair.run();
            assert_eq!(pair.server.take(), [data(5, b"a"), data(5, b"b"), data(5, b"c")]);
        }
    }
}

/// A host key whose contents do not match its type.
fn ecdsa_blob(name: &str, curve: &str, key: &PrivateKey) -> Vec<u8> {
    let mut fields = Reader::new(key.public_blob());
    let (_, _, point) = (fields.string(), fields.string(), fields.string().unwrap());
    let mut blob = Vec::new();
    blob.put_string(name.as_bytes());
    blob.put_string(curve.as_bytes());
    blob.put_string(point);
    blob
}

/// CVE-2026-16516: a key on another curve than was agreed on, whose private key is public.
#[test]
fn a_key_on_another_curve_is_refused() {
    let name = "ecdsa-sha2-nistp256";
    for (other, key) in [("nistp384", fixture!("p384")), ("nistp521", fixture!("p521"))] {
        let theirs = format!("ecdsa-sha2-{other}");
        for blob in [
            ecdsa_blob(name, other, &key),
            ecdsa_blob(name, "nistp256", &key),
            ecdsa_blob(&theirs, other, &key),
            ecdsa_blob(name, other, &fixture!("p256")),
        ] {
            // The server sends it and signs with it: the exchange is valid otherwise.
            let (certificate, host_key) = (Some(blob), fixture!("p256"));
            let script = Script { algorithm: name, host_key, certificate, ..Script::default() };
            let mut pair = Pair::new(setup(), script);
            pair.run();
            assert!(matches!(pair.failure(), Error::HostKey(_)), "{other}");
            assert_eq!(pair.take(), []);
        }
    }
}

/// Returns an RSA public key with these numbers.
fn rsa_blob(exponent: &[u8], modulus: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(b"ssh-rsa");
    blob.put_mpint(exponent);
    blob.put_mpint(modulus);
    blob
}

/// CVE-2026-39829: numbers so large that one verification takes minutes. And keys so small that
/// they can be factored.
#[test]
fn rsa_host_keys_of_extreme_numbers_are_refused() {
    let modulus = |bytes: usize| vec![0xff; bytes];
    for (exponent, modulus) in [
        (vec![1, 0, 1], modulus(128)),
        (vec![1, 0, 1], modulus(1025)),
        (vec![1, 0, 1], modulus(8192)),
        (modulus(256), modulus(256)),
        (modulus(1024), modulus(1024)),
        (modulus(30_000), modulus(1024)),
        (vec![1], modulus(256)),
        (vec![2], modulus(256)),
        (vec![], modulus(256)),
    ] {
        let blob = rsa_blob(&exponent, &modulus);
        let what = (exponent.len(), modulus.len());
        let forge = Box::new(move |reply: &mut super::harness::server::Reply| {
            reply.host_key.clone_from(&blob);
        });
        let host_key = fixture!("rsa2048");
        let script = Script { algorithm: "rsa-sha2-512", host_key, forge, ..Script::default() };
        let mut pair = Pair::new(setup(), script);
        pair.run();
        assert!(matches!(pair.failure(), Error::HostKey(_)), "{what:?}");
        assert_eq!(pair.take(), []);
    }
}

/// CVE-2016-0739, CVE-2016-0787: secrets of 128 bits, as bits were taken for bytes. Here each of
/// 512 random bits counts.
#[test]
fn secrets_of_finite_fields_are_long() {
    let half = |changed: Option<usize>| {
        let mut drawn = 0;
        let mut random = |bytes: &mut [u8]| {
            for byte in bytes {
                *byte = 0x55 ^ u8::from(changed == Some(drawn));
                drawn += 1;
            }
        };
        let half = Exchange::new(Kex::Group14, 128, &mut random).init();
        assert_eq!(drawn, 64);
        half
    };
    let halves: HashSet<_> =
        [0, 1, 15, 16, 31, 32, 48, 63].into_iter().map(Some).chain([None]).map(half).collect();
    assert_eq!(halves.len(), 9);
}

/// CVE-2026-48110: a length that is trusted before it is bounded. Every string of every message
/// claims 4 GB.
#[test]
fn claimed_string_lengths_are_not_trusted() {
    for number in [DISCONNECT, EXT_INFO, 80, CHANNEL_OPEN, CHANNEL_OPEN_FAILURE, 94, 95, 98] {
        for before in 0..5 {
            let mut pair = Pair::connected(Script::default());
            let mut payload = vec![number];
            payload.extend(vec![0; 4 * before]);
            payload.put_uint32(u32::MAX);
            payload.extend([7; 40]);
            pair.deliver(&payload);
            let told = pair.server.take().iter().map(Vec::len).sum::<usize>();
            assert!(told < 200, "{number}, {before}");
        }
    }
}

/// CVE-2025-22869, seen from the client: data that is written while the peer does not finish a key
/// exchange is not stored.
#[test]
fn nothing_is_stored_during_an_endless_key_exchange() {
    let (mut pair, [channel]) = Pair::open(u32::MAX, 32_768);
    pair.server.script.answers = false;
    pair.client.start_kex();
    pair.run();
    let before = pair.client.pending().len();
    assert!(pair.fill(channel, &[7; 30_000]).is_err(), "it is not taken");
    assert_eq!(pair.client.pending().len(), before);
}

/// A server that always refuses, and one that always reports partial success.
#[test]
fn authentication_attempts_are_bounded() {
    for partial in [true, false] {
        let mut pair =
            Pair::new(setup(), Script { user: None, password: None, ..Script::default() });
        pair.run();
        let methods = Text(b"publickey,password");
        for _ in 0..100 {
            if pair.error.is_some() {
                break;
            }
            pair.deliver(&build(USERAUTH_FAILURE, &[methods, Flag(partial)]));
        }
        assert!(matches!(pair.failure(), Error::Auth(_) | Error::Protocol(_)));
        assert!(pair.server.take().len() < 20);
    }
}
