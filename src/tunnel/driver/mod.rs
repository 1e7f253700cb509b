//! The task of a tunnel: it applies the effects of the tunnel's parts.

mod accept;
pub(crate) mod commands;
mod counters;
mod forwards;
mod inbound;
mod reconnect;
mod sessions;
mod shutdown;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};

use crate::session::{self, Log, Session};
use crate::tunnel::driver::commands::{Command, Operations};
use crate::tunnel::driver::counters::Counters;
use crate::tunnel::driver::reconnect::{EarlyConnections, Reconnecter};
use crate::tunnel::driver::shutdown::Shutdown;
use crate::tunnel::forward::remote::SessionId;
use crate::tunnel::forward::table::Forwards;
use crate::tunnel::pool::supervisor::Supervisor;
use crate::tunnel::shared::Shared;
use crate::tunnel::worker::Worker;
use crate::tunnel::worker::turn::{Turn, Turns, poll_turns};
use crate::tunnel::{Config, Error, Event, Observer, TunnelState};

/// The maximum number of commands in one turn.
const MAX_COMMANDS: usize = 256;

/// A session that connects.
type Connecting = Pin<Box<dyn Future<Output = Result<Session, session::Error>> + Send>>;

/// Whether a tunnel was up since it was made, or since its last `Close` event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uptime {
    NeverUp,
    Up,
    Closed,
}

/// The driver of a tunnel.
pub(crate) struct Driver {
    config: Arc<Config>,
    shared: Arc<Shared>,
    observer: Arc<dyn Observer>,
    log: Log,
    commands: UnboundedReceiver<Command>,
    /// For answers that return as commands.
    sender: WeakUnboundedSender<Command>,
    operations: Operations,
    shutdown: Shutdown,
    forwards: Forwards,
    counters: Counters,

