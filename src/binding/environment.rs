//! One JavaScript environment (the main thread, or a worker thread): its link, and its tunnels.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use napi::bindgen_prelude::{FnArgs, Function, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};

use crate::binding::errors::Failure;
use crate::binding::observer::{Kind, Message, Payload};
use crate::binding::streams;
use crate::binding::tunnel_object::TunnelObject;

/// The arguments of JavaScript's `dispatch`: handle, kind, number, failure, payload.
pub type Dispatched = FnArgs<(u32, Kind, f64, Option<Failure>, Payload)>;

/// Weak, so that it does not keep the event loop alive by itself. Not callee-handled, so that there is
/// no error argument, and a throw reaches `uncaughtException` unchanged.
type Dispatch = ThreadsafeFunction<Message, Unknown<'static>, Dispatched, Status, false, true, 0>;

/// Sends messages from any thread to the JavaScript of one environment.
pub struct Link {
    /// `None` while JavaScript waits for nothing, and once the environment is torn down. napi aborts the
    /// process if the last reference is dropped on another thread, so only functions of the JavaScript
    /// thread empty this slot, and no task has a reference.
    dispatch: RwLock<Option<Dispatch>>,
    /// The number of messages in the queue.
    waiting: Arc<AtomicUsize>,
}

impl Link {
    /// Queues a message for JavaScript; does nothing while the link is closed.
    pub(crate) fn send(&self, message: Message) {
        if let Some(dispatch) = &*self.dispatch.read().unwrap_or_else(PoisonError::into_inner) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // The queue has no limit; the only error is that it is closing.
            if dispatch.call(message, ThreadsafeFunctionCallMode::NonBlocking) != Status::Ok {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns the number of messages in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Sets whether pending messages keep the event loop alive.
    // The methods are deprecated in favor of dropping the function, which cannot be undone.
    #[allow(deprecated)]
    fn hold(&self, env: &Env, held: bool) -> napi::Result<()> {
        match &mut *self.dispatch.write().unwrap_or_else(PoisonError::into_inner) {
            Some(dispatch) if held => dispatch.refer(env),
            Some(dispatch) => dispatch.unref(env),
            None => Ok(()),
        }
    }

    fn close(&self) {
        self.dispatch.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

thread_local! {
    /// The links of this thread: one, unless the module was loaded twice.
    static LINKS: RefCell<HashMap<u32, Arc<Link>>> = RefCell::default();
    /// The tunnels of this thread, by handle.
    static OBJECTS: RefCell<HashMap<u32, Arc<TunnelObject>>> = RefCell::default();
}

/// Returns the next number for a link, a tunnel or a socket. It is unique in the process, so that it
/// finds nothing on another thread.
pub(crate) fn next_number() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// Makes a link, which is closed at first and lives as long as the environment.
pub(crate) fn attach(env: &Env) -> napi::Result<u32> {
    let number = next_number();
    let link = Arc::new(Link { dispatch: RwLock::new(None), waiting: Arc::default() });
    LINKS.with_borrow_mut(|links| links.insert(number, link.clone()));
    // The hook of an open link's function may run before this one, and only refuses further messages.
    env.add_env_cleanup_hook((number, link), |(number, link)| {
        link.close();
        // A thread that ends has dropped its maps already, and the tunnels in them.
        let _ = LINKS.try_with(|links| links.borrow_mut().remove(&number));
        let _ = OBJECTS.try_with(|objects| {
            objects.borrow_mut().retain(|_, object| !object.belongs_to(&link));
        });
        streams::remove_all(&link);
    })?;
    Ok(number)
}

/// Opens a link: messages go to `dispatch`, and do not keep the event loop alive.
pub(crate) fn open(
    link: u32,
    dispatch: &Function<'_, Dispatched, Unknown<'static>>,
) -> napi::Result<()> {
    let link = find_link(link)?;
    let taken = link.waiting.clone();
    let dispatch = dispatch
        .build_threadsafe_function::<Message>()
        .callee_handled::<false>()
        .weak::<true>()
        .build_callback(move |context| {
            taken.fetch_sub(1, Ordering::Relaxed);
            Ok(context.value.into_arguments())
        })?;
    *link.dispatch.write().unwrap_or_else(PoisonError::into_inner) = Some(dispatch);
    Ok(())
}

/// Closes a link: there are no messages until it is opened again.
pub(crate) fn close(link: u32) -> napi::Result<()> {
    find_link(link)?.close();
    Ok(())
}

/// Sets whether pending messages keep the event loop alive.
pub(crate) fn hold(env: &Env, link: u32, held: bool) -> napi::Result<()> {
    find_link(link)?.hold(env, held)
}

/// Adds the object that `make` makes for a new handle.
pub(crate) fn insert(
    link: u32,
    make: impl FnOnce(u32, Arc<Link>) -> TunnelObject,
) -> napi::Result<u32> {
    let link = find_link(link)?;
    let handle = next_number();
    let object = Arc::new(make(handle, link));
    OBJECTS.with_borrow_mut(|objects| objects.insert(handle, object));
    Ok(handle)
}

/// Drops a tunnel.
pub(crate) fn remove(handle: u32) {
    let object = OBJECTS.with_borrow_mut(|objects| objects.remove(&handle));
    drop(object);
}

/// Returns the object of a handle.
pub(crate) fn find(handle: u32) -> napi::Result<Arc<TunnelObject>> {
    OBJECTS.with_borrow(|objects| objects.get(&handle).cloned()).ok_or_else(|| unknown("tunnel"))
}

/// Returns the link with this number.
pub(crate) fn find_link(link: u32) -> napi::Result<Arc<Link>> {
    LINKS.with_borrow(|links| links.get(&link).cloned()).ok_or_else(|| unknown("link"))
}

/// The error for a number that JavaScript does not have.
pub(crate) fn unknown(what: &str) -> napi::Error {
    napi::Error::new(Status::InvalidArg, format!("there is no such {what} in this environment"))
}
