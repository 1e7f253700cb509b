//! Key exchanges that the server starts.

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{Open, about, adjust, build, confirm, data};
use super::harness::pair::{Cut, Pair, Seen, setup};
use super::harness::random::Random;
use super::harness::server::{Script, fixture};
use crate::Error;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_OPEN, CHANNEL_WINDOW_ADJUST, DISCONNECT,
    GLOBAL_REQUEST, IGNORE, KEX_ECDH_INIT, KEX_ECDH_REPLY, KEXINIT, NEWKEYS, REQUEST_FAILURE,
    REQUEST_SUCCESS, SERVICE_REQUEST, UNIMPLEMENTED, USERAUTH_REQUEST,
};
use crate::transport::Protection;

const MAX_PACKET: u32 = 32_768;

#[test]
fn data_flows_before_and_after_a_rekey() {
    for cut in [Cut::Whole, Cut::Every(1), Cut::Randomly(Random(8), 500)] {
        let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
        pair.cut = cut;
        pair.fill(channel, b"up, before").unwrap();
        pair.server.send(&data(0, b"down, before"));
        pair.server.start_kex();
        pair.feed_client();
        assert_eq!(pair.take(), [Seen::Data(channel, b"down, before".to_vec())]);
        assert!(!pair.client.has_room());
        assert!(pair.fill(channel, b"not now").is_err());

        pair.feed_server();
        assert_eq!(pair.server.numbers(), [CHANNEL_DATA, KEXINIT, KEX_ECDH_INIT]);
        pair.server.send(&data(0, b"down, after"));
        pair.feed_client();
        assert_eq!(pair.take(), [Seen::Rekeyed, Seen::Data(channel, b"down, after".to_vec())]);
        assert!(pair.client.has_room());
        pair.fill(channel, b"up, after").unwrap();
        pair.run();
        assert_eq!(pair.server.take(), [vec![NEWKEYS], data(100, b"up, after")]);
    }
}

#[test]
fn commands_are_held_in_order() {
    let (mut pair, [first, second]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.consumes = false;
    pair.server.start_kex();
    pair.feed_client();
    pair.feed_server();
    pair.server.take();

    let third = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.client.eof(first);
    pair.client.consumed(second, INITIAL_WINDOW as usize / 8, pair.now);
    pair.client.close(second);
    pair.now += std::time::Duration::from_secs(10);
    pair.client.handle_timeout(pair.now).unwrap();
    assert_eq!(pair.client.pending(), b"");
    pair.run();
    let received = pair.server.take();
    let numbers: Vec<u8> = received.iter().map(|payload| payload[0]).collect();
    let expected =
        [NEWKEYS, CHANNEL_OPEN, CHANNEL_EOF, CHANNEL_WINDOW_ADJUST, CHANNEL_CLOSE, GLOBAL_REQUEST];
    assert_eq!(numbers, expected);
    assert_eq!(Open::parse(&received[1]).channel, third.index() as u32);
    assert_eq!(received[2], about(CHANNEL_EOF, 100));
    assert_eq!(received[3], adjust(101, INITIAL_WINDOW / 8));
    assert_eq!(received[4], about(CHANNEL_CLOSE, 101));
}

/// A channel closes on both sides while its CLOSE is held, and another gets its number: its
/// CHANNEL_OPEN follows the CLOSE.
#[test]
fn a_reused_number_is_not_confused_during_a_rekey() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.server.send(&about(CHANNEL_CLOSE, 0));
    pair.server.start_kex();
    pair.feed_client();
    pair.client.close(channel);
    let next = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    assert_eq!(next.index(), channel.index());
    pair.run();
    let expected = [KEXINIT, KEX_ECDH_INIT, NEWKEYS, CHANNEL_CLOSE, CHANNEL_OPEN];
    assert_eq!(pair.server.numbers(), expected);
    pair.deliver(&confirm(0, 200, 10, MAX_PACKET));
    assert_eq!(pair.take(), [Seen::Close(channel), Seen::Rekeyed, Seen::Opened(next)]);
}

