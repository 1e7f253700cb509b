//! A server that violates the protocol, or sends useless messages.

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{about, adjust, build, confirm, data, forwarded, global, refuse};
use super::harness::pair::{Pair, Seen};
use super::harness::server::Script;
use crate::Error;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::{
    CHANNEL_CLOSE, CHANNEL_EOF, CHANNEL_EXTENDED_DATA, CHANNEL_FAILURE, CHANNEL_OPEN_FAILURE,
    CHANNEL_REQUEST, DISCONNECT, IGNORE, REQUEST_FAILURE, REQUEST_SUCCESS, UNIMPLEMENTED,
};

/// Sends the messages to a client with channel 0 open and channel 1 awaiting its confirmation; the
/// last of them ends the session.
fn breaks(messages: &[Vec<u8>]) {
    let (mut pair, _) = Pair::open::<1>(1000, 1000);
    pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    let (last, before) = messages.split_last().unwrap();
    for message in before {
        pair.deliver(message);
        assert_eq!(pair.error, None, "{before:?}");
    }
    pair.deliver(last);
    let error = pair.failure();
    assert!(matches!(error, Error::Protocol(_)), "{last:?}: {error}");
    assert_eq!(pair.disconnect_reason(), Some(2));
}

#[test]
fn invalid_channel_messages_end_the_session() {
    // Before the confirmation.
    breaks(&[data(1, b"x")]);
    breaks(&[adjust(1, 1)]);
    breaks(&[about(CHANNEL_EOF, 1)]);
    breaks(&[about(CHANNEL_CLOSE, 1)]);
    breaks(&[build(CHANNEL_EXTENDED_DATA, &[Number(1), Number(1), Text(b"x")])]);
    breaks(&[build(CHANNEL_REQUEST, &[Number(1), Text(b"x"), Flag(true)])]);
    breaks(&[confirm(1, 5, 1000, 0)]);
    // After the confirmation.
    breaks(&[confirm(0, 5, 1000, 1000)]);
    breaks(&[refuse(0, 1, b"")]);
    breaks(&[refuse(1, 1, b""), refuse(1, 1, b"")]);
    breaks(&[refuse(1, 1, b""), confirm(1, 5, 1000, 1000)]);
    // After EOF or CLOSE.
    breaks(&[about(CHANNEL_EOF, 0), data(0, b"x")]);
    breaks(&[about(CHANNEL_EOF, 0), data(0, b"")]);
    breaks(&[about(CHANNEL_CLOSE, 0), data(0, b"x")]);
    breaks(&[about(CHANNEL_EOF, 0), about(CHANNEL_EOF, 0)]);
    breaks(&[about(CHANNEL_CLOSE, 0), about(CHANNEL_EOF, 0)]);
    breaks(&[about(CHANNEL_CLOSE, 0), about(CHANNEL_CLOSE, 0)]);
    // Beyond the windows.
    breaks(&[adjust(0, u32::MAX - 1000), adjust(0, 1)]);
    breaks(&[adjust(0, u32::MAX)]);
    // With a wrong length.
    breaks(&[[&data(0, b"abc")[..], b"d"].concat()]);
    // About unknown channels.
    for channel in [2, 3, 100, 0x7fff_ffff, u32::MAX] {
        breaks(&[data(channel, b"x")]);
        breaks(&[adjust(channel, 1)]);
        breaks(&[about(CHANNEL_EOF, channel)]);
        breaks(&[about(CHANNEL_CLOSE, channel)]);
        breaks(&[confirm(channel, 5, 1000, 1000)]);
        breaks(&[refuse(channel, 1, b"")]);
        breaks(&[build(CHANNEL_REQUEST, &[Number(channel), Text(b"x"), Flag(false)])]);
    }
}

#[test]
fn data_beyond_the_window_ends_the_session() {
    for extended in [false, true] {
        let (mut pair, _) = Pair::open::<1>(1000, 1000);
        pair.consumes = false;
        for _ in 0..INITIAL_WINDOW / 32_768 {
            pair.deliver(&data(0, &[0; 32_768]));
        }
        assert_eq!(pair.error, None);
        let error = [Number(0), Number(1), Text(b"x")];
        pair.deliver(&if extended { build(CHANNEL_EXTENDED_DATA, &error) } else { data(0, b"x") });
        assert!(matches!(pair.failure(), Error::Protocol(text) if text.contains("window")));
    }
}

#[test]
fn data_beyond_the_window_after_close_ends_the_session() {
    let (mut pair, [channel]) = Pair::open(1000, 1000);
    pair.client.close(channel);
    for _ in 0..INITIAL_WINDOW / 32_768 {
        pair.deliver(&data(0, &[0; 32_768]));
    }
    assert_eq!(pair.error, None);
    pair.deliver(&data(0, b"x"));
    assert!(matches!(pair.failure(), Error::Protocol(_)));
}

#[test]
fn an_unrequested_channel_is_rejected() {
    let mut pair = Pair::connected(Script::default());
    for name in [&b"session"[..], b"x11", b"auth-agent@openssh.com", b"", b"\xff\0"] {
        pair.deliver(&build(90, &[Text(name), Number(8), Number(0), Number(0)]));
        assert_eq!(pair.server.take()[0][..9], build(92, &[Number(8), Number(1)]));
    }
    pair.deliver(&forwarded(77));
    let words = b"not allowed";
    let expected = [Number(77), Number(1), Text(words), Text(b"")];
    assert_eq!(pair.server.take(), [build(CHANNEL_OPEN_FAILURE, &expected)]);
    assert!(pair.client.is_idle());
    assert_eq!((pair.take(), pair.error), (vec![], None));
}

