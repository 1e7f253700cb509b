//! Messages to JavaScript, and the observer that sends the events of a tunnel.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use napi::bindgen_prelude::{Either13, FnArgs, Undefined};
use napi_derive::napi;
use tokio::sync::oneshot;

use crate::binding::environment::{Dispatched, Link};
use crate::binding::errors::Failure;
use crate::binding::questions::Questions;
use crate::binding::streams::StreamWaker;
use crate::binding::types::credentials::CredentialsQuestion;
use crate::binding::types::inquiry::Inquiry;
use crate::binding::types::stats::{Stats, milliseconds};
use crate::binding::types::{Banner, ConnectionEnd, ConnectionInfo, ForwardInfo, HostKey, MaxRate};
use crate::session::{
    self, Application, CredentialsFailure, CredentialsRequest, HostKeyInfo, LogSink,
    PendingCredentials, Responses, SockStream, Verdict,
};
use crate::tunnel::{self, DIAL_FORWARD, Event, Observer, SessionStep};

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
    /// The inquiry in the payload waits for the answer to question `number`.
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
    /// The credentials in the payload are to be given as the answer to question `number`.
    Credentials,
    /// Nothing waits for the answer to question `number` any more.
    Withdrawn,
    /// A session needs a stream of `sock`, as the answer to question `number`.
    Sock,
    /// There may be something to read from stream `number`, or room to write.
    Woken,
    /// The payload is a line of the log.
    Log,
}

/// The payload of a message.
pub type Payload = Either13<
    Undefined,
    f64,
    Vec<ConnectionInfo>,
    ConnectionInfo,
    ConnectionEnd,
    HostKey,
    Inquiry,
    ForwardInfo,
    Stats,
    Banner,
    String,
    CredentialsQuestion,
    MaxRate,
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
        Self { waker: Some(waker), ..Self::new(0, Kind::Woken, number, Either13::A(())) }
    }

    /// The outcome of a call.
    pub(crate) fn reply(handle: u32, call: f64, outcome: Result<Payload, Failure>) -> Self {
        let (failure, payload) = match outcome {
            Ok(payload) => (None, payload),
            Err(failure) => (Some(failure), Either13::A(())),
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
    questions: Arc<Questions>,
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
            questions: Arc::default(),
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

    pub(crate) fn questions(&self) -> &Questions {
        &self.questions
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

    /// Returns whether questions can be asked. They cannot while the JavaScript thread waits: it could not
    /// answer.
    fn can_ask(&self) -> bool {
        let blocked = self.blocked.load(Ordering::SeqCst);
        if blocked {
            self.deadlock.store(true, Ordering::SeqCst);
        }
        !blocked
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
            SessionStep::Started => (Kind::SessionStarted, Either13::A(()), None),
            SessionStep::Ready(time) => (Kind::SessionReady, Either13::B(milliseconds(time)), None),
            SessionStep::Lost(error) => (Kind::SessionLost, Either13::A(()), Some(error)),
            SessionStep::Ended(error) => (Kind::SessionEnded, Either13::A(()), error),
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
            self.send(Kind::Log, 0.0, Either13::K(notice));
        }
        self.send(Kind::Log, 0.0, Either13::K(line));
    }
}

impl Observer for JsObserver {
    fn event(&self, event: Event) {
        match event {
            Event::Ready => self.send(Kind::Ready, self.turn(true), Either13::A(())),
            Event::Session { number, step } => self.send_session(number, step),
            Event::Listening(_) => self.send(Kind::Listening, self.turn(true), Either13::A(())),
            Event::ConnectionRequest(request) => {
                self.questions.ask_about_connection(request.info.id, request.answer);
                self.send(Kind::ConnectionRequest, 0.0, Either13::D((&request.info).into()));
            }
            Event::Connection(info) => {
                if info.forward == DIAL_FORWARD || self.is_followed(Kind::Connection) {
                    self.send(Kind::Connection, 0.0, Either13::D((&info).into()));
                }
            }
            Event::Disconnected(end) => {
                self.questions.connection_ended(end.id);
                if end.forward == DIAL_FORWARD || self.is_followed(Kind::Disconnected) {
                    self.send(Kind::Disconnected, 0.0, Either13::E(end.into()));
                }
            }
            Event::Reconnecting { attempt, delay, error } => {
                let delay = Either13::B(delay.as_millis() as f64);
                self.send_failure(Kind::Reconnecting, attempt.into(), &error, delay);
            }
            Event::SessionError(error) => {
                self.send_failure(Kind::SessionError, 0.0, &error, Either13::A(()));
            }
            Event::ForwardError(id, error) => {
                self.send_failure(Kind::ForwardError, id as f64, &error, Either13::A(()));
            }
            Event::Error(error) => self.send_failure(Kind::Error, 0.0, &error, Either13::A(())),
            Event::Close => self.send(Kind::Close, self.turn(false), Either13::A(())),
        }
    }

    fn decides_connections(&self) -> bool {
        self.is_followed(Kind::ConnectionRequest)
    }

    fn is_behind(&self) -> bool {
        self.link.waiting() >= MAX_WAITING
    }
}

impl Application for JsObserver {
    fn verify_host_key(&self, key: HostKeyInfo, answer: oneshot::Sender<Verdict>) {
        // Dropping the answer rejects the key.
        if self.can_ask() {
            let question = self.questions.ask_about_key(answer);
            self.send(Kind::HostKey, question.into(), Either13::F(key.into()));
        }
    }

    fn answer(&self, inquiry: session::Inquiry, answer: oneshot::Sender<Responses>) {
        if self.can_ask() {
            let question = self.questions.inquire(answer);
            self.send(Kind::Inquiry, question.into(), Either13::G(inquiry.into()));
        }
    }

    fn credentials(&self, request: CredentialsRequest) -> PendingCredentials {
        if !self.can_ask() {
            // The call that blocks the thread explains the error.
            return Box::pin(ready(Err(CredentialsFailure::unanswered())));
        }
        let (handle, link) = (self.handle, self.link.clone());
        let (question, answer) = self.questions.ask_for_credentials(move |question| {
            link.send(Message::new(handle, Kind::Withdrawn, question.into(), Either13::A(())));
        });
        self.send(Kind::Credentials, question.into(), Either13::L(request.into()));
        Box::pin(answer)
    }

    fn stream(&self, answer: oneshot::Sender<Result<SockStream, session::Error>>) {
        if self.can_ask() {
            let question = self.questions.ask_for_stream(answer);
            self.send(Kind::Sock, question.into(), Either13::A(()));
        }
    }

    fn banner(&self, banner: session::Banner) {
        if self.is_followed(Kind::Banner) {
            self.send(Kind::Banner, 0.0, Either13::J(banner.into()));
        }
    }
}
