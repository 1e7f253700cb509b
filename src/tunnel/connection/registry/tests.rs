use std::future::poll_fn;
use std::time::Duration;

use tokio::net::TcpListener;

use super::*;
use crate::net::linger::Linger;
use crate::runtime;
use crate::runtime::cutoff::Limit;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::meta::tests::pending;
use crate::tunnel::connection::phase::{Flow, LingerTime, Phase};
use crate::tunnel::connection::relay::tests::{client, relay};
use crate::tunnel::connection::report::Report;
use crate::tunnel::stats::Bytes;

const SECOND: Duration = Duration::from_secs(1);

/// Three connections with a channel, numbered from 1, that are being drained. Each has one second more of linger
/// time than the one before.
fn draining() -> Registry {
    let mut client = client();
    let mut registry = Registry::default();
    runtime::handle().block_on(async {
        for id in 1..=3 {
            let (relay, _) = relay(&mut client).await;
            let (mut pending, _) = pending(id).await;
            pending.meta.settings.linger = Linger { onoff: 1, linger: id as u16 };
            registry.insert(pending.meta, State::Draining(relay, Cause::Idle), None);
        }
    });
    registry
}

/// A connection with this number that waits for a session.
fn add_waiting(registry: &mut Registry, id: u64, due: Instant) {
    let (pending, _) = runtime::handle().block_on(pending(id));
    registry.insert(pending.meta, State::AwaitingSession(pending.stream), Some(due));
}

#[test]
fn connections_are_found_by_number_and_by_channel() {
    let mut registry = draining();
    add_waiting(&mut registry, 9, Instant::now());
    let index =
        |registry: &Registry, id| Some(registry.get(id)?.state.relay()?.pump.channel.index());
    let second = index(&registry, 2).expect("it has a channel");
    assert_eq!(registry.id_at(second), Some(2));
    assert_eq!(registry.at(second).map(|it| it.meta.id), Some(2));
    assert!(registry.with_waker(second).is_some());
    let channel = registry.get(2).and_then(|it| it.state.relay()).map(|relay| relay.pump.channel);
    let found = registry.relay(channel.expect("it has a channel")).map(|relay| relay.pump.channel);
    assert_eq!(found, channel);
    assert_eq!((registry.waiting(), registry.with_channel()), (1, 3));
    assert!(registry.awaits_session() && !registry.is_empty());
    assert!(!draining().awaits_session(), "they have a channel");

    assert_eq!(registry.remove(2).expect("it is there").meta.id, 2);
    assert!(registry.get(2).is_none() && registry.id_at(second).is_none());
    assert!(registry.at(second).is_none() && registry.with_waker(second).is_none());
    assert_eq!(registry.ids(|_| true), [1, 3, 9]);
    assert_eq!(registry.infos().len(), 3);
    assert_eq!(registry.live().len(), 2, "one has no channel");

    // A slot is used again, and belongs to the new connection alone.
    add_waiting(&mut registry, 10, Instant::now());
    assert_eq!(registry.slots.len(), 4);
    assert_eq!(registry.get(10).map(|it| it.meta.id), Some(10));
    assert_eq!(registry.drain().count(), 4);
    assert!(registry.is_empty() && registry.next_due().is_none());
    assert_eq!(registry.counts, Counts::default());
}

#[test]
fn a_connection_that_goes_on_keeps_its_place_and_its_deadline() {
    let mut registry = draining();
    let now = Instant::now();
    registry.start_linger(1, now);
    let flow = Flow::OPEN;
    registry.change(1, |state| state.enter(Phase::PassingOn(flow), Cause::Completed));
    let connection = registry.get(1).expect("it is there");
    assert_eq!(connection.state.phase(), Phase::PassingOn(flow));
    assert_eq!(connection.due(), Some(now + SECOND));
    assert_eq!(registry.with_channel(), 3);
}

#[test]
fn a_deferred_dial_keeps_no_shutdown_waiting() {
    let mut registry = Registry::default();
    let (pending, _client) = runtime::handle().block_on(pending(1));
    registry.insert(pending.meta, State::Deferred(pending.stream), None);
    assert!(registry.is_empty() && registry.infos().is_empty() && registry.live().is_empty());
    assert_eq!(registry.waiting(), 0);
    assert!(registry.remove(1).is_some() && registry.is_empty());
}

#[test]
fn after_a_pause_every_deadline_has_its_full_time_again() {
    let mut registry = draining();
    let now = Instant::now();
    registry.start_linger(1, now);
    registry.start_linger(2, now);
    add_waiting(&mut registry, 9, now);
    let later = now + 60 * SECOND;
    registry.resumed(later, 20 * SECOND);
    assert_eq!(registry.next_due(), Some(later + SECOND));
    assert_eq!(registry.take_overdue(later), None);
    assert_eq!(registry.take_overdue(later + SECOND), Some(Expiry::State(1)));
    assert_eq!(registry.take_overdue(later + SECOND), None);
    assert_eq!(registry.take_overdue(later + 2 * SECOND), Some(Expiry::State(2)));
    assert_eq!(registry.take_overdue(later + 19 * SECOND), None);
    assert_eq!(registry.take_overdue(later + 20 * SECOND), Some(Expiry::State(9)));
    let active = |it: &Connection| it.state.relay().is_none_or(|relay| relay.pump.active == later);
    assert!(registry.iter().all(active));
}

