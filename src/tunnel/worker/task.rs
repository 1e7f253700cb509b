//! A worker in a task of its own: one session of several.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::session::{Session, Target};
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::connection::meta::PendingConnection;
use crate::tunnel::connection::registry::Finished;
use crate::tunnel::pending::reply_all;
use crate::tunnel::pool::message::{FromWorker, ToWorker};
use crate::tunnel::pool::throughput::Throughput;
use crate::tunnel::worker::Worker;
use crate::tunnel::worker::turn::{Turn, Turns, poll_turns};
use crate::tunnel::{Event, Observer};

/// The maximum number of messages in one turn.
const MAX_MESSAGES: usize = 256;

/// A worker's task. It ends when the sender of its messages is dropped, which resets what it still has.
pub(crate) struct Task {
    worker: Worker,
    inbox: UnboundedReceiver<ToWorker>,
    /// Sends an event to the supervisor.
    report: Box<dyn Fn(FromWorker) + Send + Sync>,
    observer: Arc<dyn Observer>,
    throughput: Arc<Throughput>,
    /// Whether the supervisor knows that nothing is left.
    exited: bool,
}

impl Task {
    pub(crate) fn new(
        session: Session,
        target: Arc<Target>,
        inbox: UnboundedReceiver<ToWorker>,
        report: impl Fn(FromWorker) + Send + Sync + 'static,
        observer: Arc<dyn Observer>,
        throughput: Arc<Throughput>,
    ) -> Self {
        let mut worker = Worker::new(target);
        worker.set_session(session);
        Self { worker, inbox, report: Box::new(report), observer, throughput, exited: false }
    }

    /// Handles the messages of the supervisor; `None` when it is gone.
    fn handle_messages(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<bool> {
        for taken in 0..MAX_MESSAGES {
            match self.inbox.poll_recv(cx) {
                Poll::Ready(Some(message)) => self.worker.handle(moved_here(message), now),
                Poll::Ready(None) => return None,
                Poll::Pending => return Some(taken > 0),
            }
        }
        Some(true)
    }

    /// Reports the worker's events: of connections to the observer, all to the supervisor.
    fn report_events(&mut self) {
        while let Some(event) = self.worker.next_event() {
            match event {
                FromWorker::Opened(info) => self.observer.event(Event::Connection(info)),
                FromWorker::Ended(end, replies) => {
                    self.observer.event(Event::Disconnected((*end).clone()));
                    (self.report)(FromWorker::Ended(end, Vec::new()));
                    reply_all(replies, &Ok(()));
                }
                // Reported below, once also after the loss of the session.
                FromWorker::Exited => {}
                event => (self.report)(event),
            }
        }
        let is_empty = self.worker.is_disconnected() && self.worker.registry().is_empty();
        if is_empty && !self.exited {
            self.exited = true;
            (self.report)(FromWorker::Exited);
        }
    }
}

/// Moves the socket of a connection to this task's thread.
fn moved_here(message: ToWorker) -> ToWorker {
    let moved = |PendingConnection { meta, stream }: PendingConnection| PendingConnection {
        meta,
        stream: stream.moved_here(),
    };
    match message {
        ToWorker::Open(pending) => ToWorker::Open(moved(pending)),
        ToWorker::Accept(pending, channel) => ToWorker::Accept(moved(pending), channel),
        message => message,
    }
}

impl Turns for Task {
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        let Some(mut busy) = self.handle_messages(cx, now) else {
            self.worker.abandon();
            return Turn::Over;
        };
        busy |= self.worker.receive(cx, now);
        busy |= self.worker.wake_connections(cx, now);
        busy |= self.worker.send_up(cx, now);
        busy |= self.worker.flush(cx);
        while let Poll::Ready(Some((id, finished))) = self.worker.registry_mut().poll_finished(cx) {
            match finished {
                Finished::Close(outcome) => self.worker.socket_closed(id, outcome),
                Finished::Target(Ok(stream)) => self.worker.target_connected(id, stream),
                Finished::Target(Err(error)) => {
                    self.worker.close_connection(id, Cause::Unreached(error));
                }
                // Local forwards are the driver's.
                Finished::Handshake(..) => {}
            }
            busy = true;
        }
        busy |= self.worker.expire_socket(now);
        let is_due = self.worker.due().is_some_and(|due| due <= now);
        if self.worker.opens_gate(is_due) {
            busy |= self.worker.handle_timeouts(now);
        }
        busy |= self.worker.poll_disconnect(cx, now);
        self.report_events();
        if let Some(moved) = self.worker.moved() {
            self.throughput.moved(moved, now);
        }
        if busy { Turn::Busy } else { Turn::Idle }
    }

    fn resumed(&mut self, now: Instant) {
        self.worker.resumed(now);
    }

    fn due(&self) -> Option<Instant> {
        None
    }

    fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        poll_turns(&mut *self, cx)
    }
}

#[cfg(test)]
mod tests;
