//! Names that are too long for a message: nothing is sent, and the session continues.

use super::harness::pair::{Pair, Seen};
use super::harness::server::Script;
use crate::message::CHANNEL_OPEN;
use crate::wire::MAX_NAME;
use crate::{ForwardEvent, ListenAddr, OpenFailure, RequestError};

/// Returns the events, for which nothing need be received.
fn told(pair: &mut Pair) -> Vec<Seen> {
    assert!(pair.client.make_room());
    pair.drain();
    pair.run();
    let seen = pair.take();
    assert!(!pair.client.make_room());
    seen
}

#[test]
fn an_open_with_a_long_name_fails_without_the_server() {
    let long = "x".repeat(MAX_NAME + 1);
    let (mut pair, [other]) = Pair::open(1000, 1000);
    let opened = [
        pair.client.open_direct_tcpip(&long, 80, "::1", 1),
        pair.client.open_direct_tcpip("db", 80, &long, 1),
        pair.client.open_direct_streamlocal(&long),
    ];
    let fits = pair.client.open_direct_tcpip(&long[1..], 80, "::1", 1);
    let seen = told(&mut pair);
    assert_eq!(seen.len(), 3);
    for (seen, channel) in seen.into_iter().zip(opened) {
        let Seen::OpenFailed(failed, reason, text) = seen else { panic!("{seen:?}") };
        assert_eq!((failed, reason), (channel, OpenFailure::ConnectFailed));
        assert!(text.contains("4096 bytes"), "{text}");
    }
    let received = pair.server.take();
    assert_eq!(received.len(), 1, "only the name that fits was sent");
    assert_eq!(received[0][0], CHANNEL_OPEN);
    // Their numbers are free, and the session is unchanged.
    let again = pair.client.open_direct_tcpip("db", 80, "::1", 1);
    assert!(opened.iter().any(|channel| channel.index() == again.index()));
    assert_eq!(pair.fill(other, b"data").unwrap(), 4);
    pair.client.close(fits);
}

#[test]
fn no_event_for_a_long_name_after_close() {
    let mut pair = Pair::connected(Script::default());
    let channel = pair.client.open_direct_streamlocal(&"x".repeat(MAX_NAME + 1));
    pair.client.close(channel);
    assert_eq!(told(&mut pair), []);
    assert!(pair.client.is_idle() && pair.server.take().is_empty());
}

#[test]
fn no_event_for_a_long_name_after_the_end() {
    let mut pair = Pair::connected(Script::default());
    let long = "x".repeat(MAX_NAME + 1);
    pair.client.open_direct_tcpip(&long, 80, "::1", 1);
    pair.client.disconnect(crate::DisconnectReason::ByApplication);
    pair.client.open_direct_tcpip(&long, 80, "::1", 1);
    assert!(!pair.client.make_room());
    assert!(matches!(pair.client.next_event(), Ok(None)));
}

#[test]
fn a_forward_with_a_long_name_fails_without_the_server() {
    let mut pair = Pair::connected(Script::default());
    let long = "x".repeat(MAX_NAME + 1);
    for place in [ListenAddr::Tcp { host: long.clone(), port: 80 }, ListenAddr::Unix(long)] {
        let forward = pair.client.request_forward(place);
        assert_eq!(
            told(&mut pair),
            [Seen::Forward(forward, ForwardEvent::Failed(RequestError::Denied))]
        );
    }
    assert!(pair.server.take().is_empty());
}
