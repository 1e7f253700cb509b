//! UNIMPLEMENTED, which refers to a packet.

use super::*;

#[test]
fn unimplemented_fails_the_request_of_its_packet() {
    let mut pair = connected(true);
    let (a, b) = (request(&mut pair, "a"), request(&mut pair, "b"));
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last_number(&pair) - 1)]));
    assert_eq!(pair.take(), [], "it names another message");
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    assert_eq!(pair.take(), [failed(a, RequestError::Unimplemented)]);
    pair.deliver(&granted(5002));
    assert_eq!(pair.take(), [listens(b, 5002)]);
    assert_eq!(opens_channel(&mut pair, "b", 5002), Some(b));

    // Then the second request fails, and then the cancellation.
    let (c, d) = (request(&mut pair, "c"), request(&mut pair, "d"));
    pair.deliver(&granted(5003));
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    assert_eq!(pair.take(), [listens(c, 5003), failed(d, RequestError::Unimplemented)]);
    pair.client.cancel_forward(c);
    pair.run();
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    let kept = ForwardEvent::Cancelled(Err(RequestError::Unimplemented));
    assert_eq!(pair.take(), [Seen::Forward(c, kept)]);
    assert_eq!(opens_channel(&mut pair, "c", 5003), None);
    assert_eq!(pair.error, None);
}

/// tinyssh sends the sequence number of the next message.
#[test]
fn unimplemented_of_tinyssh_refers_to_the_previous_packet() {
    let version = "SSH-2.0-tinyssh_20230101 PQ4Xm7xN";
    let mut pair = Pair::new(setup(), Script { version, ..Script::default() });
    pair.run();
    pair.take();
    let keepalive = last_number(&pair);
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    assert_eq!(last_number(&pair), keepalive + 1);
    pair.deliver(&build(UNIMPLEMENTED, &[Number(keepalive + 1)]));
    assert_eq!(pair.take(), [], "it is not about the channel");
    pair.deliver(&refuse(0, 1, b"no"));
    let refusal = Seen::OpenFailed(channel, OpenFailure::AdministrativelyProhibited, "no".into());
    assert_eq!(pair.take(), [refusal]);
    assert_eq!(pair.error, None);
}

/// Sequence numbers restart with new keys.
#[test]
fn unimplemented_finds_the_request_after_new_keys() {
    for strict in [true, false] {
        let mut pair = Pair::connected(Script { strict, ..Script::default() });
        pair.deliver(&[REQUEST_FAILURE]);
        for _ in 0..2 {
            pair.server.start_kex();
            pair.run();
            pair.take();
            let forward = request(&mut pair, "a");
            let packet = pair.client.outbound.next_number();
            assert_eq!(packet.sequence < 3, strict);
            pair.deliver(&build(UNIMPLEMENTED, &[Number(packet.sequence - 1)]));
            assert_eq!(pair.take(), [failed(forward, RequestError::Unimplemented)]);
        }
    }
}

#[test]
fn an_unimplemented_open_fails() {
    let mut pair = connected(true);
    let open = |pair: &mut Pair| pair.client.open_direct_tcpip("db", 1, "::1", 1);
    let failed = |channel: ChannelId| {
        let words = "the server does not implement it".to_owned();
        Seen::OpenFailed(channel, OpenFailure::UnknownChannelType, words)
    };
    let first = open(&mut pair);
    let second = pair.client.open_direct_streamlocal("/run/db");
    let abandoned = open(&mut pair);
    pair.client.close(abandoned);
    pair.run();
    let last = last_number(&pair);
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last - 1)]));
    assert_eq!(pair.take(), [failed(second)]);
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last)]));
    assert_eq!(pair.take(), [], "nobody waits for it");
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last - 2)]));
    assert_eq!(pair.take(), [failed(first)]);
    assert!(pair.client.is_idle());
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last)]));
    assert_eq!((pair.take(), pair.error.take()), (vec![], None));

    // An open that is held during a key exchange has the number of its later packet.
    pair.server.start_kex();
    pair.feed_client();
    let held = open(&mut pair);
    pair.run();
    assert_eq!(pair.server.take().last().unwrap()[0], CHANNEL_OPEN);
    pair.deliver(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    assert_eq!(pair.take(), [Seen::Rekeyed, failed(held)]);
}
