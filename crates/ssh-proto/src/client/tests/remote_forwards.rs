//! Ports and unix sockets at the server: asked for, given up, and who connects there.

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{
    about, adjust, build, confirm, data, forwarded, forwarded_from, forwarded_unix, global, refuse,
};
use super::harness::pair::{Pair, Seen};
use super::harness::server::Script;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_OPEN, GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS,
};
use crate::{ChannelId, Error, ForwardEvent, ForwardId, ListenAddr, OpenFailure, RequestError};

fn tcp(host: &str, port: u16) -> ListenAddr {
    ListenAddr::Tcp { host: host.into(), port }
}

fn about_tcp(name: &[u8], host: &str, port: u32) -> Vec<u8> {
    let parts = [Text(name), Flag(true), Text(host.as_bytes()), Number(port)];
    build(GLOBAL_REQUEST, &parts)
}

fn about_unix(name: &[u8], path: &str) -> Vec<u8> {
    build(GLOBAL_REQUEST, &[Text(name), Flag(true), Text(path.as_bytes())])
}

fn prohibited(remote: u32) -> Vec<u8> {
    refuse(remote, 1, b"not allowed")
}

/// A session whose server has answered all that it was asked.
fn connected() -> Pair {
    let mut pair = Pair::connected(Script::default());
    // How long its answers take.
    pair.say(&[REQUEST_FAILURE]);
    pair
}

/// A session whose server listens at these places.
fn listening<const N: usize>(places: [ListenAddr; N]) -> (Pair, [ForwardId; N]) {
    let mut pair = connected();
    let forwards = places.map(|place| pair.client.request_forward(place));
    pair.run();
    for _ in 0..N {
        pair.say(&[REQUEST_SUCCESS]);
    }
    assert_eq!((pair.take().len(), pair.server.take().len()), (N, N));
    (pair, forwards)
}

fn listens(forward: ForwardId, port: u16) -> Seen {
    Seen::Forward(forward, ForwardEvent::Listening { port })
}

fn refused(forward: ForwardId) -> Seen {
    Seen::Forward(forward, ForwardEvent::Failed(RequestError::Denied))
}

fn ended(forward: ForwardId, outcome: Result<(), RequestError>) -> Seen {
    Seen::Forward(forward, ForwardEvent::Cancelled(outcome))
}

/// The one channel that was offered: for which forward, and for whom.
fn offer(pair: &mut Pair) -> (ChannelId, ForwardId, String, u16) {
    let seen = pair.take();
    match <[Seen; 1]>::try_from(seen) {
        Ok(
            [
                Seen::Forward(
                    forward,
                    ForwardEvent::InboundChannel { channel, originator, originator_port },
                ),
            ],
        ) => (channel, forward, originator, originator_port),
        other => panic!("{other:?}"),
    }
}

/// The server opens a channel, which is offered for this forward.
fn offered(pair: &mut Pair, open: &[u8], forward: ForwardId) -> ChannelId {
    pair.say(open);
    let (channel, found, ..) = offer(pair);
    assert_eq!(found, forward);
    channel
}

#[test]
fn a_place_is_asked_for_and_given_up() {
    let mut pair = connected();
    let port = pair.client.request_forward(tcp("localhost", 8080));
    let path = pair.client.request_forward(ListenAddr::Unix("/run/app".into()));
    assert_ne!(port, path);
    pair.run();
    assert_eq!(pair.server.take(), [about_tcp(b"tcpip-forward", "localhost", 8080)]);
    pair.say(&[REQUEST_SUCCESS]);
    let asked = about_unix(b"streamlocal-forward@openssh.com", "/run/app");
    assert_eq!(pair.server.take(), [asked]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [listens(port, 8080), listens(path, 0)]);

    for _ in 0..2 {
        pair.client.cancel_forward(path);
        pair.client.cancel_forward(port);
    }
    pair.run();
    let cancelled = about_unix(b"cancel-streamlocal-forward@openssh.com", "/run/app");
    assert_eq!(pair.server.take(), [cancelled]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.server.take(), [about_tcp(b"cancel-tcpip-forward", "localhost", 8080)]);
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [ended(path, Ok(())), ended(port, Err(RequestError::Denied))]);
    pair.client.cancel_forward(port);
    pair.run();
    assert_eq!(pair.server.take(), <[Vec<u8>; 0]>::default());
}

#[test]
fn a_refusal_is_told_and_the_next_is_a_new_one() {
    let mut pair = connected();
    let first = pair.client.request_forward(tcp("", 80));
    pair.run();
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [refused(first)]);
    let second = pair.client.request_forward(tcp("", 80));
    assert_ne!(first, second);
    pair.client.cancel_forward(first);
    pair.run();
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [listens(second, 80)]);
}

