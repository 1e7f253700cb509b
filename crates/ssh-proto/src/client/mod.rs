//! The state machine of one SSH session, seen from the client.
//!
//! Whoever drives it repeats, in this order:
//!
//! 1. receive into [`Client::space`], tell how much came with [`Client::received`];
//! 2. take events with [`Client::next_event`] until there is none. The ranges in
//!    [`Event::Data`] stay valid until `space` is called again;
//! 3. give commands: open, fill, end and close channels;
//! 4. send [`Client::pending`], tell how much went with [`Client::sent`];
//! 5. call [`Client::handle_timeout`] when [`Client::timeout`] has come, and nothing that came
//!    before is left to be received.

mod connection;
mod global_request;
mod host_key_update;
mod keepalive;
mod kex;
mod rekey;
mod remote_forward;
mod rtt;
mod timers;
mod userauth;

pub use global_request::Refusal;
pub use keepalive::Keepalive;
pub use rekey::Rekey;
pub use remote_forward::{ForwardEvent, ForwardId, Place};

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::Error;
use crate::connection::channel::{ChannelId, Channels};
use crate::connection::receive_window::Windows;
use crate::key::{HostKey, PublicKey};
use crate::message::{
    CHANNEL_DATA, CHANNEL_WINDOW_ADJUST, DISCONNECT, DisconnectReason, OpenFailure,
};
use crate::server_text::Said;
use crate::text::one_line;
use crate::transport::{Algorithms, Identification, Inbound, KnownKeys, Offer, Outbound};
use crate::userauth::{Auth, Banner, Credentials, Question};
use crate::wire::{MAX_NAME, Writer, message};
use global_request::Requests;
use host_key_update::HostKeys;
use keepalive::Watch;
use kex::Keys;
use rekey::Wear;
use remote_forward::Forwards;
use rtt::RoundTrip;

/// Payloads below this are worth a copy to lie beside the one before: the socket they go to then
/// gets one slice instead of thousands.
const SMALL: usize = 2048;
/// What replies to the server may pile up to while it does not read; past this it is not heard.
const MOST_PENDING: usize = 2 * 1024 * 1024;

/// What happened in a session.
#[derive(Debug)]
pub enum Event {
    /// The server proved to own this key. Nothing goes on until [`Client::trust`] is called.
    HostKey(HostKey),
    /// The server has something to say to the user, before it lets him in.
    Banner(Banner),
    /// Logging on takes an answer that the client does not have. One that follows replaces it.
    Asked(Question),
    /// The user is logged on; channels can be opened.
    Ready,
    /// A channel is open.
    Opened(ChannelId),
    /// A channel was refused; its number is free.
    OpenFailed {
        /// The channel.
        channel: ChannelId,
        /// Why, as a code.
        reason: OpenFailure,
        /// Why, in the server's words: bounded and fit to be shown.
        description: String,
    },
    /// Data came. It lies at `range` of the receive buffer: see [`Client::bytes`].
    Data {
        /// The channel.
        channel: ChannelId,
        /// Where the data lies.
        range: Range<usize>,
    },
    /// A channel whose window was used up, or that [`Client::room`] held back, can send again.
    Window(ChannelId),
    /// The server will send no more data on this channel.
    Eof(ChannelId),
    /// The server closed this channel: every byte that it was sent before has left the server.
    /// Its number is free once we have closed it too, before or now, with [`Client::close`].
    Close(ChannelId),
    /// The keys were changed; data can be sent again.
    Rekeyed,
    /// The server has proved to own these host keys, too: see [`Client::learn_host_keys`].
    HostKeys(Vec<PublicKey>),
    /// Something about a place that the server was asked to listen at.
    Forward(ForwardId, ForwardEvent),
}

/// How far a session has come.
enum Phase {
    /// The server has not said what it speaks.
    Identifying(Identification),
    /// The first key exchange is under way.
    Handshake,
    /// The user is being authenticated.
    Authenticating,
    /// Logged on.
    Connected,
    /// Over: an error was returned, or we disconnected.
    Over,
}

