//! System calls that the standard library does not offer: the only unsafe code of this program.

#![allow(unsafe_code)]

use std::io;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::{fs::File, os::fd::FromRawFd};

#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;

/// Raises the limit of open descriptors as far as it goes without privileges.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit into `limit`, which outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit from `limit`, which outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Elsewhere sockets are not counted among a limited number of descriptors.
#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit() -> io::Result<()> {
    Ok(())
}

/// SO_RCVLOWAT: a read waits until so many bytes are there, or the end of the stream.
#[cfg(unix)]
pub(crate) fn set_low_water(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is borrowed from a live socket; the pointer and length describe
    // `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Windows does not have it.
#[cfg(not(unix))]
pub(crate) fn set_low_water(_: &TcpStream, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A timer that can be waited for and read like a socket.
#[cfg(target_os = "linux")]
pub(crate) fn timer() -> io::Result<AsyncFd<File>> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: takes two integers, and touches no memory of this process.
    let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
    if timer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made, and belongs to nobody else.
    let timer = unsafe { File::from_raw_fd(timer) };
    // SAFETY: a File has one descriptor, and keeps it open until it is dropped.
    Ok(unsafe { AsyncFd::register(timer) }?)
}

/// Has the timer go off once. No time at all would stop it.
#[cfg(target_os = "linux")]
pub(crate) fn set_timer(timer: &impl AsRawFd, after: Duration) -> io::Result<()> {
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: after.subsec_nanos().into(),
    };
    let times = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: the descriptor is borrowed from its owner; the kernel reads one itimerspec from
    // `times`, which outlives the call, and writes nothing to a null pointer.
    let status = unsafe {
        libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const times, std::ptr::null_mut())
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
