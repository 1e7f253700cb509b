//! The facts about a connection that all of its states share.

use std::net::SocketAddr;
use std::time::Duration;

use ssh_proto::{ChannelId, Client};

use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
use crate::net::rate::Rates;
use crate::socks::Version;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::{ConnectionInfo, ConnectionState, Endpoint, Settings};

/// The originator of a channel whose client has no address.
const ORIGINATOR: (&str, u16) = ("127.0.0.1", 65_535);

/// The facts about a connection from accept to report.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) id: u64,
    /// The number of the forward that accepted it, or `DIALED`.
    pub(crate) forward: i64,
    /// The address of its client, if that came by TCP.
    pub(crate) remote: Option<SocketAddr>,
    /// The local address of its socket, likewise.
    pub(crate) local: Option<SocketAddr>,
    /// Where it leads; `None` during a SOCKS handshake.
    pub(crate) target: Option<Endpoint>,
    /// The SOCKS version of a client that waits for the reply to its request.
    pub(crate) socks: Option<Version>,
    /// The tunnel's settings at its accept, with the Linger that it was given since.
    pub(crate) settings: Settings,
    /// The limits of the rate that it is under.
    pub(crate) rates: Rates,
}

/// A connection without a channel, on its way to a session.
#[derive(Debug)]
pub(crate) struct PendingConnection {
    pub(crate) meta: Meta,
    pub(crate) stream: Stream,
}

/// What the channel of a connection is opened with.
#[derive(Debug)]
pub(crate) struct ChannelRequest {
    pub(crate) id: u64,
    target: Endpoint,
    /// The address of the client.
    originator: Option<SocketAddr>,
}

impl ChannelRequest {
    /// Begins the channel.
    pub(crate) fn open(&self, client: &mut Client) -> ChannelId {
        match &self.target {
            Endpoint::Tcp { host, port } => {
                let originator = self.originator.map(|it| (it.ip().to_string(), it.port()));
                let (address, originator_port) =
                    originator.as_ref().map_or(ORIGINATOR, |(address, port)| (address, *port));
                client.open_direct_tcpip(host, *port, address, originator_port)
            }
            Endpoint::Unix(path) => client.open_direct_streamlocal(path),
        }
    }
}

impl Meta {
    /// Returns what opens the connection's channel. It has a target by then.
    pub(crate) fn channel_request(&self) -> ChannelRequest {
        let target = self.target.clone().expect("a connection has a target when it is opened");
        ChannelRequest { id: self.id, target, originator: self.remote }
    }

    /// Notes the address of the socket of a target on this side, and sets the socket up like an accepted one:
    /// if the process dies, the kernel resets it.
    pub(crate) fn connected_to(&mut self, stream: &Stream) {
        let _ = stream.set_linger(Linger::HARD);
        if self.settings.keep_alive {
            stream.set_keep_alive(Some(Duration::ZERO));
        }
        self.local = stream.local_addr();
    }

    /// The connection in this state, before it has moved any byte.
    pub(crate) fn info(&self, state: ConnectionState) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            forward: self.forward,
            remote: self.remote,
            local: self.local,
            target: self.target.clone(),
            linger: self.settings.linger,
            state,
            bytes_up: 0,
            bytes_down: 0,
        }
    }

    /// The SOCKS reply to a client whose connection does not open, if there is one to send.
    pub(crate) fn socks_reply(&self, cause: &Cause) -> Option<Vec<u8>> {
        match cause {
            Cause::Socks(fault) => Some(fault.reply()).filter(|reply| !reply.is_empty()),
            _ => Some(self.socks?.reply(cause.socks_reply()?)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::socks::Fault;

    /// A connection with this number, and its local client.
    pub(crate) async fn pending(id: u64) -> (PendingConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let local = listener.local_addr().expect("address");
        let client = TcpStream::connect(local).await.expect("connect");
        let (stream, remote) = listener.accept().await.expect("accept");
        let meta = Meta {
            id,
            forward: 0,
            remote: Some(remote),
            local: Some(local),
            target: Some(Endpoint::Tcp { host: "host".into(), port: 80 }),
            socks: None,
            settings: Settings::default(),
            rates: Rates::default(),
        };
        (PendingConnection { meta, stream: stream.into() }, client)
    }

    #[test]
    fn a_socks_client_is_sent_a_reply_unless_it_or_the_application_has_ended_the_connection() {
        let (mut pending, _client) = crate::runtime::handle().block_on(pending(1));
        let meta = &mut pending.meta;
        assert_eq!(meta.socks_reply(&Cause::Rejected), None, "it speaks no SOCKS");
        assert!(meta.socks_reply(&Cause::Socks(Fault::Login)).is_some());
        assert_eq!(meta.socks_reply(&Cause::Socks(Fault::Ended)), None, "there is none to send");
        meta.socks = Some(Version::Five);
        let reply = meta.socks_reply(&Cause::Rejected).expect("a reply");
        assert_eq!(reply[..2], [5, 2]);
        assert_eq!(meta.socks_reply(&Cause::ResetByLocal), None);
        assert_eq!(meta.socks_reply(&Cause::Application("disconnect")), None);
    }
}
