//! The task of a tunnel: one future that repeats a turn of fixed steps.

pub(crate) mod accept;
pub(crate) mod commands;
mod counters;
pub(crate) mod data;
mod forwards;
pub(crate) mod reconnect;
pub(crate) mod sessions;
pub(crate) mod shutdown;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::task::JoinSet;

use crate::net::close::{self, Outcome};
use crate::net::write_buffer::WriteBuffer;
use crate::runtime::timer::{Timer, run_after_input};
use crate::session::{self, Session, TimeoutGate};
use crate::tunnel::connection::close::ClosingConnection;
use crate::tunnel::connection::inbound_channel::InboundChannels;
use crate::tunnel::connection::ready_list::ReadyList;
use crate::tunnel::connection::registry::Table;
use crate::tunnel::connection::relay::PendingConnection;
use crate::tunnel::connection::socks_handshake::{HandshakeOutcome, SocksClient};
use crate::tunnel::driver::accept::Awaiting;
use crate::tunnel::driver::commands::{Command, Operations};
use crate::tunnel::driver::counters::Counters;
use crate::tunnel::driver::forwards::Requests;
use crate::tunnel::driver::reconnect::Reconnecter;
use crate::tunnel::driver::shutdown::Shutdown;
use crate::tunnel::forward::table::Forwards;
use crate::tunnel::pool::message::ToWorker;
use crate::tunnel::pool::supervisor::{Role, Supervisor};
use crate::tunnel::shared::Shared;
use crate::tunnel::{Config, Error, Event, Observer};

/// Turns without a rest before other tasks of the runtime get their chance.
const TURNS: usize = 8;
/// Commands taken in one turn.
const COMMANDS: usize = 256;

/// A future of something that is not done yet.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The state of a tunnel's task.
pub(crate) struct Driver {
    pub(crate) config: Arc<Config>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) observer: Arc<dyn Observer>,
    inbox: Inbox,
    /// For answers that return as commands.
    pub(crate) sender: WeakUnboundedSender<Command>,
    pub(crate) role: Role,
    /// The operations that wait for something.
    pub(crate) operations: Operations,
    pub(crate) shutdown: Shutdown,

    /// The logon under way.
    pub(crate) logon: Option<Work<Result<Session, session::Error>>>,
    /// The session once it is up.
    pub(crate) session: Option<Session>,
    /// The number of the session that is logging on here, or is up here; of a member, its tunnel
    /// keeps it.
    pub(crate) session_number: Option<u32>,
    /// The number that the last session got.
    pub(crate) last_session: u32,
    /// What comes after the loss of the session.
    pub(crate) reconnecter: Reconnecter,
    /// The session's socket on its way out, after the disconnecting_session.
    pub(crate) disconnecting_session: Option<Work<()>>,
    pub(crate) forwards: Forwards,
    /// The remote forwards of this task's session.
    pub(crate) remote_requests: Requests,

    /// Connections that have not said yet where to, by their numbers.
    pub(crate) socks_clients: HashMap<u64, SocksClient>,
    /// The conversations with them.
    pub(crate) handshakes: JoinSet<HandshakeOutcome>,
    /// Connections that wait for their owner's word, by their numbers.
    pub(crate) requests: HashMap<u64, PendingConnection>,
    /// Connections that wait for a session, by their numbers.
    pub(crate) held: BTreeMap<u64, PendingConnection>,
    /// Connections that the server inbound_channels, and that are not open yet.
    pub(crate) inbound_channels: InboundChannels,
    pub(crate) table: Table,
    /// Connections whose sockets are being closed, by their numbers.
    pub(crate) closing: HashMap<u64, ClosingConnection>,
    /// The work of closing them.
    pub(crate) closings: JoinSet<(u64, Outcome)>,
    pub(crate) counters: Counters,
    /// Whether anything was up since the last `Close` event.
    pub(crate) active: bool,

    pub(crate) ready: Arc<ReadyList>,
    /// Connections to be read from, in turn.
    pub(crate) queue: VecDeque<usize>,
    /// When to give up on connections that are not open yet, soonest first; by their numbers.
    pub(crate) unanswered: VecDeque<(Instant, u64, Awaiting)>,
    /// When to accept connections again, while too many events wait to be heard.
    pub(crate) accepts_at: Option<Instant>,
    /// When to look for idle connections; `None` while none may become idle.
    pub(crate) next_idle_look: Option<Instant>,
    timer: Timer,
    /// Whether what is due waits for input.
    pub(crate) timeout_gate: TimeoutGate,

    /// Kept to be used again: no allocation in a turn.
    numbers: Vec<usize>,
    pub(crate) touched: Vec<usize>,
    pub(crate) closed: Vec<usize>,
}

/// The calls and messages for a driver.
pub(crate) enum Inbox {
    /// Calls on the driver of a tunnel.
    Tunnel(UnboundedReceiver<Command>),
    /// Messages of the supervisor to a worker.
    Worker(UnboundedReceiver<ToWorker>),
}

