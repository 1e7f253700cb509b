//! Forwards that have something to do, and the others, which cost nothing.

use std::future::poll_fn;

use ssh_proto::{ForwardEvent, RequestError};
use tokio::net::TcpStream;

use super::*;
use crate::net::rate::MaxRate;
use crate::runtime;
use crate::tunnel::forward::remote::ForwardRequest;
use crate::tunnel::{Endpoint, Settings};

const SECOND: Duration = Duration::from_secs(1);

fn endpoint(port: u16) -> Endpoint {
    Endpoint::Tcp { host: "127.0.0.1".into(), port }
}

fn forwards() -> Forwards {
    Forwards::new(
        Arc::new(Shared::new(Settings::default(), MaxRate::default())),
        false,
        20 * SECOND,
    )
}

fn start(forwards: &mut Forwards, id: i64, spec: ForwardSpec) {
    let (reply, _) = oneshot();
    forwards.start(id, spec.into(), reply);
}

fn oneshot() -> (Reply<ForwardInfo>, crate::tunnel::Pending<ForwardInfo>) {
    crate::tunnel::Pending::new()
}

/// Forwards 1 to 3, bound, with listeners that have no connection.
fn bound() -> Forwards {
    let mut forwards = forwards();
    for id in 1..=3 {
        start(&mut forwards, id, ForwardSpec::Local { listen: endpoint(0), target: endpoint(1) });
        assert!(forwards.poll_bound().is_none(), "there is no session");
        forwards.begin(id);
        assert!(forwards.poll_bound().is_some_and(|outcome| outcome.is_ok_and(|it| it.id == id)));
        assert!(forwards.poll_bound().is_none());
    }
    assert_eq!(accepting(&forwards), [1, 2, 3], "each is to be polled once");
    for id in 1..=3 {
        assert!(is_pending(&mut forwards, id));
    }
    assert!(!forwards.may_accept());
    forwards
}

fn accepting(forwards: &Forwards) -> Vec<i64> {
    let ids =
        std::iter::successors(forwards.next_accepting(0), |id| forwards.next_accepting(id + 1));
    ids.collect()
}

fn is_pending(forwards: &mut Forwards, id: i64) -> bool {
    forwards.poll_accept(id, Instant::now(), true).is_pending()
}

/// Connects to a forward.
async fn connect(forwards: &Forwards, id: i64) -> TcpStream {
    let Some(Endpoint::Tcp { host, port }) = forwards.listen_address(id) else {
        panic!("it is bound")
    };
    TcpStream::connect((&*host, port)).await.expect("it listens")
}

/// Waits until a listener is ready.
async fn ready(forwards: &mut Forwards) {
    let is_ready = |cx: &mut Context<'_>| {
        forwards.wake(cx, Instant::now());
        if forwards.may_accept() { Poll::Ready(()) } else { Poll::Pending }
    };
    poll_fn(is_ready).await;
}

#[test]
fn only_a_listener_that_became_ready_is_polled() {
    runtime::handle().block_on(async {
        let mut forwards = bound();
        for id in [2, 1, 2] {
            let _peer = connect(&forwards, id).await;
            ready(&mut forwards).await;
            assert_eq!(accepting(&forwards), [id]);
            let accepted = forwards.poll_accept(id, Instant::now(), true);
            assert!(matches!(accepted, Poll::Ready(Ok((ForwardSpec::Local { .. }, _)))));
            assert_eq!(accepting(&forwards), [id], "there may be another one");
            assert!(is_pending(&mut forwards, id) && !forwards.may_accept());
        }
    });
}

#[test]
fn a_full_forward_is_polled_when_one_of_its_connections_has_ended() {
    runtime::handle().block_on(async {
        let mut forwards = bound();
        let _peer = connect(&forwards, 2).await;
        ready(&mut forwards).await;
        forwards.set_full(2);
        assert!(!forwards.may_accept());
        forwards.connection_ended(1);
        forwards.connection_ended(7);
        assert!(!forwards.may_accept());
        forwards.connection_ended(2);
        assert_eq!(accepting(&forwards), [2]);
        assert!(!is_pending(&mut forwards, 2));
        assert!(is_pending(&mut forwards, 2));
        forwards.connection_ended(2);
        assert!(!forwards.may_accept(), "it was not full");
    });
}

