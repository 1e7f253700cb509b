//! What a handle stands for: a tunnel, its calls in order, and who is told of it.

#[cfg(unix)]
use std::os::fd::IntoRawFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::binding::calls::{Arguments, Begun, Method, Queue, Replies};
use crate::binding::environment::Link;
use crate::binding::errors::Failure;
use crate::binding::lock;
use crate::binding::observer::{Payload, Watcher};
use crate::runtime;
#[cfg(unix)]
use crate::session::Sock;
use crate::tunnel::{Config, Endpoint, Settings, Tunnel};

/// A tunnel and the order of its calls. Dropping it drops the tunnel, which then closes hard.
pub struct Object {
    tunnel: Tunnel,
    watcher: Arc<Watcher>,
    /// Where JavaScript's stream is to lead to the server.
    #[cfg(unix)]
    sock: Option<Arc<Sock>>,
    /// Apart from the object, so that a reply under way does not keep the tunnel.
    replies: Arc<Replies>,
    queue: Mutex<Queue>,
    /// Calls that are queued or being begun. Zero: nothing stands before a blocking call, since
    /// only the thread that makes it could queue more.
    unbegun: AtomicUsize,
    /// Held by whoever begins calls, so that no two of them begin out of order.
    execution: Mutex<()>,
}

impl Object {
    pub(crate) fn new(handle: u32, link: Arc<Link>, config: Config, settings: Settings) -> Self {
        let watcher = Arc::new(Watcher::new(handle, link.clone()));
        Self {
            #[cfg(unix)]
            sock: config.target.sock().cloned(),
            tunnel: Tunnel::new(config, settings, watcher.clone()),
            watcher,
            replies: Arc::new(Replies::new(handle, link)),
            queue: Mutex::default(),
            unbegun: AtomicUsize::new(0),
            execution: Mutex::new(()),
        }
    }

    pub(crate) fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    pub(crate) fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// The descriptor that JavaScript is to join its stream to; the caller owns it. `None` if there
    /// is no such stream, or none any more.
    #[cfg(unix)]
    pub(crate) fn attach_sock(&self) -> Result<Option<i32>, Failure> {
        let Some(sock) = &self.sock else { return Ok(None) };
        let end = sock.attach().map_err(|error| Failure::of_system("socketpair", &error))?;
        Ok(end.map(IntoRawFd::into_raw_fd))
    }

    #[cfg(not(unix))]
    pub(crate) fn attach_sock(&self) -> Result<Option<i32>, Failure> {
        Ok(None)
    }

    pub(crate) fn belongs_to(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(self.watcher.link(), link)
    }

    /// Begins a call after all that were queued, and blocks until it is done.
    pub(crate) fn call(&self, method: Method, arguments: Arguments) -> Result<Payload, Failure> {
        let may_log_on =
            matches!(method, Method::Connect | Method::StartListening | Method::StartForward);
        if !may_log_on {
            return self.begin_last(method, arguments).wait();
        }
        let (outcome, deadlock) =
            self.watcher.blocking(|| self.begin_last(method, arguments).wait());
        if deadlock { outcome.map_err(|_| Failure::would_deadlock()) } else { outcome }
    }

    fn begin_last(&self, method: Method, arguments: Arguments) -> Begun {
        self.last(|tunnel| Begun::new(tunnel, method, arguments))
    }

    /// Opens a connection after all calls that were queued. Returns its number and the other end of
    /// the socket that carries it.
    #[cfg(unix)]
    pub(crate) fn dial(&self, target: Endpoint) -> Result<(u64, i32), Failure> {
        let made = UnixStream::pair();
        let (ours, theirs) = made.map_err(|error| Failure::of_system("socketpair", &error))?;
        let id = self.last(|tunnel| tunnel.dial(ours, target));
        Ok((id, theirs.into_raw_fd()))
    }

    #[cfg(not(unix))]
    pub(crate) fn dial(&self, _: Endpoint) -> Result<(u64, i32), Failure> {
        let message = "dial() is unavailable on this platform".to_owned();
        Err(Failure::new("ERR_FEATURE_UNAVAILABLE_ON_PLATFORM", message))
    }

    /// Begins something after all calls that were queued.
    fn last<T>(&self, begin: impl FnOnce(&Tunnel) -> T) -> T {
        if self.unbegun.load(Ordering::Acquire) == 0 {
            return begin(&self.tunnel);
        }
        let _execution = lock(&self.execution);
        self.begin_queued(Queue::pop);
        begin(&self.tunnel)
    }

    /// Queues a call; its reply goes to `call`, with `in_turn` not before those of earlier calls.
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        method: Method,
        arguments: Arguments,
        call: f64,
        in_turn: bool,
    ) {
        self.unbegun.fetch_add(1, Ordering::AcqRel);
        if lock(&self.queue).push(method, arguments, call, in_turn) {
            let object = self.clone();
            runtime::handle().spawn(async move {
                // Nobody waits while holding this lock: beginning a call never does.
                let _execution = lock(&object.execution);
                object.begin_queued(Queue::pop_or_end);
            });
        }
    }

    /// Begins queued calls until there are none. The caller holds the execution lock.
    fn begin_queued(&self, mut next: impl FnMut(&mut Queue) -> Option<crate::binding::calls::Job>) {
        while let Some(job) = { next(&mut lock(&self.queue)) } {
            let begun = Begun::new(&self.tunnel, job.method, job.arguments);
            self.unbegun.fetch_sub(1, Ordering::AcqRel);
            match begun {
                Begun::Done(_) => self.replies.settle(job.ticket, begun.wait()),
                Begun::Operation(_)
                | Begun::Started(_)
                | Begun::Forward(_)
                | Begun::Linger(_)
                | Begun::List(_)
                | Begun::Stats(_) => {
                    let replies = self.replies.clone();
                    runtime::handle().spawn(async move {
                        let outcome = begun.done().await;
                        replies.settle(job.ticket, outcome);
                    });
                }
            }
        }
    }
}
