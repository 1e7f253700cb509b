//! A session that travels through another one: the logged-on session at a jump host, and the one
//! channel of it that is the next session's stream.
//!
//! A task of its own moves the bytes between the channel and the stream's pair of sockets. What the
//! next session does not take stays here, at most one window of the channel; what the jump host
//! does not take stays in the kernel.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use socket2::SockRef;
use ssh_proto::{ChannelId, Event, OpenFailure};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::net::try_io::attempt;
use crate::net::write_buffer::WriteBuffer;
use crate::runtime::cutoff::{CutoffWatch, before};
use crate::runtime::timer::{Timer, run_after_input};
use crate::session::connect::bridge::{self, Bridge};
use crate::session::connect::happy_eyeballs::place;
use crate::session::connect::transport::Stream;
use crate::session::connection::{FAREWELL, Hearing, Link, exchange};
use crate::session::host_key::update::learn;
use crate::session::{Error, Target};

/// What one read may take in while data flows in bulk, and what it may take otherwise.
const BULK: usize = 256 * 1024;
const FIRST: usize = 32 * 1024;
/// Who asks a jump host for a connection: nobody who has an address. ssh says the same then.
const ORIGINATOR: (&str, u16) = ("127.0.0.1", 65_535);

/// Has the jump host connect to the next server. The stream that goes there holds the jump
/// host's session, which is ended when the stream is dropped, or ends it.
pub(crate) async fn through(
    mut link: Link,
    hop: &Arc<Target>,
    host: &str,
    port: u16,
    cutoff: CutoffWatch,
) -> Result<Stream, Error> {
    let (asker, asker_port) = ORIGINATOR;
    let channel = link.client.open_direct_tcpip(host, port, asker, asker_port);
    let place = place(host, port);
    if let Err(error) = opened(&mut link, hop, &place).await {
        tokio::spawn(link.disconnect_session(cutoff));
        return Err(error);
    }
    let (stream, local, carrier) = bridge::pair(&place)?;
    let local = local.set_nonblocking(true).and_then(|()| UnixStream::from_std(local));
    let local = local.map_err(|error| bridge::failed(&error, &place))?;
    let pump = Pump {
        hop: hop.clone(),
        link,
        channel,
        local,
        carrier,
        backlog: WriteBuffer::default(),
        ended: false,
        far: Far::Flowing,
        bulk: false,
        deadline: None,
        hearing: Hearing::default(),
        timer: Timer::default(),
    };
    tokio::spawn(pump.run(cutoff));
    Ok(stream)
}

/// Waits until the channel is open.
async fn opened(link: &mut Link, hop: &Arc<Target>, place: &str) -> Result<(), Error> {
    loop {
        while let Some(event) = link.client.next_event()? {
            match event {
                Event::Opened(_) => return Ok(()),
                Event::OpenFailed { reason, description, .. } => {
                    let code = match reason {
                        OpenFailure::Other(code) => format!(" (reason {code})"),
                        _ => String::new(),
                    };
                    return Err(Error::Refused {
                        reason,
                        text: format!("it refused to connect to {place}{code}: {description}"),
                    });
                }
                Event::HostKeys(keys) => learn(hop, keys),
                Event::Rekeyed => {}
                Event::Data { .. } | Event::Window(_) | Event::Eof(_) | Event::Close(_) => {
                    unreachable!("the only channel is not open yet")
                }
                Event::HostKey(_) | Event::Banner(_) | Event::Asked(_) | Event::Ready => {
                    unreachable!("a session logs on once")
                }
                Event::Forward(..) => unreachable!("no forward was asked for"),
            }
        }
        exchange(link, "the jump host to connect").await?;
    }
}

/// The direction from the far side to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Far {
    /// Bytes are passed on as they come.
    Flowing,
    /// The far side has ended its stream.
    Ended,
    /// As before, and the session was told.
    Told,
    /// The jump host closed the channel.
    Closed,
}

