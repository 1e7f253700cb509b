//! One connection through the tunnel: its socket, how far each direction has come, and its counts.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use socket2::SockRef;
use ssh_proto::ChannelId;

use crate::net::local_stream::Stream;
use crate::session::Pump;
use crate::socks::{Reply, Version};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::stats::Live;
use crate::tunnel::{Bytes, ConnectionInfo, ConnectionState, Endpoint, Settings};

/// What is known of a connection in every state.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) id: u64,
    /// The number of the forward that it came by, or `DIAL_FORWARD`.
    pub(crate) forward: i64,
    /// Its two addresses, if it came by TCP.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    /// What the server is to connect to.
    pub(crate) target: Endpoint,
    /// As they were when it was accepted.
    pub(crate) settings: Settings,
}

/// A connection that was accepted and has no channel yet.
#[derive(Debug)]
pub(crate) struct PendingConnection {
    pub(crate) meta: Meta,
    pub(crate) stream: Stream,
    /// The version of a SOCKS client that waits for the reply to its request.
    pub(crate) socks: Option<Version>,
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

/// A connection with its channel.
pub(crate) struct Connection {
    pub(crate) meta: Meta,
    pub(crate) socks: Option<Version>,
    pub(crate) stage: Stage,
    pub(crate) pump: Pump,
    /// While it is being closed: when its linger time is over. Set by the table, which sorts by it.
    pub(crate) limit: Option<Instant>,
    /// Whether it waits in the queue of those to be read from.
    pub(crate) queued: bool,
}

impl Connection {
    pub(crate) fn new(pending: PendingConnection, channel: ChannelId, now: Instant) -> Self {
        let PendingConnection { meta, stream, socks } = pending;
        let pump = Pump::new(stream, channel, now);
        Self { meta, socks, stage: Stage::Opening, pump, limit: None, queued: false }
    }

    /// Gives the channel up.
    pub(crate) fn into_pending(self) -> PendingConnection {
        PendingConnection { meta: self.meta, stream: self.pump.stream, socks: self.socks }
    }

    /// Sends the reply to a SOCKS client that it is connected, before anything else. `false`: the
    /// socket does not take these few bytes, which are the first but for two replies as small.
    pub(crate) fn tell_opened(&mut self) -> bool {
        let Some(version) = self.socks.take() else { return true };
        let reply = version.reply(Reply::Granted);
        let written = (&*SockRef::from(&self.pump.stream)).write(&reply);
        written.is_ok_and(|count| count == reply.len())
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        let state = match self.stage {
            Stage::Opening => ConnectionState::Opening,
            Stage::Open => ConnectionState::Open,
            Stage::Closing(_) | Stage::Reset => ConnectionState::Closing,
        };
        ConnectionInfo {
            state,
            bytes_up: self.pump.sent,
            bytes_down: self.pump.delivered(),
            ..self.meta.info()
        }
    }

    /// The counters of the connection so far.
    pub(crate) fn live(&mut self) -> Live {
        let bytes = Bytes {
            up: self.pump.sent,
            down: self.pump.acknowledged(),
            dropped_up: 0,
            dropped_down: self.pump.dropped,
        };
        let opened = !matches!(self.stage, Stage::Opening);
        Live { id: self.meta.id, forward: self.meta.forward, opened, bytes }
    }
}

impl Meta {
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
    use ssh_proto::{Client, Credentials, Setup};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

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
        let (remote, local) = (Some(remote), Some(local));
        let meta = Meta { id: 1, forward: 0, remote, local, target, settings };
        let pending = PendingConnection { meta, stream: stream.into(), socks: None };
        (Connection::new(pending, channel, Instant::now()), program)
    }
}
