//! Every way to close, as the peer sees it.

use std::future::pending;
use std::net::Shutdown;
use std::ops::Range;
use std::sync::LazyLock;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

use super::*;
use crate::net::sys;
use crate::runtime;

/// More than the kernels buffer for one connection.
pub(super) const LARGE: usize = 16 * 1024 * 1024;
/// Bytes of one read or write.
pub(super) const PIECE: usize = 64 * 1024;

/// The socket to be closed and the peer's.
pub(super) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let peer = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
    (listener.accept().await.expect("accept").0, peer)
}

/// Returns up to `most` bytes of a periodic sequence, from position `at`.
fn bytes(at: usize, most: usize) -> &'static [u8] {
    /// A prime: swapped blocks are noticed.
    const PERIOD: usize = 251;
    static BYTES: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..PERIOD + PIECE).map(|at| (at % PERIOD) as u8).collect());
    &BYTES[at % PERIOD..][..most.min(PIECE)]
}

pub(super) fn write_buffer(range: Range<usize>) -> WriteBuffer {
    let mut buffer = WriteBuffer::default();
    let mut at = range.start;
    while at < range.end {
        let piece = bytes(at, range.end - at);
        buffer.push(piece);
        at += piece.len();
    }
    buffer
}

/// Writes until the kernel takes no more; returns how much it took.
pub(super) async fn fill(stream: &TcpStream) -> usize {
    let mut count = 0;
    loop {
        stream.writable().await.expect("alive");
        match stream.try_write(bytes(count, PIECE)) {
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn send(peer: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        peer.writable().await?;
        match peer.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads at least `least` bytes on from `from`; returns how many and how the stream ended.
pub(super) async fn read(
    peer: &TcpStream,
    from: usize,
    least: usize,
) -> (usize, Option<io::Result<()>>) {
    let mut buffer = vec![0; PIECE];
    let mut count = 0;
    while count < least {
        peer.readable().await.expect("alive");
        match peer.try_read(&mut buffer) {
            Ok(0) => return (count, Some(Ok(()))),
            Ok(more) => {
                let right = bytes(from + count, more);
                assert!(buffer[..more] == *right, "other bytes than were sent, {count} bytes on");
                count += more;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return (count, Some(Err(error))),
        }
    }
    (count, None)
}

/// Reads `count` bytes and then FIN.
pub(super) async fn expect_fin(peer: &TcpStream, from: usize, count: usize) {
    let (read, end) = read(peer, from, usize::MAX).await;
    assert_eq!(read, count);
    end.expect("an end").expect("FIN");
}

/// Reads to a reset; returns how many bytes came before it.
pub(super) async fn expect_reset(peer: &TcpStream) -> usize {
    let (read, end) = read(peer, 0, usize::MAX).await;
    let error = end.expect("an end").expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    read
}

/// Returns how many bytes of a socket are not acknowledged; a FIN counts as one.
pub(super) fn unacknowledged<'s, S: Into<SockRef<'s>>>(socket: S) -> u64 {
    let sent = sys::Sent::NOTHING;
    match sys::send_queue(&socket.into(), sent).expect("alive") {
        SendQueue::Empty => 0,
        SendQueue::Holds(count) => count,
        SendQueue::HoldsSome | SendQueue::Unknown => panic!("the kernel tells"),
    }
}

pub(super) fn reset_by_peer(peer: TcpStream) {
    Linger::HARD.apply(&peer).expect("linger");
    drop(peer);
}

/// Waits for a condition that no event announces, such as an acknowledgement.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

#[test]
fn graceful_with_unread_input_delivers_every_byte_and_then_fin() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        send(&peer, &[9; 100_000]).await.expect("there is room");
        let queued = fill(&stream).await;
        let closing = tokio::spawn(close_unlimited(
            stream,
            write_buffer(queued..LARGE),
            CloseMode::Fin,
            pending(),
        ));
        expect_fin(&peer, 0, LARGE).await;
        drop(peer);
        let expected = Outcome {
            ended: CloseOutcome::Fin,
            unsent: 0,
            known: true,
            discarded: 100_000,
            peer_finished: true,
        };
        assert_eq!(closing.await.expect("no panic"), expected);
    });
}

#[test]
fn graceful_waits_for_a_peer_that_stalls() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let closing = tokio::spawn(close_unlimited(
            stream,
            write_buffer(0..LARGE),
            CloseMode::Fin,
            pending(),
        ));
        let (first, _) = read(&peer, 0, 1).await;
        // The rest does not fit into the kernels: the close cannot end without the peer.
        assert!(!closing.is_finished());
        expect_fin(&peer, first, LARGE - first).await;
        drop(peer);
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Fin, 0));
    });
}

#[test]
#[cfg_attr(windows, ignore = "the system takes a write of any size")]
fn a_peer_that_sends_before_it_reads_is_read() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let closing = tokio::spawn(close_unlimited(
            stream,
            write_buffer(0..LARGE),
            CloseMode::Fin,
            pending(),
        ));
        // More than the kernels buffer: sending ends only while the close reads.
        send(&peer, &vec![9; LARGE / 2]).await.expect("alive");
        expect_fin(&peer, 0, LARGE).await;
        drop(peer);
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.discarded), (CloseOutcome::Fin, LARGE as u64 / 2));
    });
}

