//! What JavaScript is told: messages, and the observer that makes them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use napi::bindgen_prelude::{Either10, FnArgs, Undefined};
use napi_derive::napi;
use tokio::sync::oneshot;

use crate::binding::environment::{Dispatched, Link};
use crate::binding::errors::Failure;
use crate::binding::lock;
use crate::binding::types::prompts::Prompts;
use crate::binding::types::stats::{Stats, milliseconds};
use crate::binding::types::{Banner, ConnectionEnd, ConnectionInfo, ForwardInfo, HostKey};
use crate::session::{self, HostKeyInfo, Responses};
use crate::tunnel::{self, Answer, DIAL_FORWARD, Event, Observer, SessionStep};

/// Messages that may wait for a busy event loop before no new connections are taken, which would make
/// others. Each costs some hundred bytes.
const MAX_WAITING: usize = 4096;

/// What a message is about.
#[napi]
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The call `number` is done.
    Reply,
    /// The host key in the payload waits for the answer to question `number`.
    HostKey,
    /// The SSH session is up.
    Ready,
    /// The local port is bound.
    Listening,
    /// The connection in the payload waits for an answer.
    ConnectionRequest,
    /// The connection in the payload is open.
    Connection,
    /// A connection has ended as the payload says.
    Disconnected,
    /// The session or the listener broke.
    Error,
    /// Life `number` of the tunnel is over.
    Close,
    /// What the server asks in the payload waits for the answer to question `number`.
    Prompts,
    /// One of several sessions broke, or did not come up.
    SessionError,
    /// The server will not listen any more for forward `number`.
    ForwardError,
    /// Attempt `number` to set up the session again follows after the milliseconds in the payload.
    Reconnecting,
    /// The logon of session `number` begins.
    SessionStarted,
    /// Session `number` is up after the milliseconds in the payload.
    SessionReady,
    /// Session `number` broke.
    SessionLost,
    /// Nothing is left of session `number`.
    SessionEnded,
    /// A server shows what is in the payload to the user.
    Banner,
}

/// What comes with a message.
pub type Payload = Either10<
    Undefined,
    f64,
    Vec<ConnectionInfo>,
    ConnectionInfo,
    ConnectionEnd,
    HostKey,
    Prompts,
    ForwardInfo,
    Stats,
    Banner,
>;

/// One call of JavaScript's `dispatch`.
pub struct Message {
    handle: u32,
    kind: Kind,
    number: f64,
    failure: Option<Failure>,
    payload: Payload,
}

impl Message {
    fn new(handle: u32, kind: Kind, number: f64, payload: Payload) -> Self {
        Self { handle, kind, number, failure: None, payload }
    }

    /// The end of a call.
    pub(crate) fn reply(handle: u32, call: f64, outcome: Result<Payload, Failure>) -> Self {
        let (failure, payload) = match outcome {
            Ok(payload) => (None, payload),
            Err(failure) => (Some(failure), Either10::A(())),
        };
        Self { handle, kind: Kind::Reply, number: call, failure, payload }
    }

    pub(crate) fn into_arguments(self) -> Dispatched {
        FnArgs::from((self.handle, self.kind, self.number, self.failure, self.payload))
    }
}

/// Tells one tunnel's wrapper what happens to it, and keeps what it was asked.
pub struct JsObserver {
    handle: u32,
    link: Arc<Link>,
    /// What JavaScript listens for of that which comes with each connection: a bit for each kind.
    followed: AtomicU32,
    /// Odd while the tunnel is up, one more at every change: tells JavaScript whether the `close`
    /// it was told of is the last one, for what is up keeps the event loop alive until then.
    life: AtomicU32,
    /// Whether the JavaScript thread waits in a call that may log on.
    blocked: AtomicBool,
    /// Whether a host key was refused, or a question not answered, because of that.
    deadlock: AtomicBool,
    questions: Mutex<Questions>,
}

/// What JavaScript was asked and has not answered.
#[derive(Default)]
struct Questions {
    /// The number that the last question about a host key or of a server got.
    last: u32,
    keys: HashMap<u32, oneshot::Sender<bool>>,
    prompts: HashMap<u32, oneshot::Sender<Responses>>,
    /// By the connections' numbers, until they are answered or the connection is no more.
    requests: HashMap<u64, Answer>,
}

impl Questions {
    fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }
}

