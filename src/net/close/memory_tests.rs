//! Closing a stream inside the process, as its other end sees it.

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use super::tests::{until, write_buffer};
use super::*;
use crate::net::memory::{End, pair};
use crate::runtime;

/// Bytes that each direction holds.
const CAPACITY: usize = 64 * 1024;
/// More than that.
const LARGE: usize = 5 * CAPACITY;

/// Reads up to the end of the stream, or up to an error; returns how many bytes.
async fn read_to_end(peer: &End) -> (usize, io::Result<()>) {
    let (mut count, mut buffer) = (0, vec![0; CAPACITY]);
    loop {
        poll_fn(|cx| peer.poll_read_ready(cx)).await;
        match peer.try_read(&mut buffer) {
            Ok(0) => return (count, Ok(())),
            Ok(more) => count += more,
            Err(error) => return (count, Err(error)),
        }
    }
}

#[test]
fn everything_is_delivered_before_the_end_of_the_stream() {
    runtime::handle().block_on(async {
        let (end, peer) = pair(CAPACITY);
        let closing =
            tokio::spawn(close_unlimited(end, write_buffer(0..LARGE), CloseMode::Fin, pending()));
        let (count, ended) = read_to_end(&peer).await;
        assert!(count == LARGE && ended.is_ok());
        peer.try_write(b"late").expect("its direction is open");
        peer.shutdown_write();
        let outcome = closing.await.expect("no panic");
        let (ended, peer_finished) = (CloseOutcome::Fin, true);
        assert_eq!(outcome, Outcome { ended, unsent: 0, known: true, discarded: 4, peer_finished });
    });
}

#[test]
fn a_stream_that_was_cut_is_delivered_before_the_reset() {
    runtime::handle().block_on(async {
        let (end, peer) = pair(CAPACITY);
        let closing =
            tokio::spawn(close_unlimited(end, write_buffer(0..LARGE), CloseMode::Reset, pending()));
        let (count, ended) = read_to_end(&peer).await;
        let error = ended.expect_err("a reset");
        assert_eq!((count, error.kind()), (LARGE, io::ErrorKind::ConnectionReset));
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Reset, 0));
    });
}

#[test]
fn at_the_limit_the_rest_is_dropped_and_counted() {
    runtime::handle().block_on(async {
        let (end, peer) = pair(CAPACITY);
        end.try_write(&[1; 100]).expect("fits");
        peer.try_write(b"unread").expect("fits");
        let outcome = close_unlimited(end, write_buffer(0..LARGE), CloseMode::Fin, ready(())).await;
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Cut, (LARGE + 100) as u64));
        assert_eq!(outcome.discarded, 6);
        let (count, ended) = read_to_end(&peer).await;
        let error = ended.expect_err("a reset");
        assert_eq!((count, error.kind()), (0, io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_reset_counts_what_the_peer_has_not_read() {
    let (end, peer) = pair(CAPACITY);
    end.try_write(&[1; 100]).expect("fits");
    end.shutdown_write();
    peer.try_read(&mut [0; 30]).expect("bytes");
    let outcome = reset(end, &write_buffer(0..7), true);
    assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Reset, 77));
    assert_eq!(
        peer.try_read(&mut [0; 1]).map_err(|error| error.kind()),
        Err(io::ErrorKind::ConnectionReset)
    );
}

#[test]
fn a_peer_that_closes_with_unread_bytes_ends_the_close() {
    runtime::handle().block_on(async {
        let (end, peer) = pair(CAPACITY);
        end.try_write(&[1; 100]).expect("fits");
        drop(peer);
        let outcome = close_unlimited(end, write_buffer(0..0), CloseMode::Fin, pending()).await;
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::ByPeer, 100));
    });
}

#[test]
fn a_peer_that_has_finished_still_reads_everything() {
    runtime::handle().block_on(async {
        let (end, peer) = pair(10);
        peer.shutdown_write();
        let closing = close_unlimited(end, write_buffer(0..25), CloseMode::Fin, pending());
        // In one task: the close has to wait, and not to look again and again.
        let (outcome, (count, ended)) = tokio::join!(closing, read_to_end(&peer));
        assert!(count == 25 && ended.is_ok());
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Fin, 0));
        assert!(outcome.peer_finished);
    });
}

#[test]
fn a_reset_needs_no_delay_as_the_peer_reads_everything_before_it() {
    let _runtime = runtime::handle().enter();
    let (end, peer) = pair(10);
    let mut closing =
        pin!(close_unlimited(end, WriteBuffer::default(), CloseMode::Reset, pending()));
    let closed = closing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(closed.is_ready());
    let error = peer.try_read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_close_is_woken_when_the_peer_has_read_everything() {
    runtime::handle().block_on(async {
        let (end, peer) = pair(10);
        let counter = Arc::new(Counter::default());
        let waker = Waker::from(counter.clone());
        let cx = &mut Context::from_waker(&waker);
        let mut closing =
            pin!(close_unlimited(end, write_buffer(0..5), CloseMode::FinSent, pending()));
        let woken = || counter.0.load(Ordering::SeqCst);
        // Until the interval is the longest.
        for polls in 0..8 {
            assert!(closing.as_mut().poll(cx).is_pending());
            until(|| woken() > polls).await;
        }
        assert!(closing.as_mut().poll(cx).is_pending());
        let before = woken();
        assert_eq!(peer.try_read(&mut [0; 10]).expect("bytes"), 5);
        assert!(woken() > before);
    });
}