/// What moves the bytes of one channel.
struct Pump {
    /// Whose session it is.
    hop: Arc<Target>,
    link: Link,
    channel: ChannelId,
    /// The other end of the session's socket.
    local: UnixStream,
    carrier: Bridge,
    /// Bytes from the far side that the session did not take yet.
    backlog: WriteBuffer,
    /// Whether the session has ended its direction.
    ended: bool,
    far: Far,
    /// Whether the last read from the session was as large as it could be.
    bulk: bool,
    /// When the far side has had enough time to end too, once the session has.
    deadline: Option<Instant>,
    /// Whether what is due waits for input.
    hearing: Hearing,
    timer: Timer,
}

impl Pump {
    /// Runs until one side has gone, or until `cutoff`.
    async fn run(mut self, mut cutoff: CutoffWatch) {
        // What came with the answer to the opening is read already: nothing would announce it.
        let outcome = match self.handle_events(Instant::now()) {
            Ok(()) => {
                let work = poll_fn(|cx| self.poll(cx));
                before(cutoff.reached(), work).await.unwrap_or(Ok(()))
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                if !self.ended {
                    // The session need not wait for our disconnecting_session.
                    let _ = SockRef::from(&self.local).shutdown(Shutdown::Write);
                }
                self.link.disconnect_session(cutoff).await;
            }
            Err(error) => {
                self.link.try_flush();
                poll_fn(|cx| self.poll_drained(cx)).await;
                drop(self.link);
                let place = place(&self.hop.host, self.hop.port);
                self.carrier.tell(error.into_loss().at_hop(place));
            }
        }
        // Last of all.
        drop(self.local);
    }