#[test]
fn a_reset_of_the_peer_is_told_with_what_it_did_not_get() {
    for (finish, peer_finished) in
        [(CloseMode::Fin, false), (CloseMode::Fin, true), (CloseMode::Reset, false)]
    {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            if peer_finished {
                SockRef::from(&peer).shutdown(Shutdown::Write).expect("alive");
            }
            let closing =
                tokio::spawn(close_unlimited(stream, write_buffer(0..LARGE), finish, pending()));
            let (got, _) = read(&peer, 0, 1_000_000).await;
            reset_by_peer(peer);
            let outcome = closing.await.expect("no panic");
            assert_eq!(outcome.ended, CloseOutcome::ByPeer);
            assert_eq!(outcome.peer_finished, peer_finished);
            assert!(outcome.unsent > 0 && got as u64 + outcome.unsent <= LARGE as u64);
        });
    }
}

#[test]
fn a_cut_stream_is_delivered_and_then_reset() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let closing = tokio::spawn(close_unlimited(
            stream,
            write_buffer(0..LARGE),
            CloseMode::Reset,
            pending(),
        ));
        assert_eq!(expect_reset(&peer).await, LARGE);
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Reset, 0));
    });
}

#[test]
#[cfg_attr(windows, ignore = "asks for counts that wine does not have")]
fn a_hard_reset_counts_what_it_throws_away() {
    for finished in [false, true] {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            send(&peer, &[9; 10]).await.expect("there is room");
            stream.readable().await.expect("alive");
            let queued = fill(&stream).await;
            if finished {
                SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
            }
            let outcome = reset(stream, &write_buffer(queued..queued + 1000), finished);
            assert_eq!((outcome.ended, outcome.discarded), (CloseOutcome::Reset, 10));
            let got = expect_reset(&peer).await as u64;
            assert_eq!(got + outcome.unsent, queued as u64 + 1000);
        });
    }
}

#[test]
fn what_a_peer_read_before_its_reset_is_not_lost() {
    runtime::handle().block_on(async {
        for closes in [false, true] {
            let (stream, peer) = pair().await;
            // Its kernel now delays acknowledgements; other systems do so by themselves.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            SockRef::from(&peer).set_tcp_quickack(false).expect("alive");
            stream.try_write(bytes(0, 3)).expect("there is room");
            read(&peer, 0, 3).await;
            reset_by_peer(peer);
            let outcome = if closes {
                close_unlimited(stream, WriteBuffer::default(), CloseMode::Fin, pending()).await
            } else {
                reset(stream, &WriteBuffer::default(), false)
            };
            assert_eq!(outcome.unsent, 0);
        }
    });
}

#[test]
fn a_close_that_is_cut_short_resets() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let closing = tokio::spawn(close_unlimited(
            stream,
            write_buffer(0..LARGE),
            CloseMode::Fin,
            pending(),
        ));
        peer.readable().await.expect("alive");
        closing.abort();
        assert!(expect_reset(&peer).await < LARGE);
    });
}

#[test]
fn a_peer_that_sends_for_ever_is_not_heard_for_ever() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let closing =
            tokio::spawn(close_unlimited(stream, write_buffer(0..1000), CloseMode::Fin, pending()));
        while send(&peer, &[9; 100_000]).await.is_ok() {}
        let outcome = closing.await.expect("no panic");
        assert_eq!((outcome.ended, outcome.unsent), (CloseOutcome::Fin, 0));
        assert!(!outcome.peer_finished);
        // The kernel may hold some more by then.
        let discarded = MAX_DISCARDED..2 * MAX_DISCARDED;
        assert!(discarded.contains(&outcome.discarded), "{}", outcome.discarded);
    });
}

#[test]
fn a_fin_that_was_sent_is_seen_through() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        let queued = fill(&stream).await;
        SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
        let closing = tokio::spawn(close_unlimited(
            stream,
            WriteBuffer::default(),
            CloseMode::FinSent,
            pending(),
        ));
        send(&peer, &[9; 5]).await.expect("there is room");
        expect_fin(&peer, 0, queued).await;
        drop(peer);
        let expected = Outcome {
            ended: CloseOutcome::Fin,
            unsent: 0,
            known: true,
            discarded: 5,
            peer_finished: true,
        };
        assert_eq!(closing.await.expect("no panic"), expected);
    });
}

#[test]
#[cfg_attr(windows, ignore = "asks for counts that wine does not have")]
fn a_fin_is_no_byte_that_the_peer_did_not_get() {
    for finish in [CloseMode::FinSent, CloseMode::ResetAfterFin] {
        runtime::handle().block_on(async {
            let (stream, peer) = pair().await;
            let queued = fill(&stream).await;
            SockRef::from(&stream).shutdown(Shutdown::Write).expect("alive");
            let arrived = sys::unread(&SockRef::from(&peer)).expect("alive");
            let unsent = || unacknowledged(&stream);
            until(|| arrived as u64 + unsent() == queued as u64 + 1).await;
            let closing =
                tokio::spawn(close_unlimited(stream, WriteBuffer::default(), finish, pending()));
            reset_by_peer(peer);
            let outcome = closing.await.expect("no panic");
            assert_eq!(outcome.ended, CloseOutcome::ByPeer);
            assert_eq!(outcome.unsent, (queued - arrived) as u64);
        });
    }
}

#[test]
fn a_hard_reset_needs_nothing_unread() {
    runtime::handle().block_on(async {
        let (stream, peer) = pair().await;
        reset(stream, &WriteBuffer::default(), false);
        assert_eq!(expect_reset(&peer).await, 0);
    });
}
