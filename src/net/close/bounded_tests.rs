//! Closes that end by their time, as the peer sees it.

use std::net::Shutdown;

use socket2::SockRef;
use tokio::sync::oneshot;

use super::tests::{
    LARGE, expect_fin, expect_reset, fill, pair, read, send, unacknowledged, until, write_buffer,
};
use super::*;
use crate::runtime;

/// Returns an expiry that completes when the sender is used.
fn expiry() -> (oneshot::Sender<()>, impl Future<Output = ()>) {
    let (over, fired) = oneshot::channel();
    (over, async {
        let _ = fired.await;
    })
}

#[test]
#[cfg_attr(windows, ignore = "asks for counts that wine does not have")]
fn a_peer_that_stalls_is_cut_off_with_an_exact_account() {
    for (finish, finished, has_more) in [
        (CloseMode::Fin, false, true),
        (CloseMode::Fin, false, false),
        (CloseMode::Reset, false, true),
        (CloseMode::ResetAfterFin, true, false),
    ] {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let queued = fill(&stream).await;
            let total = if has_more { LARGE } else { queued };
            if finished {
                SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
            }
            let (over, expiry) = expiry();
            let closing =
                tokio::spawn(close_unlimited(stream, write_buffer(queued..total), finish, expiry));
            send(&peer, &[9; 7]).await.expect("there is room");
            let (first, _) = read(&peer, 0, 1).await;
            over.send(()).expect("it waits");
            let outcome = closing.await.expect("no panic");
            assert_eq!((outcome.ended, outcome.discarded), (CloseOutcome::Cut, 7));
            let (rest, end) = read(&peer, first, usize::MAX).await;
            let error = end.expect("an end").expect_err("a reset");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            assert!(outcome.unsent > 0);
            assert_eq!((first + rest) as u64 + outcome.unsent, total as u64, "{finish:?}");
        });
    }
}

#[test]
#[cfg_attr(windows, ignore = "asks for counts that wine does not have")]
fn what_was_acknowledged_in_time_is_delivered_however_late_that_is_noticed() {
    for finish in [CloseMode::Fin, CloseMode::Reset] {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let queued = fill(&stream).await;
            let watched = SockRef::from(&stream).try_clone().expect("a descriptor");
            // Completes at the moment of the acknowledgement, between two polls.
            let expiry = async move {
                until(|| unacknowledged(&watched) == 0).await;
            };
            let closing =
                tokio::spawn(close_unlimited(stream, WriteBuffer::default(), finish, expiry));
            if finish == CloseMode::Fin {
                expect_fin(&peer, 0, queued).await;
            } else {
                assert_eq!(expect_reset(&peer).await, queued);
            }
            let outcome = closing.await.expect("no panic");
            assert_eq!((outcome.ended, outcome.unsent), (finish.outcome(), 0));
            // The end of the peer's direction is not awaited any longer.
            assert!(!outcome.peer_finished);
        });
    }
}

#[test]
#[cfg_attr(windows, ignore = "asks for counts that wine does not have")]
fn a_peer_that_is_too_slow_is_cut_off_while_it_reads() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let (over, expiry) = expiry();
        let mut over = Some(over);
        let closing =
            tokio::spawn(close_unlimited(stream, write_buffer(0..LARGE), CloseMode::Fin, expiry));
        let mut got = 0;
        let end = loop {
            let (more, end) = read(&peer, got, 1).await;
            got += more;
            if let Some(end) = end {
                break end;
            }
            if got > LARGE / 4
                && let Some(over) = over.take()
            {
                over.send(()).expect("it waits");
            }
            // Slowly: the rest must not fit into the time that the reset takes to arrive.
            until(|| got < LARGE / 2 || closing.is_finished()).await;
        };
        assert_eq!(end.expect_err("a reset").kind(), io::ErrorKind::ConnectionReset);
        let outcome = closing.await.expect("no panic");
        assert_eq!(outcome.ended, CloseOutcome::Cut);
        // Bytes that leave at the moment of the reset may count as unsent although they arrive.
        assert!(got < LARGE && got as u64 + outcome.unsent >= LARGE as u64);
    });
}

#[test]
fn the_longest_linger_time_is_as_good_as_none() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let linger = Linger { onoff: 65535, linger: 65535 };
        let limit = linger.limit(std::time::Instant::now()).expect("a limit").due;
        let expiry = tokio::time::sleep_until(limit.into());
        let closing =
            tokio::spawn(close_unlimited(stream, write_buffer(0..LARGE), CloseMode::Fin, expiry));
        expect_fin(&peer, 0, LARGE).await;
        drop(peer);
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Fin, 0));
    });
}
