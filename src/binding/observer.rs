//! Messages to JavaScript, and the observer that sends the events of a tunnel.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use napi::bindgen_prelude::{Either11, FnArgs, Undefined};
use napi_derive::napi;
use tokio::sync::oneshot;

use crate::binding::environment::{Dispatched, Link};
use crate::binding::errors::Failure;
use crate::binding::lock;
use crate::binding::streams::StreamWaker;
use crate::binding::types::inquiry::Inquiry as NativeInquiry;
use crate::binding::types::stats::{Stats, milliseconds};
use crate::binding::types::{Banner, ConnectionEnd, ConnectionInfo, ForwardInfo, HostKey};
use crate::session::{HostKeyInfo, Inquiry, LogSink, Responses};
use crate::tunnel::{self, Answer, DIAL_FORWARD, Event, Observer, SessionStep};

/// Messages in the queue above which the tunnel accepts no connections, which would add more. Each has
/// some hundred bytes.
const MAX_WAITING: usize = 4096;

/// Messages in the queue above which lines of the log are left out, so that they do not delay events.
const MAX_WAITING_LINES: usize = MAX_WAITING / 2;

/// The kind of a message.
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
    /// The session or the listener failed.
    Error,
    /// Life `number` of the tunnel is over.
    Close,
    /// What the payload asks for waits for the answer to question `number`.
    Inquiry,
    /// One of several sessions disconnected, or could not connect.
    SessionError,
    /// The server does not listen for forward `number` any more.
    ForwardError,
    /// Attempt `number` to reconnect follows after the milliseconds in the payload.
    Reconnecting,
    /// Session `number` begins to connect.
    SessionStarted,
    /// Session `number` is up after the milliseconds in the payload.
    SessionReady,
    /// Session `number` disconnected.
    SessionLost,
    /// Session `number` has ended.
    SessionEnded,
    /// A server sends the banner in the payload.
    Banner,
    /// There may be something to read from stream `number`, or room to write.
    Woken,
    /// The payload is a line of the log.
    Log,
}

/// The payload of a message.
pub type Payload = Either11<
    Undefined,
    f64,
    Vec<ConnectionInfo>,
    ConnectionInfo,
    ConnectionEnd,
    HostKey,
    NativeInquiry,
    ForwardInfo,
    Stats,
    Banner,
    String,
>;

/// A message: one call of JavaScript's `dispatch`.
pub struct Message {
    handle: u32,
    kind: Kind,
    number: f64,
    failure: Option<Failure>,
    payload: Payload,
    /// Of a `Woken`.
    waker: Option<Arc<StreamWaker>>,
}

impl Message {
    fn new(handle: u32, kind: Kind, number: f64, payload: Payload) -> Self {
        Self { handle, kind, number, failure: None, payload, waker: None }
    }

    /// A stream is ready for JavaScript.
    pub(crate) fn woken(waker: Arc<StreamWaker>) -> Self {
        let number = waker.stream().into();
        Self { waker: Some(waker), ..Self::new(0, Kind::Woken, number, Either11::A(())) }
    }

    /// The outcome of a call.
    pub(crate) fn reply(handle: u32, call: f64, outcome: Result<Payload, Failure>) -> Self {
        let (failure, payload) = match outcome {
            Ok(payload) => (None, payload),
            Err(failure) => (Some(failure), Either11::A(())),
        };
        Self { failure, ..Self::new(handle, Kind::Reply, call, payload) }
    }

    /// The arguments of the call, which follows at once.
    pub(crate) fn into_arguments(self) -> Dispatched {
        if let Some(waker) = self.waker {
            waker.arrived();
        }
        FnArgs::from((self.handle, self.kind, self.number, self.failure, self.payload))
    }
}

/// Sends the events of a tunnel to JavaScript, and keeps its open questions.
pub struct JsObserver {
    handle: u32,
    link: Arc<Link>,
    /// The kinds of events that JavaScript follows, one bit each.
    followed: AtomicU32,
    /// Odd while the tunnel is up, and incremented at every change. By it JavaScript knows whether a
    /// `Close` is the last one: until then the tunnel keeps the event loop alive.
    life: AtomicU32,
    /// Whether the JavaScript thread waits in a call that may connect.
    blocked: AtomicBool,
    /// Whether a question could not be asked because of that.
    deadlock: AtomicBool,
    /// Lines of the log that were left out since the last one.
    left_out: AtomicU32,
    questions: Mutex<Questions>,
}