/// What came of a turn.
enum Turn {
    /// Something was done; there may be more.
    Busy,
    /// Everything waits, and will wake us.
    Idle,
    /// The handle is gone, and so is everything else.
    Over,
}

impl Driver {
    /// Makes the driver of a tunnel.
    pub(crate) fn of_tunnel(
        config: Arc<Config>,
        shared: Arc<Shared>,
        observer: Arc<dyn Observer>,
        commands: UnboundedReceiver<Command>,
        sender: WeakUnboundedSender<Command>,
    ) -> Self {
        let role = Role::of(&config);
        Self::new(config, shared, observer, Inbox::Tunnel(commands), sender, role)
    }

    fn new(
        config: Arc<Config>,
        shared: Arc<Shared>,
        observer: Arc<dyn Observer>,
        inbox: Inbox,
        sender: WeakUnboundedSender<Command>,
        role: Role,
    ) -> Self {
        // Workers do not reconnect.
        let reconnect = config.reconnect.filter(|_| role.worker().is_none());
        Self {
            forwards: Forwards::new(shared.clone(), &config),
            shared,
            observer,
            inbox,
            sender,
            operations: Operations::default(),
            shutdown: Shutdown::default(),
            logon: None,
            session: None,
            session_number: None,
            last_session: 0,
            reconnecter: Reconnecter::new(reconnect),
            disconnecting_session: None,
            remote_requests: Requests::default(),
            socks_clients: HashMap::new(),
            handshakes: JoinSet::new(),
            requests: HashMap::new(),
            held: BTreeMap::new(),
            inbound_channels: InboundChannels::default(),
            table: Table::default(),
            closing: HashMap::new(),
            closings: JoinSet::new(),
            counters: Counters::default(),
            active: false,
            ready: Arc::default(),
            queue: VecDeque::new(),
            unanswered: VecDeque::new(),
            accepts_at: None,
            next_idle_look: None,
            timer: Timer::default(),
            timeout_gate: TimeoutGate::default(),
            numbers: Vec::new(),
            touched: Vec::new(),
            closed: Vec::new(),
            config,
            role,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        let Some(mut busy) = self.take_commands(cx, now) else {
            self.abandon();
            return Turn::Over;
        };
        busy |= self.progress(cx, now);
        busy |= self.receive(cx, now);
        busy |= self.wake_connections(cx, now);
        busy |= self.accept(cx, now);
        busy |= self.collect_guests(cx, now);
        busy |= self.send_up(cx, now);
        busy |= self.flush(cx);
        busy |= self.collect_closings(cx);
        busy |= self.expire(now);
        busy |= self.settle(now);
        self.report_throughput(now);
        if busy { Turn::Busy } else { Turn::Idle }
    }

    /// `None` when the handle is gone.
    fn take_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<bool> {
        for taken in 0..COMMANDS {
            match &mut self.inbox {
                Inbox::Tunnel(commands) => match commands.poll_recv(cx) {
                    Poll::Ready(Some(command)) => command(self, now),
                    Poll::Ready(None) => return None,
                    Poll::Pending => return Some(taken > 0),
                },
                Inbox::Worker(messages) => match messages.poll_recv(cx) {
                    Poll::Ready(Some(message)) => self.handle_message(message, now),
                    Poll::Ready(None) => return None,
                    Poll::Pending => return Some(taken > 0),
                },
            }
        }
        Some(true)
    }

    /// Carries on what takes its time: logging on, looking up, logging off.
    fn progress(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        if let Some(outcome) = poll_work(&mut self.logon, cx) {
            self.session_connected(outcome, now);
            busy = true;
        }
        busy |= self.poll_bound(cx);
        if poll_work(&mut self.disconnecting_session, cx).is_some() {
            self.end_session();
            busy = true;
        }
        busy |= self.collect_dials(cx, now);
        busy | self.poll_sessions(cx, now)
    }

    /// Lets connections whose sockets became ready go on.
    fn wake_connections(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut numbers = std::mem::take(&mut self.numbers);
        self.ready.take(&mut numbers, cx);
        let busy = !numbers.is_empty();
        for number in numbers.drain(..) {
            self.table.taken(number);
            self.woken(number, now);
        }
        self.numbers = numbers;
        busy
    }

    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(session) = &mut self.session else { return false };
        if session.client.pending().is_empty() {
            return false;
        }
        let deaf = !session.client.wants_input();
        let flushed = session.poll_flush(cx);
        // Nothing wakes us for what the server has sent before we want to hear it again.
        let hears_again = deaf && session.client.wants_input();
        match flushed {
            // Room was made: those who wait for it go on.
            Poll::Ready(Ok(())) => hears_again || !self.queue.is_empty(),
            Poll::Ready(Err(error)) => {
                self.broken(&error);
                true
            }
            Poll::Pending => hears_again,
        }
    }

