//! Raw socket calls that socket2 does not offer: the only unsafe code of the project.

#![allow(unsafe_code)]

use std::io;

use socket2::SockRef;

/// Sends SIGHUP to a process. Only for a child that was not waited for: its number is still its own.
#[cfg(unix)]
pub(crate) fn hang_up(child: u32) {
    // SAFETY: takes two integers, and touches no memory of this process.
    unsafe { libc::kill(child as libc::pid_t, libc::SIGHUP) };
}

/// SO_LINGER with the whole structure; socket2 offers a duration only, which loses `l_onoff`.
#[cfg(unix)]
pub(crate) fn set_linger(socket: &SockRef<'_>, onoff: u16, linger: u16) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let value = libc::linger { l_onoff: onoff.into(), l_linger: linger.into() };
    // SAFETY: the descriptor is borrowed from a live socket; the pointer and length describe
    // `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_LINGER,
            (&raw const value).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads SO_LINGER. A value that another program stored outside 0..=65535 is clamped.
#[cfg(unix)]
pub(crate) fn linger(socket: &SockRef<'_>) -> io::Result<(u16, u16)> {
    use std::os::fd::AsRawFd;
    let mut value = libc::linger { l_onoff: 0, l_linger: 0 };
    let mut length = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed from a live socket; the kernel writes at most `length`
    // bytes into `value`, which outlives the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_LINGER,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    let short = |number: i32| number.clamp(0, i32::from(u16::MAX)) as u16;
    Ok((short(value.l_onoff), short(value.l_linger)))
}

/// On macOS SO_LINGER counts in clock ticks; SO_LINGER_SEC is the one in seconds.
#[cfg(target_vendor = "apple")]
const SO_LINGER: libc::c_int = libc::SO_LINGER_SEC;
#[cfg(all(unix, not(target_vendor = "apple")))]
const SO_LINGER: libc::c_int = libc::SO_LINGER;

/// Bytes that were given to the socket and that the peer's kernel has not acknowledged; a FIN
/// under way counts as one. After a reset it stays at its last value.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn unsent(socket: &SockRef<'_>) -> io::Result<usize> {
    // SIOCOUTQ has the number of TIOCOUTQ.
    queue_length(socket, libc::TIOCOUTQ)
}

/// Bytes that were given to the socket and never left it; what else is not acknowledged is on its
/// way, and between two programs of one machine that means it has arrived.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn never_sent(socket: &SockRef<'_>) -> io::Result<usize> {
    /// From linux/sockios.h; libc does not have it.
    const SIOCOUTQNSD: libc::Ioctl = 0x894B;
    queue_length(socket, SIOCOUTQNSD)
}

/// Bytes that have come and were not read.
#[cfg(unix)]
pub(crate) fn unread(socket: &SockRef<'_>) -> io::Result<usize> {
    queue_length(socket, libc::FIONREAD)
}

#[cfg(unix)]
fn queue_length(socket: &SockRef<'_>, request: libc::Ioctl) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let mut length: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed from a live socket; both requests write one int to the
    // address given, and `length` outlives the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut length) };
    if status == 0 { Ok(length.max(0) as usize) } else { Err(io::Error::last_os_error()) }
}
