//! Remote forwards: ports and Unix sockets that the server listens on for us (RFC 4254 section 7;
//! OpenSSH's PROTOCOL, section 2.4).

use std::fmt;

use super::channel::ChannelId;
use super::global_request::{GlobalRequests, Kind, RequestError};
use crate::message::GLOBAL_REQUEST;
use crate::wire::{MAX_NAME, Reader, Writer, message};

/// An address that a server is asked to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP port.
    Tcp {
        /// An address of the server, or one of the names of RFC 4254 section 7.1: `localhost`, or
        /// the empty string for every address. The server decides what it stands for.
        host: String,
        /// The port; 0 lets the server choose.
        port: u16,
    },
    /// A Unix socket, by its path.
    Unix(String),
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp { host, port } => write!(f, "{host} port {port}"),
            ListenAddr::Unix(path) => f.write_str(path),
        }
    }
}

impl ListenAddr {
    /// Whether its name fits into a message.
    fn fits(&self) -> bool {
        match self {
            ListenAddr::Tcp { host: name, .. } | ListenAddr::Unix(name) => name.len() <= MAX_NAME,
        }
    }

    /// Returns the port; 0 for a Unix socket.
    fn port(&self) -> u16 {
        match self {
            ListenAddr::Tcp { port, .. } => *port,
            ListenAddr::Unix(_) => 0,
        }
    }

    /// Fills in the port that the server has chosen; false if the reply holds none.
    fn complete(&mut self, reply: Reader<'_>) -> bool {
        if let ListenAddr::Tcp { port: port @ 0, .. } = self {
            *port = port_in(reply).unwrap_or_default();
            return *port != 0;
        }
        true
    }
}

/// Identifies a remote forward of a session. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ForwardId(u64);

/// An event of a remote forward.
#[derive(Debug, PartialEq, Eq)]
pub enum ForwardEvent {
    /// The server listens. Some servers open channels before they say so.
    Listening {
        /// The port, also if the server has chosen it; 0 for a Unix socket.
        port: u16,
    },
    /// The server does not listen, or has not said in time that it does. If it says so later, it is
    /// told to stop.
    Failed(RequestError),
    /// The result of [`Client::cancel_forward`]: the server has stopped listening, or the reason
    /// why it goes on. All channels for the forward are rejected from now on in any case.
    ///
    /// [`Client::cancel_forward`]: crate::Client::cancel_forward
    Cancelled(Result<(), RequestError>),
    /// The server opens a channel for a connection to its port or socket. [`Client::accept`] or
    /// [`Client::reject`] is to be called.
    ///
    /// [`Client::accept`]: crate::Client::accept
    /// [`Client::reject`]: crate::Client::reject
    InboundChannel {
        /// The channel.
        channel: ChannelId,
        /// The address that connected, as the server reports it: bounded and printable. Empty for a
        /// Unix socket.
        originator: String,
        /// The port that connected; 0 if it is none.
        originator_port: u16,
    },
}

/// The state of a forward. A number is that of the global request whose reply is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server was asked to listen.
    Requested(u64),
    /// As `Requested`, but cancelled: the reply is needed to stop the server.
    Abandoned(u64),
    /// The server listens.
    Listening,
    /// The server was asked to stop.
    Cancelling(u64),
    /// The server may go on listening although it was asked to stop: its channels are rejected.
    Orphaned,
}

#[derive(Debug)]
struct Forward {
    id: ForwardId,
    /// With the real port once it is known.
    address: ListenAddr,
    stage: Stage,
}

impl Forward {
    /// Whether its channels are wanted. A server may open some before it says that it listens.
    fn is_wanted(&self) -> bool {
        match self.stage {
            Stage::Requested(_) | Stage::Listening => true,
            Stage::Abandoned(_) | Stage::Cancelling(_) | Stage::Orphaned => false,
        }
    }
}

/// The remote forwards of a session: a few, or a few dozen.
#[derive(Debug, Default)]
pub(crate) struct RemoteForwards {
    list: Vec<Forward>,
    last_id: u64,
}

