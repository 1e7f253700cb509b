use ssh_proto::ChannelId;

use super::*;
use crate::net::close::{CloseOutcome, Outcome};
use crate::net::linger::Linger;
use crate::runtime;
use crate::session::{Down, Up};
use crate::tunnel::connection::meta::tests::pending;
use crate::tunnel::connection::phase::LingerTime;
use crate::tunnel::connection::relay::tests::{client, relay};
use crate::tunnel::connection::report::Report;

/// What is expected of a connection in a state.
struct Expected {
    phase: Phase,
    state: Option<ConnectionState>,
    awaited: Option<&'static str>,
    waits: bool,
    has_relay: bool,
    has_stream: bool,
    is_inbound: bool,
    opened: Option<bool>,
    cause: Option<&'static str>,
}

impl Expected {
    fn new(phase: Phase, state: ConnectionState) -> Self {
        Self {
            phase,
            state: Some(state),
            awaited: None,
            waits: false,
            has_relay: false,
            has_stream: true,
            is_inbound: false,
            opened: None,
            cause: None,
        }
    }
}

async fn inbound() -> (InboundChannel, ChannelId) {
    let channel = client().open_direct_tcpip("host", 80, "127.0.0.1", 4000);
    (InboundChannel { session: 3, channel }, channel)
}

/// A connection in each of its states, and what is expected of it.
async fn states() -> Vec<(State, Expected)> {
    let stream = async || pending(1).await.0.stream;
    let relay = async || relay(&mut client()).await.0;
    let dial = runtime::handle().spawn(std::future::pending::<()>()).abort_handle();
    let (channel, _) = inbound().await;
    let meta = pending(1).await.0.meta;
    let bytes = Bytes { up: 5, down: 6, ..Bytes::default() };
    let report = Report::of(&meta, &relay().await, Cause::Idle);
    let closing = Closing::new(report, 7, bytes, None);
    let (handshake, _) = Handshake::new();
    let new = Expected::new;
    use ConnectionState::{Closing as Ends, Negotiating, Open, Opening, Requested};
    vec![
        (
            State::Deferred(stream().await),
            Expected { state: None, ..new(Phase::Deferred, Opening) },
        ),
        (
            State::SocksHandshake(handshake),
            Expected {
                awaited: Some("complete SOCKS request"),
                waits: true,
                has_stream: false,
                ..new(Phase::SocksHandshake, Negotiating)
            },
        ),
        (
            State::SocksHandshake(Handshake::Aborted(Cause::Idle)),
            Expected { waits: true, has_stream: false, ..new(Phase::SocksAborted, Negotiating) },
        ),
        (
            State::AwaitingApproval(Source::Local(stream().await)),
            Expected {
                awaited: Some("answer to the connection request"),
                waits: true,
                ..new(Phase::AwaitingApproval(Origin::Local), Requested)
            },
        ),
        (
            State::AwaitingApproval(Source::Inbound(channel)),
            Expected {
                awaited: Some("answer to the connection request"),
                has_stream: false,
                is_inbound: true,
                ..new(Phase::AwaitingApproval(Origin::Inbound), Requested)
            },
        ),
        (
            State::AwaitingSession(stream().await),
            Expected {
                awaited: Some("SSH session"),
                waits: true,
                ..new(Phase::AwaitingSession, Opening)
            },
        ),
        (
            State::ConnectingTarget(channel, dial),
            Expected {
                awaited: Some("connection to the target"),
                has_stream: false,
                is_inbound: true,
                ..new(Phase::ConnectingTarget, Opening)
            },
        ),
        (
            State::Negotiating(Relay::negotiating(channel.channel, None, Instant::now())),
            Expected {
                awaited: Some("complete SOCKS request"),
                has_relay: true,
                opened: Some(false),
                ..new(Phase::Negotiating(Flow::OPEN), Negotiating)
            },
        ),
        (
            State::Draining(
                Relay::negotiating(channel.channel, None, Instant::now()),
                Cause::Rejected,
            ),
            Expected {
                has_relay: true,
                opened: Some(false),
                cause: Some("ERR_TUNNEL_REJECTED"),
                ..new(Phase::Draining(Flow::OPEN), Ends)
            },
        ),
        (
            State::Opening(relay().await),
            Expected {
                awaited: Some("answer to the opening of the channel"),
                has_relay: true,
                opened: Some(false),
                ..new(Phase::Opening, Opening)
            },
        ),
        (
            State::Open(relay().await),
            Expected { has_relay: true, opened: Some(true), ..new(Phase::Open(Flow::OPEN), Open) },
        ),
        (
            State::Draining(relay().await, Cause::Idle),
            Expected {
                has_relay: true,
                opened: Some(true),
                cause: Some("ETIMEDOUT"),
                ..new(Phase::Draining(Flow::OPEN), Ends)
            },
        ),
        (
            State::PassingOn(relay().await),
            Expected {
                has_relay: true,
                opened: Some(true),
                cause: Some("ECONNRESET"),
                ..new(Phase::PassingOn(Flow::OPEN), Ends)
            },
        ),
        (
            State::Closing(closing),
            Expected {
                has_stream: false,
                opened: Some(true),
                ..new(Phase::Closing(LingerTime::Unlimited), Ends)
            },
        ),
    ]
}

