//! An established session: the state of the protocol, and the stream of its encrypted bytes.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ssh_proto::{ChannelId, Client, DisconnectReason};

use crate::net::rcvlowat::RcvLowat;
use crate::net::send_bound::{Room, SendBound};
use crate::runtime::cutoff::{CutoffWatch, before};
use crate::runtime::timer::Deadline;
use crate::session::connect::transport::Stream;
use crate::session::path::Path;
use crate::session::{Error, LossReason};

/// Bytes of bulk data in one read, and in one read where the path is slow, or somebody asks and the
/// system tells nothing about the path.
pub(crate) const BULK: usize = 256 * 1024;
const BULK_PORTION: usize = 16 * 1024;
/// Time for the server to close the connection after DISCONNECT.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for a bridge to end after its release.
const BRIDGE_TIMEOUT: Duration = Duration::from_secs(1);
/// The same once the cutoff is reached.
pub(crate) const FINAL_BRIDGE_TIMEOUT: Duration = Duration::from_millis(250);

/// Begins the channels that are wanted as soon as the session is up, and returns each with the
/// number by which [`Session::take_early`] finds it. Called before the user is authenticated, so
/// that they need no round trip of their own where the server takes them early.
pub(crate) type OpenEarly = dyn Fn(&mut Client) -> Vec<(u64, ChannelId)> + Send + Sync;

/// A session and its connection. Dropping it closes the connection without DISCONNECT.
pub(crate) struct Session {
    pub(crate) client: Client,
    stream: Stream,
    /// Time to connect and authenticate.
    pub(crate) connect_time: Duration,
    /// Bytes read and written.
    pub(crate) moved: u64,
    /// Bytes read.
    received: u64,
    /// Whether a small amount was read and nothing written since. The server may hold its next
    /// small packet back until it gets an acknowledgement, because OpenSSH leaves Nagle's algorithm
    /// on for sessions without a shell; by default the kernel delays the acknowledgement by 40 ms.
    owes_ack: bool,
    rcvlowat: RcvLowat,
    send_bound: SendBound,
    path: Path,
    /// Whether a channel was closed right after its last bytes, without a confirmation for them.
    pub(crate) unconfirmed: bool,
    /// Whether data has arrived from a target.
    pub(crate) served: bool,
    /// Channels that were opened with the authentication, by the caller's numbers.
    early: Vec<(u64, ChannelId)>,
}

/// Holds a timeout back until the input that arrived before it is handled.
#[derive(Debug, Default)]
pub(crate) enum TimeoutGate {
    /// Nothing is due.
    #[default]
    None,
    /// A timeout is due since this turn; the number of bytes that had arrived by then.
    Due(u64),
    /// The same, and the runtime has polled the sockets since.
    Polled(u64),
}

impl TimeoutGate {
    /// Returns whether the timeout counts at the end of this turn: everything was read that had
    /// arrived when it was first found due. Input that arrived since does not count, as it may
    /// never end.
    pub(crate) fn opens(&mut self, is_due: bool, session: Option<&Session>) -> bool {
        if !is_due {
            *self = Self::None;
            return false;
        }
        match *self {
            Self::None => *self = Self::Due(session.map_or(0, Session::arrived)),
            Self::Due(_) => {}
            Self::Polled(arrived) => {
                if session.is_none_or(|session| session.has_read(arrived)) {
                    *self = Self::None;
                    return true;
                }
            }
        }
        false
    }

    /// Returns whether a timeout is held back.
    pub(crate) fn is_waiting(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns whether the task has to call
    /// [`run_after_input`](crate::runtime::timer::run_after_input) and return, so that the runtime
    /// polls the sockets. `busy` says whether the turn did anything.
    pub(crate) fn yields(&mut self, busy: bool) -> bool {
        match *self {
            Self::None => false,
            Self::Due(arrived) => {
                *self = Self::Polled(arrived);
                true
            }
            Self::Polled(_) => !busy,
        }
    }
}

impl Session {
    /// Makes a session of a client in any state and a socket.
    #[cfg(test)]
    pub(crate) fn over(client: Client, socket: tokio::net::TcpStream) -> Self {
        Self::new(client, socket.into())
    }

