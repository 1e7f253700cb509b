//! System calls that std, tokio and socket2 do not offer: the only unsafe code of the addon.

#![allow(unsafe_code)]

use std::io;
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::time::Duration;

use socket2::SockRef;
#[cfg(unix)]
use socket2::Socket;

/// The time since the machine was started, its sleep included: the clock of timers stands still
/// while a machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn since_boot() -> Duration {
    // On macOS this is the one that counts the sleep.
    #[cfg(target_vendor = "apple")]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one structure to the address given, which outlives the call.
    let status = unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
    debug_assert_eq!(status, 0, "every kernel that runs this has the clock");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Elsewhere: the time since the first call, by the clock of timers.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn since_boot() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed()
}

/// How many descriptors this process may have; `None`: it cannot be told.
#[cfg(unix)]
pub(crate) fn max_descriptors() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one structure to the address given, which outlives the call.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    // With a sign on some systems.
    #[allow(clippy::unnecessary_cast)]
    (status == 0).then_some(limit.rlim_cur as u64)
}

/// Sends SIGHUP to a process. Only for a child that was not waited for: its number is still its own.
#[cfg(unix)]
pub(crate) fn hang_up(child: u32) {
    // SAFETY: takes two integers, and touches no memory of this process.
    unsafe { libc::kill(child as libc::pid_t, libc::SIGHUP) };
}

/// A page of zeros that core dumps leave out, that is not swapped out where the limits of the process
/// allow that, and that no child process gets. It stays until the process ends. `None` where the system
/// cannot do it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn undumped<const LENGTH: usize>() -> Option<&'static mut [u8; LENGTH]> {
    // SAFETY: takes an integer, and touches no memory of this process.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let length = LENGTH.next_multiple_of(page);
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: asks for new memory, at an address that the kernel chooses.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping that was just made, and no advice here takes it away.
    unsafe {
        if libc::madvise(start, length, libc::MADV_DONTDUMP) != 0 {
            libc::munmap(start, length);
            return None;
        }
        libc::madvise(start, length, libc::MADV_DONTFORK);
        libc::mlock(start, length);
    }
    // SAFETY: `LENGTH` bytes of zeros are there, aligned, for as long as the process lives, and nobody
    // else knows of them.
    Some(unsafe { &mut *start.cast() })
}

/// As above.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn undumped<const LENGTH: usize>() -> Option<&'static mut [u8; LENGTH]> {
    None
}

/// SO_LINGER with the whole structure; socket2 inbound_channels a duration only, which loses `l_onoff`.
#[cfg(unix)]
pub(crate) fn set_linger(socket: &SockRef<'_>, onoff: u16, linger: u16) -> io::Result<()> {
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
    // Linux says 1 for any l_onoff that is set, others say what flag it has in the kernel.
    let onoff = u16::from(value.l_onoff != 0);
    Ok((onoff, value.l_linger.clamp(0, i32::from(u16::MAX)) as u16))
}

/// SO_LINGER as far as socket2 goes: `{0, n}` is stored as `{0, 0}`.
#[cfg(not(unix))]
pub(crate) fn set_linger(socket: &SockRef<'_>, onoff: u16, linger: u16) -> io::Result<()> {
    socket.set_linger((onoff != 0).then(|| Duration::from_secs(linger.into())))
}

/// As [`set_linger`].
#[cfg(not(unix))]
pub(crate) fn linger(socket: &SockRef<'_>) -> io::Result<(u16, u16)> {
    let seconds = |time: Duration| time.as_secs().min(u16::MAX.into()) as u16;
    Ok(socket.linger()?.map_or((0, 0), |time| (1, seconds(time))))
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

/// What macOS can tell: bytes that were given to the socket and that the peer's kernel has not
/// acknowledged, without the FIN. So a FIN under way may be taken for an acknowledged one.
#[cfg(target_vendor = "apple")]
pub(crate) fn unsent(socket: &SockRef<'_>) -> io::Result<usize> {
    int_option(socket, libc::SO_NWRITE).map(|length| length.max(0) as usize)
}

/// macOS does not tell what left and what did not: this counts both.
#[cfg(target_vendor = "apple")]
pub(crate) fn never_sent(socket: &SockRef<'_>) -> io::Result<usize> {
    unsent(socket)
}

/// Elsewhere the system does not tell, and everything that it took counts as delivered: a graceful
/// close leaves the rest to it then, and a limit in time has no effect.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn unsent(_: &SockRef<'_>) -> io::Result<usize> {
    Ok(0)
}

/// As [`unsent`].
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn never_sent(socket: &SockRef<'_>) -> io::Result<usize> {
    unsent(socket)
}

/// Bytes that have come and were not read.
#[cfg(unix)]
pub(crate) fn unread(socket: &SockRef<'_>) -> io::Result<usize> {
    queue_length(socket, libc::FIONREAD)
}

/// Windows would tell, but not through a crate that is here: nothing counts as unread.
#[cfg(not(unix))]
pub(crate) fn unread(_: &SockRef<'_>) -> io::Result<usize> {
    Ok(0)
}

/// What a FIN under way adds to [`unsent`].
pub(crate) const FIN: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 1 } else { 0 };

/// SO_RCVLOWAT: how much has to be there before the socket counts as readable. An end of stream, an
/// error and a full buffer count at once.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_rcvlowat(socket: &SockRef<'_>, count: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is borrowed from a live socket; the pointer and length describe
    // `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Elsewhere nobody has looked how it and readiness go together.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_rcvlowat(_: &SockRef<'_>, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the socket waits for connections.
#[cfg(unix)]
pub(crate) fn is_listener(socket: &SockRef<'_>) -> io::Result<bool> {
    int_option(socket, libc::SO_ACCEPTCONN).map(|value| value != 0)
}

/// Looks at the socket behind a number that may be anything: what is done with it has to be a
/// system call on that number, which answers EBADF or ENOTSOCK where there is no socket.
#[cfg(unix)]
pub(crate) fn with_socket<T>(
    descriptor: RawFd,
    work: impl FnOnce(&Socket) -> io::Result<T>,
) -> io::Result<T> {
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is not -1. Whether it is open, the calls that `work` makes find out; they
    // do not close it, and the borrow ends with this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    work(&SockRef::from(&borrowed))
}

/// Makes a socket that was handed over by its number our own.
///
/// Whoever hands it over says that nobody else will use or close the number; that it is an open
/// socket, [`with_socket`] has found out before.
#[cfg(unix)]
pub(crate) fn own(descriptor: RawFd) -> Socket {
    // SAFETY: open, as was just seen; ours alone, as the program promises by closing it through us.
    unsafe { Socket::from_raw_fd(descriptor) }
}

#[cfg(unix)]
fn int_option(socket: &SockRef<'_>, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed; the kernel writes at most `length` bytes into `value`,
    // which outlives the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

#[cfg(unix)]
fn queue_length(socket: &SockRef<'_>, request: libc::Ioctl) -> io::Result<usize> {
    let mut length: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed from a live socket; both requests write one int to the
    // address given, and `length` outlives the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut length) };
    if status == 0 { Ok(length.max(0) as usize) } else { Err(io::Error::last_os_error()) }
}
