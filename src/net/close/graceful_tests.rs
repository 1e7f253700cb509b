//! Graceful closes of sockets whose kernel has everything, and the time that a close takes.

use std::future::{pending, poll_fn};
use std::net::Shutdown;
use std::pin::pin;
use std::time::Instant;

use socket2::SockRef;

use super::tests::{
    expect_fin, expect_reset, fill, pair, reset_by_peer, send, until, write_buffer,
};
use super::*;
use crate::net::sys;
use crate::runtime;

#[test]
fn acknowledged_means_no_unsent_byte_and_no_error() {
    runtime::handle().block_on(async {
        let (socket, peer) = pair().await;
        let stream = Stream::from(socket);
        assert!(is_acknowledged(&stream));
        let Stream::Tcp(socket) = &stream else { unreachable!("it is of TCP") };
        fill(socket).await;
        assert!(!is_acknowledged(&stream));
        reset_by_peer(peer);
        stream.readable().await.expect("an event");
        assert!(!is_acknowledged(&stream));
    });
}

#[test]
fn a_graceful_close_tells_what_is_not_acknowledged() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let queued = fill(&stream).await;
        let mut closing = GracefulClose::begin(stream).expect("alive");
        assert!(!closing.is_delivered());
        let arrived = || sys::unread(&SockRef::from(&peer)).expect("alive") as u64;
        until(|| arrived() + closing.unacknowledged() == queued as u64).await;
        assert!(closing.unacknowledged() > 0, "the kernels do not hold everything");
        let (delivered, ()) = tokio::join!(closing.delivered(), expect_fin(&peer, 0, queued));
        delivered.expect("the peer has everything");
        assert!(closing.is_delivered());
        assert_eq!(closing.unacknowledged(), 0);
    });
}

#[test]
fn a_graceful_close_discards_input_and_ends_with_the_peer() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let queued = fill(&stream).await;
        let closing = GracefulClose::begin(stream).expect("alive");
        let closing = tokio::spawn(closing.close());
        send(&peer, &[9; 100_000]).await.expect("there is room");
        expect_fin(&peer, 0, queued).await;
        // The input was read, so the close is no reset, and waits for the peer's FIN.
        assert!(!closing.is_finished());
        SockRef::from(&peer).shutdown(Shutdown::Write).expect("alive");
        closing.await.expect("no panic");
        assert!(SockRef::from(&peer).take_error().expect("alive").is_none());
    });
}

#[test]
fn a_graceful_close_can_become_a_reset() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let queued = fill(&stream).await;
        GracefulClose::begin(stream).expect("alive").reset();
        assert!(expect_reset(&peer).await < queued);
    });
}

#[test]
fn a_graceful_close_begins_on_a_connection_that_both_have_ended_and_not_on_one_that_was_reset() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
        expect_fin(&peer, 0, 0).await;
        drop(peer);
        expect_fin(&stream, 0, 0).await;
        let mut closing = GracefulClose::begin(stream).expect("nothing is missing");
        assert!(closing.is_delivered());

        let (stream, peer) = pair().await;
        fill(&stream).await;
        reset_by_peer(peer);
        stream.readable().await.expect("an event");
        assert!(GracefulClose::begin(stream).is_err());
    });
}

#[test]
fn a_cut_stream_is_reset_after_a_delay() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let begun = Instant::now();
        close_unlimited(stream, WriteBuffer::default(), CloseMode::Reset, pending()).await;
        // It does not wait for the peer's FIN.
        assert!((RESET_DELAY..PEER_FIN_TIMEOUT).contains(&begun.elapsed()));
        assert_eq!(expect_reset(&peer).await, 0);
    });
}

#[test]
fn a_peer_that_has_finished_is_not_waited_for() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        SockRef::from(&peer).shutdown(Shutdown::Write).expect("alive");
        let begun = Instant::now();
        close_unlimited(stream, WriteBuffer::default(), CloseMode::Fin, pending()).await;
        assert!(begun.elapsed() < PEER_FIN_TIMEOUT);
    });
}

#[test]
fn a_peer_that_keeps_its_direction_open_is_waited_for_two_seconds() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let begun = Instant::now();
        let mut closing =
            pin!(close_unlimited(stream, write_buffer(0..10), CloseMode::Fin, pending()));
        let mut polls = 0;
        let outcome = poll_fn(|cx| {
            polls += 1;
            closing.as_mut().poll(cx)
        });
        let outcome = outcome.await;
        assert!(begun.elapsed() >= PEER_FIN_TIMEOUT);
        assert!(polls < 200, "the interval grows: {polls}");
        assert_eq!((outcome.ended, outcome.peer_finished), (CloseOutcome::Fin, false));
        expect_fin(&peer, 0, 10).await;
        assert!(peer.take_error().expect("alive").is_none(), "the FIN was no reset");
    });
}

#[test]
fn a_peer_that_resets_after_its_fin_is_noticed() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        SockRef::from(&peer).shutdown(Shutdown::Write).expect("alive");
        fill(&stream).await;
        let mut closing = GracefulClose::begin(stream).expect("alive");
        assert!(!closing.is_delivered(), "the peer has not read, and its FIN was");
        reset_by_peer(peer);
        closing.delivered().await.expect_err("the rest was not delivered");
    });
}
