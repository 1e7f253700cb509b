//! The placement of connections, and when further sessions begin and end.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::runtime;
use crate::tunnel::connection::meta::tests::pending;

const SECOND: Duration = Duration::from_secs(1);

/// A supervisor whose workers have no tasks, and their messages.
struct Setup {
    pool: Supervisor,
    now: Instant,
    sent: Vec<UnboundedReceiver<ToWorker>>,
    last_id: u64,
}

impl Setup {
    fn new(max_sessions: usize, workers: u32) -> Self {
        let (pool, now) = (Supervisor::new(max_sessions), Instant::now());
        let mut setup = Self { pool, now, sent: Vec::new(), last_id: 0 };
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
        self.pool.placed[&self.last_id]
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
    assert!(!setup.pool.wants_another(setup.now), "the first session is not a further one");
    setup.up();
    assert!(!setup.pool.wants_another(setup.now));
    setup.place();
    assert!(setup.pool.wants_another(setup.now));
    setup.up();
    assert!(!setup.pool.wants_another(setup.now));
    setup.place();
    assert!(setup.pool.wants_another(setup.now));
    setup.pool.connection_left(1, setup.now);
    assert!(!setup.pool.wants_another(setup.now));
    setup.place();
    setup.up();
    setup.place();
    assert!(!setup.pool.wants_another(setup.now), "the maximum is reached");
}

#[test]
fn connecting_sessions_count() {
    let mut setup = Setup::new(64, 1);
    for connecting in 1..=MAX_CONNECTING {
        setup.place();
        assert!(setup.pool.wants_another(setup.now));
        setup.pool.connecting.spawn_on(std::future::pending(), runtime::handle());
        assert_eq!(setup.pool.connecting.len(), connecting);
        assert!(
            !setup.pool.wants_another(setup.now),
            "the connecting session will take the connection"
        );
    }
    setup.place();
    setup.place();
    assert!(!setup.pool.wants_another(setup.now), "the maximum connects already");
}

#[test]
fn the_next_session_waits_after_a_failure() {
    let mut setup = Setup::new(4, 1);
    setup.place();
    setup.pool.failed(&broken(), setup.now);
    setup.pool.failed(&broken(), setup.now);
    assert!(!setup.pool.wants_another(setup.now + 4 * SECOND));
    assert!(
        setup.pool.wants_another(setup.now + 10 * SECOND),
        "failures at the same time are one failure"
    );
    setup.pool.failed(&broken(), setup.now + 10 * SECOND);
    assert!(!setup.pool.wants_another(setup.now + 19 * SECOND));

    // A session that came up makes up for a failure; an error that would repeat itself is final.
    setup.up();
    setup.place();
    assert!(setup.pool.wants_another(setup.now));
    setup.pool.failed(&session::Error::Auth(Box::default()), setup.now);
    assert!(!setup.pool.wants_another(setup.now + 1000 * SECOND));
    setup.up();
    setup.place();
    assert!(setup.pool.wants_another(setup.now));
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
    assert!(!setup.pool.wants_another(setup.now));
    assert!(setup.pool.remove(2));
    assert!(setup.pool.wants_another(setup.now));
}