/// What a session is begun with.
#[derive(Debug)]
pub struct Setup {
    /// Who logs on, and with what.
    pub credentials: Credentials,
    /// How long the server may be silent; `None`: for ever.
    pub keepalive: Option<Keepalive>,
    /// When keys are changed from our side.
    pub rekey: Rekey,
    /// Which algorithms may be settled on.
    pub algorithms: Algorithms,
    /// What is known of this server's host keys. It is asked for these before others: a server with
    /// several keys then shows one that can be recognised.
    pub known_keys: KnownKeys,
    /// How much the server may send ahead.
    pub windows: Windows,
    /// How long the server may take to answer a request to listen somewhere, or to stop that.
    pub reply_timeout: Duration,
}

/// As long as the tunnel gives everything else that the server has to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

impl Setup {
    /// With nothing but credentials: every algorithm in its usual place, keys changed as often as
    /// they should be, windows as large as is usual, and nothing asked of a silent server.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            keepalive: None,
            rekey: Rekey::default(),
            algorithms: Algorithms::default(),
            known_keys: KnownKeys::default(),
            windows: Windows::default(),
            reply_timeout: REPLY_TIMEOUT,
        }
    }
}

/// An SSH session in the making or at work.
pub struct Client {
    phase: Phase,
    inbound: Inbound,
    outbound: Outbound,
    keys: Keys,
    auth: Auth,
    /// What the server has said to the user so far; nothing once it has let him in.
    said: Said,
    channels: Channels,
    watch: Watch,
    wear: Wear,
    requests: Requests,
    round_trip: RoundTrip,
    host_keys: HostKeys,
    forwards: Forwards,
    /// Messages that may not be sent while keys are being changed; a password may be among them. With
    /// those that open a channel comes the channel.
    held: Vec<(Zeroizing<Vec<u8>>, Option<ChannelId>)>,
    /// How many of those are replies to the server.
    replies: usize,
    /// What was found behind the event that `next_event` returned last.
    ahead: VecDeque<Result<Event, Error>>,
    /// Channels that the server was not asked for, because a name was too long.
    unasked: VecDeque<ChannelId>,
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
            auth: Auth::new(setup.credentials),
            said: Said::default(),
            channels: Channels::new(setup.windows),
            watch: Watch::new(setup.keepalive),
            wear: Wear::new(setup.rekey),
            requests: Requests::new(setup.reply_timeout),
            round_trip: RoundTrip::default(),
            host_keys: HostKeys::default(),
            forwards: Forwards::default(),
            held: Vec::new(),
            replies: 0,
            ahead: VecDeque::new(),
            unasked: VecDeque::new(),
        };
        client.outbound.raw(format!("{}\r\n", Identification::ours()).as_bytes());
        client.offer();
        client
    }

    /// Where received bytes go. Empty when what came before has to be dealt with first.
    pub fn space(&mut self) -> &mut [u8] {
        self.inbound.space()
    }

    /// Whether more may be received: not while the server leaves our replies unread.
    pub fn wants_input(&self) -> bool {
        self.outbound.pending().len() < MOST_PENDING
    }

    /// `count` bytes were received into [`Client::space`].
    pub fn received(&mut self, count: usize, now: Instant) {
        self.inbound.filled(count);
        self.watch.heard(now);
    }

    /// The bytes at a range of the receive buffer that an event named.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.inbound.bytes(range)
    }

    /// To be called before each [`Client::space`], when what events named is used up. Whether
    /// [`Client::next_event`] has more to say before more is received: compressed packets make
    /// events in bounded portions, however little they came in.
    pub fn make_room(&mut self) -> bool {
        let waits = !self.ahead.is_empty() || !self.unasked.is_empty();
        self.inbound.make_room() || waits
    }

    /// What happened next, or `None` until more is received. After an error the session is over;
    /// what is pending then tells the server why, where it would listen.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        let mut first = match self.take_event()? {
            Some(Event::Data { channel, range }) => (channel, range),
            other => return Ok(other),
        };
        // Small payloads of one channel that follow each other become one.
        loop {
            let next = self.take_event().transpose();
            match next {
                Some(Ok(Event::Data { channel, range }))
                    if channel == first.0 && range.len() < SMALL =>
                {
                    let end = first.1.end + range.len();
                    self.inbound.close_up(range, first.1.end);
                    first.1.end = end;
                }
                other => {
                    self.ahead.extend(other);
                    let (channel, range) = first;
                    return Ok(Some(Event::Data { channel, range }));
                }
            }
        }
    }

    fn take_event(&mut self) -> Result<Option<Event>, Error> {
        if let Some(found) = self.ahead.pop_front() {
            return found.map(Some);
        }
        while let Some(channel) = self.unasked.pop_front() {
            if self.channels.unasked(channel) {
                let reason = OpenFailure::ConnectFailed;
                let description = format!("a name or path has more than {MAX_NAME} bytes");
                return Ok(Some(Event::OpenFailed { channel, reason, description }));
            }
        }
        self.step().inspect_err(|error| self.fail(error))
    }

    /// Ends the session because of `error`, and tells the server where it would listen.
    fn fail(&mut self, error: &Error) {
        let reason = error.reason().filter(|_| !matches!(self.phase, Phase::Identifying(_)));
        match reason {
            Some(reason) => self.disconnect(reason),
            None => self.phase = Phase::Over,
        }
    }

    /// Works through what has come until something happens.
    fn step(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match &mut self.phase {
                Phase::Over => return Ok(None),
                Phase::Identifying(identification) => {
                    let (used, version) =
                        identification.read(self.inbound.unread(), &mut self.said)?;
                    self.inbound.skip(used);
                    let Some(version) = version else { return Ok(None) };
                    self.keys.identified(version);
                    self.phase = Phase::Handshake;
                }
                Phase::Handshake | Phase::Authenticating | Phase::Connected => {
                    if self.keys.wait_for_trust() {
                        return Ok(None);
                    }
                    if self.inbound.volume().packets == u32::MAX {
                        return Err(Error::Protocol(
                            "keys are used longer than packets have numbers",
                        ));
                    }
                    let Some(range) = self.inbound.packet()? else { return Ok(None) };
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
        let connected = matches!(self.phase, Phase::Connected);
        let event = match number {
            // The two that come in masses are read where they lie.
            CHANNEL_DATA if connected => self.data(range),
            CHANNEL_WINDOW_ADJUST if connected => self.window_adjust(range),
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
            return Err(Error::HostKeyRefused);
        }
        // An answer may come when the session has ended meanwhile: nothing may follow its end.
        if matches!(self.phase, Phase::Over) || !self.keys.wait_for_trust() {
            return Err(Error::Protocol("no host key was to be decided about"));
        }
        self.switch_keys().inspect_err(|error| self.fail(error))
    }

    /// What the session waits for, in words: for the one who has waited too long.
    pub fn waiting_for(&self) -> &'static str {
        match self.phase {
            Phase::Identifying(_) => "the server to identify itself",
            Phase::Handshake => "the key exchange",
            Phase::Authenticating => self.auth.waiting_for(),
            Phase::Connected | Phase::Over => "nothing",
        }
    }

    /// What the server has said to the user so far, fit to be shown and bounded: lines before it
    /// identified itself, which explain why it will not, and the last banners. Empty once the user
    /// is logged on.
    pub fn said(&self) -> String {
        let mut said = self.said.text().to_owned();
        if let Phase::Identifying(_) = self.phase {
            said.push_str(&one_line(self.inbound.unread()));
        }
        said
    }

    /// Whether the user is logged on and the session lives.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Asks the server to connect to `host` and `port`; the originator is who asked us. A name that is
    /// too long for a message is answered by [`Event::OpenFailed`] at once, without the server.
    pub fn open_direct_tcpip(
        &mut self,
        host: &str,
        port: u16,
        originator: &str,
        originator_port: u16,
    ) -> ChannelId {
        let (channel, payload) = self.channels.open(host, port, originator, originator_port);
        self.ask(channel, &payload, host.len().max(originator.len()));
        channel
    }

    /// Sends what opens a channel, unless the longest of its names would be too long.
    fn ask(&mut self, channel: ChannelId, payload: &[u8], longest: usize) {
        if longest <= MAX_NAME {
            self.send_about(payload, Some(channel));
        } else if !matches!(self.phase, Phase::Over) {
            self.unasked.push_back(channel);
        }
    }

    /// Asks the server to connect to the Unix socket at `path`, as OpenSSH's can; likewise.
    pub fn open_direct_streamlocal(&mut self, path: &str) -> ChannelId {
        let (channel, payload) = self.channels.open_streamlocal(path);
        self.ask(channel, &payload, path.len());
        channel
    }

    /// Whether channel data can be taken in now: not while keys change or much is pending.
    pub fn has_room(&self) -> bool {
        self.is_connected() && self.keys.are_settled() && self.outbound.has_room()
    }

    /// How many bytes the channel may send now. Zero also after [`Client::eof`] and before
    /// [`Event::Opened`].
    pub fn window(&self, channel: ChannelId) -> usize {
        self.channels.sendable(channel).map_or(0, |(_, _, window)| window)
    }

    /// How many bytes a channel that sends in bulk should send now: no more than [`Client::window`], and less while
    /// small messages of others are favoured. If none although the window would allow it,
    /// [`Event::Window`] follows.
    pub fn room(&mut self, channel: ChannelId, now: Instant) -> usize {
        let round_trip = self.round_trip.least();
        let room = self.channels.room(channel, round_trip);
        if room == 0 {
            self.channels.hold(channel, now, round_trip);
        }
        room
    }

    /// Lets `read` put up to `most` bytes for the channel straight into their packets; it gets as
    /// many slices as the window allows. Returns what `read` returned: zero means an end of stream.
    /// To be called only while [`Client::has_room`] and [`Client::window`] is not zero.
    pub fn fill(
        &mut self,
        channel: ChannelId,
        most: usize,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let sendable = self.channels.sendable(channel).filter(|_| self.has_room());
        // Without room the socket must not be asked at all: an empty read looks like its end.
        let Some((remote, longest, window)) = sendable.filter(|(.., window)| most.min(*window) > 0)
        else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = self.outbound.data(remote, longest, most.min(window), read)?;
        self.channels.sent(channel, count);
        self.rekey_if_due();
        Ok(count)
    }

    /// `count` bytes that came on the channel have left for where they go: the server may send as
    /// many more, and more yet if the channel's window holds it up.
    pub fn consumed(&mut self, channel: ChannelId, count: usize, now: Instant) {
        if let Some(credit) = self.channels.consumed(channel, count, now, self.round_trip.least()) {
            self.send(&credit);
            self.measure(now);
        }
    }

    /// No more data will be sent on this channel. The other direction stays open.
    pub fn eof(&mut self, channel: ChannelId) {
        if let Some(payload) = self.channels.eof(channel) {
            self.send(&payload);
        }
    }

    /// Closes the channel: nothing more is sent on it. One that was offered is refused. What the server had sent before it learns of
    /// this still comes as events, up to [`Event::Close`]; so does what a server sends that only
    /// now confirms the channel, without [`Event::Opened`] before. In any state, any number of
    /// times.
    pub fn close(&mut self, channel: ChannelId) {
        self.refuse(channel, OpenFailure::ConnectFailed);
        if let Some(payload) = self.channels.close(channel) {
            self.send(&payload);
        }
    }

    /// How many channels are not closed by both sides: those of ours that the server has not answered
    /// are among them, even if nobody waits any more.
    pub fn channel_count(&self) -> usize {
        self.channels.count()
    }

    /// Whether every channel is closed by both sides.
    pub fn is_idle(&self) -> bool {
        self.channels.is_empty()
    }

    /// Ends the session: tells the server why, in words that are the same for everybody, then takes
    /// and gives nothing more.
    pub fn disconnect(&mut self, reason: DisconnectReason) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.ahead.clear();
        self.unasked.clear();
        let mut payload = message(DISCONNECT);
        payload.put_uint32(reason as u32);
        payload.put_string(reason.text().as_bytes());
        payload.put_string(b"");
        // Allowed also while keys are being changed.
        self.outbound.packet(&payload);
    }

    /// The bytes to send.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// `count` of the pending bytes were sent.
    pub fn sent(&mut self, count: usize) {
        self.outbound.sent(count);
    }

    /// Sends a message of the connection protocol, or holds it while keys are being changed.
    fn send(&mut self, payload: &[u8]) {
        self.send_about(payload, None);
    }

    fn send_about(&mut self, payload: &[u8], opens: Option<ChannelId>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if self.keys.are_settled() {
            if let Some(channel) = opens {
                self.channels.open_sent(channel, self.outbound.next_number());
            }
            self.outbound.packet(payload);
            self.rekey_if_due();
        } else {
            self.held.push((Zeroizing::new(payload.to_vec()), opens));
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod tests;
