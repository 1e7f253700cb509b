//! The connections that have a channel, by the channel's number.

use std::sync::Arc;
use std::task::Waker;

use ssh_proto::ChannelId;

use super::connection::Connection;
use super::ready::{ReadyList, ReadyWaker};

/// Connections and their wakers. A number serves one connection after the other; a waker stays with
/// its number, and one that was meant for an earlier connection only causes a needless look.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    count: usize,
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
        self.slots[index].connection = Some(Box::new(connection));
        self.count += 1;
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Connection> {
        let connection = self.slots.get_mut(index)?.connection.take()?;
        self.count -= 1;
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((index, slot.connection.as_deref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> Vec<Connection> {
        self.count = 0;
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.connection.take())
            .map(|boxed| *boxed)
            .collect()
    }
}
