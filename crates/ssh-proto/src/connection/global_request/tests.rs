use super::*;

const TIMEOUT: Duration = Duration::from_secs(8);

/// Sends the next request, if it may be sent.
fn send(requests: &mut GlobalRequests, now: Instant) -> Option<Vec<u8>> {
    requests.next(Some(now), PacketNumber { epoch: 0, sequence: 7 })
}

#[test]
fn requests_are_settled_once_they_have_replies_or_are_given_up() {
    let now = Instant::now();
    let mut requests = GlobalRequests::new(TIMEOUT);
    assert!(requests.are_settled());
    let first = requests.push(Kind::HostKeys, vec![1]);
    assert!(!requests.are_settled(), "it is queued");
    assert_eq!(send(&mut requests, now), Some(vec![1]));
    assert!(!requests.are_settled(), "it awaits its reply");
    let (replied, left_out) = requests.replied(None, Some(now)).expect("it awaits a reply");
    assert_eq!((replied.number, left_out), (first, vec![]));
    assert!(requests.are_settled());

    requests.push(Kind::HostKeys, vec![2]);
    send(&mut requests, now);
    assert_eq!(requests.expire(now), []);
    assert!(!requests.are_settled());
    assert_eq!(requests.expire(now + TIMEOUT / 4).len(), 1);
    assert!(requests.are_settled());
}

#[test]
fn replies_have_the_form_that_a_request_can_have() {
    let admits = |kind: &Kind, rest: &[u8]| kind.admits(Some(Reader::new(rest)));
    let tcp = |port| ListenAddr::Tcp { host: String::new(), port };
    assert!(Kind::Keepalive.admits(None));
    assert!(admits(&Kind::HostKeys, &[0; 5]) && !admits(&Kind::HostKeys, &[0; 4]));
    for kind in [Kind::Keepalive, Kind::Cancel(tcp(0)), Kind::Listen(ListenAddr::Unix("/s".into()))]
    {
        assert!(admits(&kind, &[]) && !admits(&kind, &[0, 0, 0, 80]), "{kind:?}");
    }
    assert!(admits(&Kind::Listen(tcp(0)), &[0, 0, 0, 80]) && !admits(&Kind::Listen(tcp(0)), &[]));
    assert!(admits(&Kind::Listen(tcp(80)), &[0, 0, 0, 80]) && admits(&Kind::Listen(tcp(80)), &[]));
    assert!(!admits(&Kind::Listen(tcp(80)), &[0, 0, 0, 81]));
}

#[test]
fn keepalives_without_replies_are_bounded() {
    let now = Instant::now();
    let mut requests = GlobalRequests::new(TIMEOUT);
    requests.push_keepalive(now);
    send(&mut requests, now).expect("a keepalive");
    requests.replied(None, Some(now)).expect("it awaits a reply");
    let other = requests.push(Kind::HostKeys, vec![1]);
    send(&mut requests, now).expect("nothing else is sent");
    for count in 1..=MAX_KEEPALIVES + 1 {
        requests.push_keepalive(now);
        send(&mut requests, now).expect("a keepalive");
        assert_eq!(requests.sent.len(), 1 + count.min(MAX_KEEPALIVES));
    }
    assert_eq!(requests.sent[0].number, other);
    assert_eq!(requests.sent[1].number, other + 2, "the oldest keepalive is forgotten");
}

#[test]
fn a_success_is_for_a_denied_request_only_if_no_other_can_have_it() {
    let now = Instant::now();
    let address = ListenAddr::Tcp { host: "a".into(), port: 80 };
    for (keepalives, is_denied) in
        [(Keepalives::Unknown, false), (Keepalives::Answered, false), (Keepalives::Ignored, true)]
    {
        let mut requests = GlobalRequests::new(TIMEOUT);
        requests.push_keepalive(now);
        send(&mut requests, now).expect("a keepalive");
        requests.keepalives = keepalives;
        requests.set_denied(address.clone());
        let taken = requests.take_denied(Reader::new(&[]), Some(now));
        assert_eq!(taken, is_denied.then(|| address.clone()), "{keepalives:?}");
    }
    let mut requests = GlobalRequests::new(TIMEOUT);
    requests.keepalives = Keepalives::Ignored;
    requests.push(Kind::Cancel(address.clone()), vec![1]);
    send(&mut requests, now).expect("nothing else is sent");
    requests.set_denied(address);
    assert_eq!(requests.take_denied(Reader::new(&[]), Some(now)), None);
}

/// Sequence numbers restart with new keys.
#[test]
fn unimplemented_is_for_an_awaited_request_first() {
    let now = Instant::now();
    let mut requests = GlobalRequests::new(TIMEOUT);
    let given_up = requests.push(Kind::HostKeys, vec![1]);
    send(&mut requests, now).expect("the first request");
    requests.expire(now);
    assert_eq!(requests.expire(now + TIMEOUT).len(), 1);
    let awaited = requests.push(Kind::HostKeys, vec![2]);
    send(&mut requests, now).expect("the first is given up");
    for number in [awaited, given_up] {
        assert_eq!(requests.unimplemented(8, None), None);
        assert_eq!(requests.unimplemented(7, None).map(|request| request.number), Some(number));
    }
}

#[test]
fn the_first_keepalive_delays_requests_for_a_part_of_their_time() {
    let now = Instant::now();
    let mut requests = GlobalRequests::new(TIMEOUT);
    requests.push_keepalive(now);
    send(&mut requests, now).expect("a keepalive");
    requests.push(Kind::Listen(ListenAddr::Unix("/s".into())), vec![1]);
    assert_eq!(requests.next_timeout(Some(now), true), Some(now), "its time has to begin");
    assert_eq!(requests.expire(now), []);
    assert_eq!(requests.next_timeout(Some(now), true), Some(now + TIMEOUT / 4));
    assert_eq!(requests.next_timeout(Some(now), false), Some(now + TIMEOUT));
    assert_eq!(send(&mut requests, now), None);
    assert_eq!(send(&mut requests, now + TIMEOUT / 4), Some(vec![1]));
    assert_eq!(requests.next_timeout(Some(now), true), Some(now + TIMEOUT));
}

#[test]
fn addresses_of_requests_without_a_reply_are_unwanted() {
    let now = Instant::now();
    let address = ListenAddr::Unix("/s".into());
    let mut requests = GlobalRequests::new(TIMEOUT);
    requests.push(Kind::Listen(address.clone()), vec![1]);
    send(&mut requests, now).expect("nothing else is sent");
    requests.expire(now);
    assert_eq!(requests.unwanted().count(), 0);
    requests.expire(now + TIMEOUT);
    assert_eq!(requests.unwanted().collect::<Vec<_>>(), [&address]);
}