#[test]
fn a_port_that_the_server_chose_is_told_and_given_up_by_its_number() {
    let mut pair = connected();
    let forward = pair.client.request_forward(tcp("localhost", 0));
    pair.run();
    pair.say(&build(REQUEST_SUCCESS, &[Number(40_123)]));
    assert_eq!(pair.take(), [listens(forward, 40_123)]);
    pair.server.take();
    offered(&mut pair, &forwarded_from(5, "localhost", 40_123), forward);
    pair.client.cancel_forward(forward);
    pair.run();
    let cancelled = about_tcp(b"cancel-tcpip-forward", "localhost", 40_123);
    assert_eq!(pair.server.take(), [cancelled]);
}

/// The server may listen somewhere, but nobody could say where: whoever comes is turned away.
#[test]
fn a_port_that_cannot_be_one_is_a_refusal() {
    let answers = [
        vec![REQUEST_SUCCESS],
        vec![REQUEST_SUCCESS, 0, 0],
        build(REQUEST_SUCCESS, &[Number(0)]),
        build(REQUEST_SUCCESS, &[Number(65_536 + 8080)]),
    ];
    for answer in answers {
        let mut pair = connected();
        let forward = pair.client.request_forward(tcp("localhost", 0));
        pair.run();
        pair.say(&answer);
        assert_eq!(pair.take(), [refused(forward)]);
        pair.server.take();
        for port in [0, 8080] {
            pair.say(&forwarded_from(5, "localhost", port));
            assert_eq!(pair.server.take(), [prohibited(5)]);
        }
    }
}

#[test]
fn one_that_is_given_up_before_it_is_refused_has_ended() {
    let mut pair = connected();
    let forward = pair.client.request_forward(tcp("localhost", 80));
    pair.client.cancel_forward(forward);
    pair.run();
    pair.server.take();
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [ended(forward, Ok(()))]);
    assert!(pair.server.take().is_empty());
}

#[test]
fn an_accepted_channel_is_like_one_of_ours() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    pair.say(&forwarded(77));
    let (channel, of, who, port) = offer(&mut pair);
    assert_eq!((of, who.as_str(), port), (forward, "192.0.2.1", 4000));
    assert_eq!(pair.client.window(channel), 0);
    assert!(pair.fill(channel, b"too early").is_err() && !pair.client.is_idle());
    pair.client.eof(channel);
    pair.run();
    assert!(pair.server.take().is_empty(), "nothing is said of it before it is answered");

    pair.client.accept(channel);
    pair.client.accept(channel);
    pair.client.reject(channel, OpenFailure::ConnectFailed);
    assert_eq!(pair.client.window(channel), 2_097_152);
    pair.run();
    let number = channel.index() as u32;
    assert_eq!(pair.server.take(), [confirm(77, number, INITIAL_WINDOW, 32_768)]);
    pair.fill(channel, b"banner").unwrap();
    pair.say(&data(number, b"hello"));
    assert_eq!(pair.server.take(), [data(77, b"banner")]);
    assert_eq!(pair.take(), [Seen::Data(channel, b"hello".to_vec())]);

    pair.consumes = false;
    for _ in 0..INITIAL_WINDOW / 32_768 - 1 {
        pair.server.send(&data(number, &[0; 32_768]));
    }
    pair.say(&data(number, &[0; 32_763]));
    assert_eq!(pair.error, None, "all of the window but nothing more");
    pair.take();
    pair.client.consumed(channel, INITIAL_WINDOW as usize, pair.now);
    pair.run();
    // With the credit came the question how long its way is.
    assert_eq!(pair.server.take()[0][..5], adjust(77, 0)[..5]);

    pair.say(&about(CHANNEL_EOF, number));
    pair.client.eof(channel);
    pair.client.close(channel);
    pair.say(&about(CHANNEL_CLOSE, number));
    assert_eq!(pair.take(), [Seen::Eof(channel), Seen::Close(channel)]);
    assert_eq!(pair.server.take(), [about(CHANNEL_EOF, 77), about(CHANNEL_CLOSE, 77)]);
    assert!(pair.client.is_idle());
}

#[test]
fn a_refused_channel_leaves_its_number() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let first = offered(&mut pair, &forwarded(77), forward);
    let second = offered(&mut pair, &forwarded(78), forward);
    assert_ne!(first, second);
    pair.client.reject(first, OpenFailure::ConnectFailed);
    pair.client.reject(first, OpenFailure::ConnectFailed);
    pair.client.accept(first);
    pair.client.close(second);
    pair.client.close(second);
    pair.run();
    let expected = [refuse(77, 2, b"connect failed"), refuse(78, 2, b"connect failed")];
    assert_eq!(pair.server.take(), expected);
    assert!(pair.client.is_idle());
    let again = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    assert!([first, second].map(ChannelId::index).contains(&again.index()));
    pair.run();
    assert_eq!(pair.server.take()[0][0], CHANNEL_OPEN);
    pair.client.reject(again, OpenFailure::ConnectFailed);
    pair.client.accept(again);
    pair.run();
    assert!(pair.server.take().is_empty());
}

