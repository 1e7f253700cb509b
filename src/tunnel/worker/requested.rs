//! The remote forwards that the server was asked for, by its ids and by the tunnel's.

use std::collections::HashMap;

use ssh_proto::ForwardId;

/// The requested forwards of a session.
#[derive(Debug, Default)]
pub(super) struct RequestedForwards {
    by_sent: HashMap<ForwardId, i64>,
    by_id: HashMap<i64, ForwardId>,
}

impl RequestedForwards {
    pub(super) fn add(&mut self, sent: ForwardId, id: i64) {
        self.by_sent.insert(sent, id);
        self.by_id.insert(id, sent);
    }

    pub(super) fn remove(&mut self, sent: ForwardId) {
        // The forward may have been requested again meanwhile.
        if let Some(id) = self.by_sent.remove(&sent)
            && self.by_id.get(&id) == Some(&sent)
        {
            self.by_id.remove(&id);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_sent.is_empty()
    }

    /// Returns the session's id of the tunnel's forward.
    pub(super) fn sent(&self, id: i64) -> Option<ForwardId> {
        self.by_id.get(&id).copied()
    }

    /// Returns the tunnel's id of the session's forward.
    pub(super) fn id(&self, sent: ForwardId) -> Option<i64> {
        self.by_sent.get(&sent).copied()
    }
}
