//! The calls of one tunnel. A call begins on the JavaScript thread, in the order in which it was made;
//! only waiting for its outcome is left to the runtime.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use napi::bindgen_prelude::Either13;
use napi_derive::napi;
use tokio::select;
use tokio::sync::oneshot;

use crate::binding::arguments::Arguments;
use crate::binding::environment::Link;
use crate::binding::errors::Failure;
use crate::binding::lock;
use crate::binding::observer::{Message, Payload};
use crate::binding::turns::Turns;
use crate::net::linger::Linger;
use crate::net::rate::MaxRate;
use crate::runtime;
use crate::tunnel::{ConnectionInfo, Error, ForwardInfo, Pending, Stats, Tunnel};

/// The outcome of a call.
type Outcome = Result<Payload, Failure>;

/// A call that has begun.
pub(crate) enum Begun {
    /// It is done.
    Done(Box<Outcome>),
    /// Its outcome is still to come.
    Pending(Box<dyn Waiting>),
}

/// The outcome of a call that is still to come.
pub(crate) trait Waiting: Future<Output = Outcome> + Send + Unpin {
    /// Stops waiting. Returns the outcome if it has come.
    fn withdraw(&mut self) -> Option<Outcome>;
}

/// The outcome of an operation of the tunnel, for JavaScript.
struct Converted<T> {
    pending: Pending<T>,
    payload: fn(T) -> Payload,
}

impl<T> Converted<T> {
    fn convert(&self, outcome: Result<T, Error>) -> Outcome {
        outcome.map(self.payload).map_err(|error| (&error).into())
    }
}

impl<T> Future for Converted<T> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.pending).poll(cx).map(|outcome| self.convert(outcome))
    }
}

impl<T: Send> Waiting for Converted<T> {
    fn withdraw(&mut self) -> Option<Outcome> {
        self.pending.withdraw().map(|outcome| self.convert(outcome))
    }
}

/// Defines the methods, each with the function that begins it. JavaScript has checked the arguments:
/// casts lose nothing.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $begin:expr,)*) => {
        /// A method of a tunnel, or of one of its connections and forwards.
        #[napi]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method {
            $($(#[$doc])* $name,)*
        }

        /// Begins a call.
        pub(crate) fn begin(tunnel: &Tunnel, method: Method, arguments: Arguments) -> Begun {
            match method {
                $(Method::$name => begin_by(tunnel, arguments, $begin),)*
            }
        }
    };
}

/// Calls a method's function, which fixes the types of its parameters.
fn begin_by<T: Into<Begun>>(
    tunnel: &Tunnel,
    arguments: Arguments,
    begin: impl FnOnce(&Tunnel, Arguments) -> T,
) -> Begun {
    begin(tunnel, arguments).into()
}