    fn collect_closings(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while let Poll::Ready(Some(ended)) = self.closings.poll_join_next(cx) {
            // A closing neither panics nor is cancelled while the driver lives.
            if let Ok((id, outcome)) = ended {
                self.parted(id, outcome);
            }
            busy = true;
        }
        busy
    }

    /// Reports how busy a worker's session is.
    fn report_throughput(&self, now: Instant) {
        if let (Some(worker), Some(session)) = (self.role.worker(), &self.session) {
            worker.throughput().moved(session.moved, now);
        }
    }

    /// Does what is due by the clock. Where that is a verdict on somebody who was silent for too
    /// long, what had come by then was handled before.
    fn expire(&mut self, now: Instant) -> bool {
        let mut busy = self.session.as_mut().is_some_and(|session| session.lower_rcvlowat(now));
        if self.reconnecter.due().is_some_and(|due| due <= now) {
            self.connect_session();
            busy = true;
        }
        busy |= self.expire_refusals(now);
        let is_due = self.first_limit().is_some_and(|due| due <= now);
        if self.timeout_gate.opens(is_due, self.session.as_ref()) {
            busy |= self.judge(now);
        }
        busy
    }

    /// When the first of those is to be judged who are waited for.
    fn first_limit(&self) -> Option<Instant> {
        let limits = [
            self.session.as_ref().and_then(|session| session.client.timeout()),
            self.unanswered.front().map(|(due, ..)| *due),
            self.table.first_limit(),
            self.next_idle_look,
            self.shutdown.due(),
            self.role.pool().and_then(Supervisor::due),
        ];
        limits.into_iter().flatten().min()
    }

    fn judge(&mut self, now: Instant) -> bool {
        let mut busy = false;
        match self.session.as_mut().map_or(Ok(false), |session| session.handle_timeout(now)) {
            Ok(expired) => {
                // Connections that were held back may go on.
                if expired {
                    self.handle_events(now);
                }
                busy |= expired;
            }
            Err(error) => {
                self.lost(error.into());
                busy = true;
            }
        }
        busy |= self.expire_unanswered(now);
        busy |= self.expire_lingers(now);
        if self.next_idle_look.is_some_and(|due| due <= now) {
            self.next_idle_look = self.close_idle(now);
            busy = true;
        }
        busy |= self.expire_shutdown(now);
        if let Role::Supervisor(pool) = &mut self.role {
            busy |= pool.close_unused(now);
        }
        busy
    }

    /// The process was paused until now: whoever is waited for has his full time again.
    fn resumed(&mut self, now: Instant) {
        self.timeout_gate = TimeoutGate::None;
        if let Some(session) = &mut self.session {
            session.client.resumed(now);
        }
        let until = now + self.config.target.ready_timeout;
        for (due, ..) in &mut self.unanswered {
            *due = until;
        }
        self.table.resumed(now);
        self.forwards.resumed(now);
        self.shutdown.resumed(now);
        if let Role::Supervisor(pool) = &mut self.role {
            pool.resumed(now);
        }
    }

    /// Arms the timer for whatever comes first. Returns whether that is already due.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let dues = [
            self.first_limit(),
            self.session.as_ref().and_then(Session::timeout),
            self.reconnecter.due(),
            self.accepts_at.filter(|_| self.forwards.has_listeners()),
            self.forwards.paused_until(),
            self.forwards.refused_until().filter(|_| self.has_session()),
        ];
        self.timer.poll(dues.into_iter().flatten().min(), cx)
    }

    /// Gives everything up: the handle is gone, and nobody hears what became of it.
    fn abandon(&mut self) {
        self.forwards.clear(&Error::Closed);
        self.shared.set_ready(false);
        for connection in self.table.drain() {
            close::reset(connection.pump.stream, &connection.pump.write_buffer, false);
        }
        for (_, pending) in self.requests.drain().chain(std::mem::take(&mut self.held)) {
            close::reset(pending.stream, &WriteBuffer::default(), false);
        }
        // Both that are cut short reset too.
        self.handshakes.abort_all();
        self.closings.abort_all();
    }

    pub(crate) fn emit(&self, event: Event) {
        self.observer.event(event);
    }
}

fn poll_work<T>(work: &mut Option<Work<T>>, cx: &mut Context<'_>) -> Option<T> {
    let Poll::Ready(outcome) = work.as_mut()?.as_mut().poll(cx) else { return None };
    *work = None;
    Some(outcome)
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            let now = Instant::now();
            if self.timer.was_paused() {
                self.resumed(now);
            }
            let busy = match self.turn(cx, now) {
                Turn::Busy => true,
                Turn::Idle => false,
                Turn::Over => return Poll::Ready(()),
            };
            if let Some(session) = &mut self.session
                && !busy
            {
                session.idle(now);
            }
            if self.timeout_gate.yields(busy) {
                run_after_input(cx);
                return Poll::Pending;
            }
            if !busy && !self.arm(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
