//! When keys are changed from our side.

use std::time::{Duration, Instant};

use crate::Error;
use crate::transport::Volume;

/// How much one set of keys may carry in either direction, and for how long it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekey {
    /// Bytes on the wire; zero is taken as one.
    pub bytes: u64,
    /// Packets; zero is taken as one, and more than 2^31 as 2^31.
    pub packets: u32,
    /// Time; `None`: any time.
    pub interval: Option<Duration>,
}

/// A packet's number has 32 bits and may not come twice under the same keys. RFC 4344 section 3.1
/// asks for new ones after 2^31 packets, which leaves as many for a server that is slow to answer.
const MOST_PACKETS: u32 = 1 << 31;

/// How long a server may take over a change of keys, whoever asked for it: until it is through,
/// nothing is sent. As long as OpenSSH's server gives a whole logon, so that what is under way on a
/// slow network has the time to arrive before.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(120);

impl Default for Rekey {
    /// - 4 GiB. RFC 4253 section 9 advised 1 GiB at a time of slow and weak ciphers; RFC 4344
    ///   section 3.2 allows a cipher with blocks of 16 bytes 2^32 of them, 64 GiB. This is 2^28
    ///   blocks, far inside of what AES-GCM and ChaCha20 bear, and still seconds at full speed.
    /// - 2^31 packets.
    /// - One hour, the advice of RFC 4253 section 9.
    fn default() -> Self {
        let interval = Some(Duration::from_secs(60 * 60));
        Self { bytes: 4 << 30, packets: MOST_PACKETS, interval }
    }
}

/// Watches over the use of the keys.
pub(super) struct Wear {
    limits: Rekey,
    /// When the keys came into use.
    since: Option<Instant>,
    /// When their change was first seen to be under way; commands that begin one know no time.
    begun: Option<Instant>,
}

impl Wear {
    pub(super) fn new(limits: Rekey) -> Self {
        let (bytes, packets) = (limits.bytes.max(1), limits.packets.clamp(1, MOST_PACKETS));
        Self { limits: Rekey { bytes, packets, ..limits }, since: None, begun: None }
    }

    /// New keys are in use.
    pub(super) fn renewed(&mut self, now: Option<Instant>) {
        self.since = now;
        self.begun = None;
    }

    /// Whether keys that have carried this much are to be changed.
    pub(super) fn is_out(&self, volume: Volume) -> bool {
        volume.bytes >= self.limits.bytes || volume.packets >= self.limits.packets
    }

    /// When the keys are to be changed whatever they have carried.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since?.checked_add(self.limits.interval?)
    }

    /// When a change that is under way has taken too long; `None` until [`Wear::changing`] was told.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.begun?.checked_add(LONGEST_EXCHANGE)
    }

    /// The process was paused: a change that is under way has its full time again.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.begun = self.begun.map(|_| now);
    }

    /// The keys are being changed; an error when the server had time enough for it.
    pub(super) fn changing(&mut self, now: Instant) -> Result<(), Error> {
        let since = *self.begun.get_or_insert(now);
        match now.duration_since(since) {
            taken if taken >= LONGEST_EXCHANGE => Err(Error::Unchanged(taken.as_secs())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_counts_alone() {
        let wear = Wear::new(Rekey { bytes: 1000, packets: 10, interval: None });
        assert!(!wear.is_out(Volume { bytes: 999, packets: 9 }));
        assert!(wear.is_out(Volume { bytes: 1000, packets: 1 }));
        assert!(wear.is_out(Volume { bytes: 100, packets: 10 }));
        assert_eq!(wear.deadline(), None);
    }

    /// New keys that were out at once would be changed without end.
    #[test]
    fn limits_are_sane_whatever_is_asked_for() {
        let wear = Wear::new(Rekey { bytes: 0, packets: 0, interval: None });
        assert!(!wear.is_out(Volume::default()));
        assert!(wear.is_out(Volume { bytes: 32, packets: 1 }));
        let wear = Wear::new(Rekey { bytes: u64::MAX, packets: u32::MAX, interval: None });
        assert!(wear.is_out(Volume { bytes: 0, packets: 1 << 31 }));
    }

    #[test]
    fn a_change_has_its_full_time_again_after_a_pause() {
        let start = Instant::now();
        let mut wear = Wear::new(Rekey::default());
        wear.resumed(start);
        assert_eq!(wear.patience(), None, "none is under way");
        assert_eq!(wear.changing(start), Ok(()));
        let later = start + LONGEST_EXCHANGE * 2;
        wear.resumed(later);
        assert_eq!(wear.patience(), Some(later + LONGEST_EXCHANGE));
        assert_eq!(wear.changing(later), Ok(()));
        assert_eq!(wear.changing(later + LONGEST_EXCHANGE), Err(Error::Unchanged(120)));
    }

    #[test]
    fn time_counts_from_the_last_change() {
        let start = Instant::now();
        let mut wear = Wear::new(Rekey::default());
        assert_eq!(wear.deadline(), None, "there are no keys yet");
        wear.renewed(Some(start));
        assert_eq!(wear.deadline(), Some(start + Duration::from_secs(3600)));
    }
}