impl RemoteForwards {
    fn next_id(&mut self) -> ForwardId {
        self.last_id += 1;
        ForwardId(self.last_id)
    }

    fn is_listening_on(&self, address: &ListenAddr) -> bool {
        let is_it =
            |forward: &Forward| forward.stage == Stage::Listening && forward.address == *address;
        self.list.iter().any(is_it)
    }

    /// Queues the request to listen on an address. The event is set if it fails at once.
    pub(crate) fn request(
        &mut self,
        address: ListenAddr,
        requests: &mut GlobalRequests,
    ) -> (ForwardId, Option<ForwardEvent>) {
        let id = self.next_id();
        if !address.fits() {
            return (id, Some(ForwardEvent::Failed(RequestError::Denied)));
        }
        let payload = request("tcpip-forward", "streamlocal-forward@openssh.com", &address, true);
        let number = requests.push(Kind::Listen(address.clone()), payload);
        self.list.push(Forward { id, address, stage: Stage::Requested(number) });
        (id, None)
    }

    /// Cancels a forward: queues the request to stop, or has it follow the reply to the first one.
    pub(crate) fn cancel(&mut self, id: ForwardId, requests: &mut GlobalRequests) {
        let Some(forward) = self.list.iter_mut().find(|forward| forward.id == id) else { return };
        match forward.stage {
            Stage::Requested(number) => forward.stage = Stage::Abandoned(number),
            Stage::Listening => forward.stage = stop(&forward.address, requests),
            Stage::Abandoned(_) | Stage::Cancelling(_) | Stage::Orphaned => {}
        }
    }

    /// Handles a late success of a request that was given up. Returns the message that makes the
    /// server stop, unless another forward has got the same address meanwhile. Channels for the
    /// address are rejected from now on.
    pub(crate) fn listening_late(
        &mut self,
        mut address: ListenAddr,
        reply: Reader<'_>,
    ) -> Option<Vec<u8>> {
        if !address.complete(reply) || self.is_listening_on(&address) {
            return None;
        }
        let message = cancel_message(&address, false);
        let id = self.next_id();
        self.list.push(Forward { id, address, stage: Stage::Listening });
        self.orphan(self.list.len() - 1);
        Some(message)
    }

    /// Handles the reply to the request of this number, if it was about a forward.
    pub(crate) fn replied(
        &mut self,
        number: u64,
        reply: Result<Reader<'_>, RequestError>,
        requests: &mut GlobalRequests,
    ) -> Option<(ForwardId, ForwardEvent)> {
        let at = self.list.iter().position(|forward| match forward.stage {
            Stage::Requested(own) | Stage::Abandoned(own) | Stage::Cancelling(own) => own == number,
            Stage::Listening | Stage::Orphaned => false,
        })?;
        let Forward { id, stage, .. } = self.list[at];
        let event = match stage {
            Stage::Requested(_) => match reply.and_then(|reply| self.granted(at, reply)) {
                Ok(port) => {
                    self.list[at].stage = Stage::Listening;
                    ForwardEvent::Listening { port }
                }
                Err(error) => {
                    self.list.swap_remove(at);
                    ForwardEvent::Failed(error)
                }
            },
            Stage::Abandoned(_) => {
                if reply.and_then(|reply| self.granted(at, reply)).is_ok() {
                    self.list[at].stage = stop(&self.list[at].address, requests);
                    return None;
                }
                self.list.swap_remove(at);
                ForwardEvent::Cancelled(Ok(()))
            }
            Stage::Cancelling(_) | Stage::Listening | Stage::Orphaned => {
                if reply.is_ok() {
                    self.list.swap_remove(at);
                } else {
                    self.orphan(at);
                }
                ForwardEvent::Cancelled(reply.map(|_| ()))
            }
        };
        Some((id, event))
    }

