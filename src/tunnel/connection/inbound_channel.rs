//! Connections to remote forwards: the server inbound_channels a channel, the owner is asked, the target here
//! is dialed, and then the channel is opened, or refused with the reason.
//!
//! From then on it is a connection like any other, whose local program is the target. With several
//! sessions an offer waits here, with those who know the forwards, and goes back to the task of the
//! session that it came by.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use socket2::SockRef;
use ssh_proto::{ChannelId, OpenFailure};
use tokio::task::{AbortHandle, JoinSet};

use crate::net::close::{CloseOutcome, Outcome};
use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
use crate::net::{descriptors, error_code};
use crate::session::{self, Dialing};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::relay::{Connection, Meta, PendingConnection};
use crate::tunnel::connection::report::Report;
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::accept::Awaiting;
use crate::tunnel::forward::remote::{ForwardRequest, SessionId};
use crate::tunnel::forward::spec::Endpoint;
use crate::tunnel::pool::supervisor::Role;
use crate::tunnel::{ConnectionInfo, ConnectionRequest, ConnectionState, Event, Settings};

/// A connection that has no target yet.
pub(crate) struct InboundChannel {
    id: u64,
    forward: i64,
    /// The session that it came by, and its channel there.
    home: SessionId,
    channel: ChannelId,
    /// Who connected at the server, if it said so.
    remote: Option<SocketAddr>,
    target: Endpoint,
    settings: Settings,
    /// The work of dialing the target, once that has begun.
    dial: Option<AbortHandle>,
}

impl InboundChannel {
    fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            forward: self.forward,
            remote: self.remote,
            local: None,
            target: Some(self.target.clone()),
            linger: self.settings.linger,
            state: match self.dial {
                None => ConnectionState::Requested,
                Some(_) => ConnectionState::Opening,
            },
            bytes_up: 0,
            bytes_down: 0,
        }
    }

    fn end(&self, cause: Cause) -> crate::tunnel::ConnectionEnd {
        let report = Report::of_unopened(self.id, self.forward, self.settings.linger, cause);
        let ended = CloseOutcome::Reset;
        report.end(Outcome { ended, unsent: 0, discarded: 0, peer_finished: false })
    }
}

/// The inbound_channels that wait for their owner's word or their target, by the connections' numbers.
#[derive(Default)]
pub(crate) struct InboundChannels {
    waiting: BTreeMap<u64, InboundChannel>,
    dials: JoinSet<(u64, Result<Stream, session::Error>)>,
}

impl InboundChannels {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.waiting.keys().copied()
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = ConnectionInfo> {
        self.waiting.values().map(InboundChannel::info)
    }

    pub(crate) fn settings_of(&mut self, id: u64) -> Option<&mut Settings> {
        self.waiting.get_mut(&id).map(|offer| &mut offer.settings)
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Whether this one waits for its owner's word.
    pub(crate) fn is_requested(&self, id: u64) -> bool {
        self.waiting.get(&id).is_some_and(|offer| offer.dial.is_none())
    }

    /// Whether this one waits for its target.
    pub(crate) fn is_dialing(&self, id: u64) -> bool {
        self.waiting.get(&id).is_some_and(|offer| offer.dial.is_some())
    }

    /// Whatever comes of its dial, nobody waits for it.
    fn take(&mut self, id: u64) -> Option<InboundChannel> {
        let offer = self.waiting.remove(&id)?;
        if let Some(dial) = &offer.dial {
            dial.abort();
        }
        Some(offer)
    }
}

impl Driver {
    /// Somebody has connected to a remote forward.
    pub(crate) fn offered(
        &mut self,
        home: SessionId,
        forward: i64,
        channel: ChannelId,
        remote: Option<SocketAddr>,
        target: Endpoint,
        now: Instant,
    ) {
        if self.is_full(forward) || self.observer.is_behind() || descriptors::are_scarce_now() {
            let reason = OpenFailure::ResourceShortage;
            return self.send_forward_request(home, ForwardRequest::Reject(channel, reason));
        }
        self.counters.accepted(forward);
        let (id, settings) = (self.shared.next_id(), *self.shared.settings());
        let offer =
            InboundChannel { id, forward, home, channel, remote, target, settings, dial: None };
        if !self.observer.decides_connections() {
            return self.dial_target(offer, now);
        }
        let (info, answer) = (offer.info(), self.answer_for(id));
        self.await_in_time(id, Awaiting::Answer, now);
        self.inbound_channels.waiting.insert(id, offer);
        self.emit(Event::ConnectionRequest(ConnectionRequest { info, answer }));
    }

