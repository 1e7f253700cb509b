//! Pump between a socket and a channel: reads from the socket straight into the session's packets,
//! and writes what arrives on the channel straight from the session's receive buffer.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Instant;

use ssh_proto::{ChannelId, Client};

use crate::net::local_stream::Stream;
use crate::net::rate::{Direction, Pace, Rates};
use crate::net::sys::SendQueue;
use crate::net::write_buffer::WriteBuffer;

/// Bytes of one read until data flows in bulk.
const FIRST: usize = 32 * 1024;
/// A read of fewer bytes counts as a request, whose response the client waits for.
const SMALL: u64 = 16 * 1024;
/// Such reads in a row after which a connection that has sent more at once counts as asking again.
const SMALL_READS: u8 = 8;
/// Slices of the receive buffer that go out in one write.
const SLICES: usize = 64;

/// The direction from the socket to the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Up {
    /// Bytes are read as they arrive.
    Flowing,
    /// Closing: only this many more bytes are read, which had arrived before.
    Last(usize),
    /// Closing: EOF was sent on the channel, although the socket may not have ended.
    Cut,
    /// The socket has ended; EOF was sent on the channel.
    Ended,
}

impl Up {
    /// Returns whether EOF was sent on the channel.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Up::Flowing | Up::Last(_) => false,
            Up::Cut | Up::Ended => true,
        }
    }
}

/// The direction from the channel to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Down {
    /// Bytes are delivered as they arrive.
    Flowing,
    /// EOF has arrived on the channel; the write buffer goes out before the FIN.
    Ended,
    /// FIN was sent to the socket.
    Finished,
}

/// Outcome of a read from the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// There may be more at once.
    More,
    /// Nothing more now; the waker is armed.
    Drained,
    /// The channel's window is used up, or the rate limit does not allow more now.
    NoWindow,
    /// Everything that had arrived before the close is sent.
    LastDone,
    /// FIN.
    End,
    /// RST, or another error.
    Reset,
}

/// A socket and its channel, with the state of both directions.
pub(crate) struct Pump {
    pub(crate) stream: Stream,
    pub(crate) channel: ChannelId,
    pub(crate) up: Up,
    pub(crate) down: Down,
    /// Whether the socket was reset; what arrived before is still sent on the channel.
    reset: bool,
    /// Whether a read has failed since: what the socket holds is lost.
    lost: bool,
    /// Bytes from the channel that the socket has not taken yet.
    pub(crate) write_buffer: WriteBuffer,
    /// Ranges of the session's receive buffer that are to be delivered.
    pub(crate) arrived: Vec<Range<usize>>,
    /// Bytes sent on the channel.
    pub(crate) sent: u64,
    /// Bytes received from the channel, delivered or not.
    pub(crate) received: u64,
    /// Bytes received from the channel and dropped, because the socket was reset.
    pub(crate) dropped: u64,
    /// Part of `dropped`: since the last byte was sent on the channel.
    pub(crate) discarded: u64,
    /// Bytes that the peer's kernel had acknowledged when last asked.
    acknowledged: u64,
    /// When the last byte moved in either direction.
    pub(crate) active: Instant,
    /// Whether the last read was as large as it could be.
    bulk: bool,
    /// Small reads until its reads count as requests.
    small_reads: u8,
    /// What the limits of the rate allow in either direction.
    pace_up: Pace,
    pub(crate) pace_down: Pace,
}

impl Pump {
    pub(crate) fn new(stream: Stream, channel: ChannelId, now: Instant) -> Self {
        Self {
            stream,
            channel,
            up: Up::Flowing,
            down: Down::Flowing,
            reset: false,
            lost: false,
            write_buffer: WriteBuffer::default(),
            arrived: Vec::new(),
            sent: 0,
            received: 0,
            dropped: 0,
            discarded: 0,
            acknowledged: 0,
            active: now,
            bulk: false,
            small_reads: 0,
            pace_up: Pace::new(Rates::default(), Direction::Up),
            pace_down: Pace::unlimited(),
        }
    }

    /// Sets the limits of the rate; what waits asks again.
    pub(crate) fn set_rates(&mut self, rates: &Rates) {
        for pace in [&mut self.pace_up, &mut self.pace_down] {
            pace.ask_again();
            pace.rates = rates.clone();
        }
    }

    /// Returns when bytes may move that wait because of a limit of the rate.
    pub(crate) fn paced_until(&self, now: Instant) -> Option<Instant> {
        let waits = [&self.pace_up, &self.pace_down].map(|pace| pace.waits_until(now));
        waits.into_iter().flatten().min()
    }

    /// Returns how many bytes the limits of the rate allow to read now, of `most`.
    fn allowed_up(&mut self, most: usize, now: Instant) -> usize {
        if most == 0 || !self.pace_up.is_limited() {
            return most;
        }
        match self.unread() {
            // The end of the stream does not wait.
            0 => 1,
            unread => self.pace_up.take(most.min(unread), now).unwrap_or(0),
        }
    }

