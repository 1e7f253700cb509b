//! Ports and unix sockets that the server listens on for us, and the channels that it opens for
//! those who connect there (RFC 4254 section 7; OpenSSH's PROTOCOL, section 2.4).

use super::global_request::{Kind, Refusal};
use super::{Client, Event};
use crate::Error;
use crate::connection::channel::ChannelId;
use crate::message::{CHANNEL_OPEN_FAILURE, GLOBAL_REQUEST, OpenFailure};
use crate::text::one_line;
use crate::wire::{MAX_NAME, Reader, Writer, message};

/// Channels that the server may have opened and we have not answered. Whoever answers dials a
/// target first, which takes its time; more than these are turned away.
const MOST_OFFERED: usize = 1024;

/// Where a server is asked to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port.
    Tcp {
        /// An address of the server, or one of the names of RFC 4254 section 7.1: `localhost`, or
        /// the empty string for every address. What it comes to is the server's decision.
        host: String,
        /// The port; 0 lets the server choose.
        port: u16,
    },
    /// A unix socket, by its path.
    Unix(String),
}

impl Place {
    /// Whether its name fits into a message.
    fn fits(&self) -> bool {
        match self {
            Place::Tcp { host: name, .. } | Place::Unix(name) => name.len() <= MAX_NAME,
        }
    }
}

/// A place that the server was asked to listen at. Its number is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ForwardId(u64);

/// What happened to one.
#[derive(Debug, PartialEq, Eq)]
pub enum ForwardEvent {
    /// The server listens. Some servers may have offered connections before.
    Listening {
        /// The port, also if the server has chosen it; 0 for a unix socket.
        port: u16,
    },
    /// The server will not listen there, or does not say that it does. If it says so later, it is
    /// told to stop.
    Refused(Refusal),
    /// The answer to [`Client::cancel_forward`]: the server listens no longer, or why it goes on.
    /// In any case all channels for it are refused from now on.
    Ended(Result<(), Refusal>),
    /// Somebody connected: [`Client::accept`] or [`Client::refuse`] is the answer.
    Offered {
        /// The channel that is to be opened.
        channel: ChannelId,
        /// Who connected, in the server's words: bounded and fit to be shown. Empty for a unix socket.
        originator: String,
        /// And the port there; 0 if it is none.
        originator_port: u16,
    },
}

/// How far one has come. A number is that of the request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server was asked.
    Asked(u64),
    /// As `Asked`, but nobody wants it any more: where it listens has to be known to end it.
    Unwanted(u64),
    /// The server listens.
    Listening,
    /// The server was asked to stop.
    Ending(u64),
    /// It would not, or nobody knows: whom it brings is for nobody.
    Kept,
}

#[derive(Debug)]
struct Forward {
    id: ForwardId,
    /// With the real port once it is known.
    place: Place,
    stage: Stage,
}

impl Forward {
    /// Whether connections to it are welcome. A server may have some before it says that it listens.
    fn is_wanted(&self) -> bool {
        match self.stage {
            Stage::Asked(_) | Stage::Listening => true,
            Stage::Unwanted(_) | Stage::Ending(_) | Stage::Kept => false,
        }
    }
}

/// What the server was asked to listen at: a few, or a few dozen.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    list: Vec<Forward>,
    last: u64,
}

impl Forwards {
    /// Whom a connection to this address and port is for. The address is as it was asked for with
    /// most servers. One that tells another is believed where the port leaves no doubt: to lead a
    /// connection to the wrong target is worse than to refuse it. So those count, too, that nobody
    /// wants any more; `unwanted` are further places of that kind.
    fn of_port(&self, address: &[u8], port: u32, unwanted: &[&Place]) -> Option<ForwardId> {
        let listed = self
            .list
            .iter()
            .map(|forward| (forward.is_wanted().then_some(forward.id), &forward.place));
        let same_port: Vec<_> = listed
            .chain(unwanted.iter().map(|place| (None, *place)))
            .filter_map(|(id, place)| match place {
                Place::Tcp { host, port: ours } if port != 0 && u32::from(*ours) == port => {
                    Some((id, host))
                }
                Place::Tcp { .. } | Place::Unix(_) => None,
            })
            .collect();
        let exact = |host: &String| host.as_bytes().eq_ignore_ascii_case(address);
        let mut exact = same_port.iter().filter(|(_, host)| exact(host)).peekable();
        if exact.peek().is_some() {
            return exact.find_map(|(id, _)| *id);
        }
        match same_port[..] {
            [(id, _)] => id,
            _ => None,
        }
    }

    /// Whether the server listens at the place for a forward that is wanted.
    fn has(&self, place: &Place) -> bool {
        self.list.iter().any(|forward| forward.stage == Stage::Listening && forward.place == *place)
    }

    fn of_path(&self, path: &[u8]) -> Option<ForwardId> {
        let is_it = |forward: &&Forward| match &forward.place {
            Place::Unix(ours) => forward.is_wanted() && ours.as_bytes() == path,
            Place::Tcp { .. } => false,
        };
        self.list.iter().find(is_it).map(|forward| forward.id)
    }
}

