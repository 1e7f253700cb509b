//! The ways into a tunnel that its owner has opened: which there are, how far each has come, and who
//! waits for one.
//!
//! A forward is in the table from when it is asked for until it is stopped, its port cannot be had, or
//! the session is lost for good. It needs a session to begin with; once it is bound it stays so while
//! a lost session is set up again. As long as there is one, a session is wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::tunnel::command::Reply;
use crate::tunnel::connection::cause::Cause;
use crate::tunnel::driver::{Driver, Work};
use crate::tunnel::forward::listener::{Listener, listen};
use crate::tunnel::forward::remote::Remote;
use crate::tunnel::{Error, Event, Login, Shared};

/// The number of the forward that a tunnel is made with.
pub const OWN: i64 = 0;
/// In the place of a forward's number: a connection that the program has dialed itself.
pub const DIALED: i64 = -1;

/// Where to listen, or what to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A port.
    Tcp {
        /// A name or an address.
        host: Arc<str>,
        /// To listen: 0 lets the system choose.
        port: u16,
    },
    /// A socket in the file system.
    Unix(Arc<str>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// What a forward does.
#[derive(Clone, Debug)]
pub enum Way {
    /// What connects here is led to one target at the far side.
    Local {
        /// Where to listen; a name is resolved then.
        listen: Endpoint,
        /// What the SSH server is asked to connect to.
        target: Endpoint,
    },
    /// What connects here says in SOCKS where to.
    Dynamic {
        /// As above.
        listen: Endpoint,
        /// What it has to prove; `None`: nothing.
        login: Option<Arc<Login>>,
    },
    /// What connects at the server is led to one target here.
    Remote {
        /// Where the SSH server is asked to listen.
        listen: Endpoint,
        /// What is dialed here.
        target: Endpoint,
    },
}

impl Way {
    /// Where it listens, at this side or at the server's.
    pub(crate) fn listen(&self) -> &Endpoint {
        match self {
            Self::Local { listen, .. }
            | Self::Dynamic { listen, .. }
            | Self::Remote { listen, .. } => listen,
        }
    }
}

/// A forward as it is asked for.
#[derive(Clone, Debug)]
pub struct ForwardSpec {
    /// What it does.
    pub way: Way,
    /// How many connections it may have at once; `None`: any number.
    pub max_connections: Option<u32>,
}

impl From<Way> for ForwardSpec {
    fn from(way: Way) -> Self {
        Self { way, max_connections: None }
    }
}

/// A forward that is bound, or was and is to be so again.
#[derive(Clone, Debug)]
pub struct ForwardInfo {
    /// Its number, unique within the tunnel.
    pub id: i64,
    /// Where it listens, as it was bound.
    pub bound: Endpoint,
    /// Whether it listens: not while the session is lost that had a remote one.
    pub listening: bool,
    /// What was asked for.
    pub way: Way,
}

/// A forward that its owner wants.
pub(crate) struct Forward {
    pub(crate) way: Way,
    max_connections: Option<u32>,
    stage: Stage,
    /// Who waits until a connection would be forwarded.
    waiting: Vec<Reply<ForwardInfo>>,
}

/// How far a forward has come.
enum Stage {
    /// It waits for a session.
    Waiting,
    /// Its address is looked up and bound.
    Binding(Work<Result<Listener, Error>>),
    Bound(Listener),
    /// It is for the server to listen.
    Remote(Remote),
}

impl Forward {
    fn new(spec: ForwardSpec) -> Self {
        let ForwardSpec { way, max_connections } = spec;
        let stage = match &way {
            Way::Local { .. } | Way::Dynamic { .. } => Stage::Waiting,
            Way::Remote { listen, .. } => Stage::Remote(Remote::new(listen.clone())),
        };
        Self { way, max_connections, stage, waiting: Vec::new() }
    }

    fn info(&self, id: i64) -> Option<ForwardInfo> {
        let bound = match &self.stage {
            Stage::Bound(listener) => listener.address(),
            Stage::Remote(remote) => remote.bound()?.clone(),
            Stage::Waiting | Stage::Binding(_) => return None,
        };
        Some(ForwardInfo { id, bound, listening: true, way: self.way.clone() })
    }

    fn answer(&mut self, outcome: &Result<ForwardInfo, Error>) {
        for reply in self.waiting.drain(..) {
            // Whoever asked may have lost interest.
            let _ = reply.send(outcome.clone());
        }
    }
}

/// The forwards of a tunnel, by their numbers. Their owner is asked about those that are bound
/// without a word to the task: `shared` has them, too.
pub(crate) struct Forwards {
    table: BTreeMap<i64, Forward>,
    shared: Arc<Shared>,
    /// Whether their ports may be shared.
    share: bool,
}

impl Forwards {
    pub(crate) fn new(shared: Arc<Shared>, share: bool) -> Self {
        Self { table: BTreeMap::new(), shared, share }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The first number from this one on, to look at one after the other while they change.
    pub(crate) fn next(&self, from: i64) -> Option<i64> {
        self.table.range(from..).next().map(|(id, _)| *id)
    }

    /// How many connections one may have at once; `None`: any number.
    pub(crate) fn max_connections(&self, id: i64) -> Option<u32> {
        self.table.get(&id)?.max_connections
    }

    /// What a bound forward does, and its listener.
    pub(crate) fn listener(&mut self, id: i64) -> Option<(&Way, &mut Listener)> {
        let forward = self.table.get_mut(&id)?;
        match &mut forward.stage {
            Stage::Bound(listener) => Some((&forward.way, listener)),
            Stage::Waiting | Stage::Binding(_) | Stage::Remote(_) => None,
        }
    }

    /// What is known of a remote forward.
    pub(crate) fn remote(&mut self, id: i64) -> Option<&mut Remote> {
        match &mut self.table.get_mut(&id)?.stage {
            Stage::Remote(remote) => Some(remote),
            Stage::Waiting | Stage::Binding(_) | Stage::Bound(_) => None,
        }
    }

    /// The remote forwards and their numbers.
    pub(crate) fn remotes(&mut self) -> impl Iterator<Item = (i64, &mut Remote)> {
        self.table.iter_mut().filter_map(|(id, forward)| match &mut forward.stage {
            Stage::Remote(remote) => Some((*id, remote)),
            Stage::Waiting | Stage::Binding(_) | Stage::Bound(_) => None,
        })
    }

    /// The process was paused: servers that refuse to listen again have until then.
    pub(crate) fn resumed(&mut self, until: Instant) {
        for (_, remote) in self.remotes() {
            remote.resumed(until);
        }
    }

    /// What a remote forward leads to.
    pub(crate) fn target(&self, id: i64) -> Option<Endpoint> {
        match &self.table.get(&id)?.way {
            Way::Remote { target, .. } => Some(target.clone()),
            Way::Local { .. } | Way::Dynamic { .. } => None,
        }
    }

    fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.table.values().filter_map(|forward| match &forward.stage {
            Stage::Bound(listener) => Some(listener),
            Stage::Waiting | Stage::Binding(_) | Stage::Remote(_) => None,
        })
    }

    /// Whether any accepts connections at this side.
    pub(crate) fn has_listeners(&self) -> bool {
        self.listeners().next().is_some()
    }

    /// When the first of those that cannot accept may try again.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.listeners().filter_map(Listener::paused_until).min()
    }

    /// When the server is asked once more for the first of those that it has refused.
    pub(crate) fn refused_until(&self) -> Option<Instant> {
        let remotes = self.table.values().filter_map(|forward| match &forward.stage {
            Stage::Remote(remote) => Some(remote),
            Stage::Waiting | Stage::Binding(_) | Stage::Bound(_) => None,
        });
        remotes.filter_map(Remote::due).min()
    }

    /// Gives one up; who waits for it is told why.
    pub(crate) fn remove(&mut self, id: i64, error: &Error) {
        if let Some(mut forward) = self.table.remove(&id) {
            self.shared.set_bound(id, None);
            // Its port is free again by the time that anybody is told.
            forward.stage = Stage::Waiting;
            forward.answer(&Err(error.clone()));
        }
    }

    /// Gives all up.
    pub(crate) fn clear(&mut self, error: &Error) {
        while let Some((&id, _)) = self.table.first_key_value() {
            self.remove(id, error);
        }
    }

    /// Without a session: gives up those that are not bound. Who waits is told in any case.
    pub(crate) fn fail(&mut self, error: &Error) {
        let mut from = i64::MIN;
        while let Some(id) = self.next(from) {
            from = id + 1;
            let Some(forward) = self.table.get_mut(&id) else { continue };
            let lives_on = match &forward.stage {
                Stage::Bound(_) => true,
                Stage::Remote(remote) => remote.was_up(),
                Stage::Waiting | Stage::Binding(_) => false,
            };
            if lives_on {
                forward.answer(&Err(error.clone()));
            } else {
                self.remove(id, error);
            }
        }
    }

    /// There is a session: binds what waits for it, and answers those who do.
    pub(crate) fn begin(&mut self) {
        for (id, forward) in &mut self.table {
            if let Some(info) = forward.info(*id) {
                forward.answer(&Ok(info));
            } else if matches!(forward.stage, Stage::Waiting) {
                let work = listen(forward.way.listen().clone(), self.share);
                forward.stage = Stage::Binding(Box::pin(work));
            }
        }
    }

    /// The server listens.
    pub(crate) fn is_up(&mut self, id: i64) {
        let Some(forward) = self.table.get_mut(&id) else { return };
        if let Some(info) = forward.info(id) {
            self.shared.set_bound(id, Some(info.clone()));
            forward.answer(&Ok(info));
        }
    }

    /// The server listens no longer, but is to do so again.
    pub(crate) fn is_down(&mut self, id: i64) {
        if let Some(info) = self.shared.bound().get_mut(&id) {
            info.listening = false;
        }
    }

    /// The server is not to listen any more; who waits for it is told.
    pub(crate) fn is_stopped(&mut self, id: i64) {
        if let Some(forward) = self.table.get_mut(&id) {
            self.shared.set_bound(id, None);
            forward.answer(&Err(Error::Closed));
        }
    }

    /// The next one whose address is bound or cannot be.
    fn poll_binding(&mut self, cx: &mut Context<'_>) -> Option<(i64, Result<Listener, Error>)> {
        self.table.iter_mut().find_map(|(id, forward)| {
            let Stage::Binding(work) = &mut forward.stage else { return None };
            match work.as_mut().poll(cx) {
                Poll::Ready(outcome) => Some((*id, outcome)),
                Poll::Pending => None,
            }
        })
    }

    fn bound(&mut self, id: i64, listener: Listener) -> Option<ForwardInfo> {
        let forward = self.table.get_mut(&id)?;
        forward.stage = Stage::Bound(listener);
        let info = forward.info(id)?;
        self.shared.set_bound(id, Some(info.clone()));
        Some(info)
    }
}

