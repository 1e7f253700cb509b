//! A model of everything around one connection: its local client, its channel, its session, the task that
//! closes its socket, and the application.

use std::mem::discriminant;

use super::act::{Act, Setting, Why};
use crate::net::close::CloseMode;
use crate::session::{Down, Up};
use crate::tunnel::connection::phase::{Client, Event, Flow, LingerTime, Origin, Phase};

/// At most this many bytes are written in each direction.
const BYTES: u8 = 2;

/// The close of the socket in a task of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) mode: CloseMode,
    pub(super) why: Why,
    /// Both directions when it began.
    pub(super) flow: Flow,
    pub(super) forced: bool,
    /// Whether it reads, and drops, what the client still sends.
    pub(super) reads_on: bool,
}

/// Everything around one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) phase: Phase,
    pub(super) setting: Setting,
    /// Whether the client speaks SOCKS, and waits for a reply.
    pub(super) socks: bool,
    pub(super) has_session: bool,
    /// Whether the session is to come back.
    pub(super) comes_back: bool,
    /// Whether the server was asked for a channel, or has opened one.
    pub(super) has_channel: bool,
    pub(super) was_open: bool,
    /// The bytes that the local client wrote, and where they are.
    pub(super) written: u8,
    pub(super) unread: u8,
    pub(super) sent: u8,
    /// The bytes that came on the channel, and where they are.
    pub(super) received: u8,
    pub(super) delivered: u8,
    pub(super) buffer: u8,
    pub(super) dropped: u8,
    pub(super) client_fin: bool,
    pub(super) client_rst: bool,
    pub(super) stalled: bool,
    /// What the local client was sent.
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) remote_eof: bool,
    pub(super) remote_closed: bool,
    pub(super) eof: bool,
    pub(super) close: bool,
    /// Whether a linger time runs for a connection with a channel, and whether it is over.
    pub(super) timed: bool,
    /// Whether the driver reads from the local client.
    pub(super) queued: bool,
    /// Whether the client's FIN was read.
    pub(super) fin_read: bool,
    pub(super) first: Option<Why>,
    pub(super) task: Option<Task>,
    /// Whether the whole tunnel is shut down by force.
    pub(super) forced: bool,
    /// Whether the application closed the connection while its Linger was hard.
    pub(super) hard_closed: bool,
    /// Whether the stream to the client was cut: by the loss of the session, or by a CLOSE without EOF
    /// while the client waited for an answer.
    pub(super) cut: bool,
    pub(super) reports: u8,
}

/// Whether a connection in this state waits for something, within readyTimeout.
pub(super) fn is_waiting(phase: Phase) -> bool {
    match phase {
        Phase::SocksHandshake
        | Phase::AwaitingApproval(_)
        | Phase::AwaitingSession
        | Phase::ConnectingTarget
        | Phase::Negotiating(_)
        | Phase::Opening => true,
        Phase::Deferred
        | Phase::SocksAborted
        | Phase::Open(_)
        | Phase::Draining(_)
        | Phase::PassingOn(_)
        | Phase::Closing(_)
        | Phase::Ended => false,
    }
}

pub(super) fn flow_of(phase: Phase) -> Option<Flow> {
    match phase {
        Phase::Open(flow) | Phase::Draining(flow) | Phase::PassingOn(flow) => Some(flow),
        _ => None,
    }
}

impl World {
    pub(super) fn new(phase: Phase, setting: Setting, socks: bool) -> Self {
        World {
            phase,
            setting,
            socks,
            has_session: phase != Phase::AwaitingSession,
            comes_back: phase == Phase::AwaitingSession,
            has_channel: false,
            was_open: matches!(phase, Phase::Open(_)),
            written: 0,
            unread: 0,
            sent: 0,
            received: 0,
            delivered: 0,
            buffer: 0,
            dropped: 0,
            client_fin: false,
            client_rst: false,
            stalled: false,
            fin: false,
            rst: false,
            remote_eof: false,
            remote_closed: false,
            eof: false,
            close: false,
            timed: is_waiting(phase),
            queued: false,
            fin_read: false,
            first: None,
            task: None,
            forced: false,
            hard_closed: false,
            cut: false,
            reports: 0,
        }
    }

    /// The flow of a connection with an open channel.
    pub(super) fn flow(&self) -> Option<Flow> {
        flow_of(self.phase)
    }

    fn flow_mut(&mut self) -> Option<&mut Flow> {
        match &mut self.phase {
            Phase::Open(flow) | Phase::Draining(flow) | Phase::PassingOn(flow) => Some(flow),
            _ => None,
        }
    }

