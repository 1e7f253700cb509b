//! A two-way stream inside the process, with the semantics of a connected stream socket.
//!
//! Each direction is one ring of bytes that grows up to its capacity. Both ends may be used from
//! any thread: an operation holds the lock of one direction while it copies, and wakes tasks after
//! it has released it.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Smallest allocation of a ring.
const MIN_ALLOCATION: usize = 4096;
/// Allocation that an empty ring keeps after a read of fewer bytes than the second: it is no bulk
/// transfer, which would allocate anew for every round.
const MAX_IDLE: usize = 16 * 1024;
const SMALL_READ: usize = 16 * 1024;
/// Bytes that a direction holds while it is low.
const LOW: usize = 16 * 1024;

/// Makes a stream; each direction holds at most `capacity` bytes.
pub(crate) fn pair(capacity: usize) -> (End, End) {
    let direction = || Arc::new(Direction { capacity, state: Mutex::default() });
    let (first, second) = (direction(), direction());
    let end = End { input: first.clone(), output: second.clone() };
    (end, End { input: second, output: first })
}

/// One end of the stream. Dropping it closes it: the peer reads what was written and then the end
/// of the stream, and its writes fail with EPIPE.
#[derive(Debug)]
pub(crate) struct End {
    input: Arc<Direction>,
    output: Arc<Direction>,
}

/// When the peer learns of a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetMode {
    /// Its next read fails; what it has not read is dropped.
    AtOnce,
    /// It reads everything that was written before. Its writes fail at once.
    AfterData,
}

/// The bytes from one end to the other.
#[derive(Debug)]
struct Direction {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// What follows the bytes.
    end: Option<Ending>,
    /// Whether the reader has read the end of the stream.
    end_was_read: bool,
    /// The error of writes, once the reader has closed or reset its end.
    refused: Option<io::ErrorKind>,
    /// Bytes that were dropped because the reader had not read them when either end was closed or
    /// reset.
    lost: usize,
    /// Whether a write did not fit. The writer is woken when half of the ring is free, and not for
    /// every read.
    full: bool,
    /// Whether it is to hold little.
    low: bool,
    read_waker: Option<Waker>,
    write_waker: Option<Waker>,
    drained_waker: Option<Waker>,
    closed_waker: Option<Waker>,
}

/// The end of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The end of the stream.
    Eof,
    /// Every read fails with this error.
    Reset(io::ErrorKind),
}

