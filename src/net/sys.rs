//! System calls that std, tokio and socket2 do not offer: the only unsafe code of the addon, here and
//! in the folder of this name.

#![allow(unsafe_code)]

use std::io;
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::time::Duration;

use socket2::SockRef;
#[cfg(unix)]
use socket2::Socket;

#[cfg(windows)]
mod file_access;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(windows)]
mod pageant;
mod path_info;
mod send_queue;
#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub(crate) use self::file_access::file_access;
#[cfg(target_os = "linux")]
pub(crate) use self::netlink::NetworkChanges;
#[cfg(windows)]
pub(crate) use self::pageant::pageant_pipe;
pub(crate) use self::path_info::{PathInfo, path_info, set_notsent_lowat};
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(crate) use self::send_queue::conceal;
pub(crate) use self::send_queue::{SendQueue, Sent, never_sent, send_queue};
#[cfg(windows)]
pub(crate) use self::windows::is_gone;

/// Returns the time since the machine was started, including its sleep: the clock of timers stops
/// while a machine sleeps.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn since_boot() -> Duration {
    // On macOS this clock includes the sleep.
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

/// Returns the time since an hour before the first call, by the clock of timers.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn since_boot() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    Duration::from_secs(3600) + FIRST.elapsed()
}

/// Makes this process the leader of a session of its own, without a terminal, and lets its standard
/// error lead to `output`, if there is one.
#[cfg(unix)]
pub(crate) fn detach(output: Option<BorrowedFd<'_>>) -> io::Result<()> {
    // SAFETY: the call has no arguments.
    if unsafe { libc::setsid() } < 0 {
        return Err(io::Error::last_os_error());
    }
    if let Some(output) = output {
        // SAFETY: both descriptors are open, and nobody owns the second one, which stays open.
        if unsafe { libc::dup2(output.as_raw_fd(), libc::STDERR_FILENO) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Returns how many descriptors the process may open; `None` if that is unknown.
#[cfg(unix)]
pub(crate) fn max_descriptors() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one structure to the address given, which outlives the call.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    // The type is signed on some systems.
    #[allow(clippy::unnecessary_cast)]
    (status == 0).then_some(limit.rlim_cur as u64)
}

/// Sends SIGHUP to a child process that was not waited for: its number is not reused yet.
#[cfg(unix)]
pub(crate) fn send_sighup(child: u32) {
    // SAFETY: takes two integers, and touches no memory of this process.
    unsafe { libc::kill(child as libc::pid_t, libc::SIGHUP) };
}

/// Allocates a page of zeros that core dumps leave out and child processes do not inherit, and
/// locks it in memory if the limits of the process allow it. The page stays until the process ends.
/// Returns `None` if the system does not support it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn undumped_page<const LENGTH: usize>() -> Option<&'static mut [u8; LENGTH]> {
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
    // SAFETY: the mapping has `LENGTH` bytes of zeros, aligned, is never unmapped, and is not
    // shared.
    Some(unsafe { &mut *start.cast() })
}

/// Returns `None`, as above.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn undumped_page<const LENGTH: usize>() -> Option<&'static mut [u8; LENGTH]> {
    None
}

/// Sets SO_LINGER with the whole structure; socket2 takes a duration only, which loses `l_onoff`.
#[cfg(unix)]
pub(crate) fn set_linger(socket: &SockRef<'_>, onoff: u16, linger: u16) -> io::Result<()> {
    let value = libc::linger { l_onoff: onoff.into(), l_linger: linger.into() };
    set_option(socket, SO_LINGER, &value)
}

/// Reads SO_LINGER. A value that another program stored outside 0..=65535 is clamped.
#[cfg(unix)]
pub(crate) fn linger(socket: &SockRef<'_>) -> io::Result<(u16, u16)> {
    let mut value = libc::linger { l_onoff: 0, l_linger: 0 };
    get_option(socket, SO_LINGER, &mut value)?;
    // Linux returns 1 for any l_onoff that is set, other systems the kernel's flag.
    let onoff = u16::from(value.l_onoff != 0);
    Ok((onoff, value.l_linger.clamp(0, i32::from(u16::MAX)) as u16))
}

/// Sets SO_LINGER as far as socket2 can: `{0, n}` is stored as `{0, 0}`.
#[cfg(not(unix))]
pub(crate) fn set_linger(socket: &SockRef<'_>, onoff: u16, linger: u16) -> io::Result<()> {
    socket.set_linger((onoff != 0).then(|| Duration::from_secs(linger.into())))
}

/// Reads SO_LINGER, as above.
#[cfg(not(unix))]
pub(crate) fn linger(socket: &SockRef<'_>) -> io::Result<(u16, u16)> {
    let seconds = |time: Duration| time.as_secs().min(u16::MAX.into()) as u16;
    Ok(socket.linger()?.map_or((0, 0), |time| (1, seconds(time))))
}

/// On macOS SO_LINGER counts clock ticks, and SO_LINGER_SEC counts seconds.
#[cfg(target_vendor = "apple")]
const SO_LINGER: libc::c_int = libc::SO_LINGER_SEC;
#[cfg(all(unix, not(target_vendor = "apple")))]
const SO_LINGER: libc::c_int = libc::SO_LINGER;

/// Returns how many bytes have arrived and were not read.
#[cfg(unix)]
pub(crate) fn unread(socket: &SockRef<'_>) -> io::Result<usize> {
    queue_length(socket, libc::FIONREAD)
}

/// Returns how many bytes have arrived and were not read.
#[cfg(windows)]
pub(crate) fn unread(socket: &SockRef<'_>) -> io::Result<usize> {
    windows::unread(socket)
}

