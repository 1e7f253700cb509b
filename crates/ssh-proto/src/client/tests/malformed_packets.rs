//! Truncated, changed and random packets.

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{
    about, adjust, build, confirm, data, forwarded, forwarded_unix, global, refuse,
};
use super::harness::pair::{Pair, setup};
use super::harness::random::Random;
use super::harness::server::Script;
use crate::Error;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_OPEN, CHANNEL_REQUEST, DISCONNECT,
    EXT_INFO, KEX_ECDH_REPLY, KEXINIT, USERAUTH_FAILURE,
};
use crate::transport::Protection;

/// A client with channel 0 open and channel 1 awaiting its confirmation.
fn pair() -> Pair {
    let (mut pair, _) = Pair::open::<1>(1000, 1000);
    pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    pair.server.take();
    pair
}

/// Every prefix of `whole` shorter than `needed` is an error; longer ones may be.
fn cut(whole: &[u8], needed: usize, pair: impl Fn() -> Pair) {
    for length in 1..=whole.len() {
        let mut pair = pair();
        pair.server.send(&whole[..length]);
        pair.feed_client();
        if length < needed {
            pair.feed_server();
            assert!(matches!(pair.failure(), Error::Protocol(_)), "{length} of {whole:?}");
        }
    }
}

#[test]
fn truncated_connection_messages_are_refused() {
    cut(&confirm(1, 5, 1000, 1000), 17, pair);
    // The language of a description may be missing, as in old servers.
    cut(&refuse(1, 2, b"why"), 16, pair);
    cut(&data(0, b"data"), 13, pair);
    let extended = build(CHANNEL_EXTENDED_DATA, &[Number(0), Number(1), Text(b"data")]);
    cut(&extended, 17, pair);
    cut(&adjust(0, 1), 9, pair);
    cut(&about(CHANNEL_EOF, 0), 5, pair);
    cut(&about(CHANNEL_CLOSE, 0), 5, pair);
    cut(&build(CHANNEL_REQUEST, &[Number(0), Text(b"exit"), Flag(true)]), 14, pair);
    cut(&global(b"name", true), 10, pair);
    cut(&forwarded(7), forwarded(7).len(), pair);
    // The last string is reserved.
    let open = forwarded_unix(7, "/run/app");
    cut(&open, open.len(), pair);
    // Of an unknown type, nothing after the sender's number is read.
    cut(&build(CHANNEL_OPEN, &[Text(b"x11"), Number(7), Number(1), Number(1)]), 12, pair);
    cut(&build(DISCONNECT, &[Number(2), Text(b"why"), Text(b"")]), 5, pair);
    let parts = [Number(1), Text(b"server-sig-algs"), Text(b"ssh-ed25519")];
    let info = build(EXT_INFO, &parts);
    cut(&info, info.len(), pair);
}

#[test]
fn truncated_key_exchange_messages_are_refused() {
    let mut offer = vec![KEXINIT];
    offer.extend([0; 16]);
    let lists = ["curve25519-sha256", "ssh-ed25519"].into_iter();
    let lists = lists.chain(["aes256-gcm@openssh.com"; 2]).chain(["", "", "none", "none", "", ""]);
    for list in lists {
        offer.extend_from_slice(&build(0, &[Text(list.as_bytes())])[1..]);
    }
    offer.extend([0; 5]);
    // The last number is reserved.
    cut(&offer, offer.len() - 4, pair);

    let answer = build(KEX_ECDH_REPLY, &[Text(&[1; 51]), Text(&[9; 32]), Text(&[2; 83])]);
    cut(&answer, answer.len(), || {
        let mut pair = pair();
        pair.server.start_kex();
        pair.feed_client();
        pair
    });
}

#[test]
fn truncated_userauth_messages_are_refused() {
    let failure = build(USERAUTH_FAILURE, &[Text(b"publickey,password"), Flag(false)]);
    // Partial success may be missing.
    cut(&failure, failure.len() - 1, || {
        let mut pair = Pair::new(setup(), Script::default());
        for _ in 0..2 {
            pair.feed_server();
            pair.feed_client();
        }
        pair
    });
}

