//! The state machine of one SSH session, as the client.
//!
//! The caller repeats, in this order:
//!
//! 1. receive into [`Client::space`], and report the number of bytes to [`Client::received`];
//! 2. take events from [`Client::next_event`] until there is none. The ranges in [`Event::Data`]
//!    stay valid until `space` is called again;
//! 3. give commands: open, fill, end and close channels;
//! 4. send [`Client::pending`], and report the number of bytes to [`Client::sent`];
//! 5. call [`Client::handle_timeout`] when [`Client::timeout`] is reached and nothing that arrived
//!    before is left to be received.
//!
//! `channels`, `remote_forward` and `userauth` hold the commands; `kex`, `userauth`, `connection`
//! and `global_request` handle the messages of the server; `timers` drives `keepalive`, `rekey` and
//! `rtt`.

mod channels;
mod connection;
mod early;
mod event;
mod global_request;
mod keepalive;
mod kex;
mod rekey;
mod remote_forward;
mod rtt;
mod setup;
mod timers;
mod userauth;

pub use event::Event;
pub use keepalive::Keepalive;
pub use rekey::Rekey;
pub use setup::Setup;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::connection::channel::ChannelId;
use crate::connection::channels::Channels;
use crate::connection::global_request::GlobalRequests;
use crate::connection::host_key_update::HostKeyUpdate;
use crate::connection::remote_forward::RemoteForwards;
use crate::message::{
    CHANNEL_DATA, CHANNEL_WINDOW_ADJUST, DISCONNECT, DisconnectReason, OpenFailure,
};
use crate::server_text::ServerText;
use crate::text::one_line;
use crate::transport::{Identification, Inbound, Offer, Outbound};
use crate::userauth::Auth;
use crate::wire::{MAX_NAME, Writer, message};
use crate::{Error, Log};
use early::EarlyOpens;
use keepalive::KeepaliveTimer;
use kex::Keys;
use rekey::RekeyTimer;
use rtt::RoundTrip;

/// Payloads below this are copied to lie beside the one before: the socket that they go to then
/// gets one slice instead of thousands.
const SMALL_PAYLOAD: usize = 2048;
/// Bytes of replies that may wait while the server does not read; beyond this nothing is received.
const MAX_PENDING: usize = 2 * 1024 * 1024;

/// How far a session has come.
enum Phase {
    /// The server's identification is awaited.
    Identifying(Identification),
    /// The first key exchange.
    Handshake,
    /// The user is being authenticated.
    Authenticating,
    /// The user is authenticated.
    Connected,
    /// An error was returned, or the client has disconnected.
    Over,
}

/// A message that is held until the key exchange is over; it may hold a password.
struct HeldMessage {
    payload: Zeroizing<Vec<u8>>,
    /// The channel that it opens.
    opens: Option<ChannelId>,
}

/// An SSH session, from the first byte to the last.
pub struct Client {
    phase: Phase,
    inbound: Inbound,
    outbound: Outbound,
    keys: Keys,
    auth: Auth,
    /// Lines and banners of the server; empty once the user is authenticated.
    server_text: ServerText,
    channels: Channels,
    requests: GlobalRequests,
    forwards: RemoteForwards,
    host_keys: HostKeyUpdate,
    keepalive: KeepaliveTimer,
    rekey: RekeyTimer,
    rtt: RoundTrip,
    /// Channels to be opened as soon as the user is authenticated.
    early: EarlyOpens,
    /// Messages that may not be sent during a key exchange.
    held: Vec<HeldMessage>,
    /// How many of them are replies to the server.
    held_replies: usize,
    /// Events that `next_event` returns before it handles more messages.
    events: VecDeque<Result<Event, Error>>,
    /// Channels whose CHANNEL_OPEN is not sent, because a name is too long.
    unsent: VecDeque<ChannelId>,
    log: Log,
}

