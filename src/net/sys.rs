//! System calls that std, tokio and socket2 do not offer: the only unsafe code of the addon.

#![allow(unsafe_code)]

use std::io;
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::time::Duration;

use socket2::SockRef;
#[cfg(unix)]
use socket2::Socket;

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

/// Returns the time since the first call, by the clock of timers.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn since_boot() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed()
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

/// Returns how many bytes the peer's kernel has not acknowledged; a FIN under way counts as one.
/// After a reset the value stays as it was.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn unsent(socket: &SockRef<'_>) -> io::Result<usize> {
    // SIOCOUTQ has the number of TIOCOUTQ.
    queue_length(socket, libc::TIOCOUTQ)
}

/// Returns how many bytes in the send queue were never sent. Other bytes that are not acknowledged
/// are under way; between two programs on one machine they have arrived.
///
/// Emulators of Linux may know SIOCOUTQ alone. The count then includes the bytes under way.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn never_sent(socket: &SockRef<'_>) -> io::Result<usize> {
    /// From linux/sockios.h; the libc crate does not have it.
    const SIOCOUTQNSD: Ioctl = 0x894B;
    queue_length_or_unsent(socket, SIOCOUTQNSD)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn queue_length_or_unsent(socket: &SockRef<'_>, request: Ioctl) -> io::Result<usize> {
    queue_length(socket, request).or_else(|_| unsent(socket))
}

/// Returns how many bytes the peer's kernel has not acknowledged. macOS does not count the FIN, so
/// a FIN under way may be taken for an acknowledged one.
#[cfg(target_vendor = "apple")]
pub(crate) fn unsent(socket: &SockRef<'_>) -> io::Result<usize> {
    int_option(socket, libc::SO_NWRITE).map(|length| length.max(0) as usize)
}

/// Returns the same: macOS does not tell sent and unsent bytes apart.
#[cfg(target_vendor = "apple")]
pub(crate) fn never_sent(socket: &SockRef<'_>) -> io::Result<usize> {
    unsent(socket)
}

/// Returns 0: other systems do not tell, and everything that the kernel has taken counts as
/// delivered. A graceful close leaves the rest to the kernel, and a time limit has no effect.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn unsent(_: &SockRef<'_>) -> io::Result<usize> {
    Ok(0)
}

/// Returns 0, as above.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn never_sent(socket: &SockRef<'_>) -> io::Result<usize> {
    unsent(socket)
}

/// Returns how many bytes have arrived and were not read.
#[cfg(unix)]
pub(crate) fn unread(socket: &SockRef<'_>) -> io::Result<usize> {
    queue_length(socket, libc::FIONREAD)
}

/// Returns 0: no crate here asks Windows.
#[cfg(not(unix))]
pub(crate) fn unread(_: &SockRef<'_>) -> io::Result<usize> {
    Ok(0)
}

/// What a FIN under way adds to [`unsent`], in bytes.
pub(crate) const FIN: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 1 } else { 0 };

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
impl OptionValue for libc::linger {}

/// Reads an option of SOL_SOCKET.
#[cfg(unix)]
fn get_option<T: OptionValue>(
    socket: &SockRef<'_>,
    name: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed from a live socket; the kernel writes at most `length`
    // bytes into `value`, which outlives the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut *value).cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets an option of SOL_SOCKET.
#[cfg(unix)]
fn set_option<T: OptionValue>(
    socket: &SockRef<'_>,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed from a live socket; the pointer and length describe
    // `value`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw const *value).cast(),
            length,
        )
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

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_kernel_without_siocoutqnsd_reports_the_unacknowledged_bytes() {
        /// From the range of sockets, and assigned to no request.
        const UNKNOWN: Ioctl = 0x89DF;
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let mut stream =
            TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let _peer = listener.accept().expect("accept");
        stream.set_nonblocking(true).expect("alive");
        while stream.write(&[0; 65536]).is_ok() {}
        let socket = SockRef::from(&stream);
        assert!(queue_length(&socket, UNKNOWN).is_err());
        // The peer reads nothing, so that the queue stays.
        assert!(never_sent(&socket).expect("known here") > 0);
        let reported = queue_length_or_unsent(&socket, UNKNOWN).expect("falls back");
        assert_eq!(reported, unsent(&socket).expect("known"));
    }
}