#[test]
fn deadlines_expire_in_order_once_and_not_for_connections_that_ended() {
    let mut registry = draining();
    let now = Instant::now();
    for id in [3, 2, 1] {
        registry.start_linger(id, now);
    }
    assert_eq!(registry.next_due(), Some(now + SECOND));
    assert_eq!(registry.take_overdue(now + SECOND / 2), None);
    // A second start does not prolong the time.
    registry.start_linger(1, now + SECOND);
    assert_eq!(registry.next_due(), Some(now + SECOND));

    // A restart counts from then on, by the Linger of that moment.
    for (linger, deadlines) in [(Linger { onoff: 1, linger: 9 }, 3), (Linger::GRACEFUL, 2)] {
        registry.get_mut(1).expect("it is there").meta.settings.linger = linger;
        registry.restart_linger(1, now);
        assert_eq!(registry.deadlines.len(), deadlines);
    }
    registry.set_due(1, Some(now + SECOND));

    registry.remove(2);
    let late = now + 4 * SECOND;
    assert_eq!(registry.take_overdue(late), Some(Expiry::State(1)));
    assert_eq!(registry.take_overdue(late), Some(Expiry::State(3)));
    assert_eq!(registry.take_overdue(late), None);
    assert_eq!(registry.next_due(), None);
}

#[test]
fn a_connection_is_idle_when_no_byte_has_moved_for_its_time_since_it_was_open() {
    let mut registry = draining();
    let now = Instant::now();
    let late = now + 64 * SECOND;
    registry.watch_idle(3, now);
    assert_eq!(registry.next_due(), None, "it has no limit");
    for id in [1, 2] {
        let limit = Some(16 * id as u32 * SECOND);
        registry.get_mut(id).expect("it is there").meta.settings.idle_timeout = limit;
        registry.watch_idle(id, now);
    }
    assert_eq!(registry.next_due(), Some(now + 16 * SECOND));
    assert_eq!(registry.take_overdue(now + 15 * SECOND), None);
    assert_eq!(registry.take_overdue(now + 16 * SECOND), Some(Expiry::Idle(1)));
    // Connections that are being closed are not idle, and are not looked at again.
    assert!(!registry.is_idle(1, None, late));
    assert_eq!(registry.next_due(), Some(now + 32 * SECOND));
    assert!(registry.remove(2).is_some());
    assert_eq!(registry.next_due(), None, "it has ended");

    let mut connection = registry.remove(1).expect("it is there");
    let State::Draining(mut relay, _) = connection.state else { panic!("draining") };
    relay.pump.active = now;
    connection.state = State::Open(relay);
    registry.insert(connection.meta, connection.state, None);
    registry.watch_idle(1, now);
    // Bytes have moved meanwhile, and shortly before: the next look is not at once.
    for (moved, look) in [(2 * SECOND, 18 * SECOND), (SECOND, 17 * SECOND + SECOND / 2)] {
        let relay = registry.get_mut(1).and_then(|it| it.state.relay_mut()).expect("it is open");
        relay.pump.active = now + moved;
        assert!(!registry.is_idle(1, None, now + 16 * SECOND + SECOND / 2));
        assert_eq!(registry.next_due(), Some(now + look));
    }
    assert_eq!(registry.take_overdue(late), Some(Expiry::Idle(1)));
    assert!(registry.is_idle(1, None, late));
}

#[test]
fn a_channel_is_listed_each_time_that_its_socket_becomes_ready() {
    let mut registry = draining();
    let index = registry.get(2).and_then(|it| it.state.relay()).expect("it has a channel");
    let index = index.pump.channel.index();
    let cx = &Context::from_waker(Waker::noop());
    let mut ready = Vec::new();
    for _ in 0..2 {
        registry.with_waker(index).expect("it has a channel").1.wake_by_ref();
        registry.take_ready(&mut ready, cx);
        assert_eq!(std::mem::take(&mut ready), [index]);
    }
    registry.take_ready(&mut ready, cx);
    assert!(ready.is_empty());
}

#[test]
fn the_tasks_of_connections_come_back_with_their_numbers_and_results() {
    runtime::handle().block_on(async {
        let mut registry = Registry::default();
        let due = Instant::now() + SECOND;
        // The end of the stream is no SOCKS request.
        let (socks, socks_client) = pending(1).await;
        drop(socks_client);
        registry.start_handshake(socks.meta, socks.stream, None, due);
        // A target that listens.
        let (inbound, _client) = pending(2).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let port = listener.local_addr().expect("address").port();
        let target = Endpoint::Tcp { host: "127.0.0.1".into(), port };
        let channel = InboundChannel {
            session: 3,
            channel: client().open_direct_tcpip("host", 80, "127.0.0.1", 4000),
        };
        registry.start_target(inbound.meta, channel, target, due);
        // A socket that is closed at once.
        let (closing, _client) = pending(3).await;
        let report = Report::unopened(&closing.meta, Cause::Idle);
        let state = Closing::new(report, 0, Bytes::default(), Some(Limit::now()));
        let buffer = WriteBuffer::default();
        registry.start_close(closing.meta, closing.stream, buffer, CloseMode::Reset, state);
        assert_eq!(registry.ids(|it| it.due().is_some()), [1, 2], "a close has its own limit");

        let mut finished = BTreeMap::new();
        while let Some((id, result)) = poll_fn(|cx| registry.poll_finished(cx)).await {
            finished.insert(id, result);
        }
        assert!(matches!(finished[&1], Finished::Handshake(_, Some(Err(_)))));
        assert!(matches!(finished[&2], Finished::Target(Ok(_))));
        assert!(matches!(finished[&3], Finished::Close(_)));
        let phases = [1, 2, 3].map(|id| registry.get(id).expect("it is there").state.phase());
        let closing = Phase::Closing(LingerTime::Over);
        assert_eq!(phases, [Phase::SocksHandshake, Phase::ConnectingTarget, closing]);
    });
}
