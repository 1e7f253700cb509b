//! A worker as its supervisor sees it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::session;
use crate::tunnel::pool::message::ToWorker;
use crate::tunnel::pool::throughput::Throughput;

/// A worker, its session and its connections.
pub(super) struct Worker {
    pub(super) messages: UnboundedSender<ToWorker>,
    pub(super) throughput: Arc<Throughput>,
    pub(super) state: State,
    /// When the session came up.
    pub(super) since: Instant,
    pub(super) connections: usize,
    /// The remote forwards that were requested on it. They keep the session up.
    pub(super) forwards: usize,
    /// Since when it has had no connection.
    pub(super) idle: Option<Instant>,
}

/// The session of a worker.
pub(super) enum State {
    /// It takes connections.
    Up,
    /// It was idle for long, and is being disconnected.
    Closing,
    /// It was lost; its connections are still closing.
    Lost(session::Error),
}

impl Worker {
    pub(super) fn send(&self, message: ToWorker) {
        // The worker lives as long as this sender.
        let _ = self.messages.send(message);
    }
}
