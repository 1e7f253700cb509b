//! Failures of further sessions: waits, what is reported, and limits of the server.

use ssh_proto::AuthFailure;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn ended(reason: LossReason) -> session::Error {
    session::Error::Disconnected { reason: Some(reason), text: "text".into() }
}

fn broken() -> session::Error {
    ended(LossReason::Network)
}

struct Setup {
    growth: Growth,
    now: Instant,
}

impl Setup {
    fn new() -> Self {
        Self { growth: Growth::new(64), now: Instant::now() }
    }

    fn allows(&self, existing: usize, connecting: usize) -> bool {
        self.growth.allows(Counts { existing, connecting }, self.now)
    }

    /// Returns how many may connect at once beside this number.
    fn at_once(&self, existing: usize) -> usize {
        (0..).take_while(|connecting| self.allows(existing, *connecting)).count()
    }

    fn failed(&mut self, reason: LossReason, existing: usize) -> bool {
        self.growth.failed(&ended(reason), existing, self.now)
    }

    fn lost(&mut self, reason: LossReason, lasted: Duration, existing: usize) {
        let since = self.now;
        self.now += lasted;
        self.growth.lost(&ended(reason), (since, false), existing, self.now);
    }

    /// Waits until one may connect.
    fn wait(&mut self, existing: usize) {
        let start = self.now;
        while !self.allows(existing, 0) {
            self.now += SECOND / 4;
            assert!(self.now < start + 61 * SECOND, "none may connect");
        }
        assert!(self.now > start, "one may connect at once");
    }
}

#[test]
fn the_maximum_counts_all_sessions() {
    let setup = Setup::new();
    assert_eq!([1, 62, 63, 64].map(|existing| setup.at_once(existing)), [MAX_CONNECTING, 2, 1, 0]);
}

#[test]
fn the_next_session_connects_alone_after_a_failure() {
    let mut setup = Setup::new();
    assert!(setup.failed(LossReason::Network, 1), "reported");
    assert!(!setup.failed(LossReason::Network, 1), "reported already");
    setup.now += SECOND;
    assert_eq!(setup.at_once(1), 1, "failures at the same time are one failure");
    setup.failed(LossReason::Network, 1);
    setup.now += SECOND - SECOND / 100;
    assert_eq!(setup.at_once(1), 0);
    setup.wait(1);

    // A session that came up makes up for a failure; an error that would repeat itself is final.
    setup.growth.up(2, setup.now);
    assert_eq!(setup.at_once(2), MAX_CONNECTING);
    let refused = session::Error::Auth(Box::<AuthFailure>::default());
    assert!(setup.growth.failed(&refused, 2, setup.now), "reported again");
    setup.now += 1000 * SECOND;
    assert_eq!(setup.at_once(2), 0);
    setup.growth.up(3, setup.now);
    assert_eq!(setup.at_once(3), MAX_CONNECTING);
}

#[test]
fn waits_grow_while_the_server_is_busy() {
    let mut setup = Setup::new();
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert!(!setup.failed(LossReason::Unidentified, 1), "no error of the tunnel");
        let before = setup.now;
        setup.wait(1);
        waits.push((setup.now - before).as_secs());
    }
    assert!(waits[0] <= 1 && waits[9] >= 30, "{waits:?}");
    assert!(setup.allows(1, 0), "it is no limit of sessions");
}

#[test]
fn a_busy_server_has_fewer_sessions_connect_at_once() {
    let mut setup = Setup::new();
    for expected in [2, 1, 1] {
        setup.failed(LossReason::Unidentified, 1);
        setup.growth.up(2, setup.now);
        assert_eq!(setup.at_once(2), expected);
    }
    // The tunnel has connected again.
    setup.growth.up(1, setup.now);
    assert_eq!(setup.at_once(1), MAX_CONNECTING);
}

#[test]
fn a_server_that_refuses_twice_has_a_limit_until_a_session_is_lost() {
    for reason in [LossReason::Closed, LossReason::Disconnect] {
        let mut setup = Setup::new();
        assert!(!setup.failed(reason, 3), "no error of the tunnel");
        setup.failed(reason, 3);
        setup.wait(3);
        setup.failed(reason, 3);
        setup.now += 1000 * SECOND;
        assert_eq!([1, 2, 3].map(|existing| setup.at_once(existing)), [2, 1, 0]);
        // A session that ended for lack of connections may be replaced.
        setup.growth.up(3, setup.now);
        assert_eq!(setup.at_once(3), 0);
        setup.lost(LossReason::Closed, 1000 * SECOND, 2);
        setup.wait(2);
        setup.growth.up(3, setup.now);
        assert_eq!(setup.at_once(3), MAX_CONNECTING);
    }
}

#[test]
fn a_session_that_came_up_shows_that_there_is_no_limit() {
    let mut setup = Setup::new();
    for _ in 0..2 {
        setup.failed(LossReason::Closed, 3);
        setup.wait(3);
        setup.growth.up(4, setup.now);
    }
    assert!(setup.allows(3, 0));
}

#[test]
fn a_refusal_beside_more_sessions_is_not_the_second() {
    let mut setup = Setup::new();
    setup.failed(LossReason::Closed, 3);
    setup.wait(3);
    setup.failed(LossReason::Closed, 4);
    setup.wait(4);
    assert!(setup.allows(4, 0));
}

#[test]
fn too_many_connections_is_a_limit_at_once() {
    let mut setup = Setup::new();
    assert!(!setup.failed(LossReason::TooMany, 2), "no error of the tunnel");
    assert_eq!([1, 2].map(|existing| setup.at_once(existing)), [1, 0]);
    // Others that were connecting came up.
    setup.growth.up(3, setup.now);
    assert_eq!([2, 3].map(|existing| setup.at_once(existing)), [1, 0]);
}

#[test]
fn sessions_that_end_as_soon_as_they_are_up_show_a_limit() {
    let mut setup = Setup::new();
    for _ in 0..2 {
        setup.growth.up(3, setup.now);
        setup.lost(LossReason::Disconnect, SECOND / 10, 2);
        setup.now += 61 * SECOND;
    }
    assert_eq!([1, 2].map(|existing| setup.at_once(existing)), [1, 0]);
    setup.lost(LossReason::TooMany, 1000 * SECOND, 1);
    assert_eq!(setup.at_once(1), 0);
}

#[test]
fn other_errors_are_reported_until_a_session_comes_up() {
    let mut setup = Setup::new();
    assert!(setup.growth.failed(&broken(), 1, setup.now));
    setup.now += 61 * SECOND;
    assert!(!setup.growth.failed(&broken(), 1, setup.now));
    setup.growth.up(2, setup.now);
    assert!(setup.growth.failed(&broken(), 2, setup.now));
}
