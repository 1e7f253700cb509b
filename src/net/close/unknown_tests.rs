//! Closes on a system that does not tell what the peer has acknowledged.

use std::future::pending;
use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::tests::{expect_fin, expect_reset, fill, pair, reset_by_peer, until, write_buffer};
use super::*;
use crate::net::sys::conceal::{Concealed, conceal};
use crate::runtime;

const LENGTHS: [Concealed; 2] = [Concealed::Length, Concealed::All];

/// Bytes that the kernels of both sides hold together.
const SMALL: usize = 50_000;

/// A socket about which something is concealed, and its peer.
async fn concealed(what: Concealed) -> (TcpStream, TcpStream) {
    let (stream, peer) = pair().await;
    conceal(&SockRef::from(&stream), what);
    (stream, peer)
}

#[test]
fn what_nobody_tells_is_not_known() {
    runtime::handle().block_on(async {
        for what in LENGTHS {
            let (stream, peer) = concealed(what).await;
            let queued = fill(&stream).await;
            let outcome = reset(stream, &write_buffer(queued..queued + 7), false);
            assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Reset, 7));
            assert!(!outcome.known);
            assert!(expect_reset(&peer).await < queued);
        }
    });
}

#[test]
fn an_acknowledged_fin_tells_everything() {
    runtime::handle().block_on(async {
        for peer_finishes_first in [false, true] {
            let (stream, peer) = concealed(Concealed::Length).await;
            if peer_finishes_first {
                SockRef::from(&peer).shutdown(Shutdown::Write).expect("alive");
            }
            let closing = tokio::spawn(close_unlimited(
                stream,
                write_buffer(0..SMALL),
                CloseMode::Fin,
                pending(),
            ));
            expect_fin(&peer, 0, SMALL).await;
            drop(peer);
            let outcome = closing.await.expect("no panic");
            assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Fin, 0));
            assert!(outcome.known && outcome.peer_finished);
        }
    });
}

#[test]
fn a_graceful_end_waits_for_that_of_the_peer() {
    runtime::handle().block_on(async {
        for mode in [CloseMode::Fin, CloseMode::FinSent] {
            let (stream, peer) = concealed(Concealed::All).await;
            let queued = fill(&stream).await;
            if mode == CloseMode::FinSent {
                SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
            }
            let closing =
                tokio::spawn(close_unlimited(stream, WriteBuffer::default(), mode, pending()));
            expect_fin(&peer, 0, queued).await;
            // Nothing tells that the peer has read the FIN.
            assert!(!closing.is_finished());
            drop(peer);
            let outcome = closing.await.expect("no panic");
            assert_eq!((outcome.ended, outcome.known), (CloseOutcome::Fin, false));
            assert!(outcome.peer_finished);
        }
    });
}

#[test]
fn a_bounded_end_is_reset_when_its_time_is_over() {
    runtime::handle().block_on(async {
        for what in LENGTHS {
            for mode in [CloseMode::Fin, CloseMode::Reset] {
                let (stream, peer) = concealed(what).await;
                let queued = fill(&stream).await;
                let (over, fired) = oneshot::channel::<()>();
                let expiry = async {
                    let _ = fired.await;
                };
                let closing = tokio::spawn(close_unlimited(
                    stream,
                    write_buffer(queued..queued + 7),
                    mode,
                    expiry,
                ));
                over.send(()).expect("it waits");
                let outcome = closing.await.expect("no panic");
                assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Cut, 7));
                assert!(!outcome.known);
                assert!(expect_reset(&peer).await < queued);
            }
        }
    });
}

#[test]
fn a_reset_comes_after_what_was_written() {
    runtime::handle().block_on(async {
        let (stream, peer) = concealed(Concealed::All).await;
        let queued = fill(&stream).await;
        let buffer = write_buffer(queued..queued + SMALL);
        let closing = tokio::spawn(close_unlimited(stream, buffer, CloseMode::Reset, pending()));
        let arrived = || sys::unread(&SockRef::from(&peer)).expect("alive");
        until(|| arrived() > 0).await;
        assert!(!closing.is_finished(), "the kernels do not hold everything");
        assert_eq!(expect_reset(&peer).await, queued + SMALL);
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Reset, 0));
        assert!(!outcome.known);
    });
}

#[test]
fn a_peer_that_keeps_its_direction_open_after_a_fin_is_reset() {
    runtime::handle().block_on(async {
        let (stream, peer) = concealed(Concealed::All).await;
        SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
        let mode = CloseMode::ResetAfterFin;
        let outcome = close_unlimited(stream, WriteBuffer::default(), mode, pending()).await;
        assert_eq!((outcome.ended, outcome.known), (CloseOutcome::Reset, false));
        peer.readable().await.expect("an event");
        assert!(peer.take_error().expect("alive").is_some(), "the peer was reset");
    });
}

#[test]
fn a_reset_of_the_peer_tells_nothing_of_what_it_has_read() {
    runtime::handle().block_on(async {
        for what in LENGTHS {
            let (stream, peer) = concealed(what).await;
            let queued = fill(&stream).await;
            let buffer = write_buffer(queued..queued + SMALL);
            let closing = tokio::spawn(close_unlimited(stream, buffer, CloseMode::Fin, pending()));
            reset_by_peer(peer);
            let outcome = closing.await.expect("no panic");
            assert_eq!((outcome.ended, outcome.known), (CloseOutcome::ByPeer, false));
        }
    });
}
