//! A session at work: the protocol's state, and the stream that its sealed bytes travel on.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ssh_proto::{Client, DisconnectReason};

use crate::net::rcvlowat::RcvLowat;
use crate::runtime::cutoff::{CutoffWatch, before};
use crate::runtime::timer::Deadline;
use crate::session::connect::transport::Stream;
use crate::session::{Error, LossReason};

/// How long the server may take to hear our DISCONNECT.
pub(crate) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long whatever carries the connection may take to end after it was let go.
const BRIDGE_TIMEOUT: Duration = Duration::from_secs(1);
/// The same when the limit for everything has passed.
pub(crate) const FINAL_BRIDGE_TIMEOUT: Duration = Duration::from_millis(250);

/// A session and its connection. Dropping it closes the connection without a word.
pub(crate) struct Session {
    pub(crate) client: Client,
    stream: Stream,
    /// How long dialing and logging on took.
    pub(crate) connect_time: Duration,
    /// Bytes that were read and written since the logon began.
    pub(crate) moved: u64,
    /// Those of them that were read.
    received: u64,
    /// Something was read, not in bulk, and nothing written since: the server may be holding back
    /// its next small packet until we acknowledge, because OpenSSH leaves Nagle's algorithm on for
    /// sessions without a shell. Unless told otherwise our kernel delays that by 40 ms.
    owes_ack: bool,
    rcvlowat: RcvLowat,
    /// Channels were closed right behind their last bytes, without a word from the server about
    /// them.
    pub(crate) unconfirmed: bool,
    /// Whether data has come from a target.
    pub(crate) served: bool,
}

/// What is due by the clock, until what had come before is handled.
#[derive(Debug, Default)]
pub(crate) enum TimeoutGate {
    /// Nothing is due.
    #[default]
    None,
    /// Something is, as this turn has found; how much the server had sent by then.
    Begun(u64),
    /// As before, and the runtime has looked at the sockets since.
    Going(u64),
}

impl TimeoutGate {
    /// Whether what is due can be judged in this turn, at its end: everything has been read that
    /// had come when it was first seen to be due. What came since may have no end.
    pub(crate) fn opens(&mut self, is_due: bool, session: Option<&Session>) -> bool {
        if !is_due {
            *self = Self::None;
            return false;
        }
        match *self {
            Self::None => *self = Self::Begun(session.map_or(0, Session::arrived)),
            Self::Begun(_) => {}
            Self::Going(arrived) => {
                if session.is_none_or(|session| session.has_read(arrived)) {
                    *self = Self::None;
                    return true;
                }
            }
        }
        false
    }

    /// Whether something is due that waits for input.
    pub(crate) fn is_waiting(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether the task is to rest until the runtime has looked at the sockets, after a turn in
    /// which it was busy or not. It is to call [`run_after_input`](crate::timer::run_after_input)
    /// then.
    pub(crate) fn yields(&mut self, busy: bool) -> bool {
        match *self {
            Self::None => false,
            Self::Begun(arrived) => {
                *self = Self::Going(arrived);
                true
            }
            Self::Going(_) => !busy,
        }
    }
}

impl Session {
    /// A session that is carried by this socket, whatever has come of it.
    #[cfg(test)]
    pub(crate) fn over(client: Client, socket: tokio::net::TcpStream) -> Self {
        Self::new(client, socket.into())
    }

    pub(crate) fn new(client: Client, stream: Stream) -> Self {
        Self {
            client,
            stream,
            connect_time: Duration::ZERO,
            moved: 0,
            received: 0,
            owes_ack: false,
            rcvlowat: RcvLowat::default(),
            unconfirmed: false,
            served: false,
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

    /// Something small was sent, and its answer is awaited: bulk data does not stand in its way,
    /// and what comes is looked at as it comes.
    pub(crate) fn favour_small(&mut self, now: Instant) {
        self.client.prioritize_small(now);
        if let Some(socket) = self.stream.tcp() {
            self.rcvlowat.keep_low(&socket, now);
        }
    }

    /// To be called when there is nothing left to do: sends an acknowledgement that is owed.
    pub(crate) fn idle(&mut self, now: Instant) {
        if std::mem::take(&mut self.owes_ack) {
            self.stream.acknowledge();
        }
        if let Some(socket) = self.stream.tcp() {
            self.rcvlowat.drained(&socket, now);
        }
    }

    /// When to call [`Session::lower_rcvlowat`] or [`Session::handle_timeout`].
    pub(crate) fn timeout(&self) -> Option<Instant> {
        [self.client.timeout(), self.rcvlowat.due()].into_iter().flatten().min()
    }

    /// Has the socket tell of less than a large portion, if its time has come. Returns whether it
    /// has.
    pub(crate) fn lower_rcvlowat(&mut self, now: Instant) -> bool {
        match self.stream.tcp() {
            Some(socket) => self.rcvlowat.expire(&socket, now),
            None => false,
        }
    }

    /// Whether the session has something to do by the clock.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.client.timeout().is_some_and(|due| due <= now)
    }

    /// Does what is due by the clock; returns whether that was anything. An error means that the
    /// session is lost. To be called when a [`TimeoutGate`] is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<bool, ssh_proto::Error> {
        let is_due = self.is_due(now);
        if is_due {
            self.client.handle_timeout(now)?;
        }
        Ok(is_due)
    }

