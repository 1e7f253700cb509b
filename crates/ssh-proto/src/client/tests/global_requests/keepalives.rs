//! Servers that reply to keepalives, ignore them or reply late.

use super::*;

/// The failure was the reply to the keepalive before.
#[test]
fn a_success_after_a_failure_is_cancelled() {
    let mut pair = connected(false);
    let a = ask(&mut pair, "a");
    wait(&mut pair, PATIENCE / 4);
    assert!(pair.server.take().contains(&asks("a", 0)), "keepalives are not answered, it seems");
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [refused(a, RequestError::Denied)]);
    pair.say(&granted(5001));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![stops_unasked("a", 5001)]));
    assert_eq!(connects(&mut pair, "a", 5001), None);

    // Likewise where the reply has no port.
    let fixed = || ListenAddr::Tcp { host: "b".into(), port: 80 };
    let b = pair.client.request_forward(fixed());
    pair.run();
    pair.say(&[REQUEST_FAILURE]);
    pair.server.take();
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [refused(b, RequestError::Denied)]);
    assert_eq!(pair.server.take(), [stops_unasked("b", 80)]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.server.take(), Vec::<Vec<u8>>::new(), "once is enough");

    // A forward that was granted since, and a request that awaits its reply, are not affected.
    let b = pair.client.request_forward(fixed());
    pair.run();
    pair.say(&[REQUEST_FAILURE]);
    let c = pair.client.request_forward(fixed());
    pair.run();
    pair.server.take();
    pair.say(&[REQUEST_SUCCESS]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [refused(b, RequestError::Denied), listens(c, 80)]);
    assert_eq!(pair.server.take(), Vec::<Vec<u8>>::new());
    assert_eq!(connects(&mut pair, "b", 80), Some(c));
}

/// The server is known to ignore keepalives after a while, and replies are for other requests then.
#[test]
fn replies_match_although_keepalives_are_ignored() {
    let mut pair = connected(false);
    for round in 1..4 {
        let (a, b) = (ask(&mut pair, "a"), ask(&mut pair, "b"));
        if round == 1 {
            assert!(!pair.server.take().contains(&asks("a", 0)), "in doubt it waits");
            wait(&mut pair, PATIENCE / 4);
        }
        assert!(pair.server.take().contains(&asks("a", 0)));
        pair.say(&granted(1000 + round));
        pair.say(&[REQUEST_FAILURE]);
        let seen = [listens(a, 1000 + round as u16), refused(b, RequestError::Denied)];
        assert_eq!(pair.take(), seen);
        // A keepalive is sent while others await their replies too.
        wait(&mut pair, Duration::from_secs(21));
        let c = ask(&mut pair, "c");
        wait(&mut pair, PATIENCE / 2);
        pair.server.take();
        pair.say(&granted(2000 + round));
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
    let a = ask(&mut pair, "a");
    assert!(!pair.server.take().contains(&asks("a", 0)));
    wait(&mut pair, Duration::from_secs(5));
    assert!(pair.server.take().contains(&asks("a", 0)));
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}

/// One keepalive without a reply is enough.
#[test]
fn frequent_keepalives_do_not_delay_requests() {
    let mut setup = setup();
    setup.keepalive = Some(crate::Keepalive { interval: PATIENCE / 10, count_max: 1000 });
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.take();
    wait(&mut pair, PATIENCE / 8);
    let a = ask(&mut pair, "a");
    assert!(!pair.server.take().contains(&asks("a", 0)));
    wait(&mut pair, PATIENCE / 8);
    assert!(pair.server.take().contains(&asks("a", 0)));
    wait(&mut pair, PATIENCE / 8);
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [refused(a, RequestError::Denied)]);
}

/// The client waits for a server that replies to keepalives, and the order of replies counts.
#[test]
fn replies_match_although_keepalives_are_answered_late() {
    let mut pair = connected(true);
    wait(&mut pair, Duration::from_secs(10));
    assert_eq!(pair.server.take(), [keepalive()]);
    let a = ask(&mut pair, "a");
    assert_eq!(pair.server.take(), [asks("a", 0)]);
    wait(&mut pair, PATIENCE / 2);
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [], "the answer to the keepalive");
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}
