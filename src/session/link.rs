//! A session at work: the protocol's state, and the stream that its sealed bytes travel on.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ssh_proto::{Client, DisconnectReason};
use tokio::time::timeout;

use super::Error;
use super::stream::Stream;
use crate::low_water::LowWater;

/// How long the server may take to hear our farewell.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// Bytes thrown away in one read.
const DISCARD: usize = 16 * 1024;

/// A session and its connection. Dropping it closes the connection without a word.
pub(crate) struct Link {
    pub(crate) client: Client,
    stream: Stream,
    /// How long dialing and logging on took.
    pub(crate) logon_time: Duration,
    /// Bytes that were read and written since the logon began.
    pub(crate) moved: u64,
    /// Something was read, not in bulk, and nothing written since: the server may be holding back
    /// its next small packet until we acknowledge, because OpenSSH leaves Nagle's algorithm on for
    /// sessions without a shell. Unless told otherwise our kernel delays that by 40 ms.
    owes_ack: bool,
    low_water: LowWater,
    /// Channels were closed right behind their last bytes, without a word from the server about
    /// them.
    pub(crate) unconfirmed: bool,
}

impl Link {
    pub(super) fn new(client: Client, stream: Stream) -> Self {
        Self {
            client,
            stream,
            logon_time: Duration::ZERO,
            moved: 0,
            owes_ack: false,
            low_water: LowWater::default(),
            unconfirmed: false,
        }
    }

    /// One read, or what the last one has left. Pending until something came; an error when the
    /// connection is gone.
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
                    self.low_water.received(count, now);
                    self.owes_ack = !self.low_water.is_raised();
                    self.moved += count as u64;
                    self.client.received(count, now);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what is pending. Pending while the connection takes no more.
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

    /// Sends of the pending bytes what goes at once: the last word on a session that is over.
    pub(crate) fn try_flush(&mut self) {
        let _ = self.stream.try_write(self.client.pending());
    }

    /// Why the session is lost, of which `error` is what the socket tells.
    pub(crate) fn loss(&self, error: &io::Error) -> Error {
        self.stream.fate().unwrap_or_else(|| {
            Error::Disconnected(match error.kind() {
                io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
                _ => format!("the connection to the server broke: {error}"),
            })
        })
    }

    /// Something small was sent, and its answer is awaited: bulk data does not stand in its way, and
    /// what comes is looked at as it comes.
    pub(crate) fn favour_small(&mut self, now: Instant) {
        self.client.favour_small(now);
        if let Some(socket) = self.stream.tcp() {
            self.low_water.rest(&socket, now);
        }
    }

    /// To be called when there is nothing left to do: sends an acknowledgement that is owed.
    pub(crate) fn idle(&mut self, now: Instant) {
        if std::mem::take(&mut self.owes_ack) {
            self.stream.acknowledge();
        }
        if let Some(socket) = self.stream.tcp() {
            self.low_water.drained(&socket, now);
        }
    }

    /// When to call [`Link::handle_timeout`].
    pub(crate) fn timeout(&self) -> Option<Instant> {
        [self.client.timeout(), self.low_water.due()].into_iter().flatten().min()
    }

    /// Does what is due by the clock; returns whether that was anything. An error means that the
    /// session is lost.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<bool, ssh_proto::Error> {
        let mut busy = false;
        if let Some(socket) = self.stream.tcp() {
            busy = self.low_water.expire(&socket, now);
        }
        if self.client.timeout().is_some_and(|due| due <= now) {
            self.client.handle_timeout(now)?;
            busy = true;
        }
        Ok(busy)
    }

    /// Whether the server may still hold bytes of a connection that has ended here: it confirms a
    /// CLOSE when the target has taken what came before.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed && !self.client.is_idle()
    }

    /// Says farewell to the server. Done when it has closed the connection too, or its time is up.
    pub(crate) async fn log_off(mut self) {
        self.client.disconnect(DisconnectReason::ByApplication, "closed by the user");
        if timeout(FAREWELL, self.leave()).await.is_err() {
            self.stream.give_up();
        }
    }

    /// Sends what is pending, ends our direction and waits for the end of the other. What still
    /// comes is read: closing a socket with something unread throws away what was sent last.
    async fn leave(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.stream.shutdown()?;
        let mut scratch = vec![0; DISCARD];
        loop {
            poll_fn(|cx| self.stream.poll_read_ready(cx)).await?;
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }
}

/// Sends what is pending, then receives something; an end of the connection is an error, which says
/// what was waited for. Dropping the future loses nothing.
pub(super) async fn exchange(link: &mut Link, waiting_for: &str) -> Result<(), Error> {
    let mut outcome = poll_fn(|cx| link.poll_flush(cx)).await;
    if outcome.is_ok() {
        outcome = poll_fn(|cx| {
            let now = Instant::now();
            let received = link.poll_receive(cx, now);
            if received.is_pending() {
                link.idle(now);
            }
            received
        })
        .await;
    }
    outcome.map_err(|error| match link.loss(&error) {
        Error::Disconnected(text) => {
            Error::Disconnected(format!("{text} while we waited for {waiting_for}"))
        }
        other => other,
    })
}