    fn has_client(&self) -> bool {
        !matches!(
            self.phase,
            Phase::AwaitingApproval(Origin::Inbound) | Phase::ConnectingTarget | Phase::Ended
        )
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    /// Whether this can happen now.
    pub(super) fn allows(&self, act: Act) -> bool {
        let flow = self.flow();
        match act {
            Act::LocalData => {
                self.has_client() && !self.client_fin && !self.client_rst && self.written < BYTES
            }
            Act::LocalFin => self.has_client() && !self.client_fin && !self.client_rst,
            Act::LocalRst => self.has_client() && !self.client_rst,
            Act::Stall => self.has_client() && !self.stalled && !self.client_rst,
            Act::Release => self.stalled && self.phase != Phase::Ended,
            Act::RemoteData => {
                flow.is_some() && !self.remote_eof && !self.remote_closed && self.received < BYTES
            }
            Act::RemoteEof => flow.is_some() && !self.remote_eof && !self.remote_closed,
            Act::RemoteClose => flow.is_some() && !self.remote_closed,
            Act::Opened | Act::OpenFailed => self.phase == Phase::Opening,
            Act::SessionLost { .. } => self.has_session && self.phase != Phase::Ended,
            Act::SessionUp => self.comes_back && !self.has_session && self.phase != Phase::Ended,
            Act::Approve => {
                matches!(self.phase, Phase::AwaitingApproval(_) | Phase::Deferred)
            }
            Act::HandshakeDone { .. } => {
                matches!(self.phase, Phase::SocksHandshake | Phase::SocksAborted)
            }
            Act::TargetDone { .. } => self.phase == Phase::ConnectingTarget,
            Act::Disconnect | Act::Shutdown | Act::Force => self.phase != Phase::Ended,
            Act::Idle => matches!(self.phase, Phase::Open(_)) && self.unread == 0,
            // The driver refuses another Linger for a connection that is being reset already.
            Act::SetLinger(_) => {
                !matches!(self.phase, Phase::Ended | Phase::Closing(LingerTime::Over))
            }
            Act::LingerExpires => self.timed || self.phase == Phase::Closing(LingerTime::Running),
            Act::Read => {
                self.queued && flow.is_some_and(|flow| !flow.up.is_over()) && self.may_read()
            }
            Act::Wake => flow.is_some() && self.client_rst,
            Act::TaskEnds => self.is_closing() && (!self.stalled || self.client_rst),
        }
    }

    /// Whether a read would find something.
    pub(super) fn may_read(&self) -> bool {
        let last = self.flow().is_some_and(|flow| flow.up == Up::Last(0));
        self.unread > 0 || self.client_fin || self.client_rst || last
    }

    /// The world after this has happened.
    pub(super) fn after(mut self, act: Act) -> Self {
        match act {
            Act::LocalData => {
                (self.written, self.unread) = (self.written + 1, self.unread + 1);
                self.wake();
            }
            Act::LocalFin => {
                self.client_fin = true;
                self.wake();
            }
            Act::LocalRst => {
                self.client_rst = true;
                self.wake();
            }
            Act::Stall => self.stalled = true,
            Act::Release => {
                self.stalled = false;
                self.flush();
            }
            Act::RemoteData => self.receive(),
            Act::RemoteEof => {
                self.remote_eof = true;
                let before = discriminant(&self.phase);
                self.tell(Event::RemoteEof, Why::Closed);
                assert_eq!(discriminant(&self.phase), before);
                self.flush();
            }
            Act::RemoteClose => {
                self.remote_closed = true;
                let client = self.client();
                self.cut |= client == Client::Ended
                    && !self.remote_eof
                    && matches!(self.phase, Phase::Open(_));
                self.tell(Event::RemoteClose { client }, Why::Closed);
            }
            Act::Opened => self.tell(Event::Opened, Why::Closed),
            Act::OpenFailed => self.tell(Event::OpenFailed { reply: self.socks }, Why::Refused),
            Act::SessionLost { comes_back } => {
                (self.has_session, self.has_channel) = (false, false);
                self.comes_back = comes_back;
                self.cut |= self.flow().is_some();
                let reply = self.socks;
                self.tell(Event::SessionLost { comes_back, reply }, Why::Lost);
            }
            Act::SessionUp => {
                self.has_session = true;
                if self.phase == Phase::AwaitingSession {
                    self.open();
                }
            }
            Act::Approve if self.phase == Phase::AwaitingApproval(Origin::Inbound) => {
                self.phase = Phase::ConnectingTarget;
            }
            // A deferred dial brings a session up.
            Act::Approve => {
                self.comes_back |= self.phase == Phase::Deferred;
                self.open();
            }
            Act::HandshakeDone { request } => {
                let aborted = self.phase == Phase::SocksAborted;
                (self.phase, self.timed) = (Phase::AwaitingSession, false);
                self.socks = request;
                if aborted || !request {
                    let why = if aborted { self.first.unwrap_or(Why::Closed) } else { Why::Socks };
                    self.tell(Event::Close { unread: 0, reply: !aborted }, why);
                } else {
                    self.open();
                }
            }
            Act::TargetDone { connected: true } => {
                (self.phase, self.timed) = (Phase::Opening, false);
                self.tell(Event::Opened, Why::Closed);
            }
            Act::TargetDone { connected: false } => self.close(Why::Refused),
            Act::Disconnect | Act::Shutdown => self.close(Why::Closed),
            Act::Idle => self.close(Why::Idle),
            Act::SetLinger(setting) => {
                self.setting = setting;
                self.hard_closed |= setting == Setting::Hard
                    && matches!(self.phase, Phase::Draining(_) | Phase::PassingOn(_));
                self.tell(Event::LingerChanged, Why::Closed);
            }
            Act::Force => {
                self.forced = true;
                self.tell(Event::Force { reply: false }, Why::Closed);
            }
            Act::LingerExpires => {
                self.timed = false;
                if self.is_closing() {
                    self.end_task(true);
                } else if is_waiting(self.phase) {
                    // What it waits for did not come.
                    let reply = self.socks;
                    self.tell(Event::Close { unread: 0, reply }, Why::Refused);
                } else {
                    self.tell(Event::LingerExpired, Why::Closed);
                }
            }
            Act::Read => self.read(),
            Act::Wake => {
                // A read or write has failed, which is all that came of its wake.
                self.queued = false;
                self.tell(Event::LocalReset { unread: self.unread > 0 }, Why::Closed);
            }
            Act::TaskEnds => self.end_task(false),
        }
        // A socket that begins to close while the tunnel is shut down by force is reset at once.
        if self.forced && matches!(self.phase, Phase::Closing(time) if time != LingerTime::Over) {
            self.tell(Event::Force { reply: false }, Why::Closed);
        }
        if self.phase == Phase::Closing(LingerTime::Over) {
            self.end_task(true);
        }
        self
    }

    /// The socket became ready for reading. Before the connection is open the driver does not look.
    fn wake(&mut self) {
        self.queued |= self.flow().is_some_and(|flow| !flow.up.is_over());
    }

    fn open(&mut self) {
        self.timed = true;
        self.phase = if self.has_session { Phase::Opening } else { Phase::AwaitingSession };
        if !self.has_session && !self.comes_back {
            self.tell(Event::SessionLost { comes_back: false, reply: self.socks }, Why::Lost);
        }
    }

    fn close(&mut self, why: Why) {
        self.hard_closed |= self.setting == Setting::Hard && !self.is_closing();
        self.tell(Event::Close { unread: self.unread.into(), reply: false }, why);
    }

    /// What the socket tells about its client.
    fn client(&self) -> Client {
        match self.flow().map(|flow| flow.up) {
            Some(Up::Ended) => Client::Ended,
            Some(Up::Flowing) if self.unread == 0 && self.client_rst => Client::Reset,
            Some(Up::Flowing) if self.unread == 0 && self.client_fin => Client::Ended,
            _ => Client::Sending,
        }
    }

    fn read(&mut self) {
        self.queued = false;
        let last = self.flow().is_some_and(|flow| flow.up == Up::Last(0));
        if last {
            self.tell(Event::LastSent, Why::Closed);
        } else if self.unread > 0 {
            assert!(!self.eof && !self.close, "data after the end: {self:?}");
            (self.unread, self.sent) = (self.unread - 1, self.sent + 1);
            if let Some(Flow { up: Up::Last(left), .. }) = self.flow_mut() {
                *left -= 1;
            }
            self.queued = self.may_read();
        } else if self.client_rst {
            self.tell(Event::LocalReset { unread: false }, Why::Closed);
        } else {
            self.fin_read = true;
            self.tell(Event::LocalEof, Why::Closed);
        }
    }

    fn receive(&mut self) {
        self.received += 1;
        match self.phase {
            Phase::PassingOn(_) => self.dropped += 1,
            _ if self.client_rst => {
                // The write fails: neither delivered nor kept.
                self.dropped += 1;
                self.tell(Event::LocalReset { unread: self.unread > 0 }, Why::Closed);
            }
            _ => {
                self.buffer += 1;
                self.flush();
            }
        }
    }

    /// The local socket takes what waits for it, if the client reads.
    fn flush(&mut self) {
        let Some(flow) = self.flow() else { return };
        if self.client_rst && !matches!(self.phase, Phase::PassingOn(_)) {
            // The write fails, and so does a FIN.
            return self.tell(Event::LocalReset { unread: self.unread > 0 }, Why::Closed);
        }
        if self.stalled && self.buffer > 0 || self.client_rst {
            return;
        }
        (self.delivered, self.buffer) = (self.delivered + self.buffer, 0);
        if flow.down == Down::Ended {
            self.tell(Event::Delivered, Why::Closed);
        }
    }
}
