//! Forged replies in the key exchange.

use super::harness::messages::Part::Text;
use super::harness::messages::build;
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Reply, Script, fixture};
use crate::message::{KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT, NEWKEYS};
use crate::{AlgorithmKind, Error, Selection};

pub(super) fn forged(forge: impl FnMut(&mut Reply) + 'static) -> Script {
    Script { forge: Box::new(forge), ..Script::default() }
}

/// Runs the script; it fails without an event for the application, and without a message about the
/// user.
pub(super) fn refused(script: Script) -> Error {
    let mut pair = Pair::new(setup(), script);
    pair.run();
    let error = pair.failure();
    assert_eq!(pair.take(), [], "{error}");
    let received = pair.server.numbers();
    assert!(
        received.iter().all(|number| [1, KEXINIT, KEX_ECDH_INIT].contains(number)),
        "{received:?}"
    );
    assert!(pair.client.trust(true).is_err(), "there is nothing to decide about");
    error
}

#[test]
fn a_damaged_signature_is_refused() {
    for at in [0, 4, 8, 20, 40, 82] {
        let error = refused(forged(move |reply| reply.signature[at] ^= 1));
        assert!(matches!(error, Error::HostKey(_)), "{error}");
    }
}

#[test]
fn another_keys_signature_is_refused() {
    // The server sends this key, and cannot sign with it.
    let other = fixture!("ed25519b.pkcs8").public_blob().to_vec();
    let error = refused(forged(move |reply| reply.host_key.clone_from(&other)));
    assert!(matches!(error, Error::HostKey(_)), "{error}");
}

#[test]
fn a_signature_over_something_else_is_refused() {
    let error = refused(forged(|reply| {
        reply.signature = fixture!("ed25519").sign("ssh-ed25519", b"another exchange").unwrap();
    }));
    assert!(matches!(error, Error::HostKey(_)), "{error}");
}

#[test]
fn a_changed_public_value_is_refused() {
    let error = refused(forged(|reply| reply.point[5] ^= 1));
    assert!(matches!(error, Error::HostKey(_)), "{error}");
}

/// With such a point anyone knows the shared secret.
#[test]
fn points_of_small_order_are_refused() {
    let mut one = vec![0; 32];
    one[0] = 1;
    for point in [vec![0; 32], one] {
        let error = refused(forged(move |reply| reply.point.clone_from(&point)));
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    }
}

#[test]
fn points_of_another_length_are_refused() {
    for length in [0, 1, 31, 33, 64] {
        let error = refused(forged(move |reply| reply.point.resize(length, 9)));
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    }
}

/// The server agrees on one algorithm and signs with another of the same key.
#[test]
fn a_signature_by_another_algorithm_is_refused() {
    let mut script = forged(|reply| {
        let text = &mut reply.signature[4..4 + "rsa-sha2-512".len()];
        text.copy_from_slice(b"rsa-sha2-256");
    });
    (script.host_key, script.algorithm) = (fixture!("rsa2048"), "rsa-sha2-512");
    let error = refused(script);
    assert!(matches!(error, Error::HostKey(ref text) if text.contains("rsa-sha2-256")), "{error}");
}

/// The key and its signature are valid, but the type is not the agreed one.
#[test]
fn a_key_of_another_type_is_refused() {
    let error = refused(forged(|reply| {
        reply.host_key = fixture!("p256").public_blob().to_vec();
    }));
    assert!(matches!(error, Error::HostKey(_)), "{error}");
}

#[test]
fn invalid_host_keys_are_refused() {
    let whole = fixture!("ed25519").public_blob().to_vec();
    for length in 0..whole.len() {
        let cut = whole[..length].to_vec();
        let error = refused(forged(move |reply| reply.host_key.clone_from(&cut)));
        assert!(matches!(error, Error::HostKey(_)), "{length}: {error}");
    }
}

#[test]
fn without_a_common_algorithm_the_error_has_both_lists() {
    let scripts: [(Script, &str); 4] = [
        (Script { kex: "sntrup761x25519-sha512", ..Script::default() }, "key exchange"),
        (Script { algorithm: "ssh-dss", ..Script::default() }, "host key algorithm"),
        (Script { cipher: "aes128-cbc", ..Script::default() }, "cipher"),
        (Script { cipher: "aes128-ctr", mac: "hmac-sha1", ..Script::default() }, "MAC"),
    ];
    for (script, expected) in scripts {
        let error = refused(script);
        let Error::NoCommonAlgorithm { kind, .. } = error else { panic!("{error}") };
        assert_eq!(kind, expected);
    }
}