impl Client {
    /// Asks the server to listen at `place`: [`ForwardEvent::Listening`] tells when it does,
    /// [`ForwardEvent::Refused`] that it will not, also where the place's name is too long to ask for.
    /// To be called when logged on.
    pub fn request_forward(&mut self, place: Place) -> ForwardId {
        self.forwards.last += 1;
        let id = ForwardId(self.forwards.last);
        if !place.fits() {
            self.ahead.push_back(Ok(Event::Forward(id, ForwardEvent::Refused(Refusal::Denied))));
            return id;
        }
        let payload = request("tcpip-forward", "streamlocal-forward@openssh.com", &place, true);
        let number = self.request(Kind::Listen(place.clone()), payload);
        self.forwards.list.push(Forward { id, place, stage: Stage::Asked(number) });
        id
    }

    /// Asks the server to listen there no longer. From now on channels for it are refused, those
    /// that were offered before are not; [`ForwardEvent::Ended`] tells when the server has answered.
    /// No effect on one that was refused, or cancelled before.
    pub fn cancel_forward(&mut self, id: ForwardId) {
        let Some(at) = self.forwards.list.iter().position(|forward| forward.id == id) else {
            return;
        };
        match self.forwards.list[at].stage {
            Stage::Asked(number) => self.forwards.list[at].stage = Stage::Unwanted(number),
            Stage::Listening => self.end_forward(at),
            Stage::Unwanted(_) | Stage::Ending(_) | Stage::Kept => {}
        }
    }

    fn end_forward(&mut self, at: usize) {
        let number = self.request_stop(self.forwards.list[at].place.clone());
        self.forwards.list[at].stage = Stage::Ending(number);
    }

    fn request_stop(&mut self, place: Place) -> u64 {
        let payload = stop(&place, true);
        self.request(Kind::Stop(place), payload)
    }

    /// Tells the server to stop, without an answer that anybody would wait for.
    pub(super) fn stop_unasked(&mut self, place: &Place) {
        self.send(&stop(place, false));
    }

    /// The server listens at a place that was given up: it is to stop. Whom it still brings is for
    /// nobody. Where another forward was granted the same place meanwhile, that one has it.
    pub(super) fn stop_late(&mut self, mut place: Place, content: Reader<'_>) {
        if !learn_port(&mut place, content) || self.forwards.has(&place) {
            return;
        }
        self.stop_unasked(&place);
        self.forwards.last += 1;
        let id = ForwardId(self.forwards.last);
        self.forwards.list.push(Forward { id, place, stage: Stage::Kept });
        self.keep(self.forwards.list.len() - 1);
    }

    /// The answer to the request of this number, if the request was about a forward: with the port,
    /// `uint32`, if that was for the server to choose.
    pub(super) fn forward_answer(
        &mut self,
        number: u64,
        answer: Result<Reader<'_>, Refusal>,
    ) -> Option<Event> {
        let at = self.forwards.list.iter().position(|forward| match forward.stage {
            Stage::Asked(asked) | Stage::Unwanted(asked) | Stage::Ending(asked) => asked == number,
            Stage::Listening | Stage::Kept => false,
        })?;
        let Forward { id, stage, .. } = self.forwards.list[at];
        let event = match stage {
            Stage::Asked(_) => match answer.and_then(|content| self.listens(at, content)) {
                Ok(port) => {
                    self.forwards.list[at].stage = Stage::Listening;
                    ForwardEvent::Listening { port }
                }
                Err(refusal) => {
                    self.forwards.list.swap_remove(at);
                    ForwardEvent::Refused(refusal)
                }
            },
            Stage::Unwanted(_) => {
                if answer.and_then(|content| self.listens(at, content)).is_ok() {
                    self.end_forward(at);
                    return None;
                }
                // It does not listen, as far as anybody knows.
                self.forwards.list.swap_remove(at);
                ForwardEvent::Ended(Ok(()))
            }
            Stage::Ending(_) | Stage::Listening | Stage::Kept => {
                if answer.is_ok() {
                    self.forwards.list.swap_remove(at);
                } else {
                    self.keep(at);
                }
                ForwardEvent::Ended(answer.map(|_| ()))
            }
        };
        Some(Event::Forward(id, event))
    }

    /// The server was asked to listen and grants it. Completes the place and returns the port, 0 for
    /// a unix socket; or refuses a port that cannot be one, or that is another forward's.
    fn listens(&mut self, at: usize, content: Reader<'_>) -> Result<u16, Refusal> {
        let (earlier, rest) = self.forwards.list.split_at_mut(at);
        let (forward, later) = rest.split_first_mut().ok_or(Refusal::Denied)?;
        if !learn_port(&mut forward.place, content) {
            return Err(Refusal::Denied);
        }
        let mut others = earlier.iter().chain(later.iter());
        if others.any(|other| other.stage == Stage::Listening && other.place == forward.place) {
            return Err(Refusal::Denied);
        }
        Ok(match forward.place {
            Place::Tcp { port, .. } => port,
            Place::Unix(_) => 0,
        })
    }