impl Client {
    /// Begins a session: the first bytes to send are pending at once. `random` fills its argument
    /// with random bytes, fit for keys.
    pub fn new(setup: Setup, random: impl FnMut(&mut [u8]) + Send + 'static) -> Self {
        let offer = Offer::new(setup.algorithms, &setup.known_keys);
        let mut client = Self {
            phase: Phase::Identifying(Identification::default()),
            inbound: Inbound::new(),
            outbound: Outbound::new(),
            keys: Keys::new(Box::new(random), offer),
            auth: Auth::new(setup.credentials).logging(setup.log.clone()),
            server_text: ServerText::default(),
            channels: Channels::new(setup.windows),
            requests: GlobalRequests::new(setup.reply_timeout),
            forwards: RemoteForwards::default(),
            host_keys: HostKeyUpdate::default(),
            keepalive: KeepaliveTimer::new(setup.keepalive),
            rekey: RekeyTimer::new(setup.rekey),
            rtt: RoundTrip::default(),
            early: EarlyOpens::default(),
            held: Vec::new(),
            held_replies: 0,
            events: VecDeque::new(),
            unsent: VecDeque::new(),
            log: setup.log,
        };
        client.outbound.raw(format!("{}\r\n", Identification::ours()).as_bytes());
        client.start_kex();
        client
    }

    /// Returns the buffer to receive into. It is empty while earlier bytes are unhandled.
    pub fn space(&mut self) -> &mut [u8] {
        self.inbound.space()
    }

    /// Returns whether more may be received: not while the server leaves our replies unread.
    pub fn wants_input(&self) -> bool {
        self.outbound.pending().len() < MAX_PENDING
    }

    /// Records that `count` bytes were received into [`Client::space`].
    pub fn received(&mut self, count: usize, now: Instant) {
        self.inbound.filled(count);
        self.keepalive.received(now);
    }

