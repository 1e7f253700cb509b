//! The task of a tunnel: one future that repeats a turn of fixed steps.

pub(crate) mod accept;
pub(crate) mod close;
pub(crate) mod commands;
mod counters;
pub(crate) mod data;
mod forwards;
mod inbound;
pub(crate) mod reconnect;
pub(crate) mod sessions;
pub(crate) mod shutdown;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};

use crate::runtime::timer::{Timer, run_after_input};
use crate::session::{self, Session, TimeoutGate};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::registry::Registry;
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

/// Turns before the task yields to others of the runtime.
const TURNS: usize = 8;
/// Commands taken in one turn.
const COMMANDS: usize = 256;

/// A future that the driver polls itself.
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

    /// The session that is connecting.
    pub(crate) logon: Option<Work<Result<Session, session::Error>>>,
    /// The session once it is up.
    pub(crate) session: Option<Session>,
    /// The number of the session that connects or is up here. A worker has none: its supervisor keeps it.
    pub(crate) session_number: Option<u32>,
    /// The number of the last session.
    pub(crate) last_session: u32,
    /// What comes after the loss of the session.
    pub(crate) reconnecter: Reconnecter,
    /// The session that is being disconnected.
    pub(crate) disconnecting_session: Option<Work<()>>,
    pub(crate) forwards: Forwards,
    /// The remote forwards of this task's session.
    pub(crate) remote_requests: Requests,

    /// The connections, from accept to report.
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    /// Whether anything was up since the last `Close` event.
    pub(crate) active: bool,

    /// The channels of the connections to be read from, in turn.
    pub(crate) queue: VecDeque<usize>,
    /// When to accept connections again, while too many events wait for the application.
    pub(crate) accepts_at: Option<Instant>,
    timer: Timer,
    /// Whether deadlines that are over wait for input to be read.
    pub(crate) timeout_gate: TimeoutGate,

    // Kept between turns, so that these allocate nothing.
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

/// Outcome of a turn.
enum Turn {
    /// Something was done; there may be more to do at once.
    Busy,
    /// Everything waits for an event that wakes the task.
    Idle,
    /// The handle is gone, and everything was reset.
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
            registry: Registry::default(),
            counters: Counters::default(),
            active: false,
            queue: VecDeque::new(),
            accepts_at: None,
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
        busy |= self.send_up(cx, now);
        busy |= self.flush(cx);
        busy |= self.collect_tasks(cx, now);
        busy |= self.handle_timeouts(now);
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

    /// Continues what runs in futures: connecting, binding, disconnecting.
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
        busy | self.poll_sessions(cx, now)
    }

    /// Continues the connections whose sockets became ready.
    fn wake_connections(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut numbers = std::mem::take(&mut self.numbers);
        self.registry.take_ready(&mut numbers, cx);
        let busy = !numbers.is_empty();
        for number in numbers.drain(..) {
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
        let wanted_none = !session.client.wants_input();
        let flushed = session.poll_flush(cx);
        // No event of the socket announces input that had arrived before.
        let reads_again = wanted_none && session.client.wants_input();
        match flushed {
            // Room was made: connections that wait for it go on.
            Poll::Ready(Ok(())) => reads_again || !self.queue.is_empty(),
            Poll::Ready(Err(error)) => {
                self.broken(&error);
                true
            }
            Poll::Pending => reads_again,
        }
    }

    /// Reports how busy a worker's session is.
    fn report_throughput(&self, now: Instant) {
        if let (Some(worker), Some(session)) = (self.role.worker(), &self.session) {
            worker.throughput().moved(session.moved, now);
        }
    }

    /// Handles the deadlines that are over. Input that had come by then is handled before a peer is given up
    /// for its silence.
    fn handle_timeouts(&mut self, now: Instant) -> bool {
        let mut busy = self.session.as_mut().is_some_and(|session| session.lower_rcvlowat(now));
        if self.reconnecter.due().is_some_and(|due| due <= now) {
            self.connect_session();
            busy = true;
        }
        busy |= self.expire_refusals(now);
        let is_due = self.first_deadline().is_some_and(|due| due <= now);
        if self.timeout_gate.opens(is_due, self.session.as_ref()) {
            busy |= self.expire_deadlines(now);
        }
        busy
    }

    /// The first deadline of a peer.
    fn first_deadline(&self) -> Option<Instant> {
        let limits = [
            self.session.as_ref().and_then(|session| session.client.timeout()),
            self.registry.next_due(),
            self.shutdown.due(),
            self.role.pool().and_then(Supervisor::due),
        ];
        limits.into_iter().flatten().min()
    }

    fn expire_deadlines(&mut self, now: Instant) -> bool {
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
        while let Some(id) = self.registry.take_overdue(now) {
            self.expire(id);
            busy = true;
        }
        if self.registry.looks_for_idle(now) {
            let client = self.session.as_ref().map(|session| &session.client);
            for id in self.registry.take_idle(client, now) {
                self.close_connection(id, Cause::Idle);
            }
            busy = true;
        }
        busy |= self.expire_shutdown(now);
        if let Role::Supervisor(pool) = &mut self.role {
            busy |= pool.close_unused(now);
        }
        busy
    }

    /// The process was paused until now: every deadline has its full time again.
    fn resumed(&mut self, now: Instant) {
        self.timeout_gate = TimeoutGate::None;
        if let Some(session) = &mut self.session {
            session.client.resumed(now);
        }
        self.registry.resumed(now, self.config.target.ready_timeout);
        self.forwards.resumed(now);
        self.shutdown.resumed(now);
        if let Role::Supervisor(pool) = &mut self.role {
            pool.resumed(now);
        }
    }

    /// Arms the timer for the first deadline. Returns whether that is over already.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let dues = [
            self.first_deadline(),
            self.session.as_ref().and_then(Session::timeout),
            self.reconnecter.due(),
            self.accepts_at.filter(|_| self.forwards.has_listeners()),
            self.forwards.paused_until(),
            self.forwards.refused_until().filter(|_| self.has_session()),
        ];
        self.timer.poll(dues.into_iter().flatten().min(), cx)
    }

    /// Resets everything: the handle is gone, and nothing is reported.
    fn abandon(&mut self) {
        self.forwards.clear(&Error::Closed);
        self.shared.set_ready(false);
        for connection in self.registry.drain() {
            connection.abandon();
        }
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
