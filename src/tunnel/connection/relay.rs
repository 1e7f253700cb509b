//! One connection through the tunnel: its socket, how far each direction has come, and its counts.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::net::local_stream::Stream;
use crate::net::sys;
use crate::net::try_io::attempt;
use crate::net::write_buffer::WriteBuffer;
use crate::socks::{Reply, Version};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::{ConnectionInfo, ConnectionState, Endpoint, Settings};
use socket2::SockRef;
use ssh_proto::{ChannelId, Client};
use tokio::io::Interest;

/// What one read may take in while data flows in bulk, and what it may take otherwise.
const BULK: usize = 256 * 1024;
const FIRST: usize = 32 * 1024;
/// Slices of the receive buffer that go out in one write.
const SLICES: usize = 64;

/// A connection that was accepted and has no channel yet.
#[derive(Debug)]
pub(crate) struct PendingConnection {
    pub(crate) id: u64,
    /// The number of the forward that it came by, or `DIALED`.
    pub(crate) forward: i64,
    pub(crate) stream: Stream,
    /// Its two addresses, if it came by TCP.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// What the far side is to connect to.
    pub(crate) target: Endpoint,
    /// Which SOCKS its program speaks, if it waits to be told in that whether it is connected.
    pub(crate) socks: Option<Version>,
    /// As they were when it was accepted.
    pub(crate) settings: Settings,
}

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The server was asked to open the far side.
    Opening,
    /// Open from end to end.
    Open,
    /// Its owner closes it gracefully: both directions are being drained.
    Closing(Cause),
    /// The local program has reset it; what it sent before is being passed on.
    Reset,
}

impl Stage {
    /// Why the connection is being closed, if it is.
    pub(crate) fn closing(&self) -> Option<Cause> {
        match self {
            Stage::Closing(cause) => Some(cause.clone()),
            Stage::Reset => Some(Cause::ResetByLocal),
            Stage::Opening | Stage::Open => None,
        }
    }
}

/// The direction from the local program to the far side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// Bytes are read as they come.
    Flowing,
    /// The owner closes: only so many more are read, which had come before.
    Last(usize),
    /// The owner closes, and what had come before is sent; the far side was told that nothing more
    /// will come, the local program may not have ended.
    Cut,
    /// The local program has ended its stream; the far side was told.
    Ended,
}

impl Up {
    /// Whether nothing more will be sent.
    pub(crate) fn is_over(self) -> bool {
        match self {
            Up::Flowing | Up::Last(_) => false,
            Up::Cut | Up::Ended => true,
        }
    }
}

/// The direction from the far side to the local program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// Bytes are delivered as they come.
    Flowing,
    /// The far side has ended its stream; what waits here comes before the end.
    Ended,
    /// The local program was sent its FIN.
    Finished,
}

/// A connection with its channel.
pub(crate) struct Connection {
    pub(crate) pending: PendingConnection,
    pub(crate) channel: ChannelId,
    pub(crate) stage: Stage,
    pub(crate) up: Up,
    pub(crate) down: Down,
    /// Bytes from the far side that the local socket did not take yet.
    pub(crate) backlog: WriteBuffer,
    /// Where bytes lie that came with the last read of the session and are not delivered.
    pub(crate) arrived: Vec<Range<usize>>,
    /// Bytes handed to the session.
    pub(crate) sent: u64,
    /// Bytes that came from the far side, delivered or not.
    pub(crate) received: u64,
    /// Bytes that came from the far side when nobody was there to take them any more.
    pub(crate) dropped: u64,
    /// How many of these since the last byte was handed to the session.
    pub(crate) discarded: u64,
    /// Bytes that the local program's kernel was known to have when somebody asked last.
    acknowledged: u64,
    /// When the last byte moved in either direction.
    pub(crate) active: Instant,
    /// While it is being closed: when its linger time is over. Set by the table, which sorts by it.
    pub(crate) limit: Option<Instant>,
    /// Whether it waits in the queue of those to be read from.
    pub(crate) queued: bool,
    /// Whether the last read was as large as it could be.
    bulk: bool,
}

/// What reading from the local program brought.
pub(crate) enum Taken {
    /// There may be more at once.
    More,
    /// Nothing more now; the waker is armed.
    Drained,
    /// The far side's window is used up.
    NoWindow,
    /// The bytes that had come before the owner closed are all on their way.
    LastDone,
    /// FIN.
    End,
    /// RST, or another end without a proper one.
    Reset,
}

impl Connection {
    pub(crate) fn new(pending: PendingConnection, channel: ChannelId, now: Instant) -> Self {
        Self {
            pending,
            channel,
            stage: Stage::Opening,
            up: Up::Flowing,
            down: Down::Flowing,
            backlog: WriteBuffer::default(),
            arrived: Vec::new(),
            sent: 0,
            received: 0,
            dropped: 0,
            discarded: 0,
            acknowledged: 0,
            active: now,
            limit: None,
            queued: false,
            bulk: false,
        }
    }

