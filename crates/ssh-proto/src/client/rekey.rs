//! Rekey limits: when the client starts a key exchange.

use std::time::{Duration, Instant};

use crate::Error;
use crate::transport::Volume;

/// Limits after which the client starts a key exchange, whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekey {
    /// Bytes on the wire in one direction; zero is taken as one.
    pub bytes: u64,
    /// Packets in one direction; zero is taken as one, and more than 2^31 as 2^31.
    pub packets: u32,
    /// Time since the last exchange; `None`: any time.
    pub interval: Option<Duration>,
}

/// Sequence numbers have 32 bits and may not repeat under the same keys. RFC 4344 section 3.1 asks
/// for new keys after 2^31 packets, which leaves as many for a server that is slow to answer.
const MAX_PACKETS: u32 = 1 << 31;

/// How long a key exchange may take, whichever side has started it: no data is sent during one. As
/// long as OpenSSH's server gives connecting and authenticating together, so that data in flight on
/// a slow network has the time to arrive before.
const MAX_EXCHANGE: Duration = Duration::from_secs(120);

impl Default for Rekey {
    /// - 4 GiB. RFC 4253 section 9 advised 1 GiB at a time of slow and weak ciphers; RFC 4344
    ///   section 3.2 allows a cipher with blocks of 16 bytes 2^32 of them, 64 GiB. This is 2^28
    ///   blocks, far below the limits of AES-GCM and ChaCha20, and still seconds at full speed.
    /// - 2^31 packets.
    /// - One hour, the advice of RFC 4253 section 9.
    fn default() -> Self {
        let interval = Some(Duration::from_secs(60 * 60));
        Self { bytes: 4 << 30, packets: MAX_PACKETS, interval }
    }
}

/// Timer of the key exchange: when one is due, and when one takes too long.
pub(super) struct RekeyTimer {
    limits: Rekey,
    /// When the keys came into use.
    since: Option<Instant>,
    /// When the exchange in progress was first noticed; commands that start one know no time.
    started: Option<Instant>,
}

impl RekeyTimer {
    pub(super) fn new(limits: Rekey) -> Self {
        let (bytes, packets) = (limits.bytes.max(1), limits.packets.clamp(1, MAX_PACKETS));
        Self { limits: Rekey { bytes, packets, ..limits }, since: None, started: None }
    }

    /// Records that new keys are in use.
    pub(super) fn renewed(&mut self, now: Option<Instant>) {
        self.since = now;
        self.started = None;
    }

    /// Returns whether the keys of a direction have reached a limit.
    pub(super) fn is_due(&self, volume: Volume) -> bool {
        volume.bytes >= self.limits.bytes || volume.packets >= self.limits.packets
    }

    /// Returns when an exchange is due by time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since?.checked_add(self.limits.interval?)
    }

    /// Returns when the exchange in progress has taken too long; `None` until
    /// [`RekeyTimer::check_exchange`] was called.
    pub(super) fn exchange_deadline(&self) -> Option<Instant> {
        self.started?.checked_add(MAX_EXCHANGE)
    }

    /// Restarts the time of the exchange in progress after a pause of the process.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.started = self.started.map(|_| now);
    }

    /// Checks the time of the exchange in progress; an error when it has taken too long.
    pub(super) fn check_exchange(&mut self, now: Instant) -> Result<(), Error> {
        let started = *self.started.get_or_insert(now);
        match now.duration_since(started) {
            taken if taken >= MAX_EXCHANGE => Err(Error::RekeyTimeout(taken.as_secs())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_counts_alone() {
        let timer = RekeyTimer::new(Rekey { bytes: 1000, packets: 10, interval: None });
        assert!(!timer.is_due(Volume { bytes: 999, packets: 9 }));
        assert!(timer.is_due(Volume { bytes: 1000, packets: 1 }));
        assert!(timer.is_due(Volume { bytes: 100, packets: 10 }));
        assert_eq!(timer.deadline(), None);
    }

    /// Keys that were due at once would be exchanged without end.
    #[test]
    fn limits_are_sane_whatever_is_asked_for() {
        let timer = RekeyTimer::new(Rekey { bytes: 0, packets: 0, interval: None });
        assert!(!timer.is_due(Volume::default()));
        assert!(timer.is_due(Volume { bytes: 32, packets: 1 }));
        let timer = RekeyTimer::new(Rekey { bytes: u64::MAX, packets: u32::MAX, interval: None });
        assert!(timer.is_due(Volume { bytes: 0, packets: 1 << 31 }));
    }

    #[test]
    fn an_exchange_has_its_full_time_again_after_a_pause() {
        let start = Instant::now();
        let mut timer = RekeyTimer::new(Rekey::default());
        timer.resumed(start);
        assert_eq!(timer.exchange_deadline(), None, "none is in progress");
        assert_eq!(timer.check_exchange(start), Ok(()));
        let later = start + MAX_EXCHANGE * 2;
        timer.resumed(later);
        assert_eq!(timer.exchange_deadline(), Some(later + MAX_EXCHANGE));
        assert_eq!(timer.check_exchange(later), Ok(()));
        assert_eq!(timer.check_exchange(later + MAX_EXCHANGE), Err(Error::RekeyTimeout(120)));
    }

    #[test]
    fn time_counts_from_the_last_exchange() {
        let start = Instant::now();
        let mut timer = RekeyTimer::new(Rekey::default());
        assert_eq!(timer.deadline(), None, "there are no keys yet");
        timer.renewed(Some(start));
        assert_eq!(timer.deadline(), Some(start + Duration::from_secs(3600)));
    }
}
