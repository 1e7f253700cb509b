//! The way back from a worker to its supervisor.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::session::{HostKeyInfo, Prompts, Responses};
use crate::tunnel::pool::message::FromWorker;
use crate::tunnel::pool::throughput::Throughput;
use crate::tunnel::{Event, Observer};

/// Sends a worker's messages to its supervisor, and the events of its connections to the observer.
pub(crate) struct WorkerEvents {
    send: Box<dyn Fn(FromWorker) + Send + Sync>,
    observer: Arc<dyn Observer>,
    throughput: Arc<Throughput>,
}

impl WorkerEvents {
    pub(crate) fn new(
        send: impl Fn(FromWorker) + Send + Sync + 'static,
        observer: Arc<dyn Observer>,
        now: Instant,
    ) -> Self {
        let throughput = Arc::new(Throughput::new(now));
        Self { send: Box::new(send), observer, throughput }
    }

    pub(crate) fn send(&self, event: FromWorker) {
        (self.send)(event);
    }

    pub(crate) fn throughput(&self) -> &Arc<Throughput> {
        &self.throughput
    }
}

impl Observer for WorkerEvents {
    fn event(&self, event: Event) {
        match event {
            Event::Connection(_) => self.observer.event(event),
            Event::Disconnected(end) => {
                let ended = FromWorker::Ended(Box::new(end.clone()));
                self.observer.event(Event::Disconnected(end));
                self.send(ended);
            }
            Event::Close => self.send(FromWorker::Exited),
            // The supervisor reports sessions and forwards.
            Event::Ready
            | Event::Banner(_)
            | Event::Session { .. }
            | Event::Error(_)
            | Event::SessionError(_)
            | Event::ForwardError(..)
            | Event::Listening(_)
            | Event::ConnectionRequest(_)
            | Event::Reconnecting { .. } => {}
        }
    }

    fn decides_connections(&self) -> bool {
        self.observer.decides_connections()
    }

    fn is_behind(&self) -> bool {
        self.observer.is_behind()
    }

    fn verify_host_key(&self, key: HostKeyInfo, answer: oneshot::Sender<bool>) {
        self.observer.verify_host_key(key, answer);
    }

    fn answer_prompts(&self, prompts: Prompts, answer: oneshot::Sender<Responses>) {
        self.observer.answer_prompts(prompts, answer);
    }
}

impl fmt::Debug for WorkerEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerEvents").finish_non_exhaustive()
    }
}
