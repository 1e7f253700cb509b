//! Closes one socket: delivers everything and sends FIN, delivers everything and resets, or resets
//! at once.
//!
//! Two facts shape this file. close() on a socket with one unread byte sends RST and drops the send
//! queue, so unread input is read first. And close() with a positive linger time blocks even on a
//! non-blocking socket, so this code waits in user space, and the final close() has nothing to wait
//! for.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout, timeout_at};

use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
use crate::net::memory::ResetMode;
use crate::net::rate::Pace;
use crate::net::sys::{self, SendQueue};
use crate::net::write_buffer::WriteBuffer;
use crate::runtime::cutoff::before;
use crate::runtime::timer::Deadline;

#[cfg(unix)]
mod graceful;

#[cfg(unix)]
pub(crate) use graceful::GracefulClose;

/// Time for a peer whose kernel has everything to end its own direction.
const PEER_FIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes that a peer may send during the close.
const MAX_DISCARDED: u64 = 16 * 1024 * 1024;
/// An acknowledgement is no event: it is polled for at intervals that double from the first of
/// these to the second.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Time between the last acknowledgement and the reset of a stream that was cut: the peer's program
/// reads what its kernel has. libuv takes a reset that it finds together with the last bytes for
/// the end of the stream, so that a program in Node.js would not notice the cut.
pub(crate) const RESET_DELAY: Duration = Duration::from_millis(100);
/// Bytes discarded in one read.
const READ_SIZE: usize = 16 * 1024;

/// How the stream ends for the peer once everything is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseMode {
    /// FIN: the stream is complete.
    Fin,
    /// The FIN was sent before the close; its acknowledgement is awaited.
    FinSent,
    /// RST: the stream was cut.
    Reset,
    /// RST after a FIN that was sent before the close: the peer's own stream was cut.
    ResetAfterFin,
}

impl CloseMode {
    /// Returns whether a FIN was sent before.
    fn has_sent_fin(self) -> bool {
        match self {
            CloseMode::FinSent | CloseMode::ResetAfterFin => true,
            CloseMode::Fin | CloseMode::Reset => false,
        }
    }

    /// Returns the outcome of a close that was neither cut short nor reset by the peer.
    fn outcome(self) -> CloseOutcome {
        match self {
            CloseMode::Fin | CloseMode::FinSent => CloseOutcome::Fin,
            CloseMode::Reset | CloseMode::ResetAfterFin => CloseOutcome::Reset,
        }
    }
}

/// Result of a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What ended the stream.
    pub ended: CloseOutcome,
    /// Bytes for the peer that never left this machine. Bytes that had left when the peer reset the
    /// connection do not count: the peer may have read them without acknowledging them.
    pub unsent: u64,
    /// Whether the system tells what became of the bytes that it has taken. If not, `unsent` counts
    /// others, and whether these were delivered is not known.
    pub known: bool,
    /// Bytes from the peer that were not passed on.
    pub discarded: u64,
    /// Whether the peer ended its direction with FIN.
    pub peer_finished: bool,
}

/// What ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// Our FIN, acknowledged.
    Fin,
    /// Our RST.
    Reset,
    /// Our RST, sent when the time ran out before everything was delivered.
    Cut,
    /// The peer's RST, or the network's error that the peer is gone.
    ByPeer,
}

/// Delivers the write buffer and what the kernel still holds, then ends the stream as `mode` says.
///
/// Unless the outcome says otherwise, every byte is delivered to the peer's kernel. The future
/// completes then; with [`CloseMode::Reset`] after [`RESET_DELAY`]; with [`CloseMode::Fin`] when
/// the peer has ended its direction too, or after two seconds. What the peer sends meanwhile is
/// read and discarded, since unread bytes would turn the end into a reset.
///
/// Where the system does not tell what was acknowledged, the future waits for the peer's end, or
/// before a reset until nearly nothing can be left, and the outcome says so.
///
/// The write buffer leaves at the given pace.
///
/// A peer that does not read is waited for until `expiry` completes. The stream ends at once then:
/// as `mode` says if the peer's kernel has everything at that moment, else with RST and
/// [`CloseOutcome::Cut`].
///
/// Dropping the future resets the connection: a cut stream never looks complete.
pub(crate) async fn close(
    stream: impl Into<Stream>,
    write_buffer: WriteBuffer,
    pace: Pace,
    mode: CloseMode,
    expiry: impl Future<Output = ()>,
) -> Outcome {
    let mut closing = Closing::new(stream.into(), write_buffer, pace, mode.has_sent_fin());
    // The kernel resets if this future is dropped. An error means that the socket is dead already,
    // which the first write or read tells.
    let _ = closing.stream.set_linger(Linger::HARD);
    let delivered = match before(expiry, closing.run(mode)).await {
        Some(done) => done.map(|()| true),
        // The last poll for acknowledgements may be a while ago.
        None => closing.is_delivered(mode),
    };
    let ended = match delivered {
        Ok(true) => mode.outcome(),
        Ok(false) => CloseOutcome::Cut,
        Err(_) => CloseOutcome::ByPeer,
    };
    let mut outcome = closing.outcome(ended);
    let mode = match ended {
        CloseOutcome::Fin => {
            let _ = closing.stream.set_linger(Linger::GRACEFUL);
            return outcome;
        }
        CloseOutcome::Reset => ResetMode::AfterData,
        CloseOutcome::Cut | CloseOutcome::ByPeer => ResetMode::AtOnce,
    };
    if let Some(lost) = closing.stream.reset(mode) {
        outcome.unsent = (lost + closing.write_buffer.len()) as u64;
    }
    outcome
}