    pub(crate) fn new(client: Client, stream: Stream) -> Self {
        let path = Path::new(stream.tcp());
        Self {
            client,
            stream,
            path,
            connect_time: Duration::ZERO,
            moved: 0,
            received: 0,
            owes_ack: false,
            rcvlowat: RcvLowat::default(),
            send_bound: SendBound::default(),
            unconfirmed: false,
            served: false,
            early: Vec::new(),
        }
    }

    /// Begins the channels that are wanted as soon as the user is authenticated.
    pub(crate) fn open_early(&mut self, open: &OpenEarly) {
        self.early = open(&mut self.client);
    }

    /// Returns the channel that was opened early under this number.
    pub(crate) fn take_early(&mut self, number: u64) -> Option<ChannelId> {
        let at = self.early.iter().position(|(early, _)| *early == number)?;
        Some(self.early.swap_remove(at).1)
    }

    /// Closes the channels that were opened early and are not wanted any more.
    pub(crate) fn close_early(&mut self) {
        for (_, channel) in self.early.drain(..) {
            self.client.close(channel);
        }
    }

    /// Asks the server for a sign of life if the process was paused, or if the path may have changed. An
    /// error means that the session is disconnected.
    pub(crate) fn poll_path(&mut self, cx: &Context<'_>, now: Instant) -> Result<(), Error> {
        if self.path.poll(cx, now)? {
            self.client.ask(now);
        }
        Ok(())
    }

    /// Reads once, or continues with the rest of the last read. An error means that the connection
    /// has ended.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        if self.client.make_room() {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(self.client.space()) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    self.rcvlowat.received(count, now);
                    self.owes_ack = !self.rcvlowat.is_raised();
                    self.moved += count as u64;
                    self.received += count as u64;
                    self.client.received(count, now);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what is pending.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.client.pending().is_empty() {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write(self.client.pending()) {
                Ok(count) => {
                    self.client.sent(count);
                    self.moved += count as u64;
                    self.owes_ack = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much of the pending bytes as the socket takes at once, before the session is
    /// dropped.
    pub(crate) fn try_flush(&mut self) {
        if let Ok(count) = self.stream.try_write(self.client.pending()) {
            self.client.sent(count);
        }
    }

    /// Returns why the session was disconnected, given the error of the socket.
    pub(crate) fn disconnect_error(&self, error: &io::Error) -> Error {
        self.stream.close_reason().unwrap_or_else(|| {
            let (reason, text) = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    (LossReason::Closed, "the server closed the connection".to_owned())
                }
                _ => (LossReason::Network, format!("the connection to the server broke: {error}")),
            };
            Error::Disconnected { reason: Some(reason), text }
        })
    }

    /// Notes that a small message was sent on a channel and a reply is expected: bulk data must not
    /// delay either.
    pub(crate) fn asked(&mut self, channel: ChannelId, now: Instant) {
        self.client.asked(channel, now);
        match self.stream.tcp() {
            Some(socket) => self.rcvlowat.keep_low(&socket, now),
            None => self.stream.set_low(self.client.channel_count() > 1),
        }
    }

    /// Notes that there is nothing left to do: sends a delayed acknowledgement.
    pub(crate) fn idle(&mut self, now: Instant) {
        if std::mem::take(&mut self.owes_ack) {
            self.stream.acknowledge();
        }
        let asked = self.client.is_asked(now);
        let Some(socket) = self.stream.tcp() else {
            return self.stream.set_low(asked && self.client.channel_count() > 1);
        };
        self.rcvlowat.drained(&socket, now);
    }

    /// Returns whether connections get equal parts of the path only if each is read little at a time:
    /// what their sockets hold differs.
    pub(crate) fn is_slow(&self) -> bool {
        self.send_bound.is_limited()
    }

    /// Returns how many bytes of bulk data may be read for a channel now. With `None` there is no room
    /// before something is sent, or the timeout of the socket.
    pub(crate) fn bulk_room(&mut self, channel: ChannelId, now: Instant) -> Option<usize> {
        let client = &self.client;
        if !client.is_restrained(channel, now) {
            if let Some(socket) = self.stream.tcp().filter(|_| !client.is_asked(now)) {
                self.send_bound.lift(&socket, now);
            }
            return Some(if self.is_slow() { BULK_PORTION } else { BULK });
        }
        // What is pending already has been refused by the stream.
        if !client.pending().is_empty() {
            return None;
        }
        let Some(socket) = self.stream.tcp() else { return Some(BULK_PORTION) };
        match self.send_bound.room(&socket, client.is_draining(now), now) {
            Room::Bytes(count) => Some(count),
            Room::Wait => None,
            Room::Unknown => Some(BULK),
        }
    }

    /// Returns when to call [`Session::expire`] or [`Session::handle_timeout`].
    pub(crate) fn timeout(&self) -> Option<Instant> {
        let dues = [self.client.timeout(), self.rcvlowat.due(), self.send_bound.due()];
        dues.into_iter().flatten().min()
    }

    /// Handles the timeouts of the socket, which say nothing about the server; returns whether one was
    /// over.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let Some(socket) = self.stream.tcp() else { return false };
        self.rcvlowat.expire(&socket, now) | self.send_bound.expire(now)
    }

