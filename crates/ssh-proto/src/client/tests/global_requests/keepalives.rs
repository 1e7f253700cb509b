//! Servers that reply to keepalives, ignore them or reply late.

use super::*;

/// The failure was the reply to the keepalive before.
#[test]
fn a_success_after_a_failure_is_cancelled() {
    let mut pair = connected(false);
    let a = request(&mut pair, "a");
    wait(&mut pair, REPLY_TIMEOUT / 4);
    assert!(
        pair.server.take().contains(&listen_request("a", 0)),
        "keepalives are not answered, it seems"
    );
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [failed(a, RequestError::Denied)]);
    pair.deliver(&granted(5001));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![cancel_without_reply("a", 5001)]));
    assert_eq!(opens_channel(&mut pair, "a", 5001), None);

    // Likewise where the reply has no port.
    let fixed = || ListenAddr::Tcp { host: "b".into(), port: 80 };
    let b = pair.client.request_forward(fixed());
    pair.run();
    pair.deliver(&[REQUEST_FAILURE]);
    pair.server.take();
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [failed(b, RequestError::Denied)]);
    assert_eq!(pair.server.take(), [cancel_without_reply("b", 80)]);
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.server.take(), Vec::<Vec<u8>>::new(), "once is enough");

    // A forward that was granted since, and a request that awaits its reply, are not affected.
    let b = pair.client.request_forward(fixed());
    pair.run();
    pair.deliver(&[REQUEST_FAILURE]);
    let c = pair.client.request_forward(fixed());
    pair.run();
    pair.server.take();
    pair.deliver(&[REQUEST_SUCCESS]);
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [failed(b, RequestError::Denied), listens(c, 80)]);
    assert_eq!(pair.server.take(), Vec::<Vec<u8>>::new());
    assert_eq!(opens_channel(&mut pair, "b", 80), Some(c));
}

/// The server is known to ignore keepalives after a while, and replies are for other requests then.
#[test]
fn replies_match_although_keepalives_are_ignored() {
    let mut pair = connected(false);
    for round in 1..4 {
        let (a, b) = (request(&mut pair, "a"), request(&mut pair, "b"));
        if round == 1 {
            assert!(!pair.server.take().contains(&listen_request("a", 0)), "in doubt it waits");
            wait(&mut pair, REPLY_TIMEOUT / 4);
        }
        assert!(pair.server.take().contains(&listen_request("a", 0)));
        pair.deliver(&granted(1000 + round));
        pair.deliver(&[REQUEST_FAILURE]);
        let seen = [listens(a, 1000 + round as u16), failed(b, RequestError::Denied)];
        assert_eq!(pair.take(), seen);
        // A keepalive is sent while others await their replies too.
        wait(&mut pair, Duration::from_secs(21));
        let c = request(&mut pair, "c");
        wait(&mut pair, REPLY_TIMEOUT / 2);
        pair.server.take();
        pair.deliver(&granted(2000 + round));
        assert_eq!(pair.take(), [listens(c, 2000 + round as u16)]);
        assert_eq!(pair.error, None);
    }
}

/// A long timeout of forwards does not make them wait for a keepalive as long.
#[test]
fn the_first_keepalive_delays_requests_briefly() {
    let mut setup = setup();
    setup.reply_timeout = Duration::from_secs(3600);
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.take();
    let a = request(&mut pair, "a");
    assert!(!pair.server.take().contains(&listen_request("a", 0)));
    wait(&mut pair, Duration::from_secs(5));
    assert!(pair.server.take().contains(&listen_request("a", 0)));
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}

/// One keepalive without a reply is enough.
#[test]
fn frequent_keepalives_do_not_delay_requests() {
    let mut setup = setup();
    setup.keepalive = Some(crate::Keepalive { interval: REPLY_TIMEOUT / 10, count_max: 1000 });
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.take();
    wait(&mut pair, REPLY_TIMEOUT / 8);
    let a = request(&mut pair, "a");
    assert!(!pair.server.take().contains(&listen_request("a", 0)));
    wait(&mut pair, REPLY_TIMEOUT / 8);
    assert!(pair.server.take().contains(&listen_request("a", 0)));
    wait(&mut pair, REPLY_TIMEOUT / 8);
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [failed(a, RequestError::Denied)]);
}

/// The client waits for a server that replies to keepalives, and the order of replies counts.
#[test]
fn replies_match_although_keepalives_are_answered_late() {
    let mut pair = connected(true);
    wait(&mut pair, Duration::from_secs(10));
    assert_eq!(pair.server.take(), [keepalive()]);
    let a = request(&mut pair, "a");
    assert_eq!(pair.server.take(), [listen_request("a", 0)]);
    wait(&mut pair, REPLY_TIMEOUT / 2);
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [], "the answer to the keepalive");
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}
