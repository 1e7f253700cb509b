//! Commands at the wrong time: after the end, before the beginning, and about removed channels.

use super::harness::messages::{about, confirm, data};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::Script;
use crate::DisconnectReason::ByApplication;
use crate::Error;
use crate::message::{CHANNEL_CLOSE, CHANNEL_OPEN, DISCONNECT, KEX_ECDH_INIT, KEXINIT};

#[test]
fn an_ended_session_neither_sends_nor_receives() {
    let (mut pair, [first, second]) = Pair::open(1000, 1000);
    pair.fill(first, b"last words").unwrap();
    pair.client.disconnect(ByApplication);
    pair.client.disconnect(ByApplication);
    pair.client.eof(first);
    pair.client.close(second);
    pair.client.consumed(first, 2_000_000, pair.now);
    pair.client.open_direct_tcpip("db", 1, "::1", 1);
    assert!(pair.fill(first, b"too late").is_err());
    pair.server.send(&data(0, b"unheard"));
    pair.run();
    assert_eq!(pair.take(), []);
    assert_eq!(pair.disconnect_reason(), Some(11));
    let received = pair.server.take();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0], data(100, b"last words"));
    assert!(!pair.client.is_connected() && !pair.client.has_room());
    assert_eq!(pair.client.timeout(), None);
}

/// An event that was found while payloads were joined is dropped at the end.
#[test]
fn queued_events_are_dropped_at_the_end() {
    let (mut pair, _) = Pair::open::<2>(1000, 1000);
    pair.server.send(&data(0, b"first"));
    pair.server.send(&data(1, b"second"));
    let pending = pair.server.outbound.pending().to_vec();
    pair.client.space()[..pending.len()].copy_from_slice(&pending);
    pair.client.received(pending.len(), pair.now);
    assert!(pair.client.next_event().unwrap().is_some());
    pair.client.disconnect(ByApplication);
    assert!(matches!(pair.client.next_event(), Ok(None)));
}

/// The application may decide about the host key after a timeout.
#[test]
fn trust_after_the_end_sends_nothing() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.trusts = false;
    pair.run();
    pair.client.disconnect(ByApplication);
    assert!(pair.client.trust(true).is_err());
    pair.run();
    assert_eq!(pair.server.numbers(), [KEXINIT, KEX_ECDH_INIT, DISCONNECT]);
}

#[test]
fn trust_without_a_pending_decision_changes_nothing() {
    let mut pair = Pair::new(setup(), Script::default());
    assert!(matches!(pair.client.trust(true), Err(Error::Protocol(_))));
    pair.run();
    assert!(pair.client.is_connected());
    pair.server.start_kex();
    pair.feed_client();
    assert!(matches!(pair.client.trust(true), Err(Error::Protocol(_))));
    pair.take();
    pair.run();
    assert_eq!(pair.take(), [Seen::Rekeyed]);
}

/// Data is found first and the damage after it: both are returned, in this order.
#[test]
fn an_error_follows_the_data_before_it() {
    let (mut pair, [channel]) = Pair::open(1000, 1000);
    pair.server.send(&data(0, b"good"));
    pair.server.send(&data(9, b"bad"));
    pair.run();
    assert_eq!(pair.take(), [Seen::Data(channel, b"good".to_vec())]);
    assert!(matches!(pair.failure(), Error::Protocol(_)));
}

/// A session can be ended during a key exchange.
#[test]
fn a_session_can_end_during_a_key_exchange() {
    let mut pair = Pair::connected(Script::default());
    pair.server.start_kex();
    pair.feed_client();
    pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.client.disconnect(ByApplication);
    pair.run();
    assert_eq!(pair.server.numbers(), [KEXINIT, KEX_ECDH_INIT, DISCONNECT]);
}

/// The identifier of a removed channel has no effect.
#[test]
fn commands_about_a_removed_channel_do_nothing() {
    let (mut pair, [channel]) = Pair::open(1000, 1000);
    pair.client.close(channel);
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    pair.server.take();
    pair.client.eof(channel);
    pair.client.close(channel);
    pair.client.consumed(channel, usize::MAX, pair.now);
    assert!(pair.fill(channel, b"x").is_err());
    assert_eq!(pair.client.window(channel), 0);
    assert_eq!(pair.client.pending(), b"");
}

/// A close before the channel is open is sent once it is.
#[test]
fn close_before_the_confirmation_is_sent_after_it() {
    let mut pair = Pair::connected(Script::default());
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.client.close(channel);
    pair.client.eof(channel);
    pair.client.consumed(channel, 5_000_000, pair.now);
    pair.run();
    assert_eq!(pair.server.numbers(), [CHANNEL_OPEN]);
    pair.deliver(&confirm(0, 5, 1000, 1000));
    assert_eq!(pair.server.take(), [about(CHANNEL_CLOSE, 5)]);
}