impl End {
    /// Reads once, without waiting.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    /// Reads once, without waiting.
    pub(crate) fn try_read_vectored(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.input.with(|state, capacity, wakes| {
            if state.bytes.is_empty() {
                return match state.end {
                    None => Err(io::ErrorKind::WouldBlock.into()),
                    Some(Ending::Reset(kind)) => Err(kind.into()),
                    Some(Ending::Eof) => {
                        state.end_was_read = true;
                        wakes.add(state.drained_waker.take());
                        Ok(0)
                    }
                };
            }
            let count = copy_front(&state.bytes, slices);
            state.bytes.drain(..count);
            if state.bytes.is_empty() && count < SMALL_READ {
                state.bytes.shrink_to(MAX_IDLE);
            }
            state.wake_writer(capacity, wakes);
            if state.unread(1) == 0 {
                wakes.add(state.drained_waker.take());
            }
            Ok(count)
        })
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    /// Writes once, without waiting.
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.output.with(|state, capacity, wakes| {
            if let Some(kind) = state.refused {
                return Err(kind.into());
            }
            if state.end.is_some() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let total: usize = slices.iter().map(|slice| slice.len()).sum();
            let count = total.min(state.capacity(capacity).saturating_sub(state.bytes.len()));
            if count < total {
                state.full = true;
            }
            if count == 0 {
                return if total == 0 { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
            }
            state.reserve(count, capacity);
            let mut left = count;
            for slice in slices {
                let part = slice.len().min(left);
                state.bytes.extend(&slice[..part]);
                left -= part;
            }
            wakes.add(state.read_waker.take());
            Ok(count)
        })
    }

    /// Waits until a read does not fail with `WouldBlock`.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.input.wait(cx, |state, _| {
            let ready = !state.bytes.is_empty() || state.end.is_some();
            (ready, &mut state.read_waker)
        })
    }

    /// Waits until a write does not fail with `WouldBlock`. After a write that did not fit, half of
    /// the capacity has to be free.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.output.wait(cx, |state, capacity| {
            state.full |= state.bytes.len() >= state.capacity(capacity);
            let ready = !state.full || state.refused.is_some() || state.end.is_some();
            (ready, &mut state.write_waker)
        })
    }

    /// Waits until the peer has read everything that was written, and the end of the stream if that
    /// was written, or until it has closed or reset its end.
    pub(crate) fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.output.wait(cx, |state, _| {
            let ready = state.unread(1) == 0 || state.refused.is_some();
            (ready, &mut state.drained_waker)
        })
    }

    /// Waits until the peer has closed or reset its end, and not only its direction.
    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.output.wait(cx, |state, _| (state.refused.is_some(), &mut state.closed_waker))
    }

    /// Ends this direction: the peer reads everything that was written, and then the end of the
    /// stream.
    pub(crate) fn shutdown_write(&self) {
        self.output.end(Ending::Eof);
    }

    /// Resets the stream: reads and writes of the peer fail with an error of this kind. A peer to
    /// which this direction was ended before still reads that end, unless bytes before it are
    /// dropped. Returns how many bytes the peer can no longer read.
    pub(crate) fn reset(&self, kind: io::ErrorKind, mode: ResetMode) -> usize {
        self.input.refuse(kind);
        self.input.end(Ending::Reset(kind));
        self.output.with(|state, _, wakes| {
            if mode == ResetMode::AtOnce && !state.bytes.is_empty() {
                state.lost += std::mem::take(&mut state.bytes).len();
                state.end = None;
            }
            state.end.get_or_insert(Ending::Reset(kind));
            wakes.add(state.read_waker.take());
            state.lost
        })
    }

    /// Lets this direction hold little, or as much as it can.
    pub(crate) fn set_low(&self, low: bool) {
        self.output.with(|state, capacity, wakes| {
            if std::mem::replace(&mut state.low, low) != low {
                state.wake_writer(capacity, wakes);
            }
        });
    }

    /// Returns whether the peer lets its direction hold little.
    pub(crate) fn is_low(&self) -> bool {
        self.input.lock().low
    }

    /// Returns how many bytes have arrived and were not read.
    pub(crate) fn unread(&self) -> usize {
        self.input.lock().bytes.len()
    }

    /// Returns whether this end has read everything up to the end of the stream. An error means
    /// that the peer has reset it.
    pub(crate) fn has_ended(&self) -> io::Result<bool> {
        let state = self.input.lock();
        match state.end {
            Some(Ending::Reset(kind)) if state.bytes.is_empty() => Err(kind.into()),
            Some(Ending::Eof) => Ok(state.bytes.is_empty()),
            _ => Ok(false),
        }
    }

    /// Returns how many bytes the peer has not read; `eof` is added for an end of the stream that
    /// it has not read. What the peer can no longer read counts too.
    pub(crate) fn unsent(&self, eof: usize) -> usize {
        self.output.lock().unread(eof)
    }

    /// Returns the error of the stream: the peer has reset it, or closed it with bytes unread.
    pub(crate) fn error(&self) -> Option<io::Error> {
        let state = self.output.lock();
        match state.refused {
            Some(io::ErrorKind::BrokenPipe) if state.lost == 0 => None,
            Some(io::ErrorKind::BrokenPipe) => Some(io::ErrorKind::ConnectionReset.into()),
            Some(kind) => Some(kind.into()),
            None => None,
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shutdown_write();
        self.input.refuse(io::ErrorKind::BrokenPipe);
    }
}