    /// Reads at most `most` bytes once from the socket, straight into the session's packets.
    pub(crate) fn read(
        &mut self,
        client: &mut Client,
        cx: &mut Context<'_>,
        now: Instant,
        most: usize,
    ) -> ReadOutcome {
        let most = match self.up {
            Up::Flowing if self.bulk => most,
            Up::Flowing => most.min(FIRST),
            Up::Last(0) => return ReadOutcome::LastDone,
            Up::Last(left) => left.min(most),
            Up::Cut | Up::Ended => return ReadOutcome::Drained,
        };
        let room = if self.bulk {
            client.paced_window(self.channel, now)
        } else {
            client.window(self.channel)
        };
        let most = self.allowed_up(most.min(room), now);
        if most == 0 {
            let reset = self.watch_for_reset(cx);
            return if reset { ReadOutcome::Reset } else { ReadOutcome::NoWindow };
        }
        let (stream, reset) = (&self.stream, self.reset);
        let mut offered = 0;
        let read = client.fill(self.channel, most, |slots| {
            offered = slots.iter().map(|slot| slot.len()).sum();
            // Windows does not make a socket that was reset ready for what it has still to give.
            if reset { stream.read_at_once(slots) } else { stream.try_read_vectored(slots) }
        });
        self.lost |= self.reset && !matches!(read, Ok(1..));
        match read {
            // A write may have collected the error before.
            Ok(0) if self.reset || self.stream.has_failed() => return ReadOutcome::Reset,
            Ok(0) => return ReadOutcome::End,
            Ok(count) => {
                self.sent += count as u64;
                self.pace_up.moved(count, now);
                self.discarded = 0;
                self.active = now;
                self.bulk = count == offered;
                if let Up::Last(left) = &mut self.up {
                    *left -= count;
                }
                if self.bulk || self.up == Up::Last(0) || self.reset {
                    return ReadOutcome::More;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.reset => {
                self.bulk = false;
            }
            Err(_) => return ReadOutcome::Reset,
        }
        match self.stream.poll_read_ready(cx) {
            Poll::Ready(Ok(())) => ReadOutcome::More,
            Poll::Ready(Err(_)) => ReadOutcome::Reset,
            Poll::Pending => ReadOutcome::Drained,
        }
    }

    /// Returns whether the last read, of `count` bytes, was a request: little, and nothing is left.
    pub(crate) fn has_asked(&mut self, count: u64, outcome: ReadOutcome) -> bool {
        if count >= SMALL || (count > 0 && outcome == ReadOutcome::More) {
            self.small_reads = SMALL_READS;
        } else if count > 0 {
            self.small_reads = self.small_reads.saturating_sub(1);
            return self.small_reads == 0;
        }
        false
    }

    /// Returns how many bytes can be read now.
    pub(crate) fn unread(&self) -> usize {
        if self.lost { 0 } else { self.stream.unread() }
    }

    /// Returns whether the socket has unread bytes that the channel could send now.
    pub(crate) fn has_input(&self, client: &Client) -> bool {
        let may_send = client.has_room() && client.window(self.channel) > 0;
        !self.up.is_over() && may_send && self.stream.unread() > 0
    }

    /// Returns whether the socket has ended, also where the FIN was not read yet. An error means
    /// that it was reset.
    pub(crate) fn has_ended(&self) -> io::Result<bool> {
        if self.up != Up::Flowing {
            return Ok(self.up == Up::Ended);
        }
        self.stream.has_ended()
    }

    /// Writes what has arrived to the socket, and keeps in the write buffer what it refuses. An
    /// error means that the socket was reset.
    pub(crate) fn deliver(
        &mut self,
        client: &mut Client,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> io::Result<()> {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.active = now;
        let outcome = if self.pace_down.is_limited() {
            for range in &arrived {
                self.write_buffer.push(client.bytes(range.clone()));
            }
            self.flush_buffer(cx, now)
        } else {
            self.deliver_slices(client, &arrived, cx, now)
        };
        arrived.clear();
        self.arrived = arrived;
        client.consumed(self.channel, outcome?, now);
        Ok(())
    }

    /// Returns how many bytes the socket has taken.
    fn deliver_slices(
        &mut self,
        client: &Client,
        arrived: &[Range<usize>],
        cx: &mut Context<'_>,
        now: Instant,
    ) -> io::Result<usize> {
        let mut written = 0;
        let mut blocked = !self.write_buffer.is_empty();
        let waited = blocked;
        for (turn, group) in arrived.chunks(SLICES).enumerate() {
            let mut skip = 0;
            if !blocked {
                let mut slices = [IoSlice::new(&[]); SLICES];
                for (slice, range) in slices.iter_mut().zip(group) {
                    *slice = IoSlice::new(client.bytes(range.clone()));
                }
                let slices = &slices[..group.len()];
                skip = match self.stream.write_at_once(slices) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => {
                        let lost = arrived[turn * SLICES..].iter().map(Range::len).sum::<usize>();
                        self.dropped += lost as u64;
                        return Err(error);
                    }
                };
                written += skip;
            }
            for range in group {
                let bytes = client.bytes(range.clone());
                let rest = &bytes[skip.min(bytes.len())..];
                skip -= bytes.len() - rest.len();
                blocked |= !rest.is_empty();
                self.write_buffer.push(rest);
            }
        }
        // The waker is armed already for a buffer that was not empty before.
        if blocked && !waited {
            written += self.flush_buffer(cx, now)?;
        }
        Ok(written)
    }

    /// Writes from the buffer until it is empty, the socket takes no more, which arms the waker, or a
    /// limit of the rate allows no more now.
    pub(crate) fn flush(
        &mut self,
        client: &mut Client,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> io::Result<()> {
        let written = self.flush_buffer(cx, now)?;
        if written > 0 {
            self.active = now;
            client.consumed(self.channel, written, now);
        }
        Ok(())
    }

    /// Returns how many bytes the socket has taken.
    fn flush_buffer(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<usize> {
        let mut written = 0;
        while !self.write_buffer.is_empty() {
            let Ok(most) = self.pace_down.take(self.write_buffer.len(), now) else { break };
            // Without readiness, every later change of it wakes the task.
            self.stream.forget_writable();
            let stream = &self.stream;
            match self.write_buffer.write(most, |slices| stream.write_at_once(slices)) {
                Ok(count) => {
                    self.pace_down.moved(count, now);
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.stream.poll_write_ready(cx)?.is_pending() {
                break;
            }
        }
        Ok(written)
    }

    /// Drops and counts the contents of the write buffer.
    pub(crate) fn drop_write_buffer(&mut self) {
        self.dropped += self.write_buffer.len() as u64;
        self.write_buffer = WriteBuffer::default();
    }

    /// Marks the socket as reset. Drops what it has not taken, and grants credit for that.
    pub(crate) fn set_reset(&mut self, client: &mut Client, now: Instant) {
        self.reset = true;
        self.drop_write_buffer();
        client.consumed(self.channel, self.dropped as usize, now);
    }

    /// Notes data that has arrived on the channel. For a socket that was reset it is dropped, and
    /// credit is granted for it: without credit OpenSSH does not look at its end of the connection,
    /// and would not notice when the target ends.
    pub(crate) fn receive(&mut self, client: &mut Client, range: Range<usize>, now: Instant) {
        let count = range.len();
        self.received += count as u64;
        if self.reset {
            client.consumed(self.channel, count, now);
            self.dropped += count as u64;
            self.discarded += count as u64;
        } else {
            self.arrived.push(range);
        }
    }

    /// Sends FIN to the socket once EOF has arrived on the channel and everything is delivered. An
    /// error means that the socket was reset.
    pub(crate) fn finish_down(&mut self) -> io::Result<()> {
        if self.down == Down::Ended && self.write_buffer.is_empty() {
            self.stream.shutdown_write()?;
            self.down = Down::Finished;
        }
        Ok(())
    }

    /// Arms the waker for a reset although nothing is being read or written, and returns whether
    /// there was one already.
    pub(crate) fn watch_for_reset(&mut self, cx: &mut Context<'_>) -> bool {
        let over = self.up == Up::Ended && self.down == Down::Finished;
        // A write buffer that is not empty has armed the waker, unless it waits for its time.
        let armed = !self.write_buffer.is_empty() && !self.pace_down.has_reserved();
        if over || self.reset || armed {
            return false;
        }
        self.stream.poll_reset(cx)
    }

    /// Returns how many bytes the socket has taken.
    pub(crate) fn delivered(&self) -> u64 {
        self.received - self.write_buffer.len() as u64 - self.dropped
    }

    /// Returns how many bytes the peer's kernel has acknowledged: they count as delivered in any
    /// case. Where it does not tell, there may be more.
    pub(crate) fn acknowledged(&mut self) -> u64 {
        let left = match self.stream.send_queue(self.down == Down::Finished) {
            Ok(SendQueue::Empty) => 0,
            Ok(SendQueue::Holds(left)) => left,
            Ok(SendQueue::HoldsSome | SendQueue::Unknown) | Err(_) => return self.acknowledged,
        };
        self.acknowledged = self.acknowledged.max(self.delivered().saturating_sub(left));
        self.acknowledged
    }

    /// Returns what [`acknowledged`](Self::acknowledged) has returned last.
    pub(crate) fn known_acknowledged(&self) -> u64 {
        self.acknowledged
    }
}

#[cfg(test)]
mod tests;
