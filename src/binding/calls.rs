//! The calls of one tunnel: what they do, and that they do it in the order they were made.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use napi::bindgen_prelude::Either10;
use napi_derive::napi;

use crate::binding::environment::Link;
use crate::binding::errors::Failure;
use crate::binding::lock;
use crate::binding::observer::{Message, Payload};
use crate::net::linger::Linger;
use crate::tunnel::{ConnectionInfo, ForwardInfo, Pending, Stats, Tunnel};

/// What a call asks for. The settings come first: they are done at once and cannot fail.
#[napi]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// 1 for a graceful close, 0 for a hard one.
    GetLinger,
    /// Argument: as above.
    SetLinger,
    /// `l_onoff` times 65536 plus `l_linger`.
    GetLingerOption,
    /// Argument: as above.
    SetLingerOption,
    /// 1 or 0.
    GetKeepAlive,
    /// Argument: 1 or 0.
    SetKeepAlive,
    /// Milliseconds, 0 for never.
    GetIdleTimeout,
    /// Argument: as above.
    SetIdleTimeout,
    /// The first of the operations.
    Connect,
    /// Logs on if needed and binds the port.
    StartListening,
    /// Closes the listener.
    StopListening,
    /// Argument: the connection's number.
    Disconnect,
    /// Closes everything by its Linger. Argument: 1 to end it by force, whatever that is.
    Shutdown,
    /// Argument: milliseconds, or -1 for no limit.
    Close,
    /// The connections that exist.
    Connections,
    /// Argument: the connection's number. As `GetLingerOption`.
    GetConnectionLinger,
    /// Argument: the connection's number; the structure is the second one.
    SetConnectionLinger,
    /// Argument: the number of a forward that was prepared. A list of one: as it was bound.
    StartForward,
    /// Argument: the forward's number.
    StopForward,
    /// What was counted.
    Stats,
    /// Argument: the forward's number. What was counted of it.
    ForwardStats,
    /// Argument: the connection's number. Resets it.
    ResetConnection,
}

/// What comes with a call. Plain numbers, which cost less on the way than objects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arguments {
    /// What the method says, 0 without a use for it.
    pub(crate) first: f64,
    /// The LINGER structure in one number, 0 without a use for it.
    pub(crate) linger: f64,
}

/// What a call that has begun still needs.
pub(crate) enum Begun {
    /// Nothing: this is its result.
    Done(f64),
    /// The end of an operation.
    Operation(Pending<()>),
    /// The end of an operation that tells more than is asked for.
    Started(Pending<ForwardInfo>),
    /// The forward, once it is bound.
    Forward(Pending<ForwardInfo>),
    /// The driver's answer.
    Linger(Pending<Linger>),
    /// Likewise.
    List(Pending<Vec<ConnectionInfo>>),
    /// Likewise.
    Stats(Pending<Stats>),
}

impl Begun {
    /// Begins a call. Its arguments were checked by `index.js`: casts do not lose anything.
    pub(crate) fn new(
        tunnel: &Tunnel,
        method: Method,
        Arguments { first: argument, linger }: Arguments,
    ) -> Self {
        let flag = |value: bool| Self::Done(f64::from(u8::from(value)));
        let nothing = Self::Done(0.0);
        match method {
            Method::GetLinger => flag(tunnel.settings().linger.property()),
            Method::SetLinger => {
                let linger = Linger::from_property(argument != 0.0);
                tunnel.update_settings(|settings| settings.linger = linger);
                nothing
            }
            Method::GetLingerOption => Self::Done(pack(tunnel.settings().linger)),
            Method::SetLingerOption => {
                tunnel.update_settings(|settings| settings.linger = unpack(argument));
                nothing
            }
            Method::GetKeepAlive => flag(tunnel.settings().keep_alive),
            Method::SetKeepAlive => {
                tunnel.update_settings(|settings| settings.keep_alive = argument != 0.0);
                nothing
            }
            Method::GetIdleTimeout => {
                let limit = tunnel.settings().idle_timeout.unwrap_or_default();
                Self::Done(limit.as_millis() as f64)
            }
            Method::SetIdleTimeout => {
                let limit = duration(argument);
                tunnel.update_settings(|settings| settings.idle_timeout = limit);
                nothing
            }
            Method::Connect => Self::Operation(tunnel.connect()),
            Method::StartListening => Self::Started(tunnel.start_listening()),
            Method::StopListening => Self::Operation(tunnel.stop_listening()),
            Method::Disconnect => Self::Operation(tunnel.disconnect(argument as u64)),
            Method::Shutdown => Self::Operation(tunnel.shutdown(argument != 0.0)),
            Method::Close => {
                let limit = (argument >= 0.0).then(|| Duration::from_millis(argument as u64));
                Self::Operation(tunnel.close(limit))
            }
            Method::ResetConnection => Self::Operation(tunnel.reset(argument as u64)),
            Method::Connections => Self::List(tunnel.connections()),
            Method::GetConnectionLinger => Self::Linger(tunnel.linger(argument as u64)),
            Method::StartForward => Self::Forward(tunnel.start_forward(argument as i64)),
            Method::StopForward => Self::Operation(tunnel.stop_forward(argument as i64)),
            Method::SetConnectionLinger => {
                Self::Operation(tunnel.set_linger(argument as u64, unpack(linger)))
            }
            Method::Stats => Self::Stats(tunnel.stats(None)),
            Method::ForwardStats => Self::Stats(tunnel.stats(Some(argument as i64))),
        }
    }