/// The end of a channel and the offer of another one come in one breath, and the second has the
/// number of the first before anybody has looked at either.
#[test]
fn a_channel_that_is_gone_is_not_the_one_with_its_number() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let gone = pair.open_another(100, 1000, 1000);
    pair.client.close(gone);
    pair.run();
    pair.server.take();
    pair.say(&about(CHANNEL_CLOSE, 0));
    assert_eq!(pair.take(), [Seen::Close(gone)]);
    let next = offered(&mut pair, &forwarded(77), forward);
    assert_eq!(next.index(), gone.index());
    // Somebody tidies up after the first one.
    pair.client.eof(gone);
    pair.client.close(gone);
    pair.client.reject(gone, OpenFailure::ConnectFailed);
    pair.client.accept(gone);
    pair.client.consumed(gone, 1000, pair.now);
    assert!(pair.fill(gone, b"x").is_err());
    pair.run();
    assert!(pair.server.take().is_empty());
    pair.client.accept(next);
    pair.run();
    assert_eq!(pair.server.take()[0][0], 91, "a confirmation");
    assert_eq!(pair.fill(next, b"x").unwrap(), 1);
}

#[test]
fn connections_find_their_forward() {
    let places = [
        tcp("localhost", 8080),
        tcp("192.0.2.7", 8080),
        tcp("", 9090),
        ListenAddr::Unix("/run/a".into()),
        ListenAddr::Unix("/run/b".into()),
    ];
    let (mut pair, [near, far, all, a, b]) = listening(places);
    for (remote, (open, forward)) in [
        (forwarded_from(0, "localhost", 8080), near),
        (forwarded_from(1, "LOCALHOST", 8080), near),
        (forwarded_from(2, "192.0.2.7", 8080), far),
        (forwarded_from(3, "", 9090), all),
        // Which of its addresses it was: the port says enough.
        (forwarded_from(4, "192.0.2.7", 9090), all),
        (forwarded_unix(5, "/run/a"), a),
        (forwarded_unix(6, "/run/b"), b),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = offered(&mut pair, &open, forward);
        pair.client.accept(channel);
        pair.run();
        assert_eq!(pair.server.take()[0][1..5], (remote as u32).to_be_bytes());
    }
    for open in [
        // Which of the two?
        forwarded_from(99, "127.0.0.1", 8080),
        forwarded_from(99, "localhost", 80),
        forwarded_from(99, "localhost", 65_536 + 8080),
        forwarded_from(99, "localhost", 0),
        forwarded_unix(99, "/run/c"),
        forwarded_unix(99, ""),
        forwarded_unix(99, "localhost"),
    ] {
        pair.say(&open);
        assert_eq!((pair.take(), pair.server.take()), (vec![], vec![prohibited(99)]));
    }
}

/// A server that tells of the first connection before it answers means what was asked for.
#[test]
fn somebody_may_connect_before_the_answer() {
    let mut pair = connected();
    let forward = pair.client.request_forward(tcp("localhost", 8080));
    pair.run();
    pair.server.take();
    offered(&mut pair, &forwarded(5), forward);
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [refused(forward)]);
    pair.say(&forwarded(6));
    assert_eq!(pair.server.take(), [prohibited(6)]);
}

#[test]
fn what_is_given_up_gets_no_more_connections() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let open = offered(&mut pair, &forwarded(1), forward);
    let waiting = offered(&mut pair, &forwarded(2), forward);
    pair.client.accept(open);
    pair.client.cancel_forward(forward);
    pair.run();
    pair.server.take();
    pair.say(&forwarded(3));
    assert_eq!(pair.server.take(), [prohibited(3)], "the server had not heard of it");
    pair.say(&[REQUEST_SUCCESS]);
    pair.take();
    pair.client.accept(waiting);
    pair.fill(open, b"still here").unwrap();
    pair.run();
    let number = waiting.index() as u32;
    let expected = [confirm(2, number, INITIAL_WINDOW, 32_768), data(1, b"still here")];
    assert_eq!(pair.server.take(), expected);
    pair.say(&forwarded(4));
    assert_eq!(pair.server.take(), [prohibited(4)]);
}