    /// Tells a program that asked in SOCKS that it is connected, before anything else. `false`: the
    /// socket does not take these few bytes, which are the first but for two answers as small.
    pub(crate) fn tell_opened(&mut self) -> bool {
        let Some(version) = self.pending.socks.take() else { return true };
        let answer = version.reply(Reply::Granted);
        let written = (&*SockRef::from(&self.pending.stream)).write(&answer);
        written.is_ok_and(|count| count == answer.len())
    }

    /// Reads once from the local program, straight into the session's packets.
    pub(crate) fn take(
        &mut self,
        client: &mut Client,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Taken {
        let most = match self.up {
            Up::Flowing if self.bulk => BULK,
            Up::Flowing => FIRST,
            Up::Last(0) => return Taken::LastDone,
            Up::Last(left) => left.min(BULK),
            Up::Cut | Up::Ended => return Taken::Drained,
        };
        let room =
            if self.bulk { client.room(self.channel, now) } else { client.window(self.channel) };
        let most = most.min(room);
        if most == 0 {
            return if self.watch(cx) { Taken::Reset } else { Taken::NoWindow };
        }
        let stream = &self.pending.stream;
        let mut offered = 0;
        let read = client.fill(self.channel, most, |slots| {
            offered = slots.iter().map(|slot| slot.len()).sum();
            let mut socket = &*SockRef::from(stream);
            attempt(
                |work| stream.try_io(Interest::READABLE, work),
                offered,
                || socket.read_vectored(slots),
            )
        });
        match read {
            Ok(0) => return if self.is_reset() { Taken::Reset } else { Taken::End },
            Ok(count) => {
                self.sent += count as u64;
                self.discarded = 0;
                self.active = now;
                self.bulk = count == offered;
                if let Up::Last(left) = &mut self.up {
                    *left -= count;
                }
                if self.bulk || self.up == Up::Last(0) {
                    return Taken::More;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.bulk = false,
            Err(_) => return Taken::Reset,
        }
        match self.pending.stream.poll_read_ready(cx) {
            Poll::Ready(Ok(())) => Taken::More,
            Poll::Ready(Err(_)) => Taken::Reset,
            Poll::Pending => Taken::Drained,
        }
    }

    /// Whether the local program has sent something that can be read now, and was not yet.
    pub(crate) fn has_input(&self, client: &Client) -> bool {
        let unread = || sys::unread(&SockRef::from(&self.pending.stream)).unwrap_or_default();
        !self.up.is_over() && client.has_room() && client.window(self.channel) > 0 && unread() > 0
    }

    /// Whether an end of stream that was read is really a reset: the error may have been collected
    /// by a write before.
    fn is_reset(&self) -> bool {
        matches!(self.stage, Stage::Reset) || self.failed()
    }

    /// Whether the local client has ended its stream, also where that was not read yet. An error means
    /// that it has reset the connection.
    pub(crate) fn has_ended(&self) -> io::Result<bool> {
        if self.up != Up::Flowing {
            return Ok(self.up == Up::Ended);
        }
        match SockRef::from(&self.pending.stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => match self.pending.stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(true),
            },
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(false),
        }
    }

    /// Whether the socket has an error that nobody has collected yet.
    fn failed(&self) -> bool {
        !matches!(self.pending.stream.take_error(), Ok(None))
    }

    /// Writes what has arrived to the local program, and keeps what the socket refuses. Returns how
    /// many bytes have left; an error means that the local program is gone.
    pub(crate) fn deliver(
        &mut self,
        client: &Client,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> io::Result<usize> {
        let mut arrived = std::mem::take(&mut self.arrived);
        self.active = now;
        let outcome = self.deliver_slices(client, &arrived, cx);
        arrived.clear();
        self.arrived = arrived;
        outcome
    }

    fn deliver_slices(
        &mut self,
        client: &Client,
        arrived: &[Range<usize>],
        cx: &mut Context<'_>,
    ) -> io::Result<usize> {
        let mut written = 0;
        let mut blocked = !self.backlog.is_empty();
        let waited = blocked;
        for (turn, group) in arrived.chunks(SLICES).enumerate() {
            let mut skip = 0;
            if !blocked {
                let mut slices = [IoSlice::new(&[]); SLICES];
                for (slice, range) in slices.iter_mut().zip(group) {
                    *slice = IoSlice::new(client.bytes(range.clone()));
                }
                skip = match (&*SockRef::from(&self.pending.stream))
                    .write_vectored(&slices[..group.len()])
                {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    Err(error) => {
                        // Neither written nor kept.
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
                self.backlog.push(rest);
            }
        }
        // Someone who waited already is woken when there is room; a new one has to see to that.
        if blocked && !waited {
            written += self.flush(cx)?;
        }
        Ok(written)
    }

    /// Drops and counts what the local socket did not take yet.
    pub(crate) fn drop_backlog(&mut self) {
        self.dropped += self.backlog.len() as u64;
        self.backlog = WriteBuffer::default();
    }

    /// Writes from the backlog until it is empty or the socket takes no more, which arms the waker.
    /// Returns how many bytes have left.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let mut written = 0;
        while !self.backlog.is_empty() {
            // Forgetting readiness first makes every later change of it wake us.
            self.pending.stream.forget_writable();
            let stream = &self.pending.stream;
            match self.backlog.write(|slices| (&*SockRef::from(stream)).write_vectored(slices)) {
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if self.pending.stream.poll_write_ready(cx)?.is_pending() {
                break;
            }
        }
        Ok(written)
    }

    /// Sees to it that a reset wakes us although nothing is being read or written, and tells whether
    /// one has come already.
    pub(crate) fn watch(&mut self, cx: &mut Context<'_>) -> bool {
        let over = self.up == Up::Ended && self.down == Down::Finished;
        if over || matches!(self.stage, Stage::Reset) || !self.backlog.is_empty() {
            // Nothing to watch for, or watched by the one who waits to write.
            return false;
        }
        // Still ready after the second time means for ever: both directions have been closed.
        for _ in 0..2 {
            self.pending.stream.forget_writable();
            if self.pending.stream.poll_write_ready(cx).is_pending() {
                break;
            }
        }
        self.failed()
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        let state = match self.stage {
            Stage::Opening => ConnectionState::Opening,
            Stage::Open => ConnectionState::Open,
            Stage::Closing(_) | Stage::Reset => ConnectionState::Closing,
        };
        ConnectionInfo {
            state,
            bytes_up: self.sent,
            bytes_down: self.handed(),
            ..self.pending.info()
        }
    }

    /// Bytes that the local socket has taken.
    fn handed(&self) -> u64 {
        self.received - self.backlog.len() as u64 - self.dropped
    }

    /// How many of them the local program's kernel has acknowledged: whatever becomes of the
    /// connection, they count as delivered. Where the system does not tell, as before.
    pub(crate) fn acknowledged(&mut self) -> u64 {
        if let Ok(unsent) = self.pending.stream.unsent() {
            let fin = if self.down == Down::Finished { sys::FIN } else { 0 };
            let delivered = self.handed().saturating_sub(unsent.saturating_sub(fin) as u64);
            self.acknowledged = self.acknowledged.max(delivered);
        }
        self.acknowledged
    }
}

impl PendingConnection {
    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            forward: self.forward,
            remote: self.remote,
            local: self.local,
            target: Some(self.target.clone()),
            linger: self.settings.linger,
            state: ConnectionState::Requested,
            bytes_up: 0,
            bytes_down: 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::task::Waker;

    use ssh_proto::{Credentials, Setup};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::linger::Linger;
    use crate::runtime;

    pub(crate) fn client() -> Client {
        let credentials = Credentials { user: "user".into(), ..Credentials::default() };
        let setup = Setup::new(credentials);
        Client::new(setup, |bytes| bytes.fill(7))
    }

    /// A connection, and the program that connected.
    pub(crate) async fn connection(client: &mut Client) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let local = listener.local_addr().expect("address");
        let program = TcpStream::connect(local).await.expect("connect");
        let (stream, remote) = listener.accept().await.expect("accept");
        let channel = client.open_direct_tcpip("host", 80, "127.0.0.1", 4000);
        let settings = Settings::default();
        let target = Endpoint::Tcp { host: "host".into(), port: 80 };
        let (stream, remote, local) = (stream.into(), Some(remote), Some(local));
        let pending = PendingConnection {
            id: 1,
            forward: 0,
            stream,
            remote,
            local,
            target,
            socks: None,
            settings,
        };
        (Connection::new(pending, channel, Instant::now()), program)
    }

    #[test]
    fn what_a_failed_write_leaves_behind_is_dropped() {
        let mut client = client();
        let mut connection = runtime::handle().block_on(async {
            let (connection, program) = connection(&mut client).await;
            Linger::HARD.apply(&program).expect("linger");
            drop(program);
            connection.pending.stream.readable().await.expect("the reset has come");
            connection
        });

        let ranges = SLICES + 10;
        client.space()[..ranges].fill(1);
        client.received(ranges, Instant::now());
        connection.received = ranges as u64;
        connection.arrived = (0..ranges).map(|at| at..at + 1).collect();
        let cx = &mut Context::from_waker(Waker::noop());
        connection.deliver(&client, cx, Instant::now()).expect_err("nobody is there");
        assert_eq!(connection.dropped, ranges as u64);
        assert!(connection.backlog.is_empty() && connection.arrived.is_empty());
    }
}
