//! Channels that the server opens for forwards.

use super::*;

#[test]
fn an_accepted_channel_works_as_an_opened_one() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    pair.deliver(&forwarded(77));
    let (channel, of, who, port) = take_inbound(&mut pair);
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
    pair.deliver(&data(number, b"hello"));
    assert_eq!(pair.server.take(), [data(77, b"banner")]);
    assert_eq!(pair.take(), [Seen::Data(channel, b"hello".to_vec())]);

    pair.consumes = false;
    for _ in 0..INITIAL_WINDOW / 32_768 - 1 {
        pair.server.send(&data(number, &[0; 32_768]));
    }
    pair.deliver(&data(number, &[0; 32_763]));
    assert_eq!(pair.error, None, "all of the window but nothing more");
    pair.take();
    pair.client.consumed(channel, INITIAL_WINDOW as usize, pair.now);
    pair.run();
    // The credit comes with a measurement of the round trip.
    assert_eq!(pair.server.take()[0][..5], adjust(77, 0)[..5]);

    pair.deliver(&about(CHANNEL_EOF, number));
    pair.client.eof(channel);
    pair.client.close(channel);
    pair.deliver(&about(CHANNEL_CLOSE, number));
    assert_eq!(pair.take(), [Seen::Eof(channel), Seen::Close(channel)]);
    assert_eq!(pair.server.take(), [about(CHANNEL_EOF, 77), about(CHANNEL_CLOSE, 77)]);
    assert!(pair.client.is_idle());
}

#[test]
fn a_rejected_channel_frees_its_number() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let first = open_inbound(&mut pair, &forwarded(77), forward);
    let second = open_inbound(&mut pair, &forwarded(78), forward);
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

/// A channel closes and another opens in the same read; the second has the number of the first
/// before the events are handled.
#[test]
fn a_removed_channel_is_not_confused_with_its_successor() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let gone = pair.open_another(100, 1000, 1000);
    pair.client.close(gone);
    pair.run();
    pair.server.take();
    pair.deliver(&about(CHANNEL_CLOSE, 0));
    assert_eq!(pair.take(), [Seen::Close(gone)]);
    let next = open_inbound(&mut pair, &forwarded(77), forward);
    assert_eq!(next.index(), gone.index());
    // The application closes the first one late.
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
fn channels_match_their_forward() {
    let addresses = [
        tcp("localhost", 8080),
        tcp("192.0.2.7", 8080),
        tcp("", 9090),
        ListenAddr::Unix("/run/a".into()),
        ListenAddr::Unix("/run/b".into()),
    ];
    let (mut pair, [near, far, all, a, b]) = listening(addresses);
    for (remote, (open, forward)) in [
        (forwarded_from(0, "localhost", 8080), near),
        (forwarded_from(1, "LOCALHOST", 8080), near),
        (forwarded_from(2, "192.0.2.7", 8080), far),
        (forwarded_from(3, "", 9090), all),
        // Another address of the server: the port is enough.
        (forwarded_from(4, "192.0.2.7", 9090), all),
        (forwarded_unix(5, "/run/a"), a),
        (forwarded_unix(6, "/run/b"), b),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = open_inbound(&mut pair, &open, forward);
        pair.client.accept(channel);
        pair.run();
        assert_eq!(pair.server.take()[0][1..5], (remote as u32).to_be_bytes());
    }
    for open in [
        // The forward is ambiguous.
        forwarded_from(99, "127.0.0.1", 8080),
        forwarded_from(99, "localhost", 80),
        forwarded_from(99, "localhost", 65_536 + 8080),
        forwarded_from(99, "localhost", 0),
        forwarded_unix(99, "/run/c"),
        forwarded_unix(99, ""),
        forwarded_unix(99, "localhost"),
    ] {
        pair.deliver(&open);
        assert_eq!((pair.take(), pair.server.take()), (vec![], vec![prohibited(99)]));
    }
}

/// A channel before the reply is for the requested forward.
#[test]
fn a_channel_may_come_before_the_reply() {
    let mut pair = connected();
    let forward = pair.client.request_forward(tcp("localhost", 8080));
    pair.run();
    pair.server.take();
    open_inbound(&mut pair, &forwarded(5), forward);
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [failed(forward)]);
    pair.deliver(&forwarded(6));
    assert_eq!(pair.server.take(), [prohibited(6)]);
}

#[test]
fn a_cancelled_forward_gets_no_more_channels() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let open = open_inbound(&mut pair, &forwarded(1), forward);
    let waiting = open_inbound(&mut pair, &forwarded(2), forward);
    pair.client.accept(open);
    pair.client.cancel_forward(forward);
    pair.run();
    pair.server.take();
    pair.deliver(&forwarded(3));
    assert_eq!(pair.server.take(), [prohibited(3)], "the server had not received of it");
    pair.deliver(&[REQUEST_SUCCESS]);
    pair.take();
    pair.client.accept(waiting);
    pair.fill(open, b"still here").unwrap();
    pair.run();
    let number = waiting.index() as u32;
    let expected = [confirm(2, number, INITIAL_WINDOW, 32_768), data(1, b"still here")];
    assert_eq!(pair.server.take(), expected);
    pair.deliver(&forwarded(4));
    assert_eq!(pair.server.take(), [prohibited(4)]);
}

#[test]
fn pending_inbound_channels_are_bounded() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let mut channels = Vec::new();
    for remote in 0..1024 {
        channels.push(open_inbound(&mut pair, &forwarded(remote), forward));
    }
    let full = |remote| refuse(remote, 4, b"resource shortage");
    pair.deliver(&forwarded(5000));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![full(5000)]));
    pair.client.accept(channels[7]);
    pair.client.reject(channels[9], OpenFailure::ConnectFailed);
    open_inbound(&mut pair, &forwarded(5001), forward);
    open_inbound(&mut pair, &forwarded(5002), forward);
    pair.server.take();
    pair.deliver(&forwarded(5003));
    assert_eq!(pair.server.take(), [full(5003)]);
    // Pending channels take no window: a channel of ours gets its full one.
    pair.open_another(1, 1000, 1000);
}

#[test]
fn invalid_messages_about_inbound_channels_end_the_session() {
    let breaks = |message: &[u8]| {
        let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
        let channel = open_inbound(&mut pair, &forwarded(5), forward);
        assert_eq!(channel.index(), 0);
        pair.deliver(message);
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
    let address = [Text(b"localhost"), Number(8080), Text(b"::1"), Number(1)];
    let open = |parts: &[_]| build(CHANNEL_OPEN, &[&[name], parts].concat());
    breaks(&open(&[&[Number(6), Number(1), Number(0)], &address[..]].concat()));
    breaks(&open(&[&[Number(6), Number(1), Number(1)], &address[..3]].concat()));
    breaks(&open(&[Number(6)]));
}

#[test]
fn the_originator_is_printable() {
    let (mut pair, [forward]) = listening([tcp("localhost", 8080)]);
    let open = |who: &[u8], port| {
        let address = [Text(b"localhost"), Number(8080), Text(who), Number(port)];
        let sizes = [Text(b"forwarded-tcpip"), Number(6), Number(1), Number(1)];
        build(CHANNEL_OPEN, &[sizes, address].concat())
    };
    pair.deliver(&open(b"\x1b[2Jme\xff", 65_536));
    let (_, of, who, port) = take_inbound(&mut pair);
    assert_eq!((of, who.as_str(), port), (forward, "?[2Jme\u{fffd}", 0));
    pair.deliver(&open(&[b'x'; 30_000], 1));
    let (.., who, port) = take_inbound(&mut pair);
    assert!(who.len() < 1000 && port == 1);
}