    /// Returns the bytes at the range of an event.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.inbound.bytes(range)
    }

    /// Frees the receive buffer; to be called before each [`Client::space`], when the ranges of
    /// events are used up. Returns whether [`Client::next_event`] has more events before more is
    /// received: compressed packets make events in bounded portions.
    pub fn make_room(&mut self) -> bool {
        let has_events = !self.events.is_empty() || !self.unsent.is_empty();
        self.inbound.make_room() || has_events
    }

    /// Returns the next event, or `None` until more is received. After an error the session is over;
    /// the pending bytes then tell the server why, where it would still read them.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        let (channel, mut range) = match self.take_event()? {
            Some(Event::Data { channel, range }) => (channel, range),
            other => return Ok(other),
        };
        // Small payloads of one channel that follow each other become one.
        loop {
            match self.take_event().transpose() {
                Some(Ok(Event::Data { channel: next, range: payload }))
                    if next == channel && payload.len() < SMALL_PAYLOAD =>
                {
                    let end = range.end + payload.len();
                    self.inbound.close_up(payload, range.end);
                    range.end = end;
                }
                other => {
                    self.events.extend(other);
                    return Ok(Some(Event::Data { channel, range }));
                }
            }
        }
    }

    fn take_event(&mut self) -> Result<Option<Event>, Error> {
        if let Some(event) = self.events.pop_front() {
            return event.map(Some);
        }
        while let Some(channel) = self.unsent.pop_front() {
            if self.channels.open_unsent(channel) {
                let reason = OpenFailure::ConnectFailed;
                let description = format!("a name or path has more than {MAX_NAME} bytes");
                return Ok(Some(Event::OpenFailed { channel, reason, description }));
            }
        }
        self.handle_received().inspect_err(|error| self.fail(error))
    }

    /// Ends the session because of `error`, and tells the server where it would read it.
    fn fail(&mut self, error: &Error) {
        self.log.write(|| error);
        let reason = error.reason().filter(|_| !matches!(self.phase, Phase::Identifying(_)));
        match reason {
            Some(reason) => self.disconnect(reason),
            None => self.phase = Phase::Over,
        }
    }

    /// Handles what was received, up to the next event.
    fn handle_received(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match &mut self.phase {
                Phase::Over => return Ok(None),
                Phase::Identifying(identification) => {
                    let (used, version) =
                        identification.read(self.inbound.unread(), &mut self.server_text)?;
                    self.inbound.skip(used);
                    let Some(version) = version else { return Ok(None) };
                    self.log.write(|| {
                        format!("version: server {version}, client {}", Identification::ours())
                    });
                    self.keys.identified(version);
                    self.phase = Phase::Handshake;
                }
                Phase::Handshake | Phase::Authenticating | Phase::Connected => {
                    if self.keys.wait_for_trust() {
                        return Ok(None);
                    }
                    if self.inbound.volume().packets == u32::MAX {
                        return Err(Error::Protocol("sequence numbers ran out before a rekey"));
                    }
                    let Some(range) = self.inbound.packet()? else { return Ok(None) };
                    self.keepalive.packet_opened();
                    if let Some(event) = self.packet(range)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn packet(&mut self, range: Range<usize>) -> Result<Option<Event>, Error> {
        let number = self.inbound.bytes(range.clone())[0];
        self.check_order(number)?;
        let event = match number {
            // The two most frequent messages are read in place.
            CHANNEL_DATA if self.is_connected() => self.data(range),
            CHANNEL_WINDOW_ADJUST if self.is_connected() => self.window_adjust(range),
            _ => {
                let payload = self.inbound.bytes(range).to_vec();
                self.message(number, &payload)
            }
        }?;
        self.rekey_if_due();
        Ok(event)
    }

    /// Answers [`Event::HostKey`]. With `false` the session is over: the server is told, and
    /// nothing about the user was or will be sent.
    pub fn trust(&mut self, trusted: bool) -> Result<(), Error> {
        if !trusted {
            self.disconnect(DisconnectReason::HostKeyNotVerifiable);
            return Err(Error::HostKeyRejected);
        }
        // The session may have ended meanwhile.
        if matches!(self.phase, Phase::Over) || !self.keys.wait_for_trust() {
            return Err(Error::Protocol("no host key awaits a decision"));
        }
        self.switch_keys().inspect_err(|error| self.fail(error))
    }

    /// Describes what the session waits for; for the error of a timeout.
    pub fn waiting_for(&self) -> &'static str {
        match self.phase {
            Phase::Identifying(_) => "the server to identify itself",
            Phase::Handshake => "the key exchange",
            Phase::Authenticating => self.auth.waiting_for(),
            Phase::Connected | Phase::Over => "nothing",
        }
    }

    /// Returns the text that the server has sent to the user so far, bounded and printable: the lines
    /// before its identification, and the last banners. Empty once the user is authenticated.
    pub fn server_text(&self) -> String {
        let mut text = self.server_text.as_str().to_owned();
        if let Phase::Identifying(_) = self.phase {
            text.push_str(&one_line(self.inbound.unread()));
        }
        text
    }

    /// Returns whether the server has identified itself.
    pub fn is_identified(&self) -> bool {
        !matches!(self.phase, Phase::Identifying(_))
    }

    /// Returns whether the user is authenticated and the session is not over.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Ends the session: tells the server the reason, in words that do not depend on the user.
    /// Nothing is received or sent after that.
    pub fn disconnect(&mut self, reason: DisconnectReason) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.log.write(|| format!("disconnect: {}", reason.text()));
        self.phase = Phase::Over;
        self.events.clear();
        self.unsent.clear();
        let mut payload = message(DISCONNECT);
        payload.put_uint32(reason as u32);
        payload.put_string(reason.text().as_bytes());
        payload.put_string(b"");
        // Allowed during a key exchange too.
        self.outbound.packet(&payload);
    }

    /// Returns the bytes to send.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// Records that `count` of the pending bytes were sent.
    pub fn sent(&mut self, count: usize) {
        self.outbound.sent(count);
    }

    /// Sends a message of the connection or authentication protocol, or holds it during a key
    /// exchange.
    fn send(&mut self, payload: &[u8]) {
        self.send_open(payload, None);
    }

    /// Likewise; `opens` is the channel that a CHANNEL_OPEN is for.
    fn send_open(&mut self, payload: &[u8], opens: Option<ChannelId>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.keys.are_settled() {
            self.send_now(payload, opens);
            self.rekey_if_due();
        } else {
            self.held.push(HeldMessage { payload: Zeroizing::new(payload.to_vec()), opens });
        }
    }

    fn send_now(&mut self, payload: &[u8], opens: Option<ChannelId>) {
        if let Some(channel) = opens {
            self.channels.open_sent(channel, self.outbound.next_number());
        }
        self.outbound.packet(payload);
    }

    /// Sends the messages that were held during a key exchange.
    fn send_held(&mut self) {
        self.held_replies = 0;
        for HeldMessage { payload, opens } in std::mem::take(&mut self.held) {
            self.send_now(&payload, opens);
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tests;