methods! {
    /// Whether a close is graceful.
    GetLinger => |tunnel, _| tunnel.settings().linger.property(),
    /// Argument: 1 for a graceful close, 0 for a hard one.
    SetLinger => |tunnel, arguments| {
        let linger = Linger::from_property(arguments.number != 0.0);
        tunnel.update_settings(|settings| settings.linger = linger);
    },
    /// A LINGER structure, packed.
    GetLingerOption => |tunnel, _| pack(tunnel.settings().linger),
    /// Argument: a LINGER structure, packed.
    SetLingerOption => |tunnel, arguments| {
        tunnel.update_settings(|settings| settings.linger = unpack(arguments.number));
    },
    /// Whether SO_KEEPALIVE is set.
    GetKeepAlive => |tunnel, _| tunnel.settings().keep_alive,
    /// Argument: 1 or 0.
    SetKeepAlive => |tunnel, arguments| {
        tunnel.update_settings(|settings| settings.keep_alive = arguments.number != 0.0);
    },
    /// Milliseconds, 0 for never.
    GetIdleTimeout => |tunnel, _| {
        tunnel.settings().idle_timeout.unwrap_or_default().as_millis() as f64
    },
    /// Argument: milliseconds, 0 for never.
    SetIdleTimeout => |tunnel, arguments| {
        let limit = duration(arguments.number);
        tunnel.update_settings(|settings| settings.idle_timeout = limit);
    },
    /// Connects to the SSH server.
    Connect => |tunnel, _| tunnel.connect(),
    /// Connects if needed, and binds the configured forward.
    StartListening => |tunnel, _| Begun::pending(tunnel.start_listening(), |_| Either13::A(())),
    /// Stops the configured forward.
    StopListening => |tunnel, _| tunnel.stop_listening(),
    /// Argument: the connection's id.
    Disconnect => |tunnel, arguments| tunnel.disconnect(arguments.id()),
    /// Argument: 1 to force it.
    Shutdown => |tunnel, arguments| tunnel.shutdown(arguments.number != 0.0),
    /// Argument: milliseconds, or -1 for no limit.
    Close => |tunnel, arguments| {
        let limit = arguments.number;
        tunnel.close((limit >= 0.0).then(|| Duration::from_millis(limit as u64)))
    },
    /// The connections that exist.
    Connections => |tunnel, _| tunnel.connections(),
    /// Argument: the connection's id. A LINGER structure, packed.
    GetConnectionLinger => |tunnel, arguments| tunnel.linger(arguments.id()),
    /// Arguments: the connection's id, and a LINGER structure, packed.
    SetConnectionLinger => |tunnel, arguments| {
        tunnel.set_linger(arguments.id(), unpack(arguments.value))
    },
    /// Argument: the forward. The forward as it was bound.
    StartForward => |tunnel, arguments| {
        let missing = || Failure::new("ERR_TUNNEL_NO_FORWARD", "no forward was given".into());
        arguments.forward.map_or_else(
            || Begun::Done(Box::new(Err(missing()))),
            |forward| tunnel.start_forward(forward).into(),
        )
    },
    /// Argument: the forward's id.
    StopForward => |tunnel, arguments| tunnel.stop_forward(arguments.forward_id()),
    /// The counters of the tunnel.
    Stats => |tunnel, _| tunnel.stats(None),
    /// Argument: the forward's id. Its counters.
    ForwardStats => |tunnel, arguments| tunnel.stats(Some(arguments.forward_id())),
    /// Argument: the connection's id.
    ResetConnection => |tunnel, arguments| tunnel.reset(arguments.id()),
    /// Arguments: the connection's id, and milliseconds, 0 for never.
    SetConnectionIdleTimeout => |tunnel, arguments| {
        tunnel.set_connection_idle_timeout(arguments.id(), duration(arguments.value))
    },
    /// Arguments: the connection's id, and milliseconds before the first probe, or -1 to turn it off.
    SetConnectionKeepAlive => |tunnel, arguments| {
        let delay = arguments.value;
        let delay = (delay >= 0.0).then(|| Duration::from_millis(delay as u64));
        tunnel.set_connection_keep_alive(arguments.id(), delay)
    },
    /// The limits of the rate of all connections.
    GetMaxRate => |tunnel, _| tunnel.max_rate(),
    /// Argument: the limits.
    SetMaxRate => |tunnel, arguments| tunnel.set_max_rate(arguments.rate),
    /// Argument: the forward's id. The limits of the rate of its connections.
    GetForwardMaxRate => |tunnel, arguments| tunnel.forward_max_rate(arguments.forward_id()),
    /// Arguments: the forward's id, and the limits.
    SetForwardMaxRate => |tunnel, arguments| {
        tunnel.set_forward_max_rate(arguments.forward_id(), arguments.rate)
    },
    /// Argument: the connection's id. The limits of its rate.
    GetConnectionMaxRate => |tunnel, arguments| tunnel.connection_max_rate(arguments.id()),
    /// Arguments: the connection's id, and the limits.
    SetConnectionMaxRate => |tunnel, arguments| {
        tunnel.set_connection_max_rate(arguments.id(), arguments.rate)
    },
    /// Argument: the host key. Writes it to the known_hosts file of its server.
    TrustHost => |tunnel, arguments| arguments.host_key.unwrap_or_default().trust(tunnel),
    /// Fails: what was to be called had been aborted before.
    Aborted => |_, _| Begun::Done(Box::new(Err(Failure::aborted()))),
}

