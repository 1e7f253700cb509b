//! Remote forwards: requested and cancelled.

mod inbound_channels;

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

/// A session without open requests.
fn connected() -> Pair {
    let mut pair = Pair::connected(Script::default());
    // The reply to the first measurement.
    pair.deliver(&[REQUEST_FAILURE]);
    pair
}

/// A session whose server listens on these addresses.
fn listening<const N: usize>(addresses: [ListenAddr; N]) -> (Pair, [ForwardId; N]) {
    let mut pair = connected();
    let forwards = addresses.map(|address| pair.client.request_forward(address));
    pair.run();
    for _ in 0..N {
        pair.deliver(&[REQUEST_SUCCESS]);
    }
    assert_eq!((pair.take().len(), pair.server.take().len()), (N, N));
    (pair, forwards)
}

fn listens(forward: ForwardId, port: u16) -> Seen {
    Seen::Forward(forward, ForwardEvent::Listening { port })
}

fn failed(forward: ForwardId) -> Seen {
    Seen::Forward(forward, ForwardEvent::Failed(RequestError::Denied))
}

fn cancelled(forward: ForwardId, outcome: Result<(), RequestError>) -> Seen {
    Seen::Forward(forward, ForwardEvent::Cancelled(outcome))
}

/// Returns the one inbound channel: its forward and its originator.
fn take_inbound(pair: &mut Pair) -> (ChannelId, ForwardId, String, u16) {
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

/// Opens a channel of the server, which is for this forward.
fn open_inbound(pair: &mut Pair, open: &[u8], forward: ForwardId) -> ChannelId {
    pair.deliver(open);
    let (channel, found, ..) = take_inbound(pair);
    assert_eq!(found, forward);
    channel
}

#[test]
fn a_forward_is_requested_and_cancelled() {
    let mut pair = connected();
    let port = pair.client.request_forward(tcp("localhost", 8080));
    let path = pair.client.request_forward(ListenAddr::Unix("/run/app".into()));
    assert_ne!(port, path);
    pair.run();
    assert_eq!(pair.server.take(), [about_tcp(b"tcpip-forward", "localhost", 8080)]);
    pair.deliver(&[REQUEST_SUCCESS]);
    let asked = about_unix(b"streamlocal-forward@openssh.com", "/run/app");
    assert_eq!(pair.server.take(), [asked]);
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [listens(port, 8080), listens(path, 0)]);

    for _ in 0..2 {
        pair.client.cancel_forward(path);
        pair.client.cancel_forward(port);
    }
    pair.run();
    let cancel = about_unix(b"cancel-streamlocal-forward@openssh.com", "/run/app");
    assert_eq!(pair.server.take(), [cancel]);
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.server.take(), [about_tcp(b"cancel-tcpip-forward", "localhost", 8080)]);
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [cancelled(path, Ok(())), cancelled(port, Err(RequestError::Denied))]);
    pair.client.cancel_forward(port);
    pair.run();
    assert_eq!(pair.server.take(), <[Vec<u8>; 0]>::default());
}

#[test]
fn a_denied_forward_fails_and_the_next_is_another() {
    let mut pair = connected();
    let first = pair.client.request_forward(tcp("", 80));
    pair.run();
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [failed(first)]);
    let second = pair.client.request_forward(tcp("", 80));
    assert_ne!(first, second);
    pair.client.cancel_forward(first);
    pair.run();
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [listens(second, 80)]);
}

#[test]
fn a_port_of_the_server_is_reported_and_cancelled_by_its_number() {
    let mut pair = connected();
    let forward = pair.client.request_forward(tcp("localhost", 0));
    pair.run();
    pair.deliver(&build(REQUEST_SUCCESS, &[Number(40_123)]));
    assert_eq!(pair.take(), [listens(forward, 40_123)]);
    pair.server.take();
    open_inbound(&mut pair, &forwarded_from(5, "localhost", 40_123), forward);
    pair.client.cancel_forward(forward);
    pair.run();
    let cancelled = about_tcp(b"cancel-tcpip-forward", "localhost", 40_123);
    assert_eq!(pair.server.take(), [cancelled]);
}

/// The server may listen, but the port is unknown: its channels are rejected.
#[test]
fn an_invalid_port_fails_the_forward() {
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
        pair.deliver(&answer);
        let outcome = ForwardEvent::Failed(RequestError::NoPort);
        assert_eq!(pair.take(), [Seen::Forward(forward, outcome)]);
        pair.server.take();
        for port in [0, 8080] {
            pair.deliver(&forwarded_from(5, "localhost", port));
            assert_eq!(pair.server.take(), [prohibited(5)]);
        }
    }
}

#[test]
fn a_forward_cancelled_before_it_is_denied_is_cancelled() {
    let mut pair = connected();
    let forward = pair.client.request_forward(tcp("localhost", 80));
    pair.client.cancel_forward(forward);
    pair.run();
    pair.server.take();
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [cancelled(forward, Ok(()))]);
    assert!(pair.server.take().is_empty());
}

/// Neither requests nor replies may be sent during a key exchange, and none is lost.
#[test]
fn a_rekey_holds_requests_and_replies() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let taken = open_inbound(&mut pair, &forwarded(1), forward);
    let turned_away = open_inbound(&mut pair, &forwarded(2), forward);
    pair.server.start_kex();
    pair.feed_client();
    pair.client.accept(taken);
    pair.client.reject(turned_away, OpenFailure::ConnectFailed);
    let other = pair.client.request_forward(ListenAddr::Unix("/run/app".into()));
    pair.run();
    let received = pair.server.take();
    let after = received.iter().filter(|payload| payload[0] >= 50).cloned().collect::<Vec<_>>();
    let expected = [
        confirm(1, taken.index() as u32, INITIAL_WINDOW, 32_768),
        refuse(2, 2, b"connect failed"),
        about_unix(b"streamlocal-forward@openssh.com", "/run/app"),
    ];
    assert_eq!(after, expected);
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [Seen::Rekeyed, listens(other, 0)]);
}

#[test]
fn too_many_opens_during_a_key_exchange_end_the_session() {
    let (mut pair, _) = listening([tcp("localhost", 8080)]);
    pair.server.script.answers = false;
    pair.client.start_kex();
    pair.run();
    for remote in 0..5000 {
        pair.server.send(&forwarded(remote));
        pair.feed_client();
        // Each gets its reply at once, so that none waits.
        if pair.error.is_some() {
            break;
        }
        let (channel, ..) = take_inbound(&mut pair);
        pair.client.reject(channel, OpenFailure::ConnectFailed);
    }
    pair.run();
    assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("too many")));
}

#[test]
fn no_events_of_forwards_after_the_end() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let channel = open_inbound(&mut pair, &forwarded(1), forward);
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