    /// Handles the success of a request to listen: `uint32 port`, if the server was to choose it.
    /// Returns the port. Fails if the port is none, or another forward's.
    fn granted(&mut self, at: usize, reply: Reader<'_>) -> Result<u16, RequestError> {
        let mut address = self.list[at].address.clone();
        if !address.complete(reply) || self.is_listening_on(&address) {
            return Err(RequestError::NoPort);
        }
        let port = address.port();
        self.list[at].address = address;
        Ok(port)
    }

    /// Marks a forward on which the server goes on listening. One for each address is enough.
    fn orphan(&mut self, at: usize) {
        let address = &self.list[at].address;
        let is_same = |other: &Forward| other.stage == Stage::Orphaned && other.address == *address;
        if self.list.iter().any(is_same) {
            self.list.swap_remove(at);
        } else {
            self.list[at].stage = Stage::Orphaned;
        }
    }

    /// Returns the forward that a `forwarded-tcpip` channel belongs to. The address is usually the
    /// one that was requested. Where a server reports another, the port decides if only one forward
    /// has it: a connection to the wrong target is worse than a rejected one. So forwards that are
    /// not wanted any more count too; `unwanted` are further addresses of that kind.
    pub(crate) fn by_port(
        &self,
        address: &[u8],
        port: u32,
        unwanted: &[&ListenAddr],
    ) -> Option<ForwardId> {
        let listed = self
            .list
            .iter()
            .map(|forward| (forward.is_wanted().then_some(forward.id), &forward.address));
        let same_port: Vec<_> = listed
            .chain(unwanted.iter().map(|address| (None, *address)))
            .filter_map(|(id, address)| match address {
                ListenAddr::Tcp { host, port: own } if port != 0 && u32::from(*own) == port => {
                    Some((id, host))
                }
                ListenAddr::Tcp { .. } | ListenAddr::Unix(_) => None,
            })
            .collect();
        let is_exact = |host: &String| host.as_bytes().eq_ignore_ascii_case(address);
        let mut exact = same_port.iter().filter(|(_, host)| is_exact(host)).peekable();
        if exact.peek().is_some() {
            return exact.find_map(|(id, _)| *id);
        }
        match same_port[..] {
            [(id, _)] => id,
            _ => None,
        }
    }

    /// Returns the forward that a `forwarded-streamlocal@openssh.com` channel belongs to.
    pub(crate) fn by_path(&self, path: &[u8]) -> Option<ForwardId> {
        let is_it = |forward: &&Forward| match &forward.address {
            ListenAddr::Unix(own) => forward.is_wanted() && own.as_bytes() == path,
            ListenAddr::Tcp { .. } => false,
        };
        self.list.iter().find(is_it).map(|forward| forward.id)
    }
}

/// Queues the request to stop listening.
fn stop(address: &ListenAddr, requests: &mut GlobalRequests) -> Stage {
    let payload = cancel_message(address, true);
    Stage::Cancelling(requests.push(Kind::Cancel(address.clone()), payload))
}

/// Returns the request to stop listening on an address.
pub(crate) fn cancel_message(address: &ListenAddr, want_reply: bool) -> Vec<u8> {
    let (tcp, unix) = ("cancel-tcpip-forward", "cancel-streamlocal-forward@openssh.com");
    request(tcp, unix, address, want_reply)
}

/// Returns a global request about an address: `string name, boolean want-reply`, then `string
/// address, uint32 port`, or `string path`.
fn request(tcp: &str, unix: &str, address: &ListenAddr, want_reply: bool) -> Vec<u8> {
    let mut payload = message(GLOBAL_REQUEST);
    let name = if let ListenAddr::Tcp { .. } = address { tcp } else { unix };
    payload.put_string(name.as_bytes());
    payload.put_boolean(want_reply);
    match address {
        ListenAddr::Tcp { host, port } => {
            payload.put_string(host.as_bytes());
            payload.put_uint32((*port).into());
        }
        ListenAddr::Unix(path) => payload.put_string(path.as_bytes()),
    }
    payload
}

/// Reads the port that a reply consists of.
pub(super) fn port_in(mut reply: Reader<'_>) -> Option<u16> {
    let port = reply.uint32().ok()?;
    reply.end().ok()?;
    u16::try_from(port).ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests;
