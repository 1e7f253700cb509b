use std::time::Duration;

use super::*;

/// Requests and cancels a forward of a port of this host; the server goes on listening. `number` is
/// that of the first request.
fn orphan(forwards: &mut RemoteForwards, requests: &mut GlobalRequests, host: &str, number: u64) {
    let address = ListenAddr::Tcp { host: host.into(), port: 80 };
    let (id, event) = forwards.request(address, requests);
    assert_eq!(event, None);
    let replied = forwards.replied(number, Ok(Reader::new(&[])), requests);
    assert_eq!(replied, Some((id, ForwardEvent::Listening { port: 80 })));
    forwards.cancel(id, requests);
    let replied = forwards.replied(number + 1, Err(RequestError::Denied), requests);
    assert_eq!(replied, Some((id, ForwardEvent::Cancelled(Err(RequestError::Denied)))));
}

#[test]
fn orphans_are_kept_once_for_each_address() {
    let mut requests = GlobalRequests::new(Duration::from_secs(8));
    let mut forwards = RemoteForwards::default();
    for (host, number, kept) in [("a", 1, 1), ("b", 3, 2), ("a", 5, 2)] {
        orphan(&mut forwards, &mut requests, host, number);
        assert_eq!(forwards.list.len(), kept, "{host}");
        assert_eq!(forwards.by_port(host.as_bytes(), 80, &[]), None);
    }
}
