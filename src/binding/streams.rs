//! Streams that JavaScript reads and writes: one end belongs to JavaScript, the other to a task.
//!
//! A function never waits. One that finds nothing to read, or no room, arms the waker of the end, which
//! sends one `Woken` message to JavaScript; further wakes until its arrival are dropped.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::binding::environment::{self, Link, unknown};
use crate::binding::observer::Message;
use crate::net::memory::End;

/// What `readable` and `writeStream` return in place of a number of bytes.
#[napi]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// The peer has ended its direction, and everything before that is read.
    Ended = -1,
    /// The peer has reset or closed the stream.
    Failed = -2,
}

/// JavaScript's end of a stream.
struct StreamEnd {
    end: End,
    /// The waker of both directions.
    waker: Waker,
    link: Arc<Link>,
}

/// Wakes an end in JavaScript.
pub(crate) struct StreamWaker {
    stream: u32,
    link: Arc<Link>,
    /// Whether a message is under way.
    waking: AtomicBool,
}

impl StreamWaker {
    pub(crate) fn stream(&self) -> u32 {
        self.stream
    }

    /// JavaScript is about to look: the next wake is a message again.
    pub(crate) fn arrived(&self) {
        self.waking.store(false, Ordering::Release);
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.waking.swap(true, Ordering::AcqRel) {
            self.link.send(Message::woken(self.clone()));
        }
    }
}

thread_local! {
    /// The ends of this thread's JavaScript, by number.
    static ENDS: RefCell<HashMap<u32, StreamEnd>> = RefCell::default();
}

/// Gives an end to the JavaScript of a link. Returns its number.
pub(crate) fn insert(end: End, link: &Arc<Link>) -> u32 {
    let stream = environment::next_number();
    let waking = AtomicBool::new(false);
    let waker = Arc::new(StreamWaker { stream, link: link.clone(), waking }).into();
    let end = StreamEnd { end, waker, link: link.clone() };
    ENDS.with_borrow_mut(|ends| ends.insert(stream, end));
    stream
}

/// Closes the ends of a link. A thread that ends has closed them already.
pub(crate) fn remove_all(link: &Arc<Link>) {
    let _ = ENDS.try_with(|ends| ends.borrow_mut().retain(|_, end| !Arc::ptr_eq(&end.link, link)));
}

fn with<T>(stream: u32, work: impl FnOnce(&End, &mut Context<'_>) -> T) -> napi::Result<T> {
    ENDS.with_borrow(|ends| {
        let StreamEnd { end, waker, .. } = ends.get(&stream).ok_or_else(|| unknown("stream"))?;
        Ok(work(end, &mut Context::from_waker(waker)))
    })
}

/// Returns how many bytes can be read at once, 0 if JavaScript will be woken, or a `StreamState`.
#[napi(catch_unwind)]
pub fn readable(stream: u32) -> napi::Result<f64> {
    with(stream, |end, cx| {
        loop {
            // Nothing else reads.
            match (end.unread(), end.try_read(&mut [])) {
                (0, Ok(_)) if end.unread() == 0 => return f64::from(StreamState::Ended as i32),
                (0, Ok(_)) => {}
                (0, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if end.poll_read_ready(cx).is_pending() {
                        return 0.0;
                    }
                }
                (0, Err(_)) => return f64::from(StreamState::Failed as i32),
                (count, _) => return count as f64,
            }
        }
    })
}

/// Reads into a buffer, which is not longer than what `readable` has returned. Returns how many bytes
/// were read: none if the peer has reset the stream since, which drops them.
#[napi(catch_unwind)]
pub fn read_stream(stream: u32, mut into: BufferSlice<'_>) -> napi::Result<f64> {
    with(stream, |end, _| read(end, &mut into) as f64)
}

/// Reads what there is. The next look at the end tells why there is nothing.
fn read(end: &End, into: &mut [u8]) -> usize {
    end.try_read(into).unwrap_or_default()
}

/// Writes a buffer from this offset. Returns how many bytes fitted, or a `StreamState`. If they are not
/// all, JavaScript will be woken.
// The macro hands buffers over by value.
#[allow(clippy::needless_pass_by_value)]
#[napi(catch_unwind)]
pub fn write_stream(stream: u32, bytes: BufferSlice<'_>, offset: u32) -> napi::Result<f64> {
    let bytes = bytes.get(offset as usize..).unwrap_or_default();
    with(stream, |end, cx| {
        let mut written = 0;
        while written < bytes.len() {
            match end.try_write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if matches!(end.poll_write_ready(cx), Poll::Pending) {
                        break;
                    }
                }
                Err(_) => return f64::from(StreamState::Failed as i32),
            }
        }
        written as f64
    })
}

/// Ends JavaScript's direction of a stream.
#[napi(catch_unwind)]
pub fn end_stream(stream: u32) -> napi::Result<()> {
    with(stream, |end, _| end.shutdown_write())
}

/// Closes a stream. Does nothing if it is closed already.
#[napi(catch_unwind)]
pub fn close_stream(stream: u32) {
    let end = ENDS.with_borrow_mut(|ends| ends.remove(&stream));
    drop(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::memory::{ResetMode, pair};

    #[test]
    fn bytes_that_a_reset_drops_after_they_were_announced_are_not_read() {
        let (end, peer) = pair(64);
        let mut into = [0; 8];
        assert_eq!(peer.try_write(b"announced").expect("there is room"), 9);
        assert_eq!((end.unread(), read(&end, &mut into)), (9, 8));
        peer.reset(io::ErrorKind::ConnectionReset, ResetMode::AtOnce);
        assert_eq!(read(&end, &mut into), 0);
    }
}
