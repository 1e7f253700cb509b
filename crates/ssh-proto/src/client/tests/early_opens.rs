//! Channels that are opened before the user is authenticated.

use zeroize::Zeroizing;

use super::harness::messages::Part::Number;
use super::harness::messages::{build, confirm};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Script, fixture};
use crate::message::{CHANNEL_OPEN, NEWKEYS, SERVICE_REQUEST, UNIMPLEMENTED, USERAUTH_REQUEST};
use crate::wire::MAX_NAME;
use crate::{AlgorithmKind, Algorithms, ChannelId, Credentials, OpenFailure, Selection, Setup};

const OPENSSH: &str = "SSH-2.0-OpenSSH_9.2p1 Debian-2";
/// The sequence number of the message behind the first authentication request, in strict key exchange.
const OPEN_SEQUENCE: u32 = 2;
/// The server's number of the channel.
const REMOTE: u32 = 7;

/// A user with a key and a password.
fn user() -> Setup {
    let keys = vec![fixture!("ed25519b.pkcs8").into()];
    let password = Some(Zeroizing::new(b"secret".to_vec()));
    let credentials = Credentials { user: "ann".into(), keys, password, ..Credentials::default() };
    Setup { credentials, ..setup() }
}

/// A session that has not begun, with a channel to be opened.
fn begin(setup: Setup, script: Script) -> (Pair, ChannelId) {
    let mut pair = Pair::new(setup, script);
    let channel = pair.client.open_direct_tcpip("db", 5432, "127.0.0.1", 4000);
    (pair, channel)
}

/// Delivers a flight of the server, and then one of the client; returns the numbers of its messages.
fn turn(pair: &mut Pair) -> Vec<u8> {
    pair.feed_client();
    pair.feed_server();
    pair.server.numbers()
}

/// Delivers flights up to the one with the first authentication request, and returns it.
fn first_request(pair: &mut Pair) -> Vec<u8> {
    loop {
        let flight = turn(pair);
        if flight.contains(&USERAUTH_REQUEST) {
            return flight;
        }
        assert!(!flight.is_empty() && !flight.contains(&CHANNEL_OPEN));
    }
}

fn is_opened(pair: &mut Pair, channel: ChannelId) -> bool {
    pair.server.send(&confirm(channel.index() as u32, REMOTE, 1000, 1000));
    pair.run();
    pair.take().contains(&Seen::Opened(channel))
}

#[test]
fn openssh_gets_the_channel_in_the_flight_of_the_request() {
    let (mut pair, channel) = begin(user(), Script { version: OPENSSH, ..Script::default() });
    let flight = [NEWKEYS, SERVICE_REQUEST, USERAUTH_REQUEST, CHANNEL_OPEN];
    assert_eq!(first_request(&mut pair), flight);
    assert!(!pair.client.is_connected());
    assert!(is_opened(&mut pair, channel), "{:?}", pair.error);
    assert!(!pair.server.numbers().contains(&CHANNEL_OPEN), "a second time");
}

#[test]
fn other_servers_get_it_after_success() {
    for version in ["SSH-2.0-scripted", "SSH-2.0-OpenSSH_for_Windows_9.5", "SSH-2.0-OpenSSHish_9"] {
        let (mut pair, channel) = begin(user(), Script { version, ..Script::default() });
        assert_eq!(first_request(&mut pair), [NEWKEYS, SERVICE_REQUEST, USERAUTH_REQUEST]);
        assert!(turn(&mut pair).contains(&CHANNEL_OPEN));
        assert!(is_opened(&mut pair, channel));
    }
}

#[test]
fn it_is_not_sent_before_compression_begins() {
    let mut algorithms = Algorithms::default();
    let zlib = Selection::Only(vec!["zlib@openssh.com".into()]);
    algorithms.select(AlgorithmKind::Compression, &zlib).expect("a known name");
    let compression = ["zlib@openssh.com"; 2];
    let script = Script { version: OPENSSH, compression, ..Script::default() };
    let (mut pair, channel) = begin(Setup { algorithms, ..user() }, script);
    assert_eq!(first_request(&mut pair).last(), Some(&USERAUTH_REQUEST));
    assert!(turn(&mut pair).contains(&CHANNEL_OPEN));
    assert!(is_opened(&mut pair, channel));
}