/// The first choice of OpenSSH's server is one that the client does not support.
#[test]
fn a_wrong_guess_is_skipped() {
    // The packet of an unknown method may have any number from 30 to 49.
    for number in 30..50 {
        for strict in [true, false] {
            let script = Script {
                strict,
                guesses: true,
                kex: "sntrup761x25519-sha512,curve25519-sha256",
                within: vec![build(number, &[Text(b"a guess")])],
                ..Script::default()
            };
            let mut pair = Pair::new(setup(), script);
            pair.run();
            assert_eq!(pair.error, None, "{number}");
            assert!(pair.client.is_connected());
        }
    }
}

#[test]
fn only_one_packet_is_a_guess() {
    let guess = build(KEX_ECDH_REPLY, &[Text(b"a guess")]);
    let error = refused(Script {
        guesses: true,
        kex: "sntrup761x25519-sha512,curve25519-sha256",
        within: vec![guess.clone(), guess],
        ..Script::default()
    });
    assert!(matches!(error, Error::Protocol(_)), "{error}");
}

#[test]
fn a_right_guess_is_not_skipped() {
    let kex = "mlkem768x25519-sha256";
    let mut pair = Pair::new(setup(), Script { guesses: true, kex, ..Script::default() });
    pair.run();
    assert!(pair.client.is_connected());
}

#[test]
fn new_keys_out_of_turn_are_refused() {
    for before in [true, false] {
        let mut script = Script { strict: false, ..Script::default() };
        if before {
            script.before = vec![vec![NEWKEYS]];
        } else {
            script.within = vec![vec![NEWKEYS]];
        }
        assert!(matches!(refused(script), Error::Protocol(_)));
    }
    let mut pair = Pair::connected(Script::default());
    pair.deliver(&[NEWKEYS]);
    assert!(matches!(pair.failure(), Error::Protocol(_)));
}

#[test]
fn a_reply_out_of_turn_is_refused() {
    let mut pair = Pair::connected(Script::default());
    pair.deliver(&build(KEX_ECDH_REPLY, &[Text(b""), Text(b""), Text(b"")]));
    assert!(matches!(pair.failure(), Error::Protocol(_)));
}

/// A server with several keys then uses the known one.
#[test]
fn algorithms_of_known_keys_are_offered_first() {
    let mut setup = setup();
    setup.known_keys.types = vec!["ssh-rsa".into()];
    let (host_key, algorithm) = (fixture!("rsa2048"), "rsa-sha2-512");
    let mut pair = Pair::new(setup, Script { host_key, algorithm, ..Script::default() });
    pair.run();
    let host_key = fixture!("rsa2048").public_blob().to_vec();
    assert_eq!(pair.take(), [Seen::HostKey(host_key), Seen::Ready]);
    let offer = &pair.server.take()[0];
    let first = b"rsa-sha2-512,rsa-sha2-256,ssh-ed25519";
    assert!(offer.windows(first.len()).any(|bytes| bytes == first));
}

/// In the first exchange and in later ones.
#[test]
fn only_selected_algorithms_are_offered() {
    let narrow = || {
        let mut setup = setup();
        for (kind, name) in
            [(AlgorithmKind::Cipher, "aes192-ctr"), (AlgorithmKind::Mac, "hmac-sha2-512")]
        {
            setup.algorithms.select(kind, &Selection::Only(vec![name.into()])).unwrap();
        }
        setup
    };
    let script = Script { cipher: "aes192-ctr", mac: "hmac-sha2-512", ..Script::default() };
    let mut pair = Pair::new(narrow(), script);
    pair.run();
    pair.server.start_kex();
    pair.run();
    assert_eq!(pair.error, None);
    assert!(pair.client.is_connected());
    let received = pair.server.take();
    let offers: Vec<_> = received.iter().filter(|payload| payload[0] == KEXINIT).collect();
    assert_eq!(offers.len(), 2);
    let parts = [Text(b"aes192-ctr"), Text(b"aes192-ctr"), Text(b"hmac-sha2-512")];
    let expected = &build(0, &parts)[1..];
    for offer in offers {
        assert!(offer.windows(expected.len()).any(|bytes| bytes == expected));
    }

    let mut pair = Pair::new(narrow(), Script::default());
    pair.run();
    let Error::NoCommonAlgorithm { kind, theirs, ours } = pair.failure() else { panic!() };
    assert_eq!(
        (kind, theirs.as_str(), ours.as_str()),
        ("cipher", "aes256-gcm@openssh.com", "aes192-ctr")
    );
}
