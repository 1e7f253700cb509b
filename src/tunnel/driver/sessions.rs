//! What the task of a tunnel with several sessions does about them: they come up, are lost, and are
//! asked for what is theirs.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::runtime::{self, WorkerSlot};
use crate::session::{self, Session};
use crate::tunnel::command::{Command, Reply};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::relay::PendingConnection;
use crate::tunnel::driver::Driver;
use crate::tunnel::driver::reconnect::connect_session;
use crate::tunnel::driver::shutdown::Shutdown;
use crate::tunnel::pool::supervisor::{Role, Supervisor};
use crate::tunnel::pool::worker::{Worker, WorkerEvent};
use crate::tunnel::{ConnectionInfo, Event, Stats};

impl Driver {
    /// Whether connections can be opened.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some() || self.role.pool().is_some_and(Supervisor::is_up)
    }

    /// A session has come up.
    pub(crate) fn take_session(&mut self, session: Session, now: Instant) {
        if let Some(number) = self.session_number {
            self.session_is_up(number, session.connect_time);
        }
        match self.role {
            // It stays on the thread of this task, which logged on and does little else.
            Role::Supervisor(_) => {
                if let Some(number) = self.session_number.take() {
                    self.start_member(number, session, None, now);
                }
            }
            Role::Single | Role::Worker(_) => self.session = Some(session),
        }
    }

    fn start_member(
        &mut self,
        number: u32,
        session: Session,
        place: Option<WorkerSlot>,
        now: Instant,
    ) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        let (config, observer) = (self.config.clone(), self.observer.clone());
        let (commands, member) =
            Worker::start(number, session, place, config, observer, self.sender.clone(), now);
        pool.add(number, commands, member, now);
    }

    /// Takes care of a connection for which there is no session here.
    pub(crate) fn open_elsewhere(&mut self, pending: PendingConnection, now: Instant) {
        let wants_another = match &self.role {
            Role::Single => return self.hold(pending, now),
            Role::Worker(member) => return member.tell(WorkerEvent::Back(pending)),
            Role::Supervisor(pool) => pool.wants_another(now),
        };
        let another = wants_another.then(|| self.begin_session());
        let Role::Supervisor(pool) = &mut self.role else { return };
        if let Some(number) = another {
            let carriers = self.operations.carriers.watch();
            pool.begin(number, connect_session(&self.config, &self.observer, carriers));
        }
        if let Some(pending) = pool.carry(pending, now) {
            self.hold(pending, now);
        }
    }

    /// Takes further sessions that have come up, and notes those that have not.
    pub(crate) fn collect_sessions(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut busy = false;
        while let Role::Supervisor(pool) = &mut self.role {
            match pool.poll_logon(cx) {
                Poll::Ready(Some((number, Ok((session, place))))) => {
                    self.session_is_up(number, session.connect_time);
                    self.start_member(number, session, Some(place), now);
                }
                Poll::Ready(Some((number, Err(error)))) => {
                    let tells = pool.failed(&error, now);
                    self.session_failed(number, &error);
                    if tells {
                        self.emit(Event::SessionError(error.into()));
                    }
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
            busy = true;
        }
        busy
    }

    /// What a member has told.
    pub(crate) fn heard(&mut self, number: u32, word: WorkerEvent, now: Instant) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        match word {
            WorkerEvent::Lost { error, served } => self.lost_one(number, error, served, now),
            WorkerEvent::Back(pending) => {
                pool.left(pending.meta.id, now);
                self.came_back(number, pending, now);
            }
            WorkerEvent::Forward(forward, event) => {
                self.heard_of_forward(Some(number), forward, event, now);
            }
            WorkerEvent::Ended(end) => {
                pool.left(end.id, now);
                self.count_end(&end);
            }
            WorkerEvent::Unknown(command) => self.command(*command, now),
            WorkerEvent::Over => {
                if pool.remove(number) {
                    self.session_is_over(number);
                }
                self.lose_forwards(Some(number), &session::Error::no_session());
            }
        }
    }

    /// One session is lost: the tunnel's own loss only if it was the last one.
    fn lost_one(&mut self, number: u32, error: session::Error, served: bool, now: Instant) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        if served {
            pool.served();
            self.reconnecter.served();
        }
        let needed = pool.lost(number, &error, now);
        self.lose_forwards(Some(number), &error);
        let Role::Supervisor(pool) = &mut self.role else { return };
        if !needed || matches!(self.operations.leaving, Shutdown::Disconnecting { .. }) {
            return self.session_is_over(number);
        }
        let others = pool.is_up();
        self.session_is_lost(number, &error);
        if others {
            self.emit(Event::SessionError(error.into()));
            self.ask_server(now);
        } else {
            self.cancel_connects();
            self.lost(error);
        }
    }

    /// A connection that was not open when its session was lost has lost nothing: it goes to another
    /// one, or waits for the next, if there is to be one.
    fn came_back(&mut self, number: u32, pending: PendingConnection, now: Instant) {
        let closes = match self.operations.leaving {
            Shutdown::No | Shutdown::Draining { .. } => false,
            Shutdown::Closing { .. }
            | Shutdown::Confirming { .. }
            | Shutdown::Disconnecting { .. } => true,
        };
        if !closes && (self.has_session() || self.reconnecter.is_under_way()) {
            return self.open_elsewhere(pending, now);
        }
        let lost = self.role.pool().and_then(|pool| pool.loss(number)).cloned();
        let error = lost.unwrap_or_else(session::Error::no_session);
        self.reject(pending, Cause::SessionLost(error));
    }

    /// Tells which connections there are, wherever they are.
    pub(crate) fn list(&self, reply: Reply<Vec<ConnectionInfo>>) {
        let mut infos = self.infos();
        let Some(pool) = self.role.pool().filter(|pool| pool.has_connections()) else {
            let _ = reply.send(Ok(infos));
            return;
        };
        let asked = pool.ask(Command::Connections);
        let sender = self.sender.clone();
        runtime::handle().spawn(async move {
            for answer in asked {
                infos.extend(answer.await.ok().and_then(Result::ok).unwrap_or_default());
            }
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Command::Listed(infos, reply));
            }
        });
    }

    /// Gives up on further sessions.
    pub(crate) fn cancel_connects(&mut self) {
        let Role::Supervisor(pool) = &mut self.role else { return };
        for number in pool.cancel_connects() {
            self.session_is_over(number);
        }
    }

    /// Tells what was counted, wherever it was.
    pub(crate) fn tell_stats(&mut self, forward: Option<i64>, reply: Reply<Stats>) {
        let Some(pool) = self.role.pool().filter(|pool| !pool.is_empty()) else {
            let present = self.present();
            return self.counted(&[present], forward, reply);
        };
        let asked = pool.ask(Command::Present);
        let sender = self.sender.clone();
        runtime::handle().spawn(async move {
            let mut present = Vec::new();
            for answer in asked {
                present.extend(answer.await.ok().and_then(Result::ok));
            }
            if let Some(sender) = sender.upgrade() {
                let _ = sender.send(Command::Counted(present, forward, reply));
            }
        });
    }

    /// All members have told their connections. One that changed its place meanwhile may be among
    /// them twice, or not any more but here.
    pub(crate) fn listed(&self, found: Vec<ConnectionInfo>, reply: Reply<Vec<ConnectionInfo>>) {
        let here = self.infos().into_iter().map(|info| (info.id, info));
        let mut infos: BTreeMap<_, _> = here.collect();
        if let Some(pool) = self.role.pool() {
            let there = found.into_iter().filter(|info| pool.has(info.id));
            infos.extend(there.map(|info| (info.id, info)));
        }
        let _ = reply.send(Ok(infos.into_values().collect()));
    }
}