#[test]
fn each_state_says_what_it_is() {
    runtime::handle().block_on(async {
        for (state, expected) in states().await {
            let meta = pending(9).await.0.meta;
            let mut connection = Connection { meta, state, due: None, idle: None, paced: None };
            let phase = connection.state.phase();
            assert_eq!(phase, expected.phase);
            let info = connection.info();
            assert_eq!(info.as_ref().map(|info| info.state), expected.state, "{phase:?}");
            assert!(info.is_none_or(|info| info.id == 9 && info.linger == Linger::GRACEFUL));
            let live = connection.live().map(|live| (live.id, live.opened));
            assert_eq!(live, expected.opened.map(|opened| (9, opened)), "{phase:?}");
            let state = &mut connection.state;
            assert_eq!(state.awaited(), expected.awaited, "{phase:?}");
            assert_eq!(state.is_waiting(), expected.waits, "{phase:?}");
            assert_eq!(state.is_deferred(), expected.state.is_none(), "{phase:?}");
            assert_eq!(state.relay().is_some(), expected.has_relay, "{phase:?}");
            assert_eq!(state.relay_mut().is_some(), expected.has_relay, "{phase:?}");
            let inbound = state.inbound().map(|channel| channel.session);
            assert_eq!(inbound, expected.is_inbound.then_some(3), "{phase:?}");
            let cause = state.cause().map(|cause| cause.code(false));
            assert_eq!(cause.as_deref(), expected.cause, "{phase:?}");
            assert_eq!(connection.state.into_stream().is_some(), expected.has_stream, "{phase:?}");
        }
    });
}

#[test]
#[cfg_attr(windows, ignore = "asks for counts that wine does not have")]
fn bytes_are_told_while_a_connection_exists() {
    runtime::handle().block_on(async {
        let meta = pending(9).await.0.meta;
        let report = Report::unopened(&meta, Cause::Idle);
        let bytes = Bytes { up: 5, down: 6, ..Bytes::default() };
        let state = State::Closing(Closing::new(report, 7, bytes, None));
        let mut closing =
            Connection { meta: meta.clone(), state, due: None, idle: None, paced: None };
        let info = closing.info().expect("it is listed");
        assert_eq!((info.bytes_up, info.bytes_down), (5, 7));
        let live = closing.live().expect("it is counted");
        assert_eq!((live.opened, live.bytes), (false, bytes));

        let (mut relay, _client) = relay(&mut client()).await;
        (relay.pump.sent, relay.pump.received, relay.pump.dropped) = (10, 30, 4);
        (relay.pump.up, relay.pump.down) = (Up::Ended, Down::Finished);
        let outcome = Outcome {
            ended: CloseOutcome::Fin,
            unsent: 1,
            known: true,
            discarded: 2,
            peer_finished: false,
        };
        let end = Report::of(&meta, &relay, Cause::Completed).end(outcome);
        assert_eq!((end.id, end.bytes_up, end.dropped_up), (9, 10, 2));
        assert_eq!((end.bytes_down, end.dropped_down, end.opened), (25, 5, true));
        let whole = Outcome { unsent: 0, discarded: 0, ..outcome };
        relay.pump.dropped = 0;
        assert!(Report::of(&meta, &relay, Cause::Completed).end(whole).clean, "both ended");
        relay.pump.dropped = 4;
        let mut open =
            Connection { meta, state: State::Open(relay), due: None, idle: None, paced: None };
        let info = open.info().expect("it is listed");
        assert_eq!((info.bytes_up, info.bytes_down), (10, 26));
        let live = open.live().expect("it is counted");
        assert_eq!(live.bytes, Bytes { up: 10, down: 26, dropped_down: 4, ..Bytes::default() });
    });
}

#[test]
fn a_connection_goes_on_with_its_channel_and_its_first_cause() {
    runtime::handle().block_on(async {
        let (relay, _client) = relay(&mut client()).await;
        let ended = Flow { down: Down::Ended, ..Flow::OPEN };
        let idle = || Cause::Idle;
        let state = State::Opening(relay).enter(Phase::Open(Flow::OPEN), idle());
        assert_eq!(state.phase(), Phase::Open(Flow::OPEN));
        let state = state.enter(Phase::Open(ended), idle());
        assert_eq!(state.phase(), Phase::Open(ended));
        let state = state.enter(Phase::Draining(ended), idle());
        let state = state.enter(Phase::Draining(Flow::OPEN), Cause::Completed);
        assert_eq!(state.phase(), Phase::Draining(Flow::OPEN));
        assert_eq!(state.cause().map(|cause| cause.code(false)).as_deref(), Some("ETIMEDOUT"));
        let state = state.enter(Phase::PassingOn(ended), idle());
        assert_eq!(state.phase(), Phase::PassingOn(ended));
    });
}

#[test]
fn an_abandoned_connection_is_reset() {
    use std::io::{ErrorKind, Read};

    let (connection, mut client) = runtime::handle().block_on(async {
        let (pending, client) = pending(1).await;
        let client = client.into_std().expect("a socket");
        client.set_nonblocking(false).expect("a blocking socket");
        let state = State::AwaitingSession(pending.stream);
        (Connection { meta: pending.meta, state, due: None, idle: None, paced: None }, client)
    });
    let _runtime = runtime::handle().enter();
    connection.abandon();
    let error = client.read(&mut [0; 1]).expect_err("no end of stream");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