/// Any contents of a message cause a reply, an event or an error, but no panic.
#[test]
fn random_messages_do_not_panic() {
    let mut random = Random(21);
    let mut connected = pair();
    for round in 0..20_000 {
        let number = random.next() as u8;
        let mut payload = vec![number];
        for _ in 0..random.below(6) {
            match random.below(4) {
                0 => payload.extend((random.below(3) as u32).to_be_bytes()),
                1 => payload.extend((random.next() as u32).to_be_bytes()),
                2 => {
                    let text = random.bytes(random.clone().below(20));
                    payload.extend_from_slice(&build(0, &[Text(&text)])[1..]);
                }
                _ => payload.push(random.below(3) as u8),
            }
        }
        connected.server.send(&payload);
        connected.feed_client();
        connected.feed_server();
        connected.seen.clear();
        connected.server.received.clear();
        if connected.error.is_some() || !connected.client.has_room() {
            connected = pair();
        }
        if round % 40 == 0 {
            // The same before authentication, and before there are keys.
            for steps in 0..2 {
                let mut early = Pair::new(setup(), Script::default());
                for _ in 0..steps {
                    early.feed_server();
                    early.feed_client();
                }
                early.server.send(&payload);
                early.feed_client();
            }
        }
    }
}

/// Two sealed packets on the way to a client that expects them.
fn sealed(cipher: &'static str, mac: &'static str) -> (Pair, Vec<u8>) {
    let mut pair = Pair::connected(Script { cipher, mac, ..Script::default() });
    pair.server.send(&global(b"keepalive@openssh.com", true));
    let bytes = pair.server.outbound.pending().to_vec();
    (pair, bytes)
}

#[test]
fn a_changed_bit_ends_the_session() {
    for (cipher, mac, _) in Protection::all() {
        let (_, bytes) = sealed(cipher, mac);
        for bit in (0..32).chain((32..bytes.len() * 8).step_by(5)) {
            let (mut pair, mut bytes) = sealed(cipher, mac);
            bytes[bit / 8] ^= 1 << (bit % 8);
            pair.inject(&bytes);
            if bit < 32 && pair.error.is_none() {
                // A changed length within bounds is noticed only when the packet is complete.
                pair.inject(&[0; 300_000]);
            }
            match pair.error {
                Some(Error::Integrity) => {}
                Some(Error::Protocol(_)) if bit < 32 => {}
                ref other => panic!("{cipher} {mac}, bit {bit}: {other:?}"),
            }
            assert_eq!(pair.take(), []);
            pair.feed_server();
            assert_eq!(pair.disconnect_reason(), Some(2));
            assert_eq!(pair.server.received.len(), 1, "the request was not answered");
        }
    }
}

#[test]
fn a_repeated_or_missing_packet_ends_the_session() {
    for (cipher, mac, _) in Protection::all() {
        let (mut pair, bytes) = sealed(cipher, mac);
        pair.inject(&bytes);
        pair.inject(&bytes);
        pair.inject(&[0; 300_000]);
        assert!(
            matches!(pair.error, Some(Error::Integrity | Error::Protocol(_))),
            "{cipher} {mac}"
        );

        let (mut pair, bytes) = sealed(cipher, mac);
        pair.server.send(&global(b"keepalive@openssh.com", true));
        let rest = pair.server.outbound.pending()[bytes.len()..].to_vec();
        pair.inject(&rest);
        if pair.error.is_none() {
            pair.inject(&[0; 300_000]);
        }
        assert!(
            matches!(pair.error, Some(Error::Integrity | Error::Protocol(_))),
            "{cipher} {mac}"
        );
    }
}

/// Refused by the length alone, before anything is waited for or allocated.
#[test]
fn a_length_out_of_bounds_is_refused_at_once() {
    for length in [0, 1, 4, 11, 13, 262_148, 0x7fff_ffff, 0xffff_fff0, u32::MAX] {
        let mut pair = Pair::new(setup(), Script::default());
        pair.inject(b"SSH-2.0-x\r\n");
        pair.inject(&length.to_be_bytes());
        assert!(matches!(pair.error, Some(Error::Protocol(_))), "{length}");

        // GCM sends it unencrypted.
        let mut pair = Pair::connected(Script::default());
        pair.inject(&length.to_be_bytes());
        assert!(matches!(pair.error, Some(Error::Protocol(_))), "{length}");
    }
}

/// Random bytes instead of packets end the session soon.
#[test]
fn noise_ends_the_session() {
    for (cipher, mac, _) in Protection::all() {
        for seed in 0..20 {
            let (mut pair, _) = sealed(cipher, mac);
            pair.inject(&Random(seed).bytes(300_000));
            assert!(pair.error.is_some());
        }
    }
}