#[test]
fn after_a_refusal_it_is_sent_again_when_the_user_is_authenticated() {
    for answers in [true, false] {
        let script = Script { version: OPENSSH, user: None, ..Script::default() };
        let (mut pair, channel) = begin(user(), script);
        assert_eq!(first_request(&mut pair).last(), Some(&CHANNEL_OPEN));
        if answers {
            pair.server.send(&build(UNIMPLEMENTED, &[Number(OPEN_SEQUENCE)]));
        }
        // The password, which is not the first request any more.
        assert_eq!(turn(&mut pair), [USERAUTH_REQUEST]);
        assert!(turn(&mut pair).contains(&CHANNEL_OPEN));
        assert!(is_opened(&mut pair, channel));
    }
}

#[test]
fn a_server_that_does_not_take_it_before_success_gets_it_again() {
    let (mut pair, channel) = begin(user(), Script { version: OPENSSH, ..Script::default() });
    assert!(!turn(&mut pair).is_empty());
    pair.feed_client();
    // The request is on its way.
    pair.server.send(&build(UNIMPLEMENTED, &[Number(OPEN_SEQUENCE)]));
    pair.feed_client();
    pair.feed_server();
    assert_eq!(pair.server.numbers().last(), Some(&CHANNEL_OPEN));
    assert!(turn(&mut pair).contains(&CHANNEL_OPEN));
    assert!(is_opened(&mut pair, channel));
}

#[test]
fn a_request_for_a_method_alone_is_not_followed_by_it() {
    let credentials = Credentials { keys: Vec::new(), interactive: true, ..user().credentials };
    let rounds = vec![vec![("Code: ", "7")]];
    let methods = "keyboard-interactive";
    let script = Script { version: OPENSSH, rounds, methods, password: None, ..Script::default() };
    let (mut pair, channel) = begin(
        Setup { credentials: Credentials { password: None, ..credentials }, ..user() },
        script,
    );
    // `none`, then `keyboard-interactive`.
    assert_eq!(first_request(&mut pair).last(), Some(&USERAUTH_REQUEST));
    assert_eq!(turn(&mut pair), [USERAUTH_REQUEST]);
    pair.run();
    pair.client.responses(Some(&[Zeroizing::new(b"7".to_vec())])).expect("asked for");
    pair.run();
    assert!(pair.server.numbers().contains(&CHANNEL_OPEN));
    assert!(is_opened(&mut pair, channel));
}

#[test]
fn a_channel_that_is_closed_meanwhile_is_not_opened() {
    for version in [OPENSSH, "SSH-2.0-scripted"] {
        let (mut pair, channel) = begin(user(), Script { version, ..Script::default() });
        pair.client.close(channel);
        pair.run();
        assert!(pair.client.is_connected() && pair.client.is_idle());
        assert!(!pair.server.numbers().contains(&CHANNEL_OPEN));
    }
}

#[test]
fn a_name_that_is_too_long_fails_when_the_user_is_authenticated() {
    let mut pair = Pair::new(user(), Script { version: OPENSSH, ..Script::default() });
    let name = "x".repeat(MAX_NAME + 1);
    let channel = pair.client.open_direct_tcpip(&name, 5432, "127.0.0.1", 4000);
    pair.run();
    assert!(!pair.server.numbers().contains(&CHANNEL_OPEN));
    let seen = pair.take();
    let failed = |seen: &Seen| matches!(seen, Seen::OpenFailed(id, OpenFailure::ConnectFailed, _) if *id == channel);
    assert_eq!(seen.iter().position(failed), Some(seen.len() - 1));
    assert!(seen.contains(&Seen::Ready));
}
