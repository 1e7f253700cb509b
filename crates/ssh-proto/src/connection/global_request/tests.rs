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