#[test]
fn global_requests_get_a_reply_if_they_want_one() {
    let mut pair = Pair::connected(Script::default());
    let hostkeys = [&global(b"hostkeys-00@openssh.com", false)[..], &[0; 51]].concat();
    for message in [hostkeys, global(b"keepalive@openssh.com", false), global(b"", false)] {
        pair.deliver(&message);
        assert!(pair.server.take().is_empty());
    }
    let hostkeys = [&global(b"hostkeys-00@openssh.com", true)[..], &[0; 51]].concat();
    for message in [hostkeys, global(b"keepalive@openssh.com", true), global(b"", true)] {
        pair.deliver(&message);
        assert_eq!(pair.server.take(), [[REQUEST_FAILURE]]);
    }
    // Replies without a request.
    for answer in [REQUEST_SUCCESS, REQUEST_FAILURE, 99, 100] {
        pair.deliver(&about(answer, 0));
        assert!(pair.server.take().is_empty());
    }
    assert_eq!((pair.take(), pair.error), (vec![], None));
}

#[test]
fn channel_requests_get_a_reply_if_they_want_one() {
    let (mut pair, [channel]) = Pair::open(1000, 1000);
    let request = |reply| build(CHANNEL_REQUEST, &[Number(0), Text(b"keepalive"), Flag(reply)]);
    pair.deliver(&request(false));
    assert!(pair.server.take().is_empty());
    pair.deliver(&request(true));
    assert_eq!(pair.server.take(), [about(CHANNEL_FAILURE, 100)]);
    // After CLOSE nothing may be sent about a channel, not even this.
    pair.client.close(channel);
    pair.deliver(&request(true));
    assert_eq!(pair.server.take(), [about(CHANNEL_CLOSE, 100)]);
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    assert_eq!(pair.take(), [Seen::Close(channel)]);
}

#[test]
fn unknown_messages_are_answered_with_unimplemented() {
    let mut pair = Pair::connected(Script::default());
    let known = [80, 81, 82].into_iter().chain(90..=100);
    let known: Vec<u8> = known.chain([1, 2, 3, 4, 7, 20, 21, 31]).collect();
    for number in (1..=255).filter(|number| !known.contains(number)) {
        let sequence = pair.server.sequence;
        pair.deliver(&[number, 1, 2, 3]);
        assert_eq!(pair.server.take(), [build(UNIMPLEMENTED, &[Number(sequence)])], "{number}");
        pair.server.send(&build(IGNORE, &[Text(b"so that numbers are not all alike")]));
    }
    assert_eq!((pair.take(), pair.error), (vec![], None));
}

#[test]
fn the_description_of_a_disconnect_is_printable() {
    let (mut pair, _) = Pair::open::<1>(1000, 1000);
    pair.server.send(&data(0, b"last words"));
    let text = Text(b"\x1b[31mtoo many\r\n\0sessions");
    pair.server.send(&build(DISCONNECT, &[Number(12), text, Text(b"en")]));
    pair.deliver(&data(0, b"never seen"));
    assert!(matches!(&pair.take()[..], [Seen::Data(_, bytes)] if bytes == b"last words"));
    let description = "?[31mtoo many  ?sessions".to_owned();
    assert_eq!(pair.failure(), Error::Disconnected { reason: 12, description });
    assert!(pair.server.take().is_empty(), "nobody listens any more");

    for text in [vec![b'x'; 30_000], vec![0xff; 30_000]] {
        let mut pair = Pair::connected(Script::default());
        pair.deliver(&build(DISCONNECT, &[Number(2), Text(&text), Text(b"")]));
        assert!(pair.failure().to_string().len() < 1000);
    }
    // OpenSSH's description of too many attempts: the reason alone would do.
    let mut pair = Pair::connected(Script::default());
    pair.deliver(&about(DISCONNECT, 3));
    assert!(matches!(pair.failure(), Error::Disconnected { reason: 3, .. }));
}

#[test]
fn a_disconnect_for_failed_attempts_is_an_authentication_error() {
    for (reason, text) in [(14, &b"no more"[..]), (2, b"Too many authentication failures")] {
        let mut pair = Pair::new(super::harness::pair::setup(), Script::default());
        for _ in 0..2 {
            pair.feed_server();
            pair.feed_client();
        }
        pair.server.send(&build(DISCONNECT, &[Number(reason), Text(text), Text(b"")]));
        pair.feed_client();
        assert!(matches!(pair.error, Some(Error::Auth(_))), "{:?}", pair.error);
    }
}

#[test]
fn unread_replies_stop_the_input() {
    for message in [global(b"x", true), forwarded(1), vec![200]] {
        let mut pair = Pair::connected(Script::default());
        let mut rounds = 0;
        while pair.client.wants_input() {
            for _ in 0..1000 {
                pair.server.send(&message);
            }
            pair.feed_client();
            rounds += 1;
            assert!(rounds < 200);
        }
        let pending = pair.client.pending().len();
        assert!((2 * 1024 * 1024..3 * 1024 * 1024).contains(&pending), "{pending}");
        assert!(!pair.client.has_room());
        pair.run();
        assert!(pair.client.wants_input() && pair.client.has_room());
        assert_eq!(pair.server.take().len(), rounds * 1000);
    }
}

/// Empty data uses no window, and has no other effect.
#[test]
fn empty_data_is_no_event() {
    let (mut pair, [channel]) = Pair::open(1000, 1000);
    for _ in 0..1000 {
        pair.server.send(&data(0, b""));
    }
    pair.deliver(&data(0, b"x"));
    assert_eq!(pair.take(), [Seen::Data(channel, b"x".to_vec())]);
    assert!(pair.server.take().is_empty());
}
