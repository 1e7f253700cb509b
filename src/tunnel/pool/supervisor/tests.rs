//! The placement of connections, and when further sessions begin and end.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::runtime;
use crate::tunnel::connection::meta::tests::pending;
use crate::tunnel::pool::growth::MAX_CONNECTING;

const SECOND: Duration = Duration::from_secs(1);

/// A supervisor whose workers have no tasks, and their messages.
struct Setup {
    pool: Supervisor,
    now: Instant,
    sent: Vec<UnboundedReceiver<ToWorker>>,
    last_id: u64,
    /// The latest connections of each session.
    placed: BTreeMap<u32, Vec<u64>>,
}

impl Setup {
    /// A further session is wanted beside each session with a connection.
    fn new(max: usize, workers: u32) -> Self {
        Self::with(max, 1, workers)
    }

    fn with(max: usize, connections_each: usize, workers: u32) -> Self {
        let sessions = Sessions { max, connections_each, further_memory: 0 };
        let (pool, now) = (Supervisor::new(sessions), Instant::now());
        let mut setup = Self { pool, now, sent: Vec::new(), last_id: 0, placed: BTreeMap::new() };
        for _ in 0..workers {
            setup.up();
        }
        setup
    }

    /// Brings up one more session.
    fn up(&mut self) {
        let (messages, sent) = unbounded_channel();
        self.sent.push(sent);
        let id = self.sent.len() as u32;
        self.pool.add(id, messages, Arc::new(Throughput::new(self.now)), self.now);
    }

    /// Opens the next connection. Returns the session it is placed on.
    fn place(&mut self) -> u32 {
        self.last_id += 1;
        let (pending, _) = runtime::handle().block_on(pending(self.last_id));
        assert!(self.pool.open(pending, self.now).is_none(), "a session is up");
        let id = self.pool.placed[&self.last_id];
        self.placed.entry(id).or_default().push(self.last_id);
        id
    }

    /// Opens this many connections.
    fn fill(&mut self, count: usize) {
        for _ in 0..count {
            self.place();
        }
    }

    /// Ends the latest connections of a session.
    fn leave(&mut self, id: u32, count: usize) {
        for _ in 0..count {
            let connection = self.placed.get_mut(&id).and_then(Vec::pop).expect("it has one");
            self.pool.connection_left(connection, self.now);
        }
    }

    /// Begins to connect another session.
    fn connect(&mut self) -> u32 {
        let id = 100 + self.pool.connecting.len() as u32;
        self.pool.connect(id, std::future::pending(), self.now);
        id
    }

    fn wants_another(&self) -> bool {
        self.pool.wants_another(0, self.now)
    }

    fn is_crowded(&self) -> bool {
        self.pool.crowded_until(self.now).is_some()
    }

    fn moved(&self, id: u32, total: u64) {
        self.pool.workers[&id].throughput.moved(total, self.now);
    }

    /// Returns the workers that have been told to shut down.
    fn shut_down(&mut self) -> Vec<usize> {
        let was_told = |sent: &mut UnboundedReceiver<ToWorker>| {
            std::iter::from_fn(|| sent.try_recv().ok())
                .any(|message| matches!(message, ToWorker::ShutDown(_)))
        };
        (1..).zip(&mut self.sent).filter_map(|(id, sent)| was_told(sent).then_some(id)).collect()
    }
}

fn broken() -> session::Error {
    session::Error::no_session()
}

#[test]
fn connections_go_to_the_session_with_the_fewest() {
    let mut setup = Setup::new(3, 3);
    assert_eq!([1, 2, 3, 1].map(|_| setup.place()), [1, 2, 3, 1]);
    setup.pool.connection_left(2, setup.now);
    assert_eq!([1, 2, 3].map(|_| setup.place()), [2, 2, 3]);
}

#[test]
fn recent_bytes_count_as_load() {
    let mut setup = Setup::new(2, 2);
    assert_eq!([setup.place(), setup.place()], [1, 2]);
    setup.moved(1, 3 * CONNECTION_WEIGHT - 1);
    assert_eq!([1, 2, 3, 4].map(|_| setup.place()), [2, 2, 2, 1]);
    setup.now += 2 * SECOND;
    assert_eq!(setup.place(), 1);
}

#[test]
fn a_further_session_is_wanted_when_every_session_has_a_connection() {
    let mut setup = Setup::new(3, 0);
    assert!(!setup.wants_another(), "the first session is not a further one");
    setup.up();
    assert!(!setup.wants_another());
    setup.place();
    assert!(setup.wants_another());
    setup.up();
    assert!(!setup.wants_another());
    setup.place();
    assert!(setup.wants_another());
    setup.pool.connection_left(1, setup.now);
    assert!(!setup.wants_another());
    setup.place();
    setup.up();
    setup.place();
    assert!(!setup.wants_another(), "the maximum is reached");
}

#[test]
fn connecting_sessions_count() {
    let mut setup = Setup::new(64, 1);
    for connecting in 1..=MAX_CONNECTING {
        setup.place();
        assert!(setup.wants_another());
        setup.connect();
        assert_eq!(setup.pool.connecting.len(), connecting);
        assert!(!setup.wants_another(), "the connecting session will take the connection");
    }
    setup.place();
    setup.place();
    assert!(!setup.wants_another(), "the maximum connects already");
}

#[test]
fn a_failed_session_takes_no_connection_and_delays_the_next_one() {
    let mut setup = Setup::new(4, 1);
    setup.place();
    assert!(setup.pool.failed(&broken(), setup.now), "reported");
    assert!(!setup.wants_another());
    assert_eq!(setup.place(), 1);
    setup.now += SECOND;
    assert!(setup.wants_another());
}