    /// Returns whether a timeout of the protocol is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.client.timeout().is_some_and(|due| due <= now)
    }

    /// Handles a timeout of the protocol; returns whether one was due. An error means that the
    /// session is disconnected. To be called when the [`TimeoutGate`] opens.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<bool, ssh_proto::Error> {
        let is_due = self.is_due(now);
        if is_due {
            self.client.handle_timeout(now)?;
        }
        Ok(is_due)
    }

    /// Returns how many bytes have arrived.
    fn arrived(&self) -> u64 {
        self.received + self.stream.unread() as u64
    }

    /// Returns whether that many bytes were read, or all that have arrived. Nothing is read while
    /// the server does not read our replies.
    fn has_read(&self, arrived: u64) -> bool {
        self.received >= arrived || self.stream.unread() == 0 || !self.client.wants_input()
    }

    /// Returns whether the server may still have bytes of a closed connection: it confirms CLOSE
    /// after the target has taken them.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed && !self.client.is_idle()
    }

    /// Sends DISCONNECT, and waits until the server has closed the connection and its bridge has
    /// ended. After two seconds, or at `cutoff`, closes the connection without that. Does not wait where
    /// nothing can be lost: every channel is closed by both sides, and there is no bridge.
    pub(crate) async fn disconnect(mut self, mut cutoff: CutoffWatch) {
        let waits = !self.client.is_idle() || self.stream.tcp().is_none();
        self.client.disconnect(DisconnectReason::ByApplication);
        if !waits {
            self.try_flush();
            if self.client.pending().is_empty() {
                return;
            }
        }
        let mut deadline = Deadline::after(DISCONNECT_TIMEOUT);
        let finished = before(cutoff.reached(), deadline.within(self.finish())).await;
        if finished.flatten().is_some() {
            return;
        }
        if self.stream.abandon() {
            let time = if cutoff.is_reached() { FINAL_BRIDGE_TIMEOUT } else { BRIDGE_TIMEOUT };
            let _ = Deadline::after(time).within(self.stream.discard()).await;
        }
    }

    /// Sends what is pending and EOF, and reads to the end of the stream: closing a socket with
    /// unread input would drop what was sent last.
    async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.stream.shutdown()?;
        self.stream.discard().await
    }
}

/// Sends what is pending, then receives once. The end of the connection is an error, which names
/// what was waited for. Cancel safe.
pub(crate) async fn exchange(session: &mut Session, waiting_for: &str) -> Result<(), Error> {
    let mut outcome = poll_fn(|cx| session.poll_flush(cx)).await;
    if outcome.is_ok() {
        outcome = poll_fn(|cx| {
            let now = Instant::now();
            let received = session.poll_receive(cx, now);
            if received.is_pending() {
                session.idle(now);
            }
            received
        })
        .await;
    }
    outcome.map_err(|error| match session.disconnect_error(&error) {
        Error::Disconnected { reason, text } => {
            let text = format!("{text} while we waited for {waiting_for}");
            if session.client.is_identified() {
                return Error::Disconnected { reason, text };
            }
            let known = session.stream.close_reason().is_some();
            let hint = if known { "" } else { ", as sshd does above MaxStartups" };
            let text = format!("{text}{hint}");
            Error::Disconnected { reason: Some(LossReason::Unidentified), text }
        }
        other => other,
    })
}

#[cfg(test)]
mod tests;
