//! Which session a connection goes to, and when there is to be another one.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::runtime;
use crate::tunnel::connection::relay::tests::{client, connection};
use crate::tunnel::pool::worker::tests::Nobody;

const SECOND: Duration = Duration::from_secs(1);

/// A pool of members without tasks, and what these are told.
struct Trial {
    pool: Supervisor,
    now: Instant,
    told: Vec<UnboundedReceiver<Command>>,
    last_id: u64,
}

impl Trial {
    fn new(most: usize, members: u32) -> Self {
        let (pool, now) = (Supervisor::new(most), Instant::now());
        let mut trial = Self { pool, now, told: Vec::new(), last_id: 0 };
        for _ in 0..members {
            trial.up();
        }
        trial
    }

    /// One more session has come up.
    fn up(&mut self) {
        let (commands, told) = unbounded_channel();
        let member = Worker::new(0, commands.downgrade(), Arc::new(Nobody), self.now);
        self.told.push(told);
        let number = self.told.len() as u32;
        self.pool.add(number, commands, Arc::new(member), self.now);
    }

    /// Where the next connection goes.
    fn place(&mut self) -> u32 {
        let (connection, _) = runtime::handle().block_on(async { connection(&mut client()).await });
        self.last_id += 1;
        let mut pending = connection.into_pending();
        pending.meta.id = self.last_id;
        assert!(self.pool.carry(pending, self.now).is_none(), "a session is up");
        self.pool.homes[&self.last_id]
    }

    fn moved(&self, number: u32, total: u64) {
        self.pool.members[&number].member.load.moved(total, self.now);
    }

    /// Who was told to leave.
    fn left(&mut self) -> Vec<usize> {
        let left = |told: &mut UnboundedReceiver<Command>| {
            std::iter::from_fn(|| told.try_recv().ok())
                .any(|command| matches!(command, Command::Leave(_)))
        };
        (1..).zip(&mut self.told).filter_map(|(n, told)| left(told).then_some(n)).collect()
    }
}

fn broken() -> session::Error {
    session::Error::no_session()
}

#[test]
fn connections_go_where_the_fewest_are() {
    let mut trial = Trial::new(3, 3);
    assert_eq!([1, 2, 3, 1].map(|_| trial.place()), [1, 2, 3, 1]);
    trial.pool.left(2, trial.now);
    assert_eq!([1, 2, 3].map(|_| trial.place()), [2, 2, 3]);
}

#[test]
fn bytes_weigh_while_they_are_fresh() {
    let mut trial = Trial::new(2, 2);
    assert_eq!([trial.place(), trial.place()], [1, 2]);
    trial.moved(1, 3 * CONNECTION - 1);
    assert_eq!([1, 2, 3, 4].map(|_| trial.place()), [2, 2, 2, 1]);
    trial.now += 2 * SECOND;
    assert_eq!(trial.place(), 1);
}

#[test]
fn a_further_session_is_wanted_when_every_one_has_a_connection() {
    let mut trial = Trial::new(3, 0);
    assert!(!trial.pool.wants_another(trial.now), "the first one is not a further one");
    trial.up();
    assert!(!trial.pool.wants_another(trial.now));
    trial.place();
    assert!(trial.pool.wants_another(trial.now));
    trial.up();
    assert!(!trial.pool.wants_another(trial.now));
    trial.place();
    assert!(trial.pool.wants_another(trial.now));
    trial.pool.left(1, trial.now);
    assert!(!trial.pool.wants_another(trial.now));
    trial.place();
    trial.up();
    trial.place();
    assert!(!trial.pool.wants_another(trial.now), "there are as many as there may be");
}

#[test]
fn sessions_that_are_coming_count() {
    let mut trial = Trial::new(64, 1);
    for coming in 1..=LOGONS {
        trial.place();
        assert!(trial.pool.wants_another(trial.now));
        trial.pool.logons.spawn_on(std::future::pending(), runtime::handle());
        assert_eq!(trial.pool.logons.len(), coming);
        assert!(!trial.pool.wants_another(trial.now), "one will be there for it");
    }
    trial.place();
    trial.place();
    assert!(!trial.pool.wants_another(trial.now), "not too many at once");
}

#[test]
fn the_next_one_waits_after_a_failure() {
    let mut trial = Trial::new(4, 1);
    trial.place();
    trial.pool.failed(&broken(), trial.now);
    trial.pool.failed(&broken(), trial.now);
    assert!(!trial.pool.wants_another(trial.now + 4 * SECOND));
    assert!(trial.pool.wants_another(trial.now + 10 * SECOND), "together they are one failure");
    trial.pool.failed(&broken(), trial.now + 10 * SECOND);
    assert!(!trial.pool.wants_another(trial.now + 19 * SECOND));

    // One that was up counts as well, and an error that would only repeat itself is the last.
    trial.up();
    trial.place();
    assert!(trial.pool.wants_another(trial.now));
    trial.pool.failed(&session::Error::Auth("text".into()), trial.now);
    assert!(!trial.pool.wants_another(trial.now + 1000 * SECOND));
    trial.up();
    trial.place();
    assert!(trial.pool.wants_another(trial.now));
}

#[test]
fn sessions_without_connections_retire_but_the_last() {
    let mut trial = Trial::new(3, 3);
    assert_eq!([1, 2, 3].map(|_| trial.place()), [1, 2, 3]);
    assert_eq!(trial.pool.due(), None);
    for (after, id) in [(1, 2), (2, 1), (3, 3)] {
        trial.pool.left(id, trial.now + after * SECOND);
    }
    assert_eq!(trial.pool.due(), Some(trial.now + SECOND + IDLE));
    assert!(!trial.pool.retire(trial.now + IDLE));
    assert!(trial.pool.retire(trial.now + SECOND + IDLE));
    assert_eq!(trial.left(), [2]);
    assert!(trial.pool.retire(trial.now + 10 * IDLE));
    assert_eq!(trial.left(), [1]);
    assert_eq!(trial.pool.due(), None);
    assert!(trial.pool.is_up());
    assert_eq!(trial.place(), 3);
}
