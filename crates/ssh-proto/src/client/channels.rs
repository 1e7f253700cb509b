//! Commands about channels.

use std::io::{self, IoSliceMut};
use std::time::Instant;

use super::{Client, Phase};
use crate::connection::channel::ChannelId;
use crate::message::OpenFailure;
use crate::wire::MAX_NAME;

impl Client {
    /// Asks the server to connect to `host` and `port`; the originator is the local client's address.
    /// A name that is too long for a message fails with [`Event::OpenFailed`], without the server.
    /// May be called from the start of the session on: the channel is opened when the user is
    /// authenticated, in the same flight as the authentication where the server takes that.
    ///
    /// [`Event::OpenFailed`]: crate::Event::OpenFailed
    pub fn open_direct_tcpip(
        &mut self,
        host: &str,
        port: u16,
        originator: &str,
        originator_port: u16,
    ) -> ChannelId {
        let (channel, payload) = self.channels.open(host, port, originator, originator_port);
        self.log.write(|| format!("channel {channel}: opens to {host} port {port}"));
        self.open(channel, &payload, host.len().max(originator.len()));
        channel
    }

    /// Asks the server to connect to the Unix socket at `path`, which OpenSSH's can. A path that is
    /// too long fails as above.
    pub fn open_direct_streamlocal(&mut self, path: &str) -> ChannelId {
        let (channel, payload) = self.channels.open_streamlocal(path);
        self.log.write(|| format!("channel {channel}: opens to {path}"));
        self.open(channel, &payload, path.len());
        channel
    }

    /// Sends a CHANNEL_OPEN, unless the longest name in it is too long.
    fn open(&mut self, channel: ChannelId, payload: &[u8], longest_name: usize) {
        match self.phase {
            Phase::Over => {}
            Phase::Connected if longest_name > MAX_NAME => self.unsent.push_back(channel),
            Phase::Connected => self.send_open(payload, Some(channel)),
            Phase::Identifying(_) | Phase::Handshake | Phase::Authenticating => {
                self.early.add(channel, (longest_name <= MAX_NAME).then_some(payload));
            }
        }
    }

    /// Returns whether channel data can be sent now: not during a key exchange, or while much is
    /// pending.
    pub fn has_room(&self) -> bool {
        self.is_connected() && self.keys.are_settled() && self.outbound.has_room()
    }

    /// Returns how many bytes the channel may send now. Zero before [`Event::Opened`] and after
    /// [`Client::eof`].
    ///
    /// [`Event::Opened`]: crate::Event::Opened
    pub fn window(&self, channel: ChannelId) -> usize {
        self.channels.send_limits(channel).map_or(0, |limits| limits.window)
    }

    /// Returns how many bytes a channel with bulk data should send now: at most [`Client::window`],
    /// and less while small messages have priority. If it is zero although the window is not,
    /// [`Event::Window`] follows.
    ///
    /// [`Event::Window`]: crate::Event::Window
    pub fn paced_window(&mut self, channel: ChannelId, now: Instant) -> usize {
        let round_trip = self.rtt.min();
        let window = self.channels.paced_window(channel, now, round_trip);
        if window == 0 {
            self.channels.hold(channel, now, round_trip);
        }
        window
    }

    /// Lets `read` write up to `max` bytes of the channel straight into their packets; it gets as
    /// many slices as the window allows. Returns what `read` returned: zero means the end of the
    /// stream. To be called only while [`Client::has_room`] and [`Client::window`] is not zero.
    pub fn fill(
        &mut self,
        channel: ChannelId,
        max: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let limits = self.channels.send_limits(channel).filter(|_| self.has_room());
        // Without room the socket must not be read at all: an empty read looks like its end.
        let Some(limits) = limits.filter(|limits| max.min(limits.window) > 0) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let quota = max.min(limits.window);
        let count = self.outbound.data(limits.remote, limits.max_packet, quota, read)?;
        self.channels.sent(channel, count);
        self.rekey_if_due();
        Ok(count)
    }

    /// Records that `count` bytes of the channel's data were delivered: the server may send as many
    /// more, and more than that if the window limits the channel.
    pub fn consumed(&mut self, channel: ChannelId, count: usize, now: Instant) {
        if let Some(credit) = self.channels.consumed(channel, count, now, self.rtt.min()) {
            self.send(&credit);
            self.measure_round_trip(now);
        }
        self.measure_if_drained(now);
    }

    /// Ends our direction of the channel; the other one stays open.
    pub fn eof(&mut self, channel: ChannelId) {
        if let Some(payload) = self.channels.eof(channel) {
            self.send(&payload);
        }
    }

    /// Closes the channel: nothing more is sent on it. An inbound channel that was not accepted is
    /// rejected. What the server sends before it closes the channel too still comes as events, up to
    /// [`Event::Close`]; so it does on a channel that the server confirms only now, without
    /// [`Event::Opened`]. May be called in any state, any number of times.
    ///
    /// [`Event::Close`]: crate::Event::Close
    /// [`Event::Opened`]: crate::Event::Opened
    pub fn close(&mut self, channel: ChannelId) {
        self.reject(channel, OpenFailure::ConnectFailed);
        if let Some(payload) = self.channels.close(channel) {
            self.send(&payload);
        }
    }

    /// Returns the number of channels that are not closed by both sides. Channels that await the
    /// server's reply count, also if they are closed by us.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Returns whether every channel is closed by both sides.
    pub fn is_idle(&self) -> bool {
        self.channel_count() == 0
    }
}