    /// The connections of this task, and the session if the tunnel has only one.
    worker: Worker,
    /// The sessions of a tunnel with several.
    pool: Option<Supervisor>,
    /// The first session while it connects.
    connecting: Option<Connecting>,
    /// The connections that wait for it.
    early: EarlyConnections,
    /// The id of that session, or of this task's.
    session_id: Option<SessionId>,
    /// The id of the latest session.
    last_session: SessionId,
    reconnecter: Reconnecter,
    uptime: Uptime,
    /// The calls of this turn that connect.
    connecting_calls: u64,
    /// When to accept connections again, after too many events were unread.
    accepts_at: Option<Instant>,
    /// Since when connections wait for a further session, and until when.
    crowded_since: Option<Instant>,
    crowded_until: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        config: Arc<Config>,
        shared: Arc<Shared>,
        observer: Arc<dyn Observer>,
        commands: UnboundedReceiver<Command>,
        sender: WeakUnboundedSender<Command>,
    ) -> Self {
        Self {
            forwards: Forwards::new(shared.clone(), config.reuse_port, config.target.ready_timeout),
            shared,
            log: Log::new(observer.clone(), ""),
            observer,
            commands,
            sender,
            operations: Operations::default(),
            shutdown: Shutdown::default(),
            counters: Counters::default(),
            worker: Worker::new(config.target.clone()),
            pool: (config.sessions.max > 1).then(|| Supervisor::new(config.sessions)),
            connecting: None,
            early: EarlyConnections::default(),
            session_id: None,
            last_session: 0,
            reconnecter: Reconnecter::new(config.reconnect),
            uptime: Uptime::NeverUp,
            connecting_calls: 0,
            accepts_at: None,
            crowded_since: None,
            crowded_until: None,
            config,
        }
    }

    /// Runs the commands of the handle; `None` when it is gone.
    fn run_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<bool> {
        for taken in 0..MAX_COMMANDS {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => {
                    command(self, now);
                    // The next command finds their effects.
                    self.handle_worker_events(now);
                }
                Poll::Ready(None) => return None,
                Poll::Pending => return Some(taken > 0),
            }
        }
        Some(true)
    }

    /// Continues connecting and binding.
    fn poll_connecting(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        let connected = self.connecting.as_mut().map(|connecting| connecting.as_mut().poll(cx));
        if let Some(Poll::Ready(outcome)) = connected {
            self.connecting = None;
            self.session_connected(outcome, now);
            busy = true;
        }
        busy |= self.poll_bound(cx, now);
        busy | self.poll_sessions(cx, now)
    }

    /// Handles the deadlines that are over. Input that had arrived by then is handled before a peer is
    /// given up for its silence.
    fn handle_timeouts(&mut self, now: Instant) -> bool {
        let mut busy = self.worker.expire_socket(now);
        if self.reconnecter.due().is_some_and(|due| due <= now) {
            self.connect_session();
            busy = true;
        }
        busy |= self.expire_refusals(now);
        let due = self.peer_due().into_iter().chain(self.worker.due()).min();
        if self.worker.opens_gate(due.is_some_and(|due| due <= now)) {
            busy |= self.worker.handle_timeouts(now);
            self.handle_worker_events(now);
            busy |= self.expire_shutdown(now);
            busy |= self.pool.as_mut().is_some_and(|pool| pool.close_unused(now));
        }
        busy
    }

    /// Returns the first deadline that waits for input.
    fn peer_due(&self) -> Option<Instant> {
        let pool = self.pool.as_ref().and_then(Supervisor::due);
        [self.shutdown.due(), pool].into_iter().flatten().min()
    }

    /// Reports an event. Who hears of it finds the state that belongs to it.
    fn emit(&self, event: Event) {
        self.shared.set_state(self.state(), 0);
        if self.log.is_on()
            && let Some(line) = event.describe()
        {
            self.log.write(|| line);
        }
        self.observer.event(event);
    }

    /// Notes that a call which connects is being run.
    pub(crate) fn connecting_call(&mut self) {
        self.connecting_calls += 1;
    }

    fn publish_state(&mut self) {
        let calls = std::mem::take(&mut self.connecting_calls);
        self.shared.set_state(self.state(), calls);
    }

    fn state(&self) -> TunnelState {
        if self.shutdown.is_under_way() {
            TunnelState::Closing
        } else if self.has_session() {
            TunnelState::Ready
        } else if self.reconnecter.is_under_way() && !self.is_first_session() {
            TunnelState::Reconnecting
        } else if self.connecting.is_some() || self.reconnecter.is_under_way() {
            TunnelState::Connecting
        } else {
            match self.uptime {
                Uptime::Up if !self.is_empty() => TunnelState::Closing,
                Uptime::Up | Uptime::Closed => TunnelState::Closed,
                Uptime::NeverUp => TunnelState::Idle,
            }
        }
    }
}

impl Turns for Driver {
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        let Some(mut busy) = self.run_commands(cx, now) else {
            self.forwards.clear(&Error::Closed);
            self.shared.set_ready(false);
            self.worker.abandon();
            return Turn::Over;
        };
        busy |= self.poll_connecting(cx, now);
        busy |= self.worker.receive(cx, now);
        busy |= self.worker.wake_connections(cx, now);
        self.handle_worker_events(now);
        busy |= self.accept(now);
        busy |= self.worker.send_up(cx, now);
        busy |= self.worker.flush(cx);
        busy |= self.poll_finished(cx, now);
        busy |= self.handle_timeouts(now);
        if self.is_empty() {
            busy |= self.worker.poll_disconnect(cx, now);
        }
        self.handle_worker_events(now);
        busy |= self.settle(now);
        self.publish_state();
        if busy { Turn::Busy } else { Turn::Idle }
    }

    fn resumed(&mut self, now: Instant) {
        self.worker.resumed(now);
        self.forwards.resumed(now);
        self.shutdown.resumed(now);
        if let Some(pool) = &mut self.pool {
            pool.resumed(now);
        }
    }

    fn due(&self) -> Option<Instant> {
        let dues = [
            self.peer_due(),
            self.crowded_until,
            self.reconnecter.due(),
            self.accepts_at.filter(|_| self.forwards.may_accept()),
            self.forwards.paused_until(),
            self.forwards.refused_until().filter(|_| self.has_session()),
        ];
        dues.into_iter().flatten().min()
    }

    fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll_turns(&mut *self, cx)
    }
}