    /// The server goes on listening at a place that nobody wants.
    fn keep(&mut self, at: usize) {
        let place = self.forwards.list[at].place.clone();
        let is_kept = |other: &Forward| other.stage == Stage::Kept && other.place == place;
        if self.forwards.list.iter().any(is_kept) {
            self.forwards.list.swap_remove(at);
        } else {
            self.forwards.list[at].stage = Stage::Kept;
        }
    }

    /// CHANNEL_OPEN: `string type, uint32 channel, uint32 window, uint32 longest`, and what the type
    /// demands. The server may open only what we asked for.
    pub(super) fn open_by_server(
        &mut self,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Event>, Error> {
        // One answer follows in any case, now or later.
        self.expect_reply()?;
        let name = reader.string()?;
        let remote = reader.uint32()?;
        let is_port = name == b"forwarded-tcpip";
        if !is_port && name != b"forwarded-streamlocal@openssh.com" {
            self.refuse_open(remote);
            return Ok(None);
        }
        let (window, longest) = (reader.uint32()?, reader.uint32()?);
        // The address that was connected to, then the one that connected; of a unix socket its path,
        // then a string without meaning.
        let connected = reader.string()?;
        let port = if is_port { reader.uint32()? } else { 0 };
        let originator = reader.string()?;
        let originator_port = if is_port { reader.uint32()? } else { 0 };
        let forward = if is_port {
            let unwanted: Vec<_> = self.requests.unwanted().collect();
            self.forwards.of_port(connected, port, &unwanted)
        } else {
            self.forwards.of_path(connected)
        };
        let Some(forward) = forward else {
            self.refuse_open(remote);
            return Ok(None);
        };
        if self.channels.offered() >= MOST_OFFERED {
            self.send(&refusal(remote, OpenFailure::ResourceShortage));
            return Ok(None);
        }
        let channel = self.channels.offer(remote, window, longest)?;
        let originator = one_line(if is_port { originator } else { b"" });
        let originator_port = u16::try_from(originator_port).unwrap_or_default();
        let offered = ForwardEvent::Offered { channel, originator, originator_port };
        Ok(Some(Event::Forward(forward, offered)))
    }

    /// Answers [`ForwardEvent::Offered`]: the channel is open from now on, like one of ours.
    pub fn accept(&mut self, channel: ChannelId) {
        if let Some(payload) = self.channels.accept(channel) {
            self.send(&payload);
        }
    }

    /// Answers [`ForwardEvent::Offered`]: the channel is not opened, and its number is free. Has no effect
    /// on any other channel.
    pub fn refuse(&mut self, channel: ChannelId, reason: OpenFailure) {
        if let Some(remote) = self.channels.refuse(channel) {
            self.send(&refusal(remote, reason));
        }
    }

    fn refuse_open(&mut self, remote: u32) {
        self.send(&refusal(remote, OpenFailure::AdministrativelyProhibited));
    }
}

/// A global request about a place: `string name, boolean want-reply`, then `string address, uint32
/// port`, or `string path`.
fn request(tcp: &str, unix: &str, place: &Place, want_reply: bool) -> Vec<u8> {
    let mut payload = message(GLOBAL_REQUEST);
    let name = if let Place::Tcp { .. } = place { tcp } else { unix };
    payload.put_string(name.as_bytes());
    payload.put_boolean(want_reply);
    match place {
        Place::Tcp { host, port } => {
            payload.put_string(host.as_bytes());
            payload.put_uint32((*port).into());
        }
        Place::Unix(path) => payload.put_string(path.as_bytes()),
    }
    payload
}

fn stop(place: &Place, want_reply: bool) -> Vec<u8> {
    let (tcp, unix) = ("cancel-tcpip-forward", "cancel-streamlocal-forward@openssh.com");
    request(tcp, unix, place, want_reply)
}

/// Completes the place by what the server chose; false if it says nothing that could be a port.
fn learn_port(place: &mut Place, content: Reader<'_>) -> bool {
    if let Place::Tcp { port: port @ 0, .. } = place {
        *port = port_of(content).unwrap_or_default();
        return *port != 0;
    }
    true
}

/// The port that an answer consists of.
pub(super) fn port_of(mut content: Reader<'_>) -> Option<u16> {
    let port = content.uint32().ok()?;
    content.end().ok()?;
    u16::try_from(port).ok().filter(|port| *port != 0)
}

/// CHANNEL_OPEN_FAILURE.
pub(super) fn refusal(remote: u32, reason: OpenFailure) -> Vec<u8> {
    let mut payload = message(CHANNEL_OPEN_FAILURE);
    payload.put_uint32(remote);
    payload.put_uint32(reason.into());
    payload.put_string(reason.text().as_bytes());
    payload.put_string(b"");
    payload
}