/// Questions that JavaScript has not answered.
#[derive(Default)]
struct Questions {
    /// The number of the last question about a host key, or inquiry.
    last: u32,
    keys: HashMap<u32, oneshot::Sender<bool>>,
    inquiries: HashMap<u32, oneshot::Sender<Responses>>,
    /// By the connections' ids, until they are answered or the connection has ended.
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
            left_out: AtomicU32::new(0),
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
            // The receiver may have given up.
            let _ = sender.send(trusted);
        }
    }

    /// Answers an inquiry, or gives up on it; only the first answer counts.
    pub(crate) fn answer_inquiry(&self, question: u32, responses: Option<Responses>) {
        let asked = lock(&self.questions).inquiries.remove(&question);
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

    /// Runs `wait` on the JavaScript thread, which cannot answer questions meanwhile. Returns whether one
    /// could not be asked.
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

    /// Advances to the next odd or even life number, unless it is already there.
    fn turn(&self, up: bool) -> f64 {
        let parity = u32::from(up);
        let life = self.life.load(Ordering::Acquire);
        let life = if life % 2 == parity { life } else { life.wrapping_add(1) };
        // The events of a tunnel are sequential: there is no other writer.
        self.life.store(life, Ordering::Release);
        life.into()
    }

    /// Sends the step of a session, if JavaScript follows it.
    fn send_session(&self, number: u32, step: SessionStep) {
        let (kind, payload, error) = match step {
            SessionStep::Started => (Kind::SessionStarted, Either11::A(()), None),
            SessionStep::Ready(time) => (Kind::SessionReady, Either11::B(milliseconds(time)), None),
            SessionStep::Lost(error) => (Kind::SessionLost, Either11::A(()), Some(error)),
            SessionStep::Ended(error) => (Kind::SessionEnded, Either11::A(()), error),
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

impl LogSink for JsObserver {
    fn is_on(&self) -> bool {
        self.is_followed(Kind::Log)
    }

    fn line(&self, line: String) {
        if self.link.waiting() >= MAX_WAITING_LINES {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let notice = format!("{left_out} lines are left out here: the event loop is too slow");
            self.send(Kind::Log, 0.0, Either11::K(notice));
        }
        self.send(Kind::Log, 0.0, Either11::K(line));
    }
}

impl Observer for JsObserver {
    fn event(&self, event: Event) {
        match event {
            Event::Banner(banner) => {
                if self.is_followed(Kind::Banner) {
                    self.send(Kind::Banner, 0.0, Either11::J(banner.into()));
                }
            }
            Event::Ready => self.send(Kind::Ready, self.turn(true), Either11::A(())),
            Event::Session { number, step } => self.send_session(number, step),
            Event::Listening(_) => self.send(Kind::Listening, self.turn(true), Either11::A(())),
            Event::ConnectionRequest(request) => {
                lock(&self.questions).requests.insert(request.info.id, request.answer);
                self.send(Kind::ConnectionRequest, 0.0, Either11::D((&request.info).into()));
            }
            Event::Connection(info) => {
                if info.forward == DIAL_FORWARD || self.is_followed(Kind::Connection) {
                    self.send(Kind::Connection, 0.0, Either11::D((&info).into()));
                }
            }
            Event::Disconnected(end) => {
                let asked = lock(&self.questions).requests.remove(&end.id);
                drop(asked);
                if end.forward == DIAL_FORWARD || self.is_followed(Kind::Disconnected) {
                    self.send(Kind::Disconnected, 0.0, Either11::E(end.into()));
                }
            }
            Event::Reconnecting { attempt, delay, error } => {
                let delay = Either11::B(delay.as_millis() as f64);
                self.send_failure(Kind::Reconnecting, attempt.into(), &error, delay);
            }
            Event::SessionError(error) => {
                self.send_failure(Kind::SessionError, 0.0, &error, Either11::A(()));
            }
            Event::ForwardError(id, error) => {
                self.send_failure(Kind::ForwardError, id as f64, &error, Either11::A(()));
            }
            Event::Error(error) => self.send_failure(Kind::Error, 0.0, &error, Either11::A(())),
            Event::Close => self.send(Kind::Close, self.turn(false), Either11::A(())),
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
            // Dropping the answer rejects the key: this thread cannot answer while it waits.
            self.deadlock.store(true, Ordering::SeqCst);
            return;
        }
        let question = self.ask_about_key(answer);
        self.send(Kind::HostKey, question, Either11::F(key.into()));
    }

    fn answer(&self, inquiry: Inquiry, answer: oneshot::Sender<Responses>) {
        if self.blocked.load(Ordering::SeqCst) {
            self.deadlock.store(true, Ordering::SeqCst);
            return;
        }
        let mut questions = lock(&self.questions);
        questions.inquiries.retain(|_, sender| !sender.is_closed());
        let number = questions.next();
        questions.inquiries.insert(number, answer);
        drop(questions);
        self.send(Kind::Inquiry, number.into(), Either11::G(inquiry.into()));
    }
}