#[test]
fn a_further_session_is_wanted_when_every_session_is_full() {
    let mut setup = Setup::with(64, 3, 1);
    for _ in 0..3 {
        assert!(!setup.wants_another());
        setup.place();
    }
    assert!(setup.wants_another());
    setup.connect();
    // The connecting session takes three. Connections that wait count.
    setup.fill(2);
    assert!(!setup.pool.wants_another(0, setup.now));
    assert!(setup.pool.wants_another(1, setup.now));
    setup.fill(1);
    assert!(setup.pool.wants_another(0, setup.now));
    setup.leave(1, 4);
    assert!(!setup.pool.wants_another(9, setup.now), "the first session has room");
}

#[test]
fn a_saturated_session_is_full() {
    let mut setup = Setup::with(64, 128, 1);
    setup.moved(1, SATURATED);
    assert!(!setup.wants_another(), "a session without connections has room");
    setup.place();
    assert!(setup.wants_another());
    setup.connect();
    assert!(!setup.wants_another(), "one is enough for the next connection");
    setup.up();
    assert!(!setup.wants_another());
    setup.moved(1, 2 * SATURATED);
    assert_eq!([1, 2].map(|_| setup.place()), [2, 2]);
    setup.now += 2 * SECOND;
    assert_eq!(setup.place(), 1, "it has the fewest connections");
}

#[test]
fn a_session_without_connections_ends_while_another_has_room() {
    let mut setup = Setup::with(64, 3, 2);
    setup.fill(7);
    setup.leave(2, setup.placed[&2].len());
    setup.leave(1, setup.placed[&1].len() - 1);
    for _ in 0..59 {
        setup.now += SECOND;
        assert_eq!(setup.place(), 1);
        setup.leave(1, 1);
    }
    assert!(!setup.pool.close_unused(setup.now));
    setup.now += SECOND;
    assert!(setup.pool.close_unused(setup.now));
    assert_eq!(setup.shut_down(), [2]);
}

#[test]
fn an_empty_session_takes_connections_when_the_others_are_full() {
    let mut setup = Setup::with(64, 3, 2);
    setup.fill(3);
    assert_eq!(setup.placed.len(), 1, "all go to one session");
    setup.fill(3);
    assert_eq!(setup.placed.values().map(Vec::len).collect::<Vec<_>>(), [3, 3]);
}

#[test]
fn connections_wait_for_a_session_that_connects_while_the_others_are_crowded() {
    let crowd = UNCROWDED + UNCROWDED / 2;
    let mut setup = Setup::with(64, UNCROWDED, 1);
    setup.fill(crowd);
    assert!(!setup.is_crowded(), "no session connects");
    setup.connect();
    assert!(setup.is_crowded());
    setup.leave(1, 1);
    assert!(!setup.is_crowded());
    setup.fill(1);
    assert!(setup.is_crowded());
    setup.now += PATIENCE;
    assert!(!setup.is_crowded(), "patience is over");
    setup.up();
    assert!(!setup.is_crowded(), "there is room");
    setup.fill(crowd);
    assert!(setup.is_crowded(), "another one connects still, and one has just come up");
    setup.pool.cancel_connects();
    assert!(!setup.is_crowded());
}

#[test]
fn unused_sessions_are_disconnected_except_the_last() {
    let mut setup = Setup::new(3, 3);
    assert_eq!([1, 2, 3].map(|_| setup.place()), [1, 2, 3]);
    assert_eq!(setup.pool.due(), None);
    for (after, id) in [(1, 2), (2, 1), (3, 3)] {
        setup.pool.connection_left(id, setup.now + after * SECOND);
    }
    assert_eq!(setup.pool.due(), Some(setup.now + SECOND + IDLE));
    assert!(!setup.pool.close_unused(setup.now + IDLE));
    assert!(setup.pool.close_unused(setup.now + SECOND + IDLE));
    assert_eq!(setup.shut_down(), [2]);
    assert!(setup.pool.close_unused(setup.now + 10 * IDLE));
    assert_eq!(setup.shut_down(), [1]);
    assert_eq!(setup.pool.due(), None);
    assert!(setup.pool.is_up());
    assert_eq!(setup.place(), 3);
}

#[test]
fn a_session_that_is_being_disconnected_counts_until_it_has_exited() {
    let mut setup = Setup::new(2, 2);
    assert_eq!(setup.place(), 1);
    assert!(setup.pool.close_unused(setup.now + IDLE));
    assert_eq!(setup.shut_down(), [2]);
    assert!(!setup.wants_another());
    assert!(setup.pool.remove(2));
    assert!(setup.wants_another());
}

#[test]
fn the_session_with_the_larger_share_of_the_memory_stays_up() {
    let mut setup = Setup::with(64, 3, 0);
    assert!(setup.pool.take_large(1));
    setup.up();
    assert!(!setup.pool.take_large(2));
    setup.up();
    setup.now += IDLE;
    assert!(setup.pool.close_unused(setup.now));
    assert_eq!((setup.shut_down(), setup.pool.due()), (vec![2], None));
    // Another one has it after a loss, if it comes up.
    setup.up();
    assert!(setup.pool.disconnected(1, &broken(), true, setup.now));
    assert!(setup.pool.take_large(100));
    assert!(!setup.pool.take_large(101));
    assert_eq!(setup.connect(), 100);
    setup.pool.cancel_connects();
    assert!(setup.pool.take_large(101));
}