impl Begun {
    fn pending<T: Send + 'static>(pending: Pending<T>, payload: fn(T) -> Payload) -> Self {
        Self::Pending(Box::new(Converted { pending, payload }))
    }

    /// Blocks until the call is done.
    pub(crate) fn wait(self) -> Outcome {
        match self {
            Self::Done(outcome) => *outcome,
            Self::Pending(outcome) => runtime::handle().block_on(outcome),
        }
    }
}

impl From<()> for Begun {
    fn from((): ()) -> Self {
        Self::Done(Box::new(Ok(Either13::A(()))))
    }
}

impl From<bool> for Begun {
    fn from(value: bool) -> Self {
        f64::from(u8::from(value)).into()
    }
}

impl From<f64> for Begun {
    fn from(value: f64) -> Self {
        Self::Done(Box::new(Ok(Either13::B(value))))
    }
}

impl From<Result<Pending<()>, Failure>> for Begun {
    fn from(begun: Result<Pending<()>, Failure>) -> Self {
        begun.map_or_else(|failure| Self::Done(Box::new(Err(failure))), Self::from)
    }
}

impl From<MaxRate> for Begun {
    fn from(max: MaxRate) -> Self {
        Self::Done(Box::new(Ok(Either13::M(max.into()))))
    }
}

impl From<Pending<MaxRate>> for Begun {
    fn from(pending: Pending<MaxRate>) -> Self {
        Self::pending(pending, |max| Either13::M(max.into()))
    }
}

impl From<Pending<()>> for Begun {
    fn from(pending: Pending<()>) -> Self {
        Self::pending(pending, Either13::A)
    }
}

impl From<Pending<Linger>> for Begun {
    fn from(pending: Pending<Linger>) -> Self {
        Self::pending(pending, |linger| Either13::B(pack(linger)))
    }
}

impl From<Pending<Vec<ConnectionInfo>>> for Begun {
    fn from(pending: Pending<Vec<ConnectionInfo>>) -> Self {
        Self::pending(pending, |infos| Either13::C(infos.iter().map(Into::into).collect()))
    }
}

impl From<Pending<ForwardInfo>> for Begun {
    fn from(pending: Pending<ForwardInfo>) -> Self {
        Self::pending(pending, |info| Either13::H((&info).into()))
    }
}

impl From<Pending<Stats>> for Begun {
    fn from(pending: Pending<Stats>) -> Self {
        Self::pending(pending, |stats| Either13::I((&stats).into()))
    }
}

/// Packs a LINGER structure into a number.
pub(crate) fn pack(linger: Linger) -> f64 {
    f64::from(u32::from(linger.onoff) << 16 | u32::from(linger.linger))
}

/// Unpacks a LINGER structure, which [`pack`] or JavaScript has packed.
pub(crate) fn unpack(packed: f64) -> Linger {
    let packed = packed as u32;
    Linger { onoff: (packed >> 16) as u16, linger: packed as u16 }
}

/// Returns milliseconds as a duration; 0 is no limit.
pub(crate) fn duration(milliseconds: f64) -> Option<Duration> {
    (milliseconds > 0.0).then(|| Duration::from_millis(milliseconds as u64))
}

/// How the outcome of a call is reported.
#[napi]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporting {
    /// Not before the outcomes of earlier calls.
    InTurn,
    /// As soon as it is known.
    AtOnce,
    /// In turn; the call can be aborted.
    InTurnAbortable,
    /// At once; the call can be aborted.
    AtOnceAbortable,
}

