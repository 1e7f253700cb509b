//! The connections that have a channel, by the channel's number.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use ssh_proto::ChannelId;

use crate::tunnel::connection::ready_list::{ReadyList, ReadyWaker};
use crate::tunnel::connection::relay::Connection;

/// Connections and their wakers. A number serves one connection after the other; a waker stays with
/// its number, and one that was meant for an earlier connection only causes a needless look.
#[derive(Default)]
pub(crate) struct Table {
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
    pub(crate) fn insert(&mut self, connection: Connection, list: &Arc<ReadyList>) {
        let index = connection.pump.channel.index();
        while self.slots.len() <= index {
            let ready = list.waker(self.slots.len());
            self.slots.push(Slot { connection: None, waker: ready.clone().into(), ready });
        }
        self.indices.insert(connection.meta.id, index);
        self.slots[index].connection = Some(Box::new(connection));
    }

    pub(crate) fn remove(&mut self, index: usize) -> Option<Connection> {
        let connection = self.slots.get_mut(index)?.connection.take()?;
        self.indices.remove(&connection.meta.id);
        if let Some(limit) = connection.limit {
            self.limits.remove(&(limit, index));
        }
        Some(*connection)
    }

    pub(crate) fn get(&mut self, index: usize) -> Option<&mut Connection> {
        self.slots.get_mut(index)?.connection.as_deref_mut()
    }

    /// A connection and the waker to arm for it.
    pub(crate) fn with_waker(&mut self, index: usize) -> Option<(&mut Connection, &Waker)> {
        let slot = self.slots.get_mut(index)?;
        Some((slot.connection.as_deref_mut()?, &slot.waker))
    }

    /// The number was taken from the list of ready ones.
    pub(crate) fn taken(&self, index: usize) {
        if let Some(slot) = self.slots.get(index) {
            slot.ready.taken();
        }
    }

    pub(crate) fn of(&mut self, channel: ChannelId) -> Option<&mut Connection> {
        self.get(channel.index())
    }

    /// The channel's number of the connection with this one.
    pub(crate) fn find(&self, id: u64) -> Option<usize> {
        self.indices.get(&id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Connection)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| Some((index, slot.connection.as_deref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.slots.iter_mut().filter_map(|slot| slot.connection.as_deref_mut())
    }

    /// Lets the linger time of a connection run that is being closed from now on. It runs once.
    pub(crate) fn begin_to_linger(&mut self, index: usize) {
        if self.get(index).is_some_and(|connection| connection.limit.is_none()) {
            self.linger_anew(index);
        }
    }

    /// Lets the linger time of a connection that is being closed run from now on, by its Linger.
    pub(crate) fn linger_anew(&mut self, index: usize) {
        let Some(connection) = self.get(index) else { return };
        let limit = connection.meta.settings.linger.limit(Instant::now()).map(|limit| limit.due);
        if let Some(earlier) = std::mem::replace(&mut connection.limit, limit) {
            self.limits.remove(&(earlier, index));
        }
        if let Some(limit) = limit {
            self.limits.insert((limit, index));
        }
    }

    /// The process was paused until now: no connection was idle meanwhile, and linger times begin
    /// anew.
    pub(crate) fn resumed(&mut self, now: Instant) {
        self.limits.clear();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(connection) = slot.connection.as_deref_mut() else { continue };
            connection.pump.active = now;
            if connection.limit.is_some()
                && let Some(limit) = connection.meta.settings.linger.limit(now)
            {
                connection.limit = Some(limit.due);
                self.limits.insert((limit.due, index));
            }
        }
    }

    /// When the first linger time is over.
    pub(crate) fn first_limit(&self) -> Option<Instant> {
        self.limits.first().map(|(limit, _)| *limit)
    }

    /// A connection whose linger time is over; each is told once.
    pub(crate) fn take_overdue(&mut self, now: Instant) -> Option<usize> {
        self.first_limit().filter(|limit| *limit <= now)?;
        self.limits.pop_first().map(|(_, index)| index)
    }

    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is more than one.
    pub(crate) fn has_several(&self) -> bool {
        self.indices.len() > 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> Vec<Connection> {
        self.indices.clear();
        self.limits.clear();
        self.slots
            .iter_mut()
            .filter_map(|slot| slot.connection.take())
            .map(|boxed| *boxed)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::linger::Linger;
    use crate::runtime;
    use crate::tunnel::connection::relay::tests::{client, connection};

    const SECOND: Duration = Duration::from_secs(1);

    /// So many connections, each with a second more of linger time than the one before.
    fn table(count: u16) -> Table {
        let mut client = client();
        let mut table = Table::default();
        runtime::handle().block_on(async {
            for number in 0..count {
                let (mut connection, _) = connection(&mut client).await;
                connection.meta.id = u64::from(number) + 1;
                connection.meta.settings.linger = Linger { onoff: 1, linger: number + 1 };
                table.insert(connection, &Arc::default());
            }
        });
        table
    }

    #[test]
    fn connections_are_found_by_their_numbers() {
        let mut table = table(3);
        let index = table.find(2).expect("it is there");
        assert_eq!(table.get(index).expect("it is there").meta.id, 2);
        table.remove(index);
        assert_eq!(table.find(2), None);
        assert!(table.find(1).is_some() && !table.is_empty());
        assert_eq!(table.drain().len(), 2);
        assert!(table.find(1).is_none() && table.is_empty());
    }

    #[test]
    fn after_a_pause_linger_times_begin_anew() {
        let mut table = table(3);
        let indices = [1, 2].map(|id| table.find(id).expect("it is there"));
        for index in indices {
            table.begin_to_linger(index);
        }
        let later = Instant::now() + 60 * SECOND;
        table.resumed(later);
        assert_eq!(table.first_limit(), Some(later + SECOND));
        assert_eq!(table.take_overdue(later), None);
        assert_eq!(table.take_overdue(later + SECOND), Some(indices[0]));
        assert_eq!(table.take_overdue(later + SECOND), None);
        assert_eq!(table.take_overdue(later + 2 * SECOND), Some(indices[1]));
        assert!(table.iter().all(|(_, connection)| connection.pump.active == later));
    }

    #[test]
    fn linger_times_run_out_in_order_once_and_not_for_those_that_are_gone() {
        let mut table = table(3);
        let before = Instant::now();
        let indices = [3, 2, 1].map(|id| table.find(id).expect("it is there"));
        for index in indices {
            table.begin_to_linger(index);
        }
        let first = table.first_limit().expect("a limit");
        assert!(first >= before + SECOND && table.take_overdue(before + SECOND / 2).is_none());
        // A second word does not prolong it.
        table.begin_to_linger(indices[2]);
        assert_eq!(table.first_limit(), Some(first));

        // One that is given anew counts from then on, or not at all.
        for (linger, limited) in [(Linger { onoff: 1, linger: 9 }, true), (Linger::GRACEFUL, false)]
        {
            table.get(indices[2]).expect("it is there").meta.settings.linger = linger;
            table.linger_anew(indices[2]);
            assert_eq!(table.limits.len(), if limited { 3 } else { 2 });
        }
        table.get(indices[2]).expect("it is there").meta.settings.linger =
            Linger { onoff: 1, linger: 1 };
        table.linger_anew(indices[2]);

        table.remove(indices[1]);
        let late = Instant::now() + 4 * SECOND;
        assert_eq!(table.take_overdue(late), Some(indices[2]));
        assert_eq!(table.take_overdue(late), Some(indices[0]));
        assert_eq!(table.take_overdue(late), None);
        assert_eq!(table.first_limit(), None);
    }
}
