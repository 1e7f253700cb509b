//! Every method of key exchange, in sessions: with a server that computes its side independently,
//! and with one that sends invalid values.

use super::harness::kex_server::{Group, mpint};
use super::harness::messages::Part::Text;
use super::harness::messages::{build, data};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Reply, Script, fixture};
use crate::Error;
use crate::message::{
    KEX_DH_GEX_GROUP, KEX_DH_GEX_INIT, KEX_DH_GEX_REPLY, KEX_DH_GEX_REQUEST, KEX_ECDH_INIT,
    KEX_ECDH_REPLY, KEXINIT, NEWKEYS,
};
use crate::transport::{GROUP_14, GROUP_16, GROUP_18, Kex, Protection};

const GROUP_EXCHANGE: &str = "diffie-hellman-group-exchange-sha256";
const GROUP_14_SHA256: &str = "diffie-hellman-group14-sha256";

/// Connects, and rekeys once from each side, with data after each exchange.
fn works(script: Script) {
    let method = script.kex;
    let mut pair = Pair::connected(script);
    let channel = pair.open_another(100, 1 << 20, 32_768);
    for round in 0..3_u8 {
        pair.server.send(&data(0, &[round; 1000]));
        pair.fill(channel, &[round; 2000]).unwrap();
        pair.run();
        assert_eq!(pair.take(), [Seen::Data(channel, vec![round; 1000])], "{method}");
        assert_eq!(pair.server.take(), [data(100, &[round; 2000])], "{method}");
        if round < 2 {
            if round == 0 {
                pair.server.start_kex();
            } else {
                pair.client.start_kex();
            }
            pair.run();
            assert_eq!(pair.take(), [Seen::Rekeyed], "{method}");
            let init = match method {
                GROUP_EXCHANGE => &[KEX_DH_GEX_REQUEST, KEX_DH_GEX_INIT][..],
                _ => &[KEX_ECDH_INIT],
            };
            assert_eq!(pair.server.numbers(), [&[KEXINIT], init, &[NEWKEYS]].concat(), "{method}");
        }
    }
}

/// Every hash derives keys of every length.
#[test]
fn every_method_works_with_every_cipher() {
    for (kex, _) in Kex::ALL.into_iter().filter(|(name, _)| !name.starts_with("diffie")) {
        for (cipher, mac, _) in Protection::all() {
            works(Script { kex, cipher, mac, ..Script::default() });
        }
    }
}

#[test]
fn finite_fields_work() {
    for kex in [GROUP_14_SHA256, "diffie-hellman-group16-sha512"] {
        works(Script { kex, ..Script::default() });
    }
    let cipher = "chacha20-poly1305@openssh.com";
    works(Script { kex: GROUP_14_SHA256, cipher, strict: false, ..Script::default() });
}

#[test]
fn the_largest_group_works() {
    let kex = "diffie-hellman-group18-sha512";
    assert!(Pair::connected(Script { kex, ..Script::default() }).client.is_connected());
}

/// As OpenSSH: by the longest key of the ciphers and MACs.
#[test]
fn the_preferred_group_is_as_strong_as_the_ciphers() {
    for (cipher, mac, bits) in [
        ("aes128-gcm@openssh.com", "", 3072),
        ("aes256-gcm@openssh.com", "", 8192),
        ("chacha20-poly1305@openssh.com", "", 8192),
        ("aes192-ctr", "hmac-sha2-256", 8192),
        ("aes128-ctr", "hmac-sha2-512-etm@openssh.com", 8192),
    ] {
        let pair =
            Pair::connected(Script { kex: GROUP_EXCHANGE, cipher, mac, ..Script::default() });
        assert_eq!(pair.server.preferred_group, bits, "{cipher} {mac}");
    }
}

#[test]
fn groups_of_the_server_work() {
    works(Script { kex: GROUP_EXCHANGE, ..Script::default() });
    for group in [Group::of(&GROUP_16), Group::of(&GROUP_18)] {
        let pair = Pair::connected(Script { kex: GROUP_EXCHANGE, group, ..Script::default() });
        assert!(pair.client.is_connected());
    }
    // Another generator, and a size that is not a multiple of 64.
    let mut prime = vec![0x01; 300];
    prime[299] = 0xfb;
    let group = Group { prime, generator: mpint(&[0xa7, 0x11, 0x05]) };
    let pair = Pair::connected(Script { kex: GROUP_EXCHANGE, group, ..Script::default() });
    assert!(pair.client.is_connected());
}

/// The first of the client's methods that the server has too, whatever the server prefers.
#[test]
fn the_clients_order_decides() {
    let all: Vec<_> = Kex::ALL.into_iter().map(|(name, _)| name).collect();
    let reversed: String = all.iter().rev().copied().collect::<Vec<_>>().join(",");
    let mut pair = Pair::connected(Script { kex: reversed.leak(), ..Script::default() });
    pair.server.start_kex();
    pair.run();
    let received = pair.server.take();
    assert_eq!(received[1].len(), 1 + 4 + 1184 + 32, "the half of the hybrid method");
}