#[test]
fn a_paused_listener_is_polled_when_its_pause_is_over() {
    runtime::handle().block_on(async {
        let mut forwards = bound();
        let (now, cx) = (Instant::now(), Context::from_waker(Waker::noop()));
        let _peer = connect(&forwards, 3).await;
        ready(&mut forwards).await;
        let forward = forwards.table.get_mut(&3).expect("it is there");
        let State::Bound(listener) = &mut forward.state else { panic!("it is bound") };
        listener.pause(now + SECOND);
        assert!(forwards.poll_accept(3, now, true).is_pending() && !forwards.may_accept());
        assert_eq!(forwards.paused_until(), Some(now + SECOND));
        forwards.wake(&cx, now + SECOND / 2);
        assert!(!forwards.may_accept());
        forwards.wake(&cx, now + SECOND);
        assert_eq!((accepting(&forwards), forwards.paused_until()), (vec![3], None));
        assert!(forwards.poll_accept(3, now + SECOND, true).is_ready());
    });
}

#[test]
fn a_removed_forward_leaves_nothing() {
    runtime::handle().block_on(async {
        let mut forwards = bound();
        let now = Instant::now();
        let _peer = connect(&forwards, 1).await;
        ready(&mut forwards).await;
        forwards.paused.set(
            2,
            &mut forwards.table.get_mut(&2).expect("it is there").due,
            Some(now),
        );
        start(
            &mut forwards,
            4,
            ForwardSpec::Remote { listen: endpoint(4), target: endpoint(1).into() },
        );
        start(&mut forwards, 5, ForwardSpec::Local { listen: endpoint(0), target: endpoint(1) });
        forwards.begin(5);
        forwards.clear(&Error::Closed);
        assert_eq!(forwards.take_removed(), [1, 2, 3, 4, 5]);
        assert!(!forwards.may_accept() && forwards.poll_bound().is_none());
        assert!(forwards.paused_until().is_none() && forwards.requests(1, now).is_empty());
        assert!(forwards.take_removed().is_empty());
    });
}

#[test]
fn a_remote_forward_is_requested_once_on_each_session_and_after_a_refusal() {
    let mut forwards = forwards();
    let now = Instant::now();
    let ids = |requests: Vec<ForwardRequest>| -> Vec<i64> {
        let id = |request: &_| match request {
            ForwardRequest::Listen(id, _) => *id,
            ForwardRequest::Cancel(_) | ForwardRequest::Reject(..) => panic!("none is cancelled"),
        };
        requests.iter().map(id).collect()
    };
    for id in [2, 1, 3] {
        let listen = endpoint(id as u16);
        start(&mut forwards, id, ForwardSpec::Remote { listen, target: endpoint(1).into() });
    }
    assert_eq!(ids(forwards.requests(1, now)), [1, 2, 3]);
    assert!(forwards.requests(1, now).is_empty());
    for id in 1..=3 {
        forwards.server_event(1, id, ForwardEvent::Listening { port: id as u16 }, now);
    }
    forwards.session_lost(1, &crate::session::Error::no_session(), false);
    assert!(forwards.stop(3, None).is_none(), "nothing was requested");
    assert_eq!(ids(forwards.requests(2, now)), [1, 2]);

    // The server frees the port a little later.
    assert_eq!(forwards.refused_until(), None);
    let refused = forwards.server_event(2, 1, ForwardEvent::Failed(RequestError::Denied), now);
    assert!(matches!(refused, Some(Effect::RequestAgain)));
    let due = forwards.refused_until().expect("it is requested again");
    assert!(due > now && forwards.requests(2, now).is_empty());
    assert_eq!(ids(forwards.requests(2, due)), [1]);
    assert_eq!(forwards.refused_until(), None);
}