    /// Bytes that the server has sent, as far as they have come, since the logon began.
    fn arrived(&self) -> u64 {
        self.received + self.stream.unread() as u64
    }

    /// Whether so many of them were read, or all that are here. None are while the server leaves
    /// our replies unread.
    fn has_read(&self, arrived: u64) -> bool {
        self.received >= arrived || self.stream.unread() == 0 || !self.client.wants_input()
    }

    /// Whether the server may still hold bytes of a connection that has ended here: it confirms a
    /// CLOSE when the target has taken what came before.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed && !self.client.is_idle()
    }

    /// Disconnects from the server. Done when it has closed the connection too and whatever carried
    /// the connection has ended: after two seconds, or at `cutoff`, it is closed without that.
    pub(crate) async fn disconnect(mut self, mut cutoff: CutoffWatch) {
        self.client.disconnect(DisconnectReason::ByApplication);
        let mut deadline = Deadline::after(DISCONNECT_TIMEOUT);
        let left = before(cutoff.reached(), deadline.within(self.finish())).await;
        if left.flatten().is_some() {
            return;
        }
        if self.stream.abandon() {
            let patience = if cutoff.is_reached() { FINAL_BRIDGE_TIMEOUT } else { BRIDGE_TIMEOUT };
            let _ = Deadline::after(patience).within(self.stream.discard()).await;
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

/// Sends what is pending, then receives something; an end of the connection is an error, which says
/// what was waited for. Dropping the future loses nothing.
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
    outcome.map_err(|error| match session.loss(&error) {
        Error::Disconnected { reason, text } => Error::Disconnected {
            reason,
            text: format!("{text} while we waited for {waiting_for}"),
        },
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use ssh_proto::{Credentials, Setup};
    use tokio::io::Interest;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::runtime;

    /// A session that has just begun, and its server.
    async fn session() -> (Session, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let stream = TcpStream::connect(address).await.expect("connect");
        let (server, _) = listener.accept().await.expect("accept");
        let client = Client::new(Setup::new(Credentials::default()), |bytes| bytes.fill(7));
        (Session::new(client, stream.into()), server)
    }

    /// Sends so much, and waits until it has come.
    async fn send(server: &TcpStream, session: &Session, count: usize) {
        let before = session.stream.unread();
        server.ready(Interest::WRITABLE).await.expect("alive");
        assert_eq!(server.try_write(&vec![b'x'; count]).expect("there is room"), count);
        while session.stream.unread() < before + count {
            tokio::task::yield_now().await;
        }
    }

    /// Reads at most so much, as a turn does.
    fn read(session: &mut Session, most: usize) {
        let count = session.stream.try_read(&mut vec![0; most]).expect("something has come");
        session.received += count as u64;
    }

    #[test]
    fn what_is_due_waits_for_what_had_come_and_for_no_more() {
        runtime::handle().block_on(async {
            let (mut session, server) = session().await;
            let mut timeout_gate = TimeoutGate::default();
            assert!(!timeout_gate.opens(false, Some(&session)) && !timeout_gate.yields(false));

            send(&server, &session, 100).await;
            poll_fn(|cx| session.stream.poll_read_ready(cx)).await.expect("alive");
            assert!(!timeout_gate.opens(true, Some(&session)), "something has come");
            assert!(timeout_gate.yields(true), "the runtime looks at the sockets once in any case");
            assert!(!timeout_gate.yields(true) && timeout_gate.yields(false));
            read(&mut session, 60);
            // A server that goes on sending puts off nothing.
            send(&server, &session, 1000).await;
            assert!(!timeout_gate.opens(true, Some(&session)), "not all of it is read");
            read(&mut session, 40);
            assert!(timeout_gate.opens(true, Some(&session)) && !timeout_gate.is_waiting());
        });
    }

    #[test]
    fn what_is_due_no_more_is_forgotten() {
        runtime::handle().block_on(async {
            let (session, _server) = session().await;
            let mut timeout_gate = TimeoutGate::default();
            assert!(!timeout_gate.opens(true, Some(&session)) && timeout_gate.yields(false));
            assert!(!timeout_gate.opens(false, Some(&session)), "an answer has come");
            assert!(!timeout_gate.opens(true, Some(&session)), "the next one has its turn, too");
            assert!(timeout_gate.yields(false) && timeout_gate.opens(true, None));
        });
    }
}
