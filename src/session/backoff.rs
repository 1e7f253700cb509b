//! When to reconnect a disconnected session, and whether to.

use std::time::{Duration, Instant};

use crate::random::random;
use crate::session::{CredentialsFailure, Error, LossReason};

/// Time from which on a session was useful, also if it carried no data; less if `max_delay` is less.
const LASTING: Duration = Duration::from_secs(10);
/// Number of refusals in a row by a busy server after which the delay is the same as after other errors.
const MAX_SOON: u32 = 5;

/// How often and how soon a disconnected session is reconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Delay before the first attempt; it doubles with each further one.
    pub initial_delay: Duration,
    /// Maximum delay.
    pub max_delay: Duration,
    /// Maximum number of attempts in a row; `None` for no limit.
    pub max_attempts: Option<u32>,
    /// Whether the first session is attempted again, too.
    pub initial: bool,
}

/// An attempt to reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Number of the attempt, from 1 after each disconnect.
    pub(crate) number: u32,
    /// Delay before the attempt, in whole milliseconds.
    pub(crate) delay: Duration,
}

/// Counts attempts and lengthens the delays between them.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: Reconnect,
    attempts: u32,
    /// Next delay, before jitter shortens it.
    delay: Duration,
    /// When the session was established; `None` while there is none.
    up: Option<Instant>,
    /// Whether the session has carried data from a target.
    served: bool,
    /// How many refusals by a busy server are still followed by the first delay.
    soon: u32,
    /// The number of them in a row that are.
    max_soon: u32,
}

impl Backoff {
    pub(crate) fn new(policy: Reconnect) -> Self {
        let delay = first_delay(&policy);
        Self { policy, attempts: 0, delay, up: None, served: false, soon: 0, max_soon: 0 }
    }

    /// The same for a session that the tunnel needs: a server that is busy is asked again soon.
    pub(crate) fn urgent(policy: Reconnect) -> Self {
        Self { soon: MAX_SOON, max_soon: MAX_SOON, ..Self::new(policy) }
    }

    /// Returns whether the first session is attempted again, too.
    pub(crate) fn is_initial(&self) -> bool {
        self.policy.initial
    }

    /// Notes that the first session begins to connect.
    pub(crate) fn begin(&mut self) {
        (self.attempts, self.delay) = (0, first_delay(&self.policy));
        (self.up, self.served, self.soon) = (None, false, self.max_soon);
    }

    /// Notes that the session is established.
    pub(crate) fn up(&mut self, now: Instant) {
        self.attempts = 0;
        self.up = Some(now);
        self.served = false;
        self.soon = self.max_soon;
    }

    /// Notes that the session has carried data from a target.
    pub(crate) fn served(&mut self) {
        self.served = true;
    }

    /// Returns the next attempt after the session was disconnected, or an attempt failed, with
    /// `error`; `None` if there is none.
    pub(crate) fn next(&mut self, error: &Error, now: Instant) -> Option<Attempt> {
        let first = first_delay(&self.policy);
        // The delay is not reset for a server that disconnects soon after authentication.
        let lasting = LASTING.min(self.policy.max_delay);
        let useful = |up| self.served || now.duration_since(up) >= lasting;
        if self.up.take().is_some_and(useful) {
            self.delay = first;
        }
        if is_final(error) || self.policy.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        self.attempts += 1;
        let mut bytes = [0; 4];
        random(&mut bytes);
        let chance = u32::from_ne_bytes(bytes);
        let delay = if is_busy(error) && self.soon > 0 {
            self.soon -= 1;
            jittered(first, chance)
        } else {
            if !is_busy(error) {
                self.soon = self.max_soon;
            }
            let delay = jittered(self.delay, chance);
            self.delay = (self.delay * 2).min(self.policy.max_delay);
            delay
        };
        Some(Attempt { number: self.attempts, delay })
    }
}

fn first_delay(policy: &Reconnect) -> Duration {
    policy.initial_delay.min(policy.max_delay)
}

