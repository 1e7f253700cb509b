//! A stream through a jump host: one channel of a session with it.
//!
//! A task moves the bytes between the channel and a stream in memory. Bytes that the next session does
//! not take wait in the pump's write buffer, at most one window of the channel; bytes that the jump
//! host does not take wait in that stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ssh_proto::{ChannelId, Client, Event, OpenFailure};

use crate::runtime::cutoff::{CutoffWatch, before};
use crate::runtime::timer::{Timer, run_after_input};
use crate::session::connect::bridge::{Bridge, pair};
use crate::session::connect::happy_eyeballs::host_and_port;
use crate::session::connect::transport::Stream;
use crate::session::connection::{DISCONNECT_TIMEOUT, Session, TimeoutGate, exchange};
use crate::session::pump::{Down, Pump, ReadOutcome, Up};
use crate::session::{Error, Target};

/// Originator of the connection through the jump host; it has no address. ssh sends the same.
const ORIGINATOR: (&str, u16) = ("127.0.0.1", 65_535);

/// The number of the one channel of a jump host's session, for [`Session::take_early`].
pub(crate) const CHANNEL: u64 = 0;

/// Begins the channel from the jump host to the next server.
pub(crate) fn open(client: &mut Client, host: &str, port: u16) -> ChannelId {
    let (originator, originator_port) = ORIGINATOR;
    client.open_direct_tcpip(host, port, originator, originator_port)
}

/// Opens a channel from the jump host to the next server, and returns its stream. Dropping the
/// stream disconnects the jump host's session, and a disconnect of that session ends the stream.
pub(crate) async fn through(
    mut session: Session,
    hop: &Arc<Target>,
    host: &str,
    port: u16,
    cutoff: CutoffWatch,
) -> Result<Stream, Error> {
    let early = session.take_early(CHANNEL);
    let channel = early.unwrap_or_else(|| open(&mut session.client, host, port));
    let address = host_and_port(host, port);
    if let Err(error) = opened(&mut session, hop, &address).await {
        tokio::spawn(session.disconnect(cutoff));
        return Err(error);
    }
    let (stream, local, bridge) = pair();
    let relay = Relay {
        hop: hop.clone(),
        session,
        pump: Pump::new(local.into(), channel, Instant::now()),
        bridge,
        closed: false,
        deadline: None,
        timeout_gate: TimeoutGate::default(),
        timer: Timer::default(),
    };
    tokio::spawn(relay.run(cutoff));
    Ok(stream)
}

/// Waits until the channel is open.
async fn opened(session: &mut Session, hop: &Arc<Target>, address: &str) -> Result<(), Error> {
    loop {
        while let Some(event) = session.client.next_event()? {
            match event {
                Event::Opened(_) => return Ok(()),
                Event::OpenFailed { reason, description, .. } => {
                    let code = match reason {
                        OpenFailure::Other(code) => format!(" (reason {code})"),
                        _ => String::new(),
                    };
                    return Err(Error::Refused {
                        reason,
                        text: format!("it refused to connect to {address}{code}: {description}"),
                    });
                }
                Event::HostKeys(keys) => hop.update_host_keys(keys),
                Event::Rekeyed => {}
                Event::Data { .. } | Event::Window(_) | Event::Eof(_) | Event::Close(_) => {
                    unreachable!("the only channel is not open yet")
                }
                Event::HostKey(_) | Event::Banner(_) | Event::Question(_) | Event::Ready => {
                    unreachable!("a session authenticates once")
                }
                Event::Forward(..) => unreachable!("no forward was requested"),
            }
        }
        exchange(session, "the jump host to connect").await?;
    }
}

/// Moves the bytes between a channel of the jump host's session and the stream of the next session.
struct Relay {
    /// The jump host.
    hop: Arc<Target>,
    session: Session,
    /// Between the channel and the other end of the next session's stream.
    pump: Pump,
    bridge: Bridge,
    /// Whether the jump host has closed the channel.
    closed: bool,
    /// End of the time for the other side to end too.
    deadline: Option<Instant>,
    timeout_gate: TimeoutGate,
    timer: Timer,
}

impl Relay {
    /// Runs until one side has ended, or until `cutoff`.
    async fn run(mut self, mut cutoff: CutoffWatch) {
        let work = async {
            // Data that arrived with the confirmation was read already, and is no event.
            poll_fn(|cx| Poll::Ready(self.handle_events(cx, Instant::now()))).await?;
            poll_fn(|cx| self.poll(cx)).await
        };
        match before(cutoff.reached(), work).await.unwrap_or(Ok(())) {
            Ok(()) => {
                if !self.pump.up.is_over() {
                    // The next session does not wait for the disconnect.
                    let _ = self.pump.stream.shutdown_write();
                }
                self.session.disconnect(cutoff).await;
            }
            Err(error) => {
                self.session.try_flush();
                poll_fn(|cx| self.poll_drained(cx)).await;
                drop(self.session);
                let address = host_and_port(&self.hop.host, self.hop.port);
                self.bridge.set_close_reason(error.into_disconnected().at_hop(address));
            }
        }
        // Last: see `Bridge`.
        drop(self.pump);
    }