impl JsObserver {
    pub(crate) fn new(handle: u32, link: Arc<Link>) -> Self {
        Self {
            handle,
            link,
            followed: AtomicU32::new(0),
            life: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            deadlock: AtomicBool::new(false),
            questions: Mutex::default(),
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn follow(&self, kind: Kind, followed: bool) {
        let bit = 1 << kind as u32;
        if followed {
            self.followed.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.followed.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    fn is_followed(&self, kind: Kind) -> bool {
        self.followed.load(Ordering::Relaxed) & (1 << kind as u32) != 0
    }

    pub(crate) fn life(&self) -> u32 {
        self.life.load(Ordering::Acquire)
    }

    /// Answers about a host key; only the first answer counts.
    pub(crate) fn answer_host_key(&self, question: u32, trusted: bool) {
        let asked = lock(&self.questions).keys.remove(&question);
        if let Some(sender) = asked {
            // Whoever gave up waiting needs no answer.
            let _ = sender.send(trusted);
        }
    }

    /// Answers what a server asked, or gives up on it; only the first answer counts.
    pub(crate) fn answer_prompts(&self, question: u32, responses: Option<Responses>) {
        let asked = lock(&self.questions).prompts.remove(&question);
        if let (Some(sender), Some(responses)) = (asked, responses) {
            let _ = sender.send(responses);
        }
    }

    /// Answers about a connection; only the first answer counts.
    pub(crate) fn answer_request(&self, connection: u64, accepted: bool) {
        let asked = lock(&self.questions).requests.remove(&connection);
        if let Some(answer) = asked {
            answer.send(accepted);
        }
    }

    /// Runs `wait` on the JavaScript thread, which meanwhile answers no question; tells whether one
    /// was asked in vain.
    pub(crate) fn blocking<T>(&self, wait: impl FnOnce() -> T) -> (T, bool) {
        self.deadlock.store(false, Ordering::SeqCst);
        self.blocked.store(true, Ordering::SeqCst);
        let result = wait();
        self.blocked.store(false, Ordering::SeqCst);
        (result, self.deadlock.load(Ordering::SeqCst))
    }

    fn ask_about_key(&self, answer: oneshot::Sender<bool>) -> f64 {
        let mut questions = lock(&self.questions);
        questions.keys.retain(|_, sender| !sender.is_closed());
        let number = questions.next();
        questions.keys.insert(number, answer);
        number.into()
    }

    /// Goes to the odd or the even life number that follows, unless it is there already.
    fn turn(&self, up: bool) -> f64 {
        let parity = u32::from(up);
        let life = self.life.load(Ordering::Acquire);
        let life = if life % 2 == parity { life } else { life.wrapping_add(1) };
        // Events of one tunnel come one after the other: nobody else writes.
        self.life.store(life, Ordering::Release);
        life.into()
    }

    /// Tells how far a session has come, if anybody wants to hear it.
    fn tell_session(&self, number: u32, step: SessionStep) {
        let (kind, payload, error) = match step {
            SessionStep::Started => (Kind::SessionStarted, Either10::A(()), None),
            SessionStep::Ready(time) => (Kind::SessionReady, Either10::B(milliseconds(time)), None),
            SessionStep::Lost(error) => (Kind::SessionLost, Either10::A(()), Some(error)),
            SessionStep::Ended(error) => (Kind::SessionEnded, Either10::A(()), error),
        };
        if !self.is_followed(kind) {
            return;
        }
        match error {
            Some(error) => self.send_failure(kind, number.into(), &error, payload),
            None => self.send(kind, number.into(), payload),
        }
    }

    fn send(&self, kind: Kind, number: f64, payload: Payload) {
        self.link.send(Message::new(self.handle, kind, number, payload));
    }

    fn send_failure(&self, kind: Kind, number: f64, error: &tunnel::Error, payload: Payload) {
        let failure = Some(Failure::from(error));
        self.link.send(Message { failure, ..Message::new(self.handle, kind, number, payload) });
    }
}

impl Observer for JsObserver {
    fn event(&self, event: Event) {
        match event {
            Event::Banner(banner) => {
                if self.is_followed(Kind::Banner) {
                    self.send(Kind::Banner, 0.0, Either10::J(banner.into()));
                }
            }
            Event::Ready => self.send(Kind::Ready, self.turn(true), Either10::A(())),
            Event::Session { number, step } => self.tell_session(number, step),
            Event::Listening(_) => self.send(Kind::Listening, self.turn(true), Either10::A(())),
            Event::ConnectionRequest(request) => {
                lock(&self.questions).requests.insert(request.info.id, request.answer);
                self.send(Kind::ConnectionRequest, 0.0, Either10::D((&request.info).into()));
            }
            Event::Connection(info) => {
                if info.forward == DIAL_FORWARD || self.is_followed(Kind::Connection) {
                    self.send(Kind::Connection, 0.0, Either10::D((&info).into()));
                }
            }
            Event::Disconnected(end) => {
                let asked = lock(&self.questions).requests.remove(&end.id);
                drop(asked);
                if end.forward == DIAL_FORWARD || self.is_followed(Kind::Disconnected) {
                    self.send(Kind::Disconnected, 0.0, Either10::E(end.into()));
                }
            }
            Event::Reconnecting { attempt, delay, error } => {
                let delay = Either10::B(delay.as_millis() as f64);
                self.send_failure(Kind::Reconnecting, attempt.into(), &error, delay);
            }
            Event::SessionError(error) => {
                self.send_failure(Kind::SessionError, 0.0, &error, Either10::A(()));
            }
            Event::ForwardError(id, error) => {
                self.send_failure(Kind::ForwardError, id as f64, &error, Either10::A(()));
            }
            Event::Error(error) => self.send_failure(Kind::Error, 0.0, &error, Either10::A(())),
            Event::Close => self.send(Kind::Close, self.turn(false), Either10::A(())),
        }
    }

    fn decides_connections(&self) -> bool {
        self.is_followed(Kind::ConnectionRequest)
    }

    fn is_behind(&self) -> bool {
        self.link.waiting() >= MAX_WAITING
    }

    fn verify_host_key(&self, key: HostKeyInfo, answer: oneshot::Sender<bool>) {
        if self.blocked.load(Ordering::SeqCst) {
            // Dropping the answer refuses the key: better than to wait for a thread that waits.
            self.deadlock.store(true, Ordering::SeqCst);
            return;
        }
        let question = self.ask_about_key(answer);
        self.send(Kind::HostKey, question, Either10::F(key.into()));
    }

    fn answer_prompts(&self, prompts: session::Prompts, answer: oneshot::Sender<Responses>) {
        if self.blocked.load(Ordering::SeqCst) {
            self.deadlock.store(true, Ordering::SeqCst);
            return;
        }
        let mut questions = lock(&self.questions);
        questions.prompts.retain(|_, sender| !sender.is_closed());
        let number = questions.next();
        questions.prompts.insert(number, answer);
        drop(questions);
        self.send(Kind::Prompts, number.into(), Either10::G(prompts.into()));
    }
}
