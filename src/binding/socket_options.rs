//! Numbers of socket options. Windows has them too, although the functions of `sockopt` are for Unix: a
//! call there fails with ENOTSUP, not with a complaint about its arguments.

use napi_derive::napi;

#[cfg(unix)]
use libc as numbers;

/// From winsock2.h; the libc crate does not have them.
#[cfg(windows)]
mod numbers {
    pub(super) const SOL_SOCKET: i32 = 0xffff;
    pub(super) const SO_LINGER: i32 = 0x0080;
}

/// The level of the options.
#[napi]
pub const SOL_SOCKET: i32 = numbers::SOL_SOCKET;
/// The option whose value is the LINGER structure.
#[napi]
pub const SO_LINGER: i32 = numbers::SO_LINGER;
/// The number of SO_DONTLINGER, formed as in Winsock; Unix has no such option.
#[napi]
pub const SO_DONTLINGER: i32 = !numbers::SO_LINGER;