impl Driver {
    /// Opens a forward, or waits with others for it: done when a connection would be forwarded.
    pub(crate) fn start_forward(&mut self, id: i64, spec: ForwardSpec, reply: Reply<ForwardInfo>) {
        let forward = self.forwards.table.entry(id).or_insert_with(|| Forward::new(spec));
        forward.waiting.push(reply);
        self.counts.begin(id, |id| self.forwards.table.contains_key(&id));
        if self.has_session() {
            self.begin_forwards(Instant::now());
        } else {
            self.connect_session();
        }
    }

    /// There is a session: goes on with all that waits for one.
    pub(crate) fn begin_forwards(&mut self, now: Instant) {
        self.forwards.begin();
        for request in std::mem::take(&mut self.forward_requests) {
            self.run_forward_request(request);
        }
        self.ask_server(now);
    }

    /// Carries on what is being bound.
    pub(crate) fn bind(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while let Some((id, outcome)) = self.forwards.poll_binding(cx) {
            match outcome {
                Ok(listener) => {
                    if let Some(info) = self.forwards.bound(id, listener).filter(|it| it.id == OWN)
                    {
                        self.emit(Event::Listening(info.bound));
                    }
                    // The event comes before the answers.
                    self.forwards.begin();
                }
                Err(error) => self.forwards.remove(id, &error),
            }
            busy = true;
        }
        busy
    }