#[test]
fn channels_without_an_answer_are_bounded() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let mut channels = Vec::new();
    for remote in 0..1024 {
        channels.push(offered(&mut pair, &forwarded(remote), forward));
    }
    let full = |remote| refuse(remote, 4, b"resource shortage");
    pair.say(&forwarded(5000));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![full(5000)]));
    pair.client.accept(channels[7]);
    pair.client.reject(channels[9], OpenFailure::ConnectFailed);
    offered(&mut pair, &forwarded(5001), forward);
    offered(&mut pair, &forwarded(5002), forward);
    pair.server.take();
    pair.say(&forwarded(5003));
    assert_eq!(pair.server.take(), [full(5003)]);
    // Those that wait take no window: a channel of ours is as large as ever.
    pair.open_another(1, 1000, 1000);
}

#[test]
fn nonsense_about_offered_channels_ends_the_session() {
    let breaks = |message: &[u8]| {
        let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
        let channel = offered(&mut pair, &forwarded(5), forward);
        assert_eq!(channel.index(), 0);
        pair.say(message);
        let error = pair.failure();
        assert!(matches!(error, Error::Protocol(_)), "{message:?}: {error}");
    };
    breaks(&data(0, b"x"));
    breaks(&adjust(0, 1));
    breaks(&about(CHANNEL_EOF, 0));
    breaks(&about(CHANNEL_CLOSE, 0));
    breaks(&confirm(0, 5, 1000, 1000));
    breaks(&refuse(0, 1, b""));
    let name = Text(b"forwarded-tcpip");
    let place = [Text(b"localhost"), Number(8080), Text(b"::1"), Number(1)];
    let open = |parts: &[_]| build(CHANNEL_OPEN, &[&[name], parts].concat());
    breaks(&open(&[&[Number(6), Number(1), Number(0)], &place[..]].concat()));
    breaks(&open(&[&[Number(6), Number(1), Number(1)], &place[..3]].concat()));
    breaks(&open(&[Number(6)]));
}

#[test]
fn who_connected_is_told_in_words_fit_to_be_shown() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let open = |who: &[u8], port| {
        let place = [Text(b"localhost"), Number(8080), Text(who), Number(port)];
        let sizes = [Text(b"forwarded-tcpip"), Number(6), Number(1), Number(1)];
        build(CHANNEL_OPEN, &[sizes, place].concat())
    };
    pair.say(&open(b"\x1b[2Jme\xff", 65_536));
    let (_, of, who, port) = offer(&mut pair);
    assert_eq!((of, who.as_str(), port), (forward, "?[2Jme\u{fffd}", 0));
    pair.say(&open(&[b'x'; 30_000], 1));
    let (.., who, port) = offer(&mut pair);
    assert!(who.len() < 1000 && port == 1);
}

/// Neither requests nor answers may be sent while keys are being changed, and none is lost.
#[test]
fn a_change_of_keys_holds_requests_and_answers() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let taken = offered(&mut pair, &forwarded(1), forward);
    let turned_away = offered(&mut pair, &forwarded(2), forward);
    pair.server.offer();
    pair.feed_client();
    pair.client.accept(taken);
    pair.client.reject(turned_away, OpenFailure::ConnectFailed);
    let other = pair.client.request_forward(ListenAddr::Unix("/run/app".into()));
    pair.run();
    let heard = pair.server.take();
    let after = heard.iter().filter(|payload| payload[0] >= 50).cloned().collect::<Vec<_>>();
    let expected = [
        confirm(1, taken.index() as u32, INITIAL_WINDOW, 32_768),
        refuse(2, 2, b"connect failed"),
        about_unix(b"streamlocal-forward@openssh.com", "/run/app"),
    ];
    assert_eq!(after, expected);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [Seen::Rekeyed, listens(other, 0)]);
}

#[test]
fn opens_without_end_instead_of_a_key_exchange_end_the_session() {
    let (mut pair, _) = listening([tcp("localhost", 8080)]);
    pair.server.script.answers = false;
    pair.client.start_kex();
    pair.run();
    for remote in 0..5000 {
        pair.server.send(&forwarded(remote));
        pair.feed_client();
        // Each is answered at once, so that none waits.
        if pair.error.is_some() {
            break;
        }
        let (channel, ..) = offer(&mut pair);
        pair.client.reject(channel, OpenFailure::ConnectFailed);
    }
    pair.run();
    assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("too many")));
}

#[test]
fn nothing_is_said_of_forwards_after_the_end() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let channel = offered(&mut pair, &forwarded(1), forward);
    pair.client.disconnect(crate::DisconnectReason::ByApplication);
    pair.run();
    pair.server.take();
    pair.client.accept(channel);
    pair.client.cancel_forward(forward);
    pair.client.request_forward(tcp("localhost", 1));
    pair.server.send(&global(b"x", true));
    pair.run();
    assert!(pair.server.take().is_empty() && pair.take().is_empty());
}
