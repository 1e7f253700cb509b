//! Keepalive timer: finds a server that has become unreachable.
//!
//! As in OpenSSH, received bytes postpone the next keepalive, and only a whole packet is a sign of life
//! that makes the count start over. A packet that is still arriving over a slow path therefore costs no
//! session: while its bytes come, no keepalive is due. But where the length of a packet was damaged, the
//! packet is never complete: each reply to a keepalive only adds to it, and the count goes on.

use std::time::{Duration, Instant};

use crate::Error;

/// Limits of a server's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which a keepalive is sent.
    pub interval: Duration,
    /// Keepalives in a row without a packet of the server; one interval after the last, the session
    /// is disconnected.
    pub count_max: u32,
}

/// Time in which the server is asked only once out of turn.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Timer of the server's silence.
pub(super) struct KeepaliveTimer {
    keepalive: Option<Keepalive>,
    /// When bytes were last received.
    received: Option<Instant>,
    /// When the last byte of a packet was received, or the first byte at all.
    packet: Option<Instant>,
    /// When bytes were last received, or a keepalive was sent since.
    since: Option<Instant>,
    /// Keepalives sent since the last packet.
    sent: u32,
    /// When a keepalive was last sent out of turn.
    asked: Option<Instant>,
}

impl KeepaliveTimer {
    pub(crate) fn new(keepalive: Option<Keepalive>) -> Self {
        Self { keepalive, received: None, packet: None, since: None, sent: 0, asked: None }
    }

    /// Records that bytes were received.
    pub(crate) fn received(&mut self, now: Instant) {
        self.received = Some(now);
        self.since = Some(now);
        self.packet.get_or_insert(now);
    }

    /// Records that the bytes that were received last completed a packet, which is authentic.
    pub(crate) fn packet_opened(&mut self) {
        self.packet = self.received;
        self.sent = 0;
    }

    /// Restarts the silence after a pause of the process.
    pub(crate) fn resumed(&mut self, now: Instant) {
        if self.received.is_some() {
            self.received(now);
            self.packet_opened();
        }
    }

    /// Returns whether a keepalive is to be sent out of turn. It counts as one of those in a row, and its
    /// reply has the time of each.
    pub(crate) fn asked(&mut self, now: Instant) -> bool {
        if self.asked.is_some_and(|asked| now < asked + ASK_INTERVAL) {
            return false;
        }
        self.asked = Some(now);
        if self.received.is_some()
            && self.keepalive.is_some_and(|limits| self.sent < limits.count_max)
        {
            self.sent += 1;
            self.since = Some(now);
        }
        true
    }

    /// Returns when bytes were last received.
    pub(crate) fn last_received(&self) -> Option<Instant> {
        self.received
    }

    /// Returns how many keepalives were sent since bytes were last received.
    pub(crate) fn sent(&self) -> u32 {
        self.sent
    }

    /// Returns when [`KeepaliveTimer::expired`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since?.checked_add(self.keepalive?.interval)
    }

    /// Returns whether a keepalive is to be sent; an error when the limit is reached. Each keepalive
    /// has its full time, also one that was sent late.
    pub(crate) fn expired(&mut self, now: Instant) -> Result<bool, Error> {
        let (Some(deadline), Some(keepalive), Some(packet)) =
            (self.deadline(), self.keepalive, self.packet)
        else {
            return Ok(false);
        };
        if now < deadline {
            return Ok(false);
        }
        if self.sent >= keepalive.count_max {
            return Err(Error::KeepaliveTimeout(now.duration_since(packet).as_millis()));
        }
        self.sent += 1;
        self.since = Some(now);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_server_is_given_up_after_the_last_keepalive() {
        let start = Instant::now();
        let mut timer = KeepaliveTimer::new(Some(Keepalive { interval: SECOND, count_max: 2 }));
        assert_eq!(timer.deadline(), None, "nothing was received yet");
        timer.received(start);
        assert_eq!(timer.expired(start + SECOND / 2), Ok(false));
        assert_eq!(timer.expired(start + SECOND), Ok(true));
        assert_eq!(timer.expired(start + SECOND * 2), Ok(true));
        assert_eq!(timer.deadline(), Some(start + SECOND * 3));
        assert_eq!(timer.expired(start + SECOND * 3), Err(Error::KeepaliveTimeout(3000)));
    }

    #[test]
    fn a_late_keepalive_has_its_full_time() {
        let start = Instant::now();
        let mut timer = KeepaliveTimer::new(Some(Keepalive { interval: SECOND, count_max: 2 }));
        timer.received(start);
        let late = start + SECOND * 9 / 2;
        assert_eq!(timer.expired(late), Ok(true));
        assert_eq!(timer.expired(late), Ok(false));
        assert_eq!(timer.deadline(), Some(late + SECOND));
        assert_eq!(timer.expired(late + SECOND), Ok(true));
        assert_eq!(timer.expired(late + SECOND * 2), Err(Error::KeepaliveTimeout(6500)));
    }

    #[test]
    fn keepalives_start_over_after_a_pause() {
        let start = Instant::now();
        let mut timer = KeepaliveTimer::new(Some(Keepalive { interval: SECOND, count_max: 1 }));
        timer.resumed(start);
        assert_eq!(timer.deadline(), None, "nothing was received yet");
        timer.received(start);
        assert_eq!(timer.expired(start + SECOND), Ok(true));
        let later = start + SECOND * 60;
        timer.resumed(later);
        assert_eq!(timer.expired(later), Ok(false));
        assert_eq!(timer.expired(later + SECOND), Ok(true));
        assert_eq!(timer.expired(later + SECOND * 2), Err(Error::KeepaliveTimeout(2000)));
    }

    #[test]
    fn a_keepalive_out_of_turn_is_one_of_those_in_a_row() {
        let start = Instant::now();
        let mut timer =
            KeepaliveTimer::new(Some(Keepalive { interval: SECOND * 10, count_max: 2 }));
        timer.received(start);
        assert!(timer.asked(start + SECOND));
        assert!(!timer.asked(start + SECOND * 3 / 2), "once a second");
        assert_eq!(timer.deadline(), Some(start + SECOND * 11));
        assert_eq!(timer.expired(start + SECOND * 11), Ok(true));
        assert!(timer.asked(start + SECOND * 12));
        assert_eq!(timer.deadline(), Some(start + SECOND * 21), "no further time");
        assert_eq!(timer.expired(start + SECOND * 21), Err(Error::KeepaliveTimeout(21_000)));
        let mut never = KeepaliveTimer::new(None);
        never.received(start);
        assert!(never.asked(start));
        assert_eq!(never.deadline(), None);
    }

    #[test]
    fn a_packet_starts_over() {
        let start = Instant::now();
        let mut timer = KeepaliveTimer::new(Some(Keepalive { interval: SECOND, count_max: 1 }));
        timer.received(start);
        assert_eq!(timer.expired(start + SECOND), Ok(true));
        timer.received(start + SECOND);
        timer.packet_opened();
        assert_eq!(timer.expired(start + SECOND * 2), Ok(true));
    }

    #[test]
    fn bytes_of_a_packet_postpone_the_next_keepalive_only() {
        let start = Instant::now();
        let mut timer = KeepaliveTimer::new(Some(Keepalive { interval: SECOND, count_max: 1 }));
        timer.received(start);
        assert_eq!(timer.expired(start + SECOND), Ok(true));
        let later = start + SECOND * 3 / 2;
        timer.received(later);
        assert_eq!(timer.deadline(), Some(later + SECOND));
        assert_eq!(timer.expired(later + SECOND), Err(Error::KeepaliveTimeout(2500)));
    }
}