impl Direction {
    /// The lock is held for a copy at most, which does not panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and then wakes the tasks that `work` has collected.
    fn with<T>(&self, work: impl FnOnce(&mut State, usize, &mut Wakes) -> T) -> T {
        let mut wakes = Wakes::default();
        let outcome = work(&mut self.lock(), self.capacity, &mut wakes);
        wakes.0.into_iter().flatten().for_each(Waker::wake);
        outcome
    }

    /// Registers a waker in the place that `check` returns, unless it is ready.
    fn wait(
        &self,
        cx: &mut Context<'_>,
        check: impl FnOnce(&mut State, usize) -> (bool, &mut Option<Waker>),
    ) -> Poll<()> {
        let mut state = self.lock();
        let (ready, place) = check(&mut state, self.capacity);
        if ready {
            return Poll::Ready(());
        }
        match place {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *place = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Makes `ending` follow the bytes. The first ending stays.
    fn end(&self, ending: Ending) {
        self.with(|state, _, wakes| {
            state.end.get_or_insert(ending);
            wakes.add(state.read_waker.take());
        });
    }

    /// Makes every further write fail, and drops what was not read. The first error stays.
    fn refuse(&self, kind: io::ErrorKind) {
        self.with(|state, _, wakes| {
            state.refused.get_or_insert(kind);
            state.lost += std::mem::take(&mut state.bytes).len();
            wakes.add(state.write_waker.take());
            wakes.add(state.drained_waker.take());
            wakes.add(state.closed_waker.take());
        });
    }
}

impl State {
    /// Allocates for `count` more bytes; the ring doubles up to its capacity.
    fn reserve(&mut self, count: usize, capacity: usize) {
        let needed = self.bytes.len() + count;
        if needed > self.bytes.capacity() {
            let size = needed.max(2 * self.bytes.capacity()).max(MIN_ALLOCATION).min(capacity);
            self.bytes.reserve_exact(size.max(needed) - self.bytes.len());
        }
    }

    /// Returns how many bytes may be held now.
    fn capacity(&self, capacity: usize) -> usize {
        if self.low { capacity.min(LOW) } else { capacity }
    }

    /// Wakes the writer if half of the room is free, after a write that did not fit.
    fn wake_writer(&mut self, capacity: usize, wakes: &mut Wakes) {
        let capacity = self.capacity(capacity);
        if self.full && self.bytes.len() <= capacity / 2 {
            self.full = false;
            wakes.add(self.write_waker.take());
        }
    }

    /// Returns how many bytes were written and not read; `eof` counts an end of the stream.
    fn unread(&self, eof: usize) -> usize {
        let ends = self.end == Some(Ending::Eof) && !self.end_was_read && self.refused.is_none();
        self.bytes.len() + self.lost + if ends { eof } else { 0 }
    }
}

/// Copies the first bytes of a ring into the slices; returns how many.
fn copy_front(ring: &VecDeque<u8>, slices: &mut [IoSliceMut<'_>]) -> usize {
    let (mut source, mut rest) = ring.as_slices();
    let mut count = 0;
    for slice in slices {
        let mut target = &mut **slice;
        while !target.is_empty() && !source.is_empty() {
            let part = target.len().min(source.len());
            let (now, later) = target.split_at_mut(part);
            now.copy_from_slice(&source[..part]);
            count += part;
            target = later;
            source = &source[part..];
            if source.is_empty() {
                source = std::mem::take(&mut rest);
            }
        }
    }
    count
}

/// Wakers to call when no lock is held.
#[derive(Default)]
struct Wakes([Option<Waker>; 3]);

impl Wakes {
    fn add(&mut self, waker: Option<Waker>) {
        if let Some(place) = self.0.iter_mut().find(|place| place.is_none()) {
            *place = waker;
        }
    }
}

#[cfg(test)]
mod tests;