/// Equal jitter: shortens the delay by up to a half at random, so that the clients of a server that
/// comes back do not all connect at once.
fn jittered(delay: Duration, random: u32) -> Duration {
    let whole = delay.as_millis() as u64;
    let chance = (u128::from(whole / 2) * u128::from(random) / u128::from(u32::MAX)) as u64;
    Duration::from_millis(whole - chance)
}

/// Returns whether the server, or a jump host, refused the connection before it identified itself, as
/// sshd does at random while too many clients are not authenticated (MaxStartups).
fn is_busy(error: &Error) -> bool {
    let reason = match error.root() {
        Error::Disconnected { reason, .. } => *reason,
        _ => None,
    };
    reason == Some(LossReason::Unidentified)
}

/// Returns whether another attempt would fail with the same error until something is changed.
fn is_final(error: &Error) -> bool {
    match error {
        Error::HostKey(_)
        | Error::HostKeyFile { .. }
        | Error::PrivateKey(_)
        | Error::Auth(_)
        | Error::Algorithm(_)
        | Error::SockUsed => true,
        Error::Proxy(refusal) => refusal.fault.is_about_the_login(),
        // What a function asks may be out of reach for a while. A result of the wrong type is a mistake.
        Error::Credentials { code, .. } => code != CredentialsFailure::CODE,
        Error::Hop { error, .. }
        | Error::WithBanner { error, .. }
        | Error::Caused { error, .. } => is_final(error),
        Error::Sock(_)
        | Error::Dial { .. }
        | Error::Timeout { .. }
        | Error::Protocol(_)
        | Error::Refused { .. }
        | Error::Disconnected { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{ProxyFault, ProxyRefusal};

    const SECOND: Duration = Duration::from_secs(1);
    const POLICY: Reconnect = Reconnect {
        initial_delay: SECOND,
        max_delay: Duration::from_secs(30),
        max_attempts: None,
        initial: false,
    };

    fn text() -> String {
        "text".to_owned()
    }

    fn broken() -> Error {
        Error::Disconnected { reason: None, text: text() }
    }

    /// Checks the delays of successive attempts, each between half of a value and the value.
    fn follow(backoff: &mut Backoff, now: Instant, seconds: &[u64]) {
        for whole in seconds.iter().map(|seconds| Duration::from_secs(*seconds)) {
            let attempt = backoff.next(&broken(), now).expect("there is no limit");
            assert!((whole / 2..=whole).contains(&attempt.delay), "{attempt:?} of {whole:?}");
        }
    }

    #[test]
    fn jitter_shortens_a_delay_by_up_to_a_half() {
        let delay = Duration::from_millis(1001);
        assert_eq!(jittered(delay, 0), delay);
        assert_eq!(jittered(delay, u32::MAX / 2), Duration::from_millis(752));
        assert_eq!(jittered(delay, u32::MAX), Duration::from_millis(501));
        assert_eq!(jittered(Duration::from_millis(1), u32::MAX), Duration::from_millis(1));
    }

    #[test]
    fn jitter_spreads_the_delays_of_many_clients() {
        let now = Instant::now();
        let wait = || Backoff::new(POLICY).next(&broken(), now).expect("no limit").delay;
        let waits: std::collections::HashSet<_> = (0..100).map(|_| wait()).collect();
        assert!(waits.len() > 50, "only {} of 100 differ", waits.len());
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let mut backoff = Backoff::new(POLICY);
        follow(&mut backoff, Instant::now(), &[1, 2, 4, 8, 16, 30, 30]);
        let policy = Reconnect { max_delay: SECOND, initial_delay: SECOND * 5, ..POLICY };
        follow(&mut Backoff::new(policy), Instant::now(), &[1, 1]);
    }

    #[test]
    fn delays_start_over_after_a_long_session() {
        let start = Instant::now();
        let mut backoff = Backoff::new(POLICY);
        follow(&mut backoff, start, &[1, 2]);
        backoff.up(start);
        follow(&mut backoff, start + LASTING - SECOND, &[4, 8]);
        backoff.up(start);
        follow(&mut backoff, start + LASTING, &[1, 2]);
        let mut short = Backoff::new(Reconnect { max_delay: SECOND * 2, ..POLICY });
        follow(&mut short, start, &[1, 2, 2]);
        short.up(start);
        follow(&mut short, start + SECOND * 2, &[1, 2]);
    }

    #[test]
    fn delays_start_over_after_a_session_that_carried_data() {
        let start = Instant::now();
        let mut backoff = Backoff::new(POLICY);
        follow(&mut backoff, start, &[1, 2]);
        // The session was short and carried no data.
        backoff.up(start);
        follow(&mut backoff, start + SECOND, &[4]);
        // However short: three losses of such sessions are three first delays.
        for _ in 0..3 {
            backoff.up(start);
            backoff.served();
            follow(&mut backoff, start + SECOND / 10, &[1]);
        }
        follow(&mut backoff, start, &[2, 4]);
    }

    #[test]
    fn a_busy_server_is_asked_again_soon_some_times() {
        let now = Instant::now();
        let lost = |reason| Error::Disconnected { reason: Some(reason), text: text() };
        let busy = || Error::Hop {
            address: "host:22".into(),
            error: Box::new(Error::WithBanner {
                error: Box::new(lost(LossReason::Unidentified)),
                banner: "Exceeded MaxStartups".into(),
            }),
        };
        let follow = |backoff: &mut Backoff, error: &Error, seconds: &[u64]| {
            for whole in seconds.iter().map(|seconds| Duration::from_secs(*seconds)) {
                let attempt = backoff.next(error, now).expect("there is no limit");
                assert!((whole / 2..=whole).contains(&attempt.delay), "{attempt:?} of {whole:?}");
            }
        };
        let mut backoff = Backoff::urgent(POLICY);
        follow(&mut backoff, &broken(), &[1, 2, 4]);
        follow(&mut backoff, &busy(), &[1, 1, 1, 1, 1, 8, 16]);
        // Another error in between: they are not in a row.
        follow(&mut backoff, &lost(LossReason::Closed), &[30]);
        follow(&mut backoff, &busy(), &[1, 1, 1, 1, 1, 30]);
        backoff.begin();
        follow(&mut backoff, &busy(), &[1, 1, 1, 1, 1, 1, 2]);
        // Where nothing waits for the session, it has the delay of every error.
        follow(&mut Backoff::new(POLICY), &busy(), &[1, 2, 4]);
    }

    #[test]
    fn attempts_are_counted_from_each_disconnect() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Reconnect { max_attempts: Some(2), ..POLICY });
        for _ in 0..2 {
            backoff.up(now);
            for number in 1..=2 {
                assert_eq!(backoff.next(&broken(), now).expect("allowed").number, number);
            }
            assert_eq!(backoff.next(&broken(), now), None);
        }
    }

    #[test]
    fn an_error_that_needs_a_change_is_not_tried_again() {
        let now = Instant::now();
        let dial = Error::Dial {
            syscall: "connect",
            code: "ECONNREFUSED".into(),
            errno: Some(111),
            address: "host:22".into(),
        };
        let at_hop = |error| Error::Hop { address: "host:22".into(), error: Box::new(error) };
        let at_proxy = |fault| {
            let (host, port) = ("proxy".into(), 1080);
            Error::Proxy(Box::new(ProxyRefusal { host, port, fault, text: text() }))
        };
        let timeout = Error::Timeout { host: text(), limit: 5, step: "a connection" };
        for (error, again) in [
            (dial, true),
            (timeout, true),
            (Error::Protocol(text()), true),
            (broken(), true),
            (ssh_proto::Error::HostKeyRejected.into(), false),
            (Error::HostKeyFile { text: text(), file: None, line: None }, false),
            (Error::PrivateKey(text()), false),
            (Error::Auth(Box::default()), false),
            (Error::Algorithm(text()), false),
            (Error::SockUsed, false),
            (at_proxy(ProxyFault::Login), false),
            (at_proxy(ProxyFault::Status { code: 407, phrase: text() }), false),
            (at_proxy(ProxyFault::Status { code: 503, phrase: text() }), true),
            (at_hop(at_proxy(ProxyFault::Reply(5))), true),
            (at_hop(Error::Auth(Box::default())), false),
            (at_hop(broken()), true),
        ] {
            assert_eq!(Backoff::new(POLICY).next(&error, now).is_some(), again, "{error:?}");
        }
    }
}
