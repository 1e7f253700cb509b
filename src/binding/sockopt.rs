//! Functions for sockets of the application, which `lib/sockopt.js` calls.

use std::cell::RefCell;
use std::collections::HashMap;

use napi::bindgen_prelude::{Either, Either13};
use napi_derive::napi;

use crate::binding::calls::{pack, unpack};
use crate::binding::environment::{find_link, next_number, unknown};
use crate::binding::errors::Failure;
use crate::binding::observer::Message;
use crate::binding::types::EndpointOption;
use crate::net::external::{self, Closed, ClosingSocket, Output};
use crate::runtime;
use crate::tunnel::Endpoint;

/// How much of a stream the kernel has taken.
#[napi]
#[derive(Clone, Copy, Debug)]
pub enum Written {
    /// Everything.
    Whole,
    /// Everything and the end of the stream.
    Finished,
    /// Not everything.
    Cut,
}

/// A socket that is about to be closed.
#[napi(object, object_from_js = false)]
pub struct TakenSocket {
    /// For `closeSocket`.
    pub handle: u32,
    /// The LINGER structure, packed.
    pub linger: f64,
}

thread_local! {
    /// Sockets that JavaScript still writes to. At the end of the thread the kernel closes them.
    static TAKEN: RefCell<HashMap<u32, ClosingSocket>> = RefCell::default();
}

/// Returns the LINGER structure of a socket, packed; `syscall` is for the error.
// The macro hands strings over by value.
#[allow(clippy::needless_pass_by_value)]
#[napi(catch_unwind)]
pub fn socket_linger(descriptor: i32, syscall: String) -> Either<f64, Failure> {
    match external::linger(descriptor) {
        Ok(linger) => Either::A(pack(linger)),
        Err(error) => Either::B(Failure::of_socket(&syscall, &error)),
    }
}

/// Sets the LINGER structure of a socket.
#[napi(catch_unwind)]
pub fn set_socket_linger(descriptor: i32, packed: f64) -> Option<Failure> {
    failed("setsockopt", external::set_linger(descriptor, unpack(packed)))
}

/// Turns lingering on or off.
#[napi(catch_unwind)]
pub fn switch_socket_linger(descriptor: i32, on: bool) -> Option<Failure> {
    failed("setsockopt", external::switch_linger(descriptor, on))
}

/// Returns where a socket listens.
#[napi(catch_unwind)]
pub fn listener_address(descriptor: i32) -> Either<EndpointOption, Failure> {
    match external::listener_address(descriptor) {
        Ok(address) => Either::A((&Endpoint::from(&address)).into()),
        Err(error) => Either::B(Failure::of_socket("getsockname", &error)),
    }
}

fn failed(syscall: &str, outcome: Result<(), external::Error>) -> Option<Failure> {
    outcome.err().map(|error| Failure::of_socket(syscall, &error))
}

/// Begins to close a socket: its linger time starts. With `owned` the addon owns the descriptor.
#[napi(catch_unwind)]
pub fn take_socket(descriptor: i32, owned: bool) -> Either<TakenSocket, Failure> {
    let taken =
        if owned { ClosingSocket::own(descriptor) } else { ClosingSocket::share(descriptor) };
    match taken {
        Ok(taken) => {
            let handle = next_number();
            let linger = pack(taken.linger());
            TAKEN.with_borrow_mut(|all| all.insert(handle, taken));
            Either::A(TakenSocket { handle, linger })
        }
        Err(error) => Either::B(Failure::of_socket("closesocket", &error)),
    }
}

/// Closes a socket that was taken, and blocks until it is done. Returns the number of unacknowledged
/// bytes, or its complement after a reset (-1 for 0).
#[napi(catch_unwind)]
pub fn close_socket(handle: u32, written: Written, left: f64) -> napi::Result<f64> {
    let taken = remove(handle)?;
    Ok(pack_closed(runtime::handle().block_on(taken.close(output(written, left)))))
}

/// Closes a socket that was taken; the number is dispatched as reply `call`.
#[napi(catch_unwind)]
pub fn enqueue_close(
    link: u32,
    handle: u32,
    written: Written,
    left: f64,
    call: f64,
) -> napi::Result<()> {
    let link = find_link(link)?;
    let taken = remove(handle)?;
    runtime::handle().spawn(async move {
        let closed = taken.close(output(written, left)).await;
        link.send(Message::reply(0, call, Ok(Either13::B(pack_closed(closed)))));
    });
    Ok(())
}

fn remove(handle: u32) -> napi::Result<ClosingSocket> {
    TAKEN.with_borrow_mut(|all| all.remove(&handle)).ok_or_else(|| unknown("socket"))
}

fn output(written: Written, left: f64) -> Output {
    match written {
        Written::Whole => Output::Whole,
        Written::Finished => Output::Finished,
        Written::Cut => Output::Cut(left as u64),
    }
}

fn pack_closed(closed: Closed) -> f64 {
    let unsent = closed.unsent as f64;
    if closed.graceful { unsent } else { -1.0 - unsent }
}