    /// Moves bytes until one side has gone; an error means that the jump host has.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let now = Instant::now();
            if self.timer.was_paused() {
                self.link.client.resumed(now);
                self.deadline = self.deadline.map(|_| now + FAREWELL);
            }
            let mut busy = self.turn(cx, now)?;
            let is_late = self.deadline.is_some_and(|due| due <= now);
            let judges = self.hearing.is_over(is_late || self.link.is_due(now), Some(&self.link));
            if (self.far == Far::Closed && self.backlog.is_empty()) || (is_late && judges) {
                return Poll::Ready(Ok(()));
            }
            if judges {
                busy |= self.link.handle_timeout(now)?;
            }
            if !busy {
                self.link.idle(now);
            }
            if self.hearing.rests(busy) {
                run_after_input(cx);
                return Poll::Pending;
            }
            if busy {
                continue;
            }
            let dues = [self.link.timeout(), self.deadline];
            if !self.timer.poll(dues.into_iter().flatten().min(), cx) {
                return Poll::Pending;
            }
        }
    }

    /// Returns whether there may be more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Error> {
        let mut busy = self.receive(cx, now)?;
        self.write_backlog(cx, now);
        self.finish_far();
        busy |= self.take(cx, now);
        self.release(cx, now);
        busy |= self.flush(cx)?;
        busy |= self.link.lower_mark(now);
        Ok(busy)
    }

    /// Closes the channel of a session that has closed its socket. The jump host confirms that when
    /// the session's last word has left it; our disconnecting_session alone would make it forget the word.
    fn release(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.carrier.poll_released(cx).is_ready() {
            self.deadline.get_or_insert(now + FAREWELL);
            if self.ended {
                self.link.client.close(self.channel);
            }
        }
    }

    /// One read from the jump host, and everything that follows from it.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Error> {
        if !self.link.client.wants_input() {
            return Ok(false);
        }
        match self.link.poll_receive(cx, now) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => self.handle_events(now).map(|()| true),
            Poll::Ready(Err(error)) => Err(self.link.loss(&error)),
        }
    }

    fn handle_events(&mut self, now: Instant) -> Result<(), Error> {
        while let Some(event) = self.link.client.next_event()? {
            match event {
                Event::Data { range, .. } => self.deliver(range, now),
                Event::Eof(_) => {
                    self.far = Far::Ended;
                    if self.ended {
                        self.link.client.close(self.channel);
                    }
                }
                Event::Close(_) => self.far = Far::Closed,
                Event::HostKeys(keys) => learn(&self.hop, keys),
                // The turn looks whether there is room.
                Event::Window(_) | Event::Rekeyed => {}
                Event::Opened(_) | Event::OpenFailed { .. } => {
                    unreachable!("the only channel is open")
                }
                Event::HostKey(_) | Event::Banner(_) | Event::Asked(_) | Event::Ready => {
                    unreachable!("a session logs on once")
                }
                Event::Forward(..) => unreachable!("no forward was asked for"),
            }
        }
        Ok(())
    }

    /// Hands bytes that have come to the session, and keeps what its socket refuses.
    fn deliver(&mut self, range: Range<usize>, now: Instant) {
        let bytes = self.link.client.bytes(range);
        let mut count = 0;
        if self.backlog.is_empty() {
            let mut socket = &*SockRef::from(&self.local);
            let local = &self.local;
            let written = attempt(
                |work| local.try_io(Interest::WRITABLE, work),
                bytes.len(),
                || socket.write(bytes),
            );
            count = match written {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                // Nobody is there any more.
                Err(_) => bytes.len(),
            };
        }
        self.backlog.push(&bytes[count..]);
        self.link.client.consumed(self.channel, count, now);
    }

    /// Writes from the backlog until it is empty or the session takes no more.
    fn write_backlog(&mut self, cx: &mut Context<'_>, now: Instant) {
        while !self.backlog.is_empty() {
            if self.local.poll_write_ready(cx).is_pending() {
                return;
            }
            match self.backlog.write(|slices| self.local.try_write_vectored(slices)) {
                Ok(count) => self.link.client.consumed(self.channel, count, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.backlog = WriteBuffer::default(),
            }
        }
    }

    /// Ready when the session has everything that came, or is gone.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.write_backlog(cx, Instant::now());
        if self.backlog.is_empty() { Poll::Ready(()) } else { self.carrier.poll_released(cx) }
    }

    /// Passes the far side's end on to the session, behind everything else. A session that has
    /// ended its own direction waits for the end of the jump host's, too.
    fn finish_far(&mut self) {
        if self.far == Far::Ended && self.backlog.is_empty() && !self.ended {
            let _ = SockRef::from(&self.local).shutdown(Shutdown::Write);
            self.far = Far::Told;
        }
    }

    /// Reads once from the session, straight into the packets to be sent.
    fn take(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let client = &mut self.link.client;
        if self.ended || !client.has_room() || client.window(self.channel) == 0 {
            return false;
        }
        let local = &self.local;
        let most = if self.bulk { BULK } else { FIRST };
        let mut offered = 0;
        let read = client.fill(self.channel, most, |slots| {
            offered = slots.iter().map(|slot| slot.len()).sum();
            let mut socket = &*SockRef::from(local);
            attempt(
                |work| local.try_io(Interest::READABLE, work),
                offered,
                || socket.read_vectored(slots),
            )
        });
        self.bulk = matches!(read, Ok(count) if count == offered);
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.local.poll_read_ready(cx).is_ready()
            }
            Ok(count) if count > 0 => true,
            Ok(_) | Err(_) => {
                self.end(now);
                true
            }
        }
    }

    /// The session has ended its direction: the far side is told, and has its time to end too.
    fn end(&mut self, now: Instant) {
        self.ended = true;
        self.deadline.get_or_insert(now + FAREWELL);
        self.link.client.eof(self.channel);
        match self.far {
            Far::Flowing => {}
            Far::Ended | Far::Told | Far::Closed => self.link.client.close(self.channel),
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        if self.link.client.pending().is_empty() {
            return Ok(false);
        }
        let deaf = !self.link.client.wants_input();
        match self.link.poll_flush(cx) {
            // There is room again, for what was left where it was.
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(self.link.loss(&error)),
            // Nothing wakes us for what was sent to us before we wanted to hear it again.
            Poll::Pending => Ok(deaf && self.link.client.wants_input()),
        }
    }
}
