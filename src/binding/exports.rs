//! The functions that `lib/` calls. They trust their arguments: `lib/validate` has checked them.

use napi::Env;
use napi::bindgen_prelude::{Either, Function, Uint8Array, Unknown};
use napi_derive::napi;
use zeroize::Zeroizing;

use crate::binding::arguments::{Arguments, Subject};
use crate::binding::calls::{Method, Reporting};
use crate::binding::environment::{self, Dispatched};
use crate::binding::errors::Failure;
use crate::binding::observer::{Kind, Payload};
use crate::binding::options::Options;
use crate::binding::options::given::CredentialsOption;
use crate::binding::tunnel_object::TunnelObject;
use crate::binding::types::enums::TunnelState;
use crate::binding::types::{Dialed, EndpointOption, ForwardInfo};

/// Makes a link between the runtime and this environment; once for each time the module is loaded.
/// Returns its number.
#[napi(catch_unwind)]
pub fn attach(env: &Env) -> napi::Result<u32> {
    environment::attach(env)
}

/// Opens a link: `dispatch(handle, kind, number, failure, payload)` is called for replies and events.
// The macro hands functions over by value.
#[allow(clippy::needless_pass_by_value)]
#[napi(catch_unwind)]
pub fn open_link(
    link: u32,
    dispatch: Function<'_, Dispatched, Unknown<'static>>,
) -> napi::Result<()> {
    environment::open(link, &dispatch)
}

/// Closes a link. JavaScript waits for nothing: no call is under way, no tunnel is up, no stream open.
#[napi(catch_unwind)]
pub fn close_link(link: u32) -> napi::Result<()> {
    environment::close(link)
}

/// Sets whether pending messages keep the event loop alive; they do not at first.
#[napi(catch_unwind)]
pub fn hold(env: &Env, link: u32, held: bool) -> napi::Result<()> {
    environment::hold(env, link, held)
}

/// Makes a tunnel, and returns its handle.
#[napi(catch_unwind)]
pub fn create(link: u32, options: Options) -> napi::Result<Either<u32, Failure>> {
    let (config, settings) = match options.into_parts() {
        Ok(parts) => parts,
        Err(failure) => return Ok(Either::B(failure)),
    };
    environment::insert(link, |handle, link| TunnelObject::new(handle, link, config, settings))
        .map(Either::A)
}

/// Drops a tunnel.
#[napi(catch_unwind)]
pub fn release(handle: u32) {
    environment::remove(handle);
}

/// Calls a method, and blocks until it is done.
#[napi(catch_unwind)]
pub fn call(
    handle: u32,
    method: Method,
    number: f64,
    value: f64,
    subject: Option<Subject>,
) -> napi::Result<Either<Payload, Failure>> {
    let arguments = Arguments { number, value, ..subject.unwrap_or_default().try_into()? };
    Ok(match environment::find(handle)?.call(method, arguments) {
        Ok(payload) => Either::A(payload),
        Err(failure) => Either::B(failure),
    })
}

/// Calls a method; its outcome is dispatched as reply `call`.
#[napi(catch_unwind)]
pub fn enqueue(
    handle: u32,
    method: Method,
    number: f64,
    value: f64,
    subject: Option<Subject>,
    call: f64,
    reporting: Reporting,
) -> napi::Result<()> {
    let arguments = Arguments { number, value, ..subject.unwrap_or_default().try_into()? };
    environment::find(handle)?.enqueue(method, arguments, call, reporting);
    Ok(())
}

/// Ends an abortable call before it is done: it fails with `ABORT_ERR`, and what it had begun is undone.
/// Does nothing if the call is done.
#[napi(catch_unwind)]
pub fn abort(handle: u32, call: f64) -> napi::Result<()> {
    environment::find(handle)?.abort(call);
    Ok(())
}

/// Answers a `Sock` with a stream: returns the number of the stream to join it to, or nothing if it is not
/// wanted any more.
#[napi(catch_unwind)]
pub fn attach_sock(handle: u32, question: u32) -> Option<u32> {
    environment::find(handle).ok()?.attach_sock(question)
}