/// Makes the send buffer as small as it can be. The socket is then writable when nearly nothing is
/// left in its send queue, which tells something where the system does not tell the length.
pub(crate) fn shrink_send_buffer(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_send_buffer_size(1)
}

/// Returns whether the socket takes bytes now.
#[cfg(unix)]
pub(crate) fn is_writable(socket: &SockRef<'_>) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one structure, which outlives the call.
    let status = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(poll.revents & libc::POLLOUT != 0) }
}

/// Returns whether the socket takes bytes now.
#[cfg(windows)]
pub(crate) fn is_writable(socket: &SockRef<'_>) -> io::Result<bool> {
    windows::is_writable(socket)
}

/// Returns how many bytes the system has counted as sent, where it counts them.
#[cfg(windows)]
pub(crate) fn bytes_sent(socket: &SockRef<'_>) -> u64 {
    windows::tcp_info(socket).map_or(0, |info| info.sent())
}

/// Returns 0: other systems tell what is left, and not what was sent.
#[cfg(not(windows))]
pub(crate) fn bytes_sent(_: &SockRef<'_>) -> u64 {
    0
}

/// Reserves the address of a listener to this process.
#[cfg(windows)]
pub(crate) fn set_exclusive(socket: &SockRef<'_>) -> io::Result<()> {
    windows::set_exclusive(socket)
}

/// Sets SO_RCVLOWAT: the number of bytes from which the socket is readable. It is readable at once
/// for an end of stream, an error and a full buffer.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_rcvlowat(socket: &SockRef<'_>, count: usize) -> io::Result<()> {
    let value = libc::c_int::try_from(count).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SO_RCVLOWAT, &value)
}

/// Fails: how the option affects readiness on other systems was not tested.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_rcvlowat(_: &SockRef<'_>, _: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether the socket listens.
#[cfg(unix)]
pub(crate) fn is_listener(socket: &SockRef<'_>) -> io::Result<bool> {
    int_option(socket, libc::SO_ACCEPTCONN).map(|value| value != 0)
}

/// Calls `work` with the socket of a descriptor that may be invalid. `work` may only make system
/// calls on it, which return EBADF or ENOTSOCK if it is not a socket.
#[cfg(unix)]
pub(crate) fn with_socket<T>(
    descriptor: RawFd,
    work: impl FnOnce(&Socket) -> io::Result<T>,
) -> io::Result<T> {
    if descriptor < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is not -1. The system calls of `work` find out whether it is open; they do
    // not close it, and the borrow ends with this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    work(&SockRef::from(&borrowed))
}

/// Takes ownership of a socket by its descriptor.
///
/// The caller guarantees that nothing else uses or closes the descriptor, and has checked with
/// [`with_socket`] that it is an open socket.
#[cfg(unix)]
pub(crate) fn own(descriptor: RawFd) -> Socket {
    // SAFETY: open, as the caller has checked; not shared, as the application guarantees by closing
    // the socket through this library.
    unsafe { Socket::from_raw_fd(descriptor) }
}

/// Reads the state of a TCP connection, the first byte of TCP_INFO.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn tcp_state(socket: &SockRef<'_>) -> io::Result<u8> {
    let mut state = 0_u8;
    read_option(socket, (libc::IPPROTO_TCP, libc::TCP_INFO), &mut state)?;
    Ok(state)
}

#[cfg(unix)]
fn int_option(socket: &SockRef<'_>, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value = 0;
    get_option(socket, name, &mut value)?;
    Ok(value)
}

/// C type of a socket option; every bit pattern is a value.
#[cfg(unix)]
trait OptionValue {}

#[cfg(unix)]
impl OptionValue for libc::c_int {}
#[cfg(unix)]
impl OptionValue for u8 {}
#[cfg(unix)]
impl OptionValue for libc::linger {}

/// Reads an option of SOL_SOCKET.
#[cfg(unix)]
fn get_option<T: OptionValue>(
    socket: &SockRef<'_>,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    read_option(socket, (libc::SOL_SOCKET, name), value).map(drop)
}

/// Reads an option of any level; returns how many bytes the kernel has written.
#[cfg(unix)]
fn read_option<T: OptionValue>(
    socket: &SockRef<'_>,
    (level, name): (libc::c_int, libc::c_int),
    value: &mut T,
) -> io::Result<usize> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed from a live socket; the kernel writes at most `length`
    // bytes into `value`, which outlives the call.
    let status = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut *value).cast(), &raw mut length)
    };
    if status == 0 { Ok(length as usize) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option of SOL_SOCKET.
#[cfg(unix)]
fn set_option<T: OptionValue>(
    socket: &SockRef<'_>,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    write_option(socket, (libc::SOL_SOCKET, name), value)
}

#[cfg(unix)]
fn write_option<T: OptionValue>(
    socket: &SockRef<'_>,
    (level, name): (libc::c_int, libc::c_int),
    value: &T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed from a live socket; the pointer and length describe
    // `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), length)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The number of an ioctl, whose type differs between C libraries; libc names it on Linux alone.
#[cfg(any(target_os = "linux", target_os = "android"))]
type Ioctl = libc::Ioctl;
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
type Ioctl = libc::c_ulong;

#[cfg(unix)]
fn queue_length(socket: &SockRef<'_>, request: Ioctl) -> io::Result<usize> {
    let mut length: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed from a live socket; both requests write one int to the
    // address given, and `length` outlives the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut length) };
    if status == 0 { Ok(length.max(0) as usize) } else { Err(io::Error::last_os_error()) }
}