/// The session identifier stays when a later method has another hash.
#[test]
fn the_method_may_change_with_each_exchange() {
    let mut pair = Pair::connected(Script { kex: "ecdh-sha2-nistp521", ..Script::default() });
    for kex in ["curve25519-sha256", GROUP_EXCHANGE, "ecdh-sha2-nistp384", "mlkem768x25519-sha256"]
    {
        pair.server.script.kex = kex;
        pair.server.start_kex();
        pair.run();
        assert_eq!(pair.take(), [Seen::Rekeyed]);
    }
}

/// Connects to a server that changes its public value; nothing about the user is sent.
fn refused(kex: &'static str, forge: impl FnMut(&mut Reply) + 'static) -> Error {
    let mut pair = Pair::new(setup(), Script { kex, forge: Box::new(forge), ..Script::default() });
    pair.run();
    let error = pair.failure();
    assert_eq!(pair.take(), [], "{kex}: {error}");
    assert!(pair.server.numbers().iter().all(|number| *number < 50 && *number != NEWKEYS));
    error
}

fn refused_half(kex: &'static str, half: &[u8]) {
    let half = half.to_vec();
    let error = refused(kex, move |reply| reply.point.clone_from(&half));
    assert!(matches!(error, Error::Protocol(_)), "{kex}: {error}");
}

#[test]
fn public_values_of_another_length_are_refused() {
    for (kex, _) in Kex::ALL.into_iter().filter(|(name, _)| !name.starts_with("diffie")) {
        for change in [-1, 1, -31, 32] {
            let error = refused(kex, move |reply| {
                let length = reply.point.len().saturating_add_signed(change);
                reply.point.resize(length, 4);
            });
            assert!(matches!(error, Error::Protocol(_)), "{kex}: {error}");
        }
        refused_half(kex, &[]);
    }
}

/// A well-formed value that was not signed fails the signature.
#[test]
fn changed_public_values_are_refused() {
    for (kex, _) in Kex::ALL.into_iter().filter(|(name, _)| !name.ends_with("18-sha512")) {
        let error = refused(kex, |reply| *reply.point.last_mut().unwrap() ^= 1);
        // A changed coordinate alone is off the curve.
        let expected = match error {
            Error::Protocol(_) => kex.contains("nistp"),
            Error::HostKey(_) => !kex.contains("nistp"),
            _ => false,
        };
        assert!(expected, "{kex}: {error}");
        let error = refused(kex, |reply| reply.signature[30] ^= 1);
        assert!(matches!(error, Error::HostKey(_)), "{kex}: {error}");
    }
    let error = refused("mlkem768x25519-sha256", |reply| reply.point[500] ^= 1);
    assert!(matches!(error, Error::HostKey(_)), "{error}");
}

#[test]
fn invalid_points_are_refused() {
    for (kex, length) in
        [("ecdh-sha2-nistp256", 65), ("ecdh-sha2-nistp384", 97), ("ecdh-sha2-nistp521", 133)]
    {
        // Infinity, in its own encoding and as a point of zeros.
        refused_half(kex, &[0]);
        for first in [0, 4] {
            let mut point = vec![0; length];
            point[0] = first;
            refused_half(kex, &point);
        }
        // Off the curve, and out of the field.
        refused_half(kex, &[4].into_iter().chain(vec![1; length - 1]).collect::<Vec<_>>());
        refused_half(kex, &[4].into_iter().chain(vec![255; length - 1]).collect::<Vec<_>>());
        for first in [2, 3, 6, 7] {
            // Compressed, and in a hybrid encoding.
            let error = refused(kex, move |reply| {
                reply.point[0] = first;
                let compressed = if first < 4 { length / 2 + 1 } else { length };
                reply.point.truncate(compressed);
            });
            assert!(matches!(error, Error::Protocol(_)), "{kex}: {error}");
        }
    }
}

#[test]
fn points_of_small_order_are_refused_in_the_hybrid_too() {
    for last in [0, 1] {
        let error = refused("mlkem768x25519-sha256", move |reply| {
            reply.point[1088..].fill(0);
            reply.point[1088] = last;
        });
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    }
}

/// The same key in the encoding of certificates, which the library would accept.
#[test]
fn keys_in_other_encodings_are_refused() {
    for kex in ["curve25519-sha256", "mlkem768x25519-sha256"] {
        let error = refused(kex, |reply| {
            let header = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0];
            let at = reply.point.len() - 32;
            reply.point.splice(at..at, header);
        });
        assert!(matches!(error, Error::Protocol(_)), "{kex}: {error}");
    }
}

/// Numbers outside the group, or in other encodings than that of an mpint.
fn bad_numbers(prime: &[u8]) -> Vec<Vec<u8>> {
    let mut less = mpint(prime);
    *less.last_mut().unwrap() -= 1;
    let mut more = mpint(prime);
    // After the sign and eight bytes that are full.
    more[9] += 1;
    let longer = [&[1][..], prime].concat();
    let negative = prime.to_vec();
    let padded = vec![0, 5];
    vec![
        vec![],
        vec![0],
        vec![1],
        vec![0x80],
        vec![0xff],
        less,
        mpint(prime),
        more,
        longer,
        negative,
        padded,
        vec![0; 256],
        vec![0x7f; 20_000],
    ]
}