    /// The owner's word on an offer; one that is gone needs none.
    pub(crate) fn offer_answered(&mut self, id: u64, accept: bool, now: Instant) {
        if !self.inbound_channels.is_requested(id) {
            return;
        }
        let Some(offer) = self.inbound_channels.take(id) else { return };
        if accept {
            self.dial_target(offer, now);
        } else {
            self.refuse_offer(&offer, Cause::Rejected);
        }
    }

    fn dial_target(&mut self, mut offer: InboundChannel, now: Instant) {
        let (id, target) = (offer.id, offer.target.clone());
        offer.dial =
            Some(self.inbound_channels.dials.spawn(async move { (id, reach(target).await) }));
        self.await_in_time(id, Awaiting::Target, now);
        self.inbound_channels.waiting.insert(id, offer);
    }

    /// Goes on with inbound_channels whose target was reached or not.
    pub(crate) fn collect_dials(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some(dialed)) = self.inbound_channels.dials.poll_join_next(cx) {
            busy = true;
            // One that was aborted has no offer any more, and none panics.
            let Ok((id, outcome)) = dialed else { continue };
            let Some(offer) = self.inbound_channels.take(id) else { continue };
            match outcome {
                Ok(stream) => self.reached(offer, stream, now),
                Err(error) => self.refuse_offer(&offer, Cause::Unreached(error)),
            }
        }
        busy
    }

    fn reached(&mut self, offer: InboundChannel, stream: Stream, now: Instant) {
        let InboundChannel { id, forward, home, channel, remote, target, settings, .. } = offer;
        let socket = SockRef::from(&stream);
        // As a socket that was accepted: should the process die, the kernel resets it.
        let _ = Linger::HARD.apply(&stream);
        if settings.keep_alive {
            let _ = socket.set_keepalive(true);
        }
        let local = socket.local_addr().ok().and_then(|address| address.as_socket());
        let meta = Meta { id, forward, remote, local, target, settings };
        let pending = PendingConnection { meta, stream, socks: None };
        match (home, &mut self.role) {
            (Some(number), Role::Supervisor(pool)) => {
                if let Some(pending) = pool.accept(number, pending, channel) {
                    let lost = Cause::SessionLost(session::Error::no_session());
                    self.reject(pending, lost);
                }
            }
            _ => self.accept_offer(pending, channel, now),
        }
    }

    /// Opens the channel of an offer: both sides are connected from now on.
    pub(crate) fn accept_offer(
        &mut self,
        pending: PendingConnection,
        channel: ChannelId,
        now: Instant,
    ) {
        let Some(session) = &mut self.session else {
            let lost = Cause::SessionLost(session::Error::no_session());
            return self.reject(pending, lost);
        };
        session.client.accept(channel);
        self.table.insert(Connection::new(pending, channel, now), &self.ready);
        self.opened(channel, now);
    }

    /// Ends a connection that waits here, on its owner's behalf or because nothing came in time.
    pub(crate) fn close_offer(&mut self, id: u64, cause: Cause) {
        if let Some(offer) = self.inbound_channels.take(id) {
            self.refuse_offer(&offer, cause);
        }
    }

    /// Tells the server, and the owner.
    fn refuse_offer(&mut self, offer: &InboundChannel, cause: Cause) {
        let reason = match &cause {
            Cause::Rejected => OpenFailure::AdministrativelyProhibited,
            // Where the target is, and why nobody is there, is no concern of the server's.
            _ => OpenFailure::ConnectFailed,
        };
        self.send_forward_request(offer.home, ForwardRequest::Reject(offer.channel, reason));
        self.ended(offer.end(cause));
    }

    /// A session is lost, and with it the far side of what it had offered.
    pub(crate) fn lose_offers(&mut self, home: SessionId, error: &session::Error) {
        let inbound_channels =
            self.inbound_channels.waiting.values().filter(|offer| offer.home == home);
        let ids: Vec<_> = inbound_channels.map(|offer| offer.id).collect();
        for id in ids {
            if let Some(offer) = self.inbound_channels.take(id) {
                self.ended(offer.end(Cause::SessionLost(error.clone())));
            }
        }
    }
}

async fn reach(target: Endpoint) -> Result<Stream, session::Error> {
    match target {
        Endpoint::Tcp { host, port } => {
            session::dial(&host, port, &Dialing::default()).await.map(Stream::from)
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => match tokio::net::UnixStream::connect(&*path).await {
            Ok(stream) => Ok(stream.into()),
            Err(error) => Err(session::Error::Dial {
                syscall: "connect",
                code: error_code::system_code(&error),
                errno: error.raw_os_error(),
                address: (*path).into(),
            }),
        },
        #[cfg(not(unix))]
        Endpoint::Unix(path) => Err(session::Error::Dial {
            syscall: "connect",
            code: "ENOTSUP".into(),
            errno: None,
            address: (*path).into(),
        }),
    }
}