#[cfg(test)]
async fn close_unlimited(
    stream: impl Into<Stream>,
    write_buffer: WriteBuffer,
    mode: CloseMode,
    expiry: impl Future<Output = ()>,
) -> Outcome {
    close(stream, write_buffer, Pace::unlimited(), mode, expiry).await
}

/// Resets the connection at once. What the kernel still holds is dropped and counted; what has left
/// it counts as delivered, without waiting for an acknowledgement. `fin_sent` says whether a FIN
/// was sent before.
pub(crate) fn reset(
    stream: impl Into<Stream>,
    write_buffer: &WriteBuffer,
    fin_sent: bool,
) -> Outcome {
    let stream = stream.into();
    let discarded = stream.unread() as u64;
    let _ = stream.set_linger(Linger::HARD);
    // Right before the reset: while the peer reads, the kernel goes on sending.
    let never_sent = stream.never_sent(fin_sent);
    let (unsent, known) = match stream.reset(ResetMode::AtOnce) {
        Some(lost) => ((lost + write_buffer.len()) as u64, true),
        None => count_unsent(&never_sent, write_buffer),
    };
    Outcome { ended: CloseOutcome::Reset, unsent, known, discarded, peer_finished: false }
}

/// Counts the bytes that never left, and returns whether the system has told how many of them it had.
fn count_unsent(never_sent: &io::Result<Option<u64>>, write_buffer: &WriteBuffer) -> (u64, bool) {
    let buffered = write_buffer.len() as u64;
    match never_sent {
        Ok(Some(count)) => (count + buffered, true),
        Ok(None) | Err(_) => (buffered, false),
    }
}

/// A socket being closed.
struct Closing {
    stream: Stream,
    write_buffer: WriteBuffer,
    pace: Pace,
    fin_sent: bool,
    discarded: u64,
    peer_finished: bool,
    scratch: Vec<u8>,
    /// Whether the send buffer is as small as it can be.
    shrunk: bool,
}

impl Closing {
    fn new(stream: Stream, write_buffer: WriteBuffer, pace: Pace, fin_sent: bool) -> Self {
        let (discarded, peer_finished, scratch) = (0, false, Vec::new());
        let shrunk = false;
        Self { stream, write_buffer, pace, fin_sent, discarded, peer_finished, scratch, shrunk }
    }

    /// Does everything but the final close(); an error means that the peer is gone.
    async fn run(&mut self, mode: CloseMode) -> io::Result<()> {
        self.flush().await?;
        if mode == CloseMode::Fin {
            self.stream.shutdown_write()?;
            self.fin_sent = true;
        }
        self.await_end(mode).await
    }