#[test]
fn numbers_outside_the_group_are_refused() {
    for kex in [GROUP_14_SHA256, GROUP_EXCHANGE] {
        for number in bad_numbers(&GROUP_14) {
            refused_half(kex, &number);
        }
    }
    let less = [&GROUP_16[..511], &[0xfe]].concat();
    refused_half("diffie-hellman-group16-sha512", &mpint(&less));
}

fn refused_group(prime: Vec<u8>, generator: Vec<u8>) -> &'static str {
    let group = Group { prime, generator };
    let script = Script { kex: GROUP_EXCHANGE, group, ..Script::default() };
    let mut pair = Pair::new(setup(), script);
    pair.run();
    let error = pair.failure();
    let Error::Protocol(text) = error else { panic!("{error}") };
    let received = pair.server.numbers();
    assert_eq!(received, [KEXINIT, KEX_DH_GEX_REQUEST, 1], "our half was not sent");
    text
}

#[test]
fn invalid_groups_are_refused() {
    for generator in bad_numbers(&GROUP_14) {
        refused_group(mpint(&GROUP_14), generator);
    }
    let even = [&GROUP_14[..255], &[0xfe]].concat();
    refused_group(mpint(&even), vec![2]);
    for prime in [vec![], vec![0], vec![0xff; 256], [&[0, 0][..], &GROUP_14].concat()] {
        refused_group(prime, vec![2]);
    }
    // 2047 and 1024 bits, 8193 and many more.
    let mut short = [&GROUP_14[..]].concat();
    short[0] = 0x7f;
    let large = [&[1][..], &GROUP_18].concat();
    for prime in [short, mpint(&GROUP_14[128..]), large, vec![0x7f; 30_000], vec![5], vec![1]] {
        assert!(refused_group(prime, vec![2]).contains("too small or too large"));
    }
}

/// Modulo a composite number, powers may become zero.
#[test]
fn groups_without_secrets_are_refused() {
    // 2^1024 + 1 and its square.
    let root = [&[1][..], &[0; 127], &[1]].concat();
    let square = [&[1][..], &[0; 127], &[2], &[0; 127], &[1]].concat();
    refused_group(square, root);
}

#[test]
fn messages_of_other_methods_are_refused() {
    let text = [Text(&[5; 40]), Text(&[5; 40]), Text(&[5; 40])];
    for (kex, expected) in [
        ("curve25519-sha256", KEX_ECDH_REPLY),
        (GROUP_14_SHA256, KEX_ECDH_REPLY),
        (GROUP_EXCHANGE, KEX_DH_GEX_GROUP),
    ] {
        for number in (30..50).filter(|number| *number != expected) {
            let within = vec![build(number, &text)];
            let mut pair = Pair::new(setup(), Script { kex, within, ..Script::default() });
            pair.run();
            let error = pair.failure();
            assert!(
                matches!(error, Error::Protocol(text) if text.contains("another")),
                "{kex}, {number}: {error}"
            );
        }
    }
}

/// Neither a second group nor the reply of another method may follow the group.
#[test]
fn a_second_group_is_refused() {
    let mut pair = Pair::new(setup(), Script { kex: GROUP_EXCHANGE, ..Script::default() });
    pair.feed_server();
    pair.feed_client();
    let group = build(KEX_DH_GEX_GROUP, &[Text(&mpint(&GROUP_14)), Text(&[2])]);
    pair.server.send(&group);
    pair.server.send(&group);
    pair.feed_client();
    pair.feed_server();
    assert!(matches!(pair.error, Some(Error::Protocol(text)) if text.contains("another")));
}

#[test]
fn truncated_messages_of_the_methods_are_refused() {
    let prime = mpint(&GROUP_14);
    let group = build(KEX_DH_GEX_GROUP, &[Text(&prime), Text(&[2])]);
    for length in (1..20).chain(group.len() - 8..group.len()) {
        let mut pair = Pair::new(setup(), Script { kex: GROUP_EXCHANGE, ..Script::default() });
        pair.feed_client();
        pair.server.send(&group[..length]);
        pair.feed_client();
        assert!(matches!(pair.error, Some(Error::Protocol(_))), "{length}");
    }
    for (number, kex) in [(KEX_ECDH_REPLY, GROUP_14_SHA256), (KEX_DH_GEX_REPLY, GROUP_EXCHANGE)] {
        let blob = fixture!("ed25519").public_blob().to_vec();
        let reply = build(number, &[Text(&blob), Text(&[7; 256]), Text(&[2; 83])]);
        for length in [1, 5, 40, 60, 200, reply.len() - 84, reply.len() - 1] {
            let mut pair = Pair::new(setup(), Script { kex, ..Script::default() });
            pair.feed_client();
            if kex == GROUP_EXCHANGE {
                pair.server.send(&group);
            }
            pair.server.send(&reply[..length]);
            pair.feed_client();
            assert!(matches!(pair.error, Some(Error::Protocol(_))), "{length}");
        }
    }
}
