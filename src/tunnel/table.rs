//! The connections that have a channel, by the channel's number.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use ssh_proto::ChannelId;

use super::connection::Connection;
use super::ready::{ReadyList, ReadyWaker};

/// Connections and their wakers. A number serves one connection after the other; a waker stays with
/// its number, and one that was meant for an earlier connection only causes a needless look.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// The channels' numbers by those of the connections.
    indices: HashMap<u64, usize>,
    /// When connections that are being closed are cut short, and their numbers.
    limits: BTreeSet<(Instant, usize)>,
}

struct Slot {
    /// Boxed: a number that is free costs little.
    connection: Option<Box<Connection>>,
    ready: Arc<ReadyWaker>,
    waker: Waker,
}

impl Table {
    pub(super) fn insert(&mut self, connection: Connection, list: &Arc<ReadyList>) {
        let index = connection.channel.index();
        while self.slots.len() <= index {
            let ready = list.waker(self.slots.len());
            self.slots.push(Slot { connection: None, waker: ready.clone().into(), ready });
        }
        self.indices.insert(connection.arrival.id, index);
        self.slots[index].connection = Some(Box::new(connection));
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Connection> {
        let connection = self.slots.get_mut(index)?.connection.take()?;
        self.indices.remove(&connection.arrival.id);
        if let Some(limit) = connection.limit {
            self.limits.remove(&(limit, index));
        }
        Some(*connection)
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Connection> {
        self.slots.get_mut(index)?.connection.as_deref_mut()
    }

    /// A connection and the waker to arm for it.
    pub(super) fn with_waker(&mut self, index: usize) -> Option<(&mut Connection, &Waker)> {
        let slot = self.slots.get_mut(index)?;
        Some((slot.connection.as_deref_mut()?, &slot.waker))
    }

    /// The number was taken from the list of ready ones.
    pub(super) fn taken(&self, index: usize) {
        if let Some(slot) = self.slots.get(index) {
            slot.ready.taken();
        }
    }

    pub(super) fn of(&mut self, channel: ChannelId) -> Option<&mut Connection> {
        self.get(channel.index())
    }

    /// The channel's number of the connection with this one.
    pub(super) fn find(&self, id: u64) -> Option<usize> {
        self.indices.get(&id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((index, slot.connection.as_deref()?)))
    }

    /// Lets the linger time of a connection run that is being closed from now on. It runs once.
    pub(super) fn begin_to_linger(&mut self, index: usize) {
        if let Some(connection) = self.get(index)
            && connection.limit.is_none()
            && let Some(limit) = connection.arrival.settings.linger.limit(Instant::now())
        {
            connection.limit = Some(limit);
            self.limits.insert((limit, index));
        }
    }

    /// The connection whose linger time is over first, and when.
    pub(super) fn first_limit(&self) -> Option<(Instant, usize)> {
        self.limits.first().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> Vec<Connection> {
        self.indices.clear();
        self.limits.clear();
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.connection.take())
            .map(|boxed| *boxed)
            .collect()
    }
}