    /// Blocks until the call is done.
    pub(crate) fn wait(self) -> Result<Payload, Failure> {
        match self {
            Self::Done(number) => Ok(Either10::B(number)),
            Self::Operation(pending) => nothing(pending.wait()),
            Self::Started(pending) => nothing(pending.wait().map(drop)),
            Self::Forward(pending) => forward(pending.wait()),
            Self::Linger(pending) => structure(pending.wait()),
            Self::List(pending) => list(pending.wait()),
            Self::Stats(pending) => counts(pending.wait()),
        }
    }

    /// Waits until the call is done.
    pub(crate) async fn done(self) -> Result<Payload, Failure> {
        match self {
            Self::Done(number) => Ok(Either10::B(number)),
            Self::Operation(pending) => nothing(pending.await),
            Self::Started(pending) => nothing(pending.await.map(drop)),
            Self::Forward(pending) => forward(pending.await),
            Self::Linger(pending) => structure(pending.await),
            Self::List(pending) => list(pending.await),
            Self::Stats(pending) => counts(pending.await),
        }
    }
}

fn nothing(outcome: Result<(), crate::tunnel::Error>) -> Result<Payload, Failure> {
    outcome.map(Either10::A).map_err(|error| Failure::from(&error))
}

fn forward(outcome: Result<ForwardInfo, crate::tunnel::Error>) -> Result<Payload, Failure> {
    outcome.map(|info| Either10::H(vec![(&info).into()])).map_err(|error| Failure::from(&error))
}

fn structure(outcome: Result<Linger, crate::tunnel::Error>) -> Result<Payload, Failure> {
    outcome.map(|linger| Either10::B(pack(linger))).map_err(|error| Failure::from(&error))
}

fn list(outcome: Result<Vec<ConnectionInfo>, crate::tunnel::Error>) -> Result<Payload, Failure> {
    outcome
        .map(|connections| Either10::C(connections.iter().map(Into::into).collect()))
        .map_err(|error| Failure::from(&error))
}

fn counts(outcome: Result<Stats, crate::tunnel::Error>) -> Result<Payload, Failure> {
    outcome.map(|stats| Either10::I((&stats).into())).map_err(|error| Failure::from(&error))
}

/// The structure as one number.
pub(crate) fn pack(linger: Linger) -> f64 {
    f64::from(u32::from(linger.onoff) << 16 | u32::from(linger.linger))
}

/// The structure that [`pack`], or `index.js`, made a number of.
pub(crate) fn unpack(packed: f64) -> Linger {
    let packed = packed as u32;
    Linger { onoff: (packed >> 16) as u16, linger: packed as u16 }
}

/// Milliseconds, of which 0 means that there is no limit.
pub(crate) fn duration(milliseconds: f64) -> Option<Duration> {
    (milliseconds > 0.0).then(|| Duration::from_millis(milliseconds as u64))
}