/// Answers a `Sock` with the message of an exception, or with none if the only stream was used before.
#[napi(catch_unwind)]
pub fn refuse_sock(handle: u32, question: u32, message: Option<String>) {
    if let Ok(object) = environment::find(handle) {
        object.observer().questions().refuse_stream(question, message);
    }
}

/// Returns the forward with this id, if it is bound, or will be bound again after a reconnect.
#[napi(catch_unwind)]
pub fn forward(handle: u32, number: i64) -> napi::Result<Option<ForwardInfo>> {
    let info = environment::find(handle)?.tunnel().forward(number);
    Ok(info.as_ref().map(ForwardInfo::from))
}

/// Opens a connection of the application. A `Connection` and a `Disconnected` with its id report on
/// it, also if nothing follows these events.
#[napi(catch_unwind)]
pub fn dial(handle: u32, target: EndpointOption) -> napi::Result<Dialed> {
    let (id, stream) = environment::find(handle)?.dial(target.try_into()?);
    Ok(Dialed { connection_id: id as f64, stream })
}

/// Answers a `HostKey`; `thrown`: the hostVerifier threw. Only the first answer counts, and none after the tunnel is dropped.
#[napi(catch_unwind)]
pub fn answer_host_key(handle: u32, question: u32, trusted: bool, thrown: bool) {
    if let Ok(object) = environment::find(handle) {
        object.observer().questions().answer_host_key(question, trusted, thrown);
    }
}

/// Answers a `Credentials`. Only the first answer counts, and none after the tunnel is dropped.
#[napi(catch_unwind)]
pub fn answer_credentials(handle: u32, question: u32, answer: CredentialsOption) {
    if let Ok(object) = environment::find(handle) {
        object.observer().questions().answer_credentials(question, answer.into_answer(question));
    }
}

/// Answers an `Inquiry`, or gives up on it. Only the first answer counts, and none after the tunnel is
/// dropped.
#[napi(catch_unwind)]
pub fn answer_inquiry(handle: u32, question: u32, responses: Option<Vec<Uint8Array>>) {
    // JavaScript wipes the originals.
    let copy = |response: &Uint8Array| Zeroizing::new(response.to_vec());
    let responses = responses.map(|given| given.iter().map(copy).collect());
    if let Ok(object) = environment::find(handle) {
        object.observer().questions().answer_inquiry(question, responses);
    }
}

/// Answers a `ConnectionRequest`. Only the first answer counts, and none after the tunnel is dropped:
/// the application may have kept the request.
#[napi(catch_unwind)]
pub fn answer_request(handle: u32, connection: f64, accepted: bool) {
    if let Ok(object) = environment::find(handle) {
        object.observer().questions().answer_request(connection as u64, accepted);
    }
}

/// Sets whether JavaScript follows events of this kind. A `ConnectionRequest` waits for an answer only
/// if it is followed, and each event of a connection costs the event loop some time.
#[napi(catch_unwind)]
pub fn follow(handle: u32, kind: Kind, followed: bool) -> napi::Result<()> {
    environment::find(handle)?.observer().follow(kind, followed);
    Ok(())
}

/// Returns whether there are events to come after the `Close` with number `closed`.
#[napi(catch_unwind)]
pub fn alive(handle: u32, closed: u32) -> napi::Result<bool> {
    let object = environment::find(handle)?;
    let tunnel = object.tunnel();
    Ok(object.observer().life() != closed || tunnel.ready() || tunnel.has_forwards())
}

/// Returns whether an SSH session is up.
#[napi(catch_unwind)]
pub fn ready(handle: u32) -> napi::Result<bool> {
    Ok(environment::find(handle)?.tunnel().ready())
}

/// Returns what the tunnel is doing.
#[napi(catch_unwind)]
pub fn state(handle: u32) -> napi::Result<TunnelState> {
    Ok(environment::find(handle)?.tunnel().state().into())
}

/// Returns whether the local port is bound.
#[napi(catch_unwind)]
pub fn listening(handle: u32) -> napi::Result<bool> {
    Ok(environment::find(handle)?.tunnel().listening())
}

/// Returns the local port.
#[napi(catch_unwind)]
pub fn local_port(handle: u32) -> napi::Result<u16> {
    Ok(environment::find(handle)?.tunnel().local_port())
}