    /// Writes the buffer to the kernel, however long the peer takes to make room.
    async fn flush(&mut self) -> io::Result<()> {
        while !self.write_buffer.is_empty() {
            // A peer that blocks while it writes reads only after its data was taken.
            self.discard()?;
            let now = Instant::now();
            let until = match self.pace.take(self.write_buffer.len(), now) {
                Ok(most) => {
                    // Without readiness, every later change of it wakes the task.
                    self.stream.forget_writable();
                    let stream = &self.stream;
                    match self.write_buffer.write(most, |slices| stream.write_at_once(slices)) {
                        Ok(count) => {
                            self.pace.moved(count, now);
                            continue;
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                        Err(error) => return Err(error),
                    }
                }
                Err(at) => Some(at),
            };
            self.room(until).await?;
        }
        Ok(())
    }

    /// Waits until the socket has room, or until this time, or until there is something to read.
    async fn room(&self, until: Option<Instant>) -> io::Result<()> {
        let ready = poll_fn(|cx| {
            let room = match until {
                Some(_) => Poll::Pending,
                None => self.stream.poll_write_ready(cx),
            };
            if room.is_pending() && self.may_read() {
                self.stream.poll_read_ready(cx)
            } else {
                room
            }
        });
        match until {
            Some(at) => timeout_at(at.into(), ready).await.unwrap_or(Ok(())),
            None => ready.await,
        }
    }

    /// Waits until the peer's kernel has everything, and for FIN until the peer has finished too.
    async fn await_end(&mut self, mode: CloseMode) -> io::Result<()> {
        let mut interval = MIN_POLL_INTERVAL;
        let mut deadline = None;
        let mut settled = Deadline::after(PEER_FIN_TIMEOUT);
        loop {
            let queue = self.send_queue()?;
            let is_unknown = mode == CloseMode::ResetAfterFin && queue == SendQueue::Unknown;
            if is_unknown && settled.is_over() {
                // The peer waits for nothing but the reset.
                return Ok(());
            }
            if self.has_arrived(queue, mode) {
                if mode == CloseMode::Reset && matches!(self.stream, Stream::Tcp(_)) {
                    sleep(RESET_DELAY).await;
                }
                if mode.outcome() == CloseOutcome::Reset || self.peer_finished {
                    return Ok(());
                }
                let deadline = deadline.get_or_insert_with(|| Deadline::after(PEER_FIN_TIMEOUT));
                if deadline.is_over() || self.discarded >= MAX_DISCARDED {
                    return Ok(());
                }
            }
            self.pause(&mut interval, deadline.is_some()).await;
        }
    }

    /// Waits until there is something to read, what is not `delivered` yet may be, or the interval
    /// is over.
    async fn pause(&self, interval: &mut Duration, delivered: bool) {
        let event = poll_fn(|cx| {
            let readable = self.may_read() && self.stream.poll_read_ready(cx).is_ready();
            if readable || (!delivered && self.stream.poll_drained(cx).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let _ = timeout(*interval, event).await;
        *interval = MAX_POLL_INTERVAL.min(*interval * 2);
    }

    /// Returns what is told about what is left to deliver. An error means that the peer is gone.
    fn send_queue(&mut self) -> io::Result<SendQueue> {
        self.discard()?;
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        if !self.write_buffer.is_empty() {
            return Ok(SendQueue::HoldsSome);
        }
        self.stream.send_queue(self.fin_sent)
    }

    /// Returns whether the peer's kernel has everything, including a FIN that was sent. Where the
    /// system does not tell: whether nothing indicates that more than the last bytes are missing.
    fn is_delivered(&mut self, mode: CloseMode) -> io::Result<bool> {
        let queue = self.send_queue()?;
        Ok(self.has_arrived(queue, mode))
    }

    fn has_arrived(&mut self, queue: SendQueue, mode: CloseMode) -> bool {
        match queue {
            SendQueue::Empty => true,
            SendQueue::Holds(_) | SendQueue::HoldsSome => false,
            // A peer that has ended its own direction, too, indicates nothing any more, and a close
            // leaves the rest to the kernel.
            SendQueue::Unknown if self.fin_sent => self.peer_finished,
            SendQueue::Unknown => mode == CloseMode::Reset && self.is_drained(),
        }
    }

    /// Returns whether the send queue is nearly empty, by whether a send buffer as small as it can be
    /// has room. This cannot be asked once FIN was sent.
    fn is_drained(&mut self) -> bool {
        let Some(socket) = self.stream.socket() else { return false };
        if !self.shrunk {
            self.shrunk = sys::shrink_send_buffer(&socket).is_ok();
        }
        self.shrunk && sys::is_writable(&socket).unwrap_or(false)
    }

    /// Returns whether input is still read.
    fn may_read(&self) -> bool {
        !self.peer_finished && self.discarded < MAX_DISCARDED
    }

    /// Reads and discards what the peer has sent.
    fn discard(&mut self) -> io::Result<()> {
        self.scratch.resize(READ_SIZE, 0);
        while self.may_read() {
            match self.stream.try_read(&mut self.scratch) {
                Ok(0) => self.peer_finished = true,
                Ok(count) => self.discarded += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn outcome(&self, ended: CloseOutcome) -> Outcome {
        // Input since the last read, or beyond what may be read.
        let unread = self.stream.unread() as u64;
        let never_sent = self.stream.never_sent(self.fin_sent);
        let (unsent, known) = count_unsent(&never_sent, &self.write_buffer);
        Outcome {
            ended,
            unsent,
            known,
            discarded: self.discarded + unread,
            peer_finished: self.peer_finished,
        }
    }
}

/// Returns whether a stream that both sides have ended can be closed at once: the peer's kernel has
/// everything, and there is no error.
pub(crate) fn is_acknowledged(stream: &Stream) -> bool {
    let is_empty = stream.send_queue(true).is_ok_and(|queue| queue == SendQueue::Empty);
    is_empty && !stream.has_failed()
}

#[cfg(test)]
mod bounded_tests;
#[cfg(all(test, unix))]
mod graceful_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod tests;
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod unknown_tests;
