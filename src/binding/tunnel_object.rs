//! The object behind a handle: a tunnel, its calls and its observer.

use std::sync::Arc;

use crate::binding::arguments::Arguments;
use crate::binding::calls::{Method, Replies, Reporting, begin};
use crate::binding::environment::Link;
use crate::binding::errors::Failure;
use crate::binding::observer::{JsObserver, Payload};
use crate::binding::streams;
use crate::tunnel::{Config, Endpoint, Settings, Tunnel};

/// A tunnel with its observer and its replies. Dropping it drops the tunnel, which resets its connections.
pub struct TunnelObject {
    tunnel: Tunnel,
    observer: Arc<JsObserver>,
    /// Apart from the object, so that a pending reply does not keep the tunnel.
    replies: Arc<Replies>,
}

impl TunnelObject {
    pub(crate) fn new(handle: u32, link: Arc<Link>, config: Config, settings: Settings) -> Self {
        let observer = Arc::new(JsObserver::new(handle, link.clone()));
        Self {
            tunnel: Tunnel::new(config, settings, observer.clone()),
            observer,
            replies: Arc::new(Replies::new(handle, link)),
        }
    }

    pub(crate) fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    pub(crate) fn observer(&self) -> &JsObserver {
        &self.observer
    }

    /// Returns the number of the stream that JavaScript joins its stream to; `None` if nothing waits for the
    /// answer to this question any more.
    pub(crate) fn attach_sock(&self, question: u32) -> Option<u32> {
        let end = self.observer.questions().attach_stream(question)?;
        Some(streams::insert(end, self.observer.link()))
    }

    pub(crate) fn belongs_to(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(self.observer.link(), link)
    }

    /// Begins a call, and blocks until it is done.
    pub(crate) fn call(&self, method: Method, arguments: Arguments) -> Result<Payload, Failure> {
        let may_connect =
            matches!(method, Method::Connect | Method::StartListening | Method::StartForward);
        let wait = || begin(&self.tunnel, method, arguments).wait();
        if !may_connect {
            return wait();
        }
        let (outcome, deadlock) = self.observer.blocking(wait);
        if deadlock { outcome.map_err(|_| Failure::would_deadlock()) } else { outcome }
    }

    /// Begins a call; the outcome goes to `call`.
    pub(crate) fn enqueue(
        &self,
        method: Method,
        arguments: Arguments,
        call: f64,
        reporting: Reporting,
    ) {
        let to = self.replies.register(call, reporting);
        let begun = begin(&self.tunnel, method, arguments);
        if reporting.is_abortable() {
            self.replies.reply_or_abort(to, begun, self.tunnel.withdrawal());
        } else {
            self.replies.reply(to, begun);
        }
    }

    /// Ends a call before it is done. Does nothing if it is done.
    pub(crate) fn abort(&self, call: f64) {
        self.replies.abort(call);
    }

    /// Opens a connection. Returns its id, and the number of JavaScript's stream to it.
    pub(crate) fn dial(&self, target: Endpoint) -> (u64, u32) {
        let (id, end) = self.tunnel.dial(target);
        (id, streams::insert(end, self.observer.link()))
    }
}
