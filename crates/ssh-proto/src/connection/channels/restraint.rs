//! What restrains bulk data while somebody asks.

use std::time::{Duration, Instant};

use super::{Channels, find};
use crate::connection::channel::ChannelId;
use crate::connection::pacing::Pacing;
use crate::connection::receive_share::Received;
use crate::connection::receive_window::ReceiveWindow;

/// Bytes that may be in flight on all bulk channels together when the round trip is measured.
const DRAINED: u64 = 32 * 1024;

impl Channels {
    /// Records the time of a command, for the commands that follow.
    pub(crate) fn set_clock(&mut self, now: Instant, round_trip: Option<Duration>) {
        self.clock = Some((now, round_trip));
    }

    /// Records that a small message was sent on a channel, whose answer is awaited.
    pub(crate) fn asked(&mut self, id: ChannelId, now: Instant, round_trip: Option<Duration>) {
        let Some(channel) = find(&mut self.slots, id) else { return };
        self.interactive.asked(&mut channel.asker, now);
        self.pacing.begin(now, round_trip);
    }

    /// Records that somebody asks beyond the end of a channel: they may be several.
    pub(crate) fn asked_through(&mut self, now: Instant, round_trip: Option<Duration>) {
        self.interactive.asked_beyond(now);
        self.pacing.begin(now, round_trip);
    }

    /// Returns whether somebody asks.
    pub(crate) fn is_asked(&self, now: Instant) -> bool {
        self.interactive.is_on(now)
    }

    /// Records that data has arrived on a channel.
    pub(crate) fn arrived(
        &mut self,
        id: ChannelId,
        count: usize,
        now: Instant,
        round_trip: Option<Duration>,
    ) {
        let Some(channel) = find(&mut self.slots, id) else { return };
        self.interactive.arrived(&mut channel.asker, count as u64, now);
        self.share.received(id, &mut channel.received, count as u64, now, round_trip);
    }

    /// Returns whether bulk data of a channel is restrained.
    pub(crate) fn restrains(&self, id: ChannelId, now: Instant) -> bool {
        self.get(id).is_some_and(|channel| self.interactive.restrains(&channel.asker, now))
    }

    /// Returns whether bulk data waits so that the round trip can be measured.
    pub(crate) fn is_draining(&self, now: Instant) -> bool {
        self.interactive.is_on(now) && self.pacing.is_draining(now)
    }

    /// Returns whether little enough is in flight for that.
    pub(crate) fn is_drained(&self) -> bool {
        let remaining = |id| self.get(id).map_or(0, |channel| channel.window.remaining().into());
        self.pacing.is_drained() && self.share.bulk().map(remaining).sum::<u64>() <= DRAINED
    }

    /// Returns how much of its window the channel should use now, so that small messages of other
    /// channels are not delayed.
    pub(crate) fn paced_window(
        &self,
        id: ChannelId,
        now: Instant,
        round_trip: Option<Duration>,
    ) -> usize {
        let Some(remote) = self.sending(id) else { return 0 };
        if !self.restrains(id, now) {
            return remote.window as usize;
        }
        let paced = self.pacing.room(remote.in_flight(), now, round_trip);
        usize::try_from(paced.min(remote.window.into())).unwrap_or(usize::MAX)
    }

    /// Has a channel wait until pacing lets it send: [`Channels::window_adjusted`] or
    /// [`Channels::release`] returns it then.
    pub(crate) fn hold(&mut self, id: ChannelId, now: Instant, round_trip: Option<Duration>) {
        if self.remote(id).is_some_and(|remote| remote.window > 0) {
            self.pacing.hold(id, now, round_trip);
        }
    }

    /// Returns the channels that may send because nobody asks any more, or because the server gives
    /// credit too seldom.
    pub(crate) fn release(&mut self, now: Instant) -> Vec<ChannelId> {
        self.pacing.expire(now, self.interactive.is_on(now))
    }

    /// Returns when [`Channels::release`] is due.
    pub(crate) fn release_due(&self) -> Option<Instant> {
        self.pacing.timeout(self.interactive.end())
    }

    /// Returns what limits the data in flight to the server.
    pub(crate) fn pacing(&mut self) -> &mut Pacing {
        &mut self.pacing
    }

    /// Returns the window of a new channel: while somebody asks, the server gets a part of it.
    pub(super) fn open_window(&mut self) -> ReceiveWindow {
        let asking = self.clock.filter(|(now, _)| self.interactive.is_on(*now));
        let limit = asking.map_or(u32::MAX, |(_, round_trip)| {
            self.share.limit(&Received::default(), round_trip, false)
        });
        self.budget.open(limit)
    }
}
