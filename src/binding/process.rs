//! The process itself, for the command in the background and under a service manager.

use std::fs::File;
use std::os::fd::AsFd;

use napi_derive::napi;

use crate::binding::errors::Failure;
use crate::net::{datagram, sys};

/// Leaves the terminal and its session; with `is_silent`, standard error leads nowhere from then on.
#[napi(catch_unwind)]
pub fn detach(is_silent: bool) -> Option<Failure> {
    let null = || File::options().write(true).open("/dev/null");
    let detached = if is_silent {
        null().and_then(|null| sys::detach(Some(null.as_fd())))
    } else {
        sys::detach(None)
    };
    detached.err().map(|error| Failure::of_system("setsid", &error))
}

/// Sends a datagram to a Unix socket, whose name is abstract if it begins with `@`; never waits.
// The macro hands strings over by value.
#[allow(clippy::needless_pass_by_value)]
#[napi(catch_unwind)]
pub fn send_datagram(name: String, message: String) -> Option<Failure> {
    let sent = datagram::send(&name, message.as_bytes());
    sent.err().map(|error| Failure::of_system("sendto", &error))
}