#[test]
fn empty_windows_do_not_block_the_exchange() {
    let (mut pair, [channel]) = Pair::open(1000, MAX_PACKET);
    pair.consumes = false;
    pair.fill(channel, &[1; 1000]).unwrap();
    for _ in 0..INITIAL_WINDOW / MAX_PACKET {
        pair.server.send(&data(0, &[2; 32_768]));
    }
    pair.run();
    pair.take();
    pair.server.take();
    pair.server.start_kex();
    pair.feed_client();
    // The socket accepts everything now: credit has to wait, and must not be lost.
    for _ in 0..8 {
        pair.client.consumed(channel, INITIAL_WINDOW as usize / 8, pair.now);
    }
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    let expected = [&[KEXINIT, KEX_ECDH_INIT, NEWKEYS][..], &[CHANNEL_WINDOW_ADJUST; 8]].concat();
    assert_eq!(pair.server.numbers(), expected);
    pair.deliver(&adjust(0, 5));
    assert_eq!(pair.take(), [Seen::Window(channel)]);
    assert_eq!(pair.fill(channel, b"12345").unwrap(), 5);
}

#[test]
fn ciphers_may_change_with_each_rekey() {
    for strict in [true, false] {
        let mut pair = Pair::connected(Script { strict, ..Script::default() });
        let channel = pair.open_another(100, u32::MAX, MAX_PACKET);
        for (round, (cipher, mac, _)) in (0_u8..).zip(Protection::all().repeat(3)) {
            pair.server.script.cipher = cipher;
            pair.server.script.mac = mac;
            pair.server.start_kex();
            pair.run();
            assert_eq!(pair.take(), [Seen::Rekeyed]);
            pair.server.take();
            pair.deliver(&data(0, &[round; 100]));
            pair.fill(channel, &[round; 300]).unwrap();
            pair.run();
            assert_eq!(pair.take(), [Seen::Data(channel, vec![round; 100])]);
            assert_eq!(pair.server.take(), [data(100, &[round; 300])]);
        }
    }
}

/// The next KEXINIT is in the same read as the NEWKEYS before it.
#[test]
fn rekeys_may_follow_each_other_at_once() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    for _ in 0..5 {
        pair.server.start_kex();
        pair.feed_client();
        pair.feed_server();
        pair.feed_client();
        pair.feed_server();
        assert!(pair.server.is_settled());
        pair.server.start_kex();
        pair.client.eof(channel);
        pair.run();
        assert_eq!(pair.take(), [Seen::Rekeyed, Seen::Rekeyed]);
    }
    let eofs = pair.server.numbers().iter().filter(|number| **number == CHANNEL_EOF).count();
    assert_eq!(eofs, 1);
}

#[test]
fn a_rekey_may_come_during_authentication() {
    let mut pair = Pair::new(setup(), Script { user: None, ..Script::default() });
    pair.feed_server();
    pair.feed_client();
    pair.feed_server();
    pair.feed_client();
    pair.feed_server();
    // The key was refused, the password follows, and a key exchange comes in between.
    assert!(pair.server.is_settled());
    pair.server.start_kex();
    pair.run();
    assert!(matches!(pair.take()[..], [Seen::HostKey(_), Seen::Ready]));
    let request = [NEWKEYS, SERVICE_REQUEST, USERAUTH_REQUEST, USERAUTH_REQUEST];
    let again = [KEXINIT, KEX_ECDH_INIT, NEWKEYS, GLOBAL_REQUEST];
    let expected = [&[KEXINIT, KEX_ECDH_INIT][..], &request, &again];
    assert_eq!(pair.server.numbers(), expected.concat());
}

#[test]
fn another_host_key_is_refused() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.server.script.host_key = fixture!("ed25519b.pkcs8");
    pair.server.start_kex();
    pair.feed_client();
    pair.client.eof(channel);
    pair.run();
    assert!(matches!(pair.failure(), Error::HostKey(text) if text.contains("changed")));
    assert_eq!(pair.server.numbers(), [KEXINIT, KEX_ECDH_INIT, DISCONNECT]);
    assert_eq!(pair.take(), []);
}

/// Also a key of another type, which was not agreed on in the first exchange.
#[test]
fn a_host_key_of_another_type_is_refused() {
    let mut pair = Pair::connected(Script::default());
    pair.server.script.host_key = fixture!("p256");
    pair.server.script.algorithm = "ecdsa-sha2-nistp256";
    pair.server.start_kex();
    pair.run();
    assert!(matches!(pair.failure(), Error::HostKey(text) if text.contains("changed")));
}

#[test]
fn a_forged_exchange_is_refused() {
    let mut pair = Pair::connected(Script::default());
    pair.server.script.forge = Box::new(|reply| reply.signature[60] ^= 1);
    pair.server.start_kex();
    pair.run();
    assert!(matches!(pair.failure(), Error::HostKey(_)));
    assert_eq!(pair.server.numbers(), [KEXINIT, KEX_ECDH_INIT, DISCONNECT]);
}