    /// Gives up a forward, for the sake of the `method` that was called. One at the server is given
    /// up when that has answered.
    pub(crate) fn stop_forward(&mut self, id: i64, method: &'static str, reply: Reply<()>) {
        if self.forwards.remote(id).is_some() {
            self.stop_remote(id, Some(reply));
        } else {
            self.forwards.remove(id, &Error::Closed);
            // Whoever asked may have lost interest.
            let _ = reply.send(Ok(()));
        }
        self.forsake(id, &Cause::Application(method));
    }

    /// Gives all up, for the sake of the owner who leaves.
    pub(crate) fn stop_forwards(&mut self) {
        let mut from = i64::MIN;
        while let Some(id) = self.forwards.next(from) {
            from = id + 1;
            if self.forwards.remote(id).is_some() {
                self.stop_remote(id, None);
            } else {
                self.forwards.remove(id, &Error::Closed);
            }
        }
    }

    /// Without its port: turns away who came through it and waits for a session, as the system does
    /// with those that were not accepted, and sets up none that nobody else wants.
    pub(crate) fn forsake(&mut self, id: i64, cause: &Cause) {
        if self.reconnecter.is_under_way() {
            self.reject_all(cause, |forward| forward == id);
        }
        if !self.operations.session_wanted && self.forwards.is_empty() {
            self.reconnecter.cancel();
            if self.operations.connecting.is_empty() && self.held.is_empty() {
                self.cancel_connect();
            }
        }
    }
}