impl Reporting {
    /// Whether it waits for the outcomes of earlier calls.
    fn is_in_turn(self) -> bool {
        match self {
            Reporting::InTurn | Reporting::InTurnAbortable => true,
            Reporting::AtOnce | Reporting::AtOnceAbortable => false,
        }
    }

    /// Whether the call can be aborted.
    pub(crate) fn is_abortable(self) -> bool {
        match self {
            Reporting::InTurnAbortable | Reporting::AtOnceAbortable => true,
            Reporting::InTurn | Reporting::AtOnce => false,
        }
    }
}

/// Where the outcome of a call goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReplyTo {
    /// The number that JavaScript gave the call.
    call: f64,
    /// The position of its callback among the tunnel's callbacks; a promise has none.
    turn: Option<u64>,
}

/// Sends outcomes to JavaScript: to callbacks in the order of the calls, to promises at once.
pub(crate) struct Replies {
    handle: u32,
    link: Arc<Link>,
    /// The number of callbacks so far: the turn of the next one.
    callbacks: AtomicU64,
    turns: Mutex<Turns<Message>>,
    /// The calls that can be aborted, by their numbers. One that is dropped aborts its call.
    aborts: Mutex<HashMap<u64, oneshot::Sender<Infallible>>>,
}

impl Replies {
    pub(crate) fn new(handle: u32, link: Arc<Link>) -> Self {
        Self {
            handle,
            link,
            callbacks: AtomicU64::new(0),
            turns: Mutex::default(),
            aborts: Mutex::default(),
        }
    }

    /// Registers a call, in the order of the calls.
    pub(crate) fn register(&self, call: f64, reporting: Reporting) -> ReplyTo {
        let turn = reporting.is_in_turn().then(|| self.callbacks.fetch_add(1, Ordering::Relaxed));
        ReplyTo { call, turn }
    }

    /// Sends the outcome when the call is done.
    pub(crate) fn reply(self: &Arc<Self>, to: ReplyTo, begun: Begun) {
        match begun {
            Begun::Done(outcome) => self.settle(to, *outcome),
            Begun::Pending(outcome) => {
                let replies = self.clone();
                runtime::handle().spawn(async move { replies.settle(to, outcome.await) });
            }
        }
    }

    /// As [`reply`](Self::reply), for a call that [`abort`](Self::abort) can end before it is done;
    /// `undo` then undoes what it had begun.
    pub(crate) fn reply_or_abort(
        self: &Arc<Self>,
        to: ReplyTo,
        begun: Begun,
        undo: impl FnOnce() + Send + 'static,
    ) {
        let Begun::Pending(mut outcome) = begun else { return self.reply(to, begun) };
        let (abort, mut aborted) = oneshot::channel();
        lock(&self.aborts).insert(to.call as u64, abort);
        let replies = self.clone();
        runtime::handle().spawn(async move {
            let outcome = select! {
                biased;
                outcome = &mut outcome => outcome,
                _ = &mut aborted => outcome.withdraw().unwrap_or_else(|| {
                    undo();
                    Err(Failure::aborted())
                }),
            };
            lock(&replies.aborts).remove(&(to.call as u64));
            replies.settle(to, outcome);
        });
    }

    /// Ends a call before it is done. Does nothing if it is done.
    pub(crate) fn abort(&self, call: f64) {
        lock(&self.aborts).remove(&(call as u64));
    }

    fn settle(&self, to: ReplyTo, outcome: Outcome) {
        let message = Message::reply(self.handle, to.call, outcome);
        match to.turn {
            // Sent under the lock, so that a later turn cannot overtake it.
            Some(turn) => {
                lock(&self.turns).arrive(turn, message, |message| self.link.send(message));
            }
            None => self.link.send(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_survives_being_a_number() {
        for linger in [Linger::GRACEFUL, Linger::HARD, Linger { onoff: 65535, linger: 65535 }] {
            assert_eq!(unpack(pack(linger)), linger);
        }
    }
}
