//! Programs that came by a dynamic forward and have not said yet where to: each has its conversation
//! in a task of its own, in which it may take its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::net::local_stream::Stream;
use crate::runtime::cutoff::before;
use crate::socks::{self, Login, Request};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::relay::{Meta, PendingConnection};
use crate::tunnel::connection::report::Report;
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::accept::Awaiting;
use crate::tunnel::forward::listener::Accepted;
use crate::tunnel::{ConnectionInfo, ConnectionState, Endpoint, Settings};

/// A connection whose target is not known. Its socket is with its conversation.
#[derive(Debug)]
pub(crate) struct SocksClient {
    id: u64,
    /// The number of the forward that it came by.
    pub(crate) forward: i64,
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
    pub(crate) settings: Settings,
    talk: Handshake,
}

#[derive(Debug)]
enum Handshake {
    /// Under way; it ends when this is dropped.
    UnderWay(#[expect(dead_code, reason = "its drop is the word")] oneshot::Sender<()>),
    /// To end, for this reason, whatever comes of it.
    LingerMode(Cause),
}

/// What a conversation has come to.
pub(crate) struct HandshakeOutcome {
    id: u64,
    stream: Stream,
    /// `None`: it was broken off.
    outcome: Option<Result<Request, socks::Failure>>,
}

impl SocksClient {
    /// Whether it may still say where to.
    pub(crate) fn is_talking(&self) -> bool {
        matches!(self.talk, Handshake::UnderWay(_))
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            forward: self.forward,
            remote: self.remote,
            local: self.local,
            target: None,
            linger: self.settings.linger,
            state: ConnectionState::Negotiating,
            bytes_up: 0,
            bytes_down: 0,
        }
    }
}

impl Driver {
    /// Asks a program that has come by a dynamic forward where to.
    pub(crate) fn greet(
        &mut self,
        forward: i64,
        accepted: Accepted,
        login: Option<Arc<Login>>,
        now: Instant,
    ) {
        let Accepted { stream, remote, local } = accepted;
        let id = self.shared.next_id();
        let settings = *self.shared.settings();
        let (word, broken_off) = oneshot::channel();
        let talk = Handshake::UnderWay(word);
        self.socks_clients.insert(id, SocksClient { id, forward, remote, local, settings, talk });
        self.await_in_time(id, Awaiting::Request, now);
        self.handshakes.spawn(async move {
            let broken_off = async { drop(broken_off.await) };
            let outcome = before(broken_off, socks::negotiate(&stream, login)).await;
            HandshakeOutcome { id, stream, outcome }
        });
    }

    /// Ends a conversation, and the connection with it; `false` when there is none with this number.
    pub(crate) fn break_off(&mut self, id: u64, cause: Cause) -> bool {
        let Some(client) = self.socks_clients.get_mut(&id) else { return false };
        // The first reason counts.
        if client.is_talking() {
            client.talk = Handshake::LingerMode(cause);
        }
        true
    }

    /// Takes those who have said where to, and sees off the others.
    pub(crate) fn collect_guests(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some(said)) = self.handshakes.poll_join_next(cx) {
            // A conversation neither panics nor is cancelled while the driver lives.
            if let Ok(said) = said {
                self.said(said, now);
            }
            busy = true;
        }
        busy
    }

    fn said(&mut self, said: HandshakeOutcome, now: Instant) {
        let HandshakeOutcome { id, stream, outcome } = said;
        let Some(client) = self.socks_clients.remove(&id) else { return };
        let info = ConnectionInfo { state: ConnectionState::Closing, ..client.info() };
        let SocksClient { forward, remote, local, settings, talk, .. } = client;
        let cause = match (talk, outcome) {
            (Handshake::UnderWay(_), Some(Ok(Request { version, host, port }))) => {
                let target = Endpoint::Tcp { host: host.into(), port };
                let meta = Meta { id, forward, remote, local, target, settings };
                let pending = PendingConnection { meta, stream, socks: Some(version) };
                return self.arrived(pending, now);
            }
            (Handshake::LingerMode(cause), _) => cause,
            (Handshake::UnderWay(_), Some(Err(socks::Failure::Fault(fault)))) => {
                Cause::Socks(fault)
            }
            (Handshake::UnderWay(_), Some(Err(socks::Failure::Broken(_))) | None) => {
                Cause::ResetByLocal
            }
        };
        let last_word = if let Cause::Socks(fault) = &cause { fault.reply() } else { Vec::new() };
        let report = Report::of_unopened(id, forward, settings.linger, cause);
        self.close_with_reply(stream, &last_word, info, report);
    }
}