/// Who waits for a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// The number JavaScript gave the call.
    pub(crate) call: f64,
    /// The place of its callback among the tunnel's callbacks; a promise has none.
    pub(crate) turn: Option<u64>,
}

/// A call that has not begun.
pub(crate) struct Job {
    pub(crate) method: Method,
    pub(crate) arguments: Arguments,
    pub(crate) ticket: Ticket,
}

/// The calls of a tunnel that have not begun, in their order.
#[derive(Default)]
pub(crate) struct Queue {
    jobs: VecDeque<Job>,
    /// How many callbacks there were: the next one's turn.
    turns: u64,
    /// Whether a task on the runtime is on its way to drain this.
    draining: bool,
}

impl Queue {
    /// Appends a call; tells whether a task to drain the queue has to be started.
    pub(crate) fn push(
        &mut self,
        method: Method,
        arguments: Arguments,
        call: f64,
        in_turn: bool,
    ) -> bool {
        let turn = in_turn.then_some(self.turns);
        self.turns += u64::from(in_turn);
        self.jobs.push_back(Job { method, arguments, ticket: Ticket { call, turn } });
        !std::mem::replace(&mut self.draining, true)
    }

    /// The next call, for whoever holds the execution lock.
    pub(crate) fn pop(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// The next call for the draining task, which ends when there is none.
    pub(crate) fn pop_or_end(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front();
        self.draining = job.is_some();
        job
    }
}

/// Sends replies to JavaScript: callbacks in their turns, promises at once.
pub(crate) struct Replies {
    handle: u32,
    link: Arc<Link>,
    turns: Mutex<Turns<Message>>,
}

impl Replies {
    pub(crate) fn new(handle: u32, link: Arc<Link>) -> Self {
        Self { handle, link, turns: Mutex::default() }
    }

    pub(crate) fn settle(&self, ticket: Ticket, outcome: Result<Payload, Failure>) {
        let message = Message::reply(self.handle, ticket.call, outcome);
        match ticket.turn {
            // Sent under the lock: a later turn must not overtake on the way.
            Some(turn) => {
                lock(&self.turns).arrive(turn, message, |message| self.link.send(message));
            }
            None => self.link.send(message),
        }
    }
}

/// Puts what arrives in any order back in order.
struct Turns<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }
}

impl<T> Turns<T> {
    /// Releases `item` and what waited for it, or keeps it until its turn comes.
    fn arrive(&mut self, turn: u64, item: T, mut release: impl FnMut(T)) {
        if turn != self.next {
            self.early.insert(turn, item);
            return;
        }
        release(item);
        self.next += 1;
        while let Some(item) = self.early.remove(&self.next) {
            release(item);
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_released_in_order_whatever_arrives_first() {
        let mut turns = Turns::default();
        let mut released = Vec::new();
        for turn in [2, 0, 3, 1, 5, 4] {
            turns.arrive(turn, turn, |turn| released.push(turn));
        }
        assert_eq!(released, [0, 1, 2, 3, 4, 5]);
        assert!(turns.early.is_empty());
    }

    #[test]
    fn a_turn_waits_for_those_before_it() {
        let mut turns = Turns::default();
        turns.arrive(1, 'b', |_| panic!("not its turn"));
        let mut released = String::new();
        turns.arrive(0, 'a', |item| released.push(item));
        assert_eq!(released, "ab");
    }

    #[test]
    fn promises_take_no_turn_and_one_task_drains() {
        let mut queue = Queue::default();
        let none = Arguments { first: 0.0, linger: 0.0 };
        assert!(queue.push(Method::GetLinger, none, 1.0, true));
        assert!(!queue.push(Method::GetLinger, none, 2.0, false));
        assert!(!queue.push(Method::GetLinger, none, 3.0, true));
        let turns: Vec<_> =
            std::iter::from_fn(|| queue.pop_or_end()).map(|job| job.ticket.turn).collect();
        assert_eq!(turns, [Some(0), None, Some(1)]);
        assert!(queue.push(Method::GetLinger, none, 4.0, true), "the task has ended");
    }

    #[test]
    fn a_structure_survives_being_a_number() {
        for linger in [Linger::GRACEFUL, Linger::HARD, Linger { onoff: 65535, linger: 65535 }] {
            assert_eq!(unpack(pack(linger)), linger);
        }
    }
}