    /// Moves bytes until one side has ended; an error means that the jump host's session has.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            let now = Instant::now();
            if self.timer.begin_turn() {
                self.session.client.resumed(now);
                self.deadline = self.deadline.map(|_| now + DISCONNECT_TIMEOUT);
            }
            let mut busy = self.turn(cx, now)?;
            let is_late = self.deadline.is_some_and(|due| due <= now);
            let opens =
                self.timeout_gate.opens(is_late || self.session.is_due(now), Some(&self.session));
            let delivered = self.closed && self.pump.write_buffer.is_empty();
            if delivered || (is_late && opens) {
                return Poll::Ready(Ok(()));
            }
            if opens {
                busy |= self.session.handle_timeout(now)?;
            }
            if !busy {
                self.session.idle(now);
            }
            if self.timeout_gate.yields(busy) {
                run_after_input(cx);
                return Poll::Pending;
            }
            if busy {
                continue;
            }
            let dues = [self.session.timeout(), self.deadline];
            if !self.timer.poll(dues.into_iter().flatten().min(), cx) {
                return Poll::Pending;
            }
        }
    }

    /// Returns whether there may be more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Error> {
        self.session.poll_path(cx, now)?;
        let mut busy = self.receive(cx, now)?;
        self.write(cx, now);
        busy |= self.read(cx, now);
        self.release(cx, now);
        busy |= self.flush(cx)?;
        busy |= self.session.expire(now);
        Ok(busy)
    }

    /// Closes the channel once the next session has closed its stream. The jump host confirms CLOSE
    /// when it has sent the last bytes; DISCONNECT would make it drop them.
    fn release(&mut self, cx: &mut Context<'_>, now: Instant) {
        if self.bridge.poll_released(cx).is_ready() {
            self.deadline.get_or_insert(now + DISCONNECT_TIMEOUT);
            if self.pump.up.is_over() {
                self.session.client.close(self.pump.channel);
            }
        }
    }

    /// Reads once from the jump host and handles the events.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Error> {
        if !self.session.client.wants_input() {
            return Ok(false);
        }
        match self.session.poll_receive(cx, now) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => self.handle_events(cx, now).map(|()| true),
            Poll::Ready(Err(error)) => Err(self.session.disconnect_error(&error)),
        }
    }

    fn handle_events(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<(), Error> {
        let outcome = loop {
            match self.session.client.next_event() {
                Ok(Some(event)) => self.handle_event(event, now),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        if !self.pump.arrived.is_empty()
            && self.pump.deliver(&mut self.session.client, cx, now).is_err()
        {
            self.pump.set_reset(&mut self.session.client, now);
        }
        outcome
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Data { range, .. } => self.pump.receive(&mut self.session.client, range, now),
            Event::Eof(channel) => {
                self.pump.down = Down::Ended;
                if self.pump.up.is_over() {
                    self.session.client.close(channel);
                }
            }
            Event::Close(_) => self.closed = true,
            Event::HostKeys(keys) => self.hop.update_host_keys(keys),
            // Each turn checks whether there is room.
            Event::Window(_) | Event::Rekeyed => {}
            Event::Opened(_) | Event::OpenFailed { .. } => {
                unreachable!("the only channel is open")
            }
            Event::HostKey(_) | Event::Banner(_) | Event::Question(_) | Event::Ready => {
                unreachable!("a session authenticates once")
            }
            Event::Forward(..) => unreachable!("no forward was requested"),
        }
    }

    /// Writes the write buffer to the next session, then EOF. If that session has sent EOF, it gets
    /// EOF only when the jump host's session has ended.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) {
        let waits = !self.pump.write_buffer.is_empty();
        if waits
            && self.pump.stream.poll_write_ready(cx).is_ready()
            && self.pump.flush(&mut self.session.client, cx, now).is_err()
        {
            self.pump.set_reset(&mut self.session.client, now);
        }
        if !self.pump.up.is_over() {
            // An error shows when the stream is read.
            let _ = self.pump.finish_down();
        }
    }

    /// Ready when the next session has taken everything, or has closed its stream.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.write(cx, Instant::now());
        if self.pump.write_buffer.is_empty() {
            Poll::Ready(())
        } else {
            self.bridge.poll_released(cx)
        }
    }

    /// Reads once from the next session, straight into packets.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let client = &mut self.session.client;
        if self.pump.stream.is_low() {
            client.asked_through(now);
        }
        let over = self.pump.up.is_over();
        if over || !client.has_room() || client.window(self.pump.channel) == 0 {
            return false;
        }
        let Some(room) = self.session.bulk_room(self.pump.channel, now) else { return false };
        match self.pump.read(&mut self.session.client, cx, now, room) {
            ReadOutcome::More => true,
            ReadOutcome::Drained | ReadOutcome::NoWindow => false,
            ReadOutcome::End | ReadOutcome::LastDone | ReadOutcome::Reset => {
                self.end(now);
                true
            }
        }
    }

    /// Sends EOF for the next session, and starts the time for the other side to end.
    fn end(&mut self, now: Instant) {
        self.pump.up = Up::Ended;
        self.deadline.get_or_insert(now + DISCONNECT_TIMEOUT);
        self.session.client.eof(self.pump.channel);
        if self.pump.down != Down::Flowing || self.closed {
            self.session.client.close(self.pump.channel);
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        if self.session.client.pending().is_empty() {
            return Ok(false);
        }
        let ignored_input = !self.session.client.wants_input();
        match self.session.poll_flush(cx) {
            // There is room again.
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(error)) => Err(self.session.disconnect_error(&error)),
            // Input that arrived while it was not wanted is no event.
            Poll::Pending => Ok(ignored_input && self.session.client.wants_input()),
        }
    }
}