/// A server should send nothing else between its KEXINIT and its NEWKEYS. Other messages are
/// authenticated, and so accepted.
#[test]
fn messages_during_a_rekey_are_accepted() {
    let (mut pair, channels) = Pair::open::<4>(INITIAL_WINDOW, MAX_PACKET);
    let say = |pair: &mut Pair, between: Vec<Vec<u8>>, within: Vec<Vec<u8>>| {
        pair.server.script.between = between;
        pair.server.start_kex();
        for payload in within {
            pair.server.send(&payload);
        }
        pair.run();
        assert_eq!(pair.error, None);
        pair.take()
    };
    for behind in [false, true] {
        let [one, two] = if behind { [0, 1] } else { [2, 3] };
        let messages = vec![
            data(one, b"data"),
            adjust(one, 1),
            build(GLOBAL_REQUEST, &[Text(b"keepalive@openssh.com"), Flag(true)]),
            about(CHANNEL_EOF, one),
            about(CHANNEL_CLOSE, two),
            vec![200],
        ];
        let (between, within) = if behind { (messages, vec![]) } else { (vec![], messages) };
        pair.server.take();
        let expected = [
            Seen::Data(channels[one as usize], b"data".to_vec()),
            Seen::Eof(channels[one as usize]),
            Seen::Close(channels[two as usize]),
            Seen::Rekeyed,
        ];
        assert_eq!(say(&mut pair, between, within), expected);
        // The replies have the new keys.
        let numbers = pair.server.numbers();
        let expected = [KEXINIT, KEX_ECDH_INIT, NEWKEYS, REQUEST_FAILURE, UNIMPLEMENTED];
        assert_eq!(numbers, expected);
    }
    // The reply to the first measurement comes first.
    pair.deliver(&[REQUEST_FAILURE]);
    for (between, within) in
        [(vec![vec![REQUEST_SUCCESS]], vec![]), (vec![], vec![vec![REQUEST_SUCCESS]])]
    {
        let forward = pair.client.request_forward(crate::ListenAddr::Unix("/run/app".into()));
        pair.run();
        let listens = Seen::Forward(forward, crate::ForwardEvent::Listening { port: 0 });
        assert_eq!(say(&mut pair, between, within), [listens, Seen::Rekeyed]);
        pair.client.cancel_forward(forward);
        pair.run();
        pair.deliver(&[REQUEST_SUCCESS]);
        pair.take();
    }
}

#[test]
fn transport_messages_during_a_rekey_are_accepted() {
    let (mut pair, _) = Pair::open::<1>(INITIAL_WINDOW, MAX_PACKET);
    pair.server.script.between = vec![build(IGNORE, &[Text(b"")]), vec![4]];
    pair.server.start_kex();
    pair.server.send(&build(IGNORE, &[Text(b"")]));
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    pair.server.start_kex();
    pair.server.send(&build(DISCONNECT, &[Number(11), Text(b"bye"), Text(b"")]));
    pair.run();
    assert!(matches!(pair.error, Some(Error::Disconnected { reason: 11, .. })));
}

#[test]
fn a_wrong_guess_is_skipped_in_a_rekey() {
    let (mut pair, [channel]) = Pair::open(INITIAL_WINDOW, MAX_PACKET);
    pair.server.script.guesses = true;
    pair.server.script.kex = "sntrup761x25519-sha512,curve25519-sha256";
    pair.server.start_kex();
    pair.server.send(&build(KEX_ECDH_REPLY, &[Text(b"a guess")]));
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
    pair.deliver(&data(0, b"on"));
    assert_eq!(pair.take(), [Seen::Data(channel, b"on".to_vec())]);
}

/// Packets with old keys could be replayed.
#[test]
fn packets_with_old_keys_are_refused() {
    for (cipher, mac, _) in Protection::all() {
        let mut pair = Pair::connected(Script { cipher, mac, ..Script::default() });
        pair.server.send(&build(IGNORE, &[Text(b"under the old keys")]));
        let old = pair.server.outbound.pending().to_vec();
        pair.server.start_kex();
        pair.run();
        assert_eq!(pair.take(), [Seen::Rekeyed]);
        pair.inject(&old);
        if pair.error.is_none() {
            // The length is random with the new keys, and more bytes are expected.
            pair.inject(&[0; 300_000]);
        }
        assert!(
            matches!(pair.error, Some(Error::Integrity | Error::Protocol(_))),
            "{cipher} {mac}"
        );
    }
}
