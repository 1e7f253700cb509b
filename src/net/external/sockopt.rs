//! SO_LINGER and SO_DONTLINGER.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use crate::net::external::{Error, with_tcp};
use crate::net::linger::Linger;

/// Linger time in seconds for a socket that never had one.
const DEFAULT_TIME: u16 = 30;

/// Linger times that were replaced by zero, by descriptor.
///
/// The kernel keeps the time while lingering is off, and forgets it when it is set to zero. An
/// entry is valid for one socket, which its cookie identifies. It is not removed when that socket
/// is closed, but there are never more entries than descriptors that the process had open at once.
static DISPLACED: LazyLock<Mutex<HashMap<RawFd, Displaced>>> = LazyLock::new(Mutex::default);

struct Displaced {
    /// The kernel's number of the socket, which is never reused.
    cookie: u64,
    /// Seconds.
    linger: u16,
}

/// Reads SO_LINGER from the kernel; a nonzero `l_onoff` is 1.
pub fn linger(descriptor: RawFd) -> Result<Linger, Error> {
    with_tcp(descriptor, |socket| Linger::of(socket))
}

/// Sets SO_LINGER, including the time while lingering is off.
pub fn set_linger(descriptor: RawFd, value: Linger) -> Result<(), Error> {
    with_tcp(descriptor, |socket| {
        let before = Linger::of(socket)?;
        if value.onoff == 0 && value.linger != before.linger {
            // The kernel stores a time only while lingering is on.
            Linger { onoff: 1, ..value }.apply(socket)?;
        }
        value.apply(socket)?;
        if value.linger == 0 && before.linger != 0 {
            remember(socket, before.linger);
        }
        Ok(())
    })
}

/// Turns lingering on or off, as SO_DONTLINGER does with the opposite value. Keeps the time. If it
/// is zero, turning lingering on restores the last time, or sets 30 seconds, so that a close does
/// not become a reset.
pub fn switch_linger(descriptor: RawFd, on: bool) -> Result<(), Error> {
    with_tcp(descriptor, |socket| {
        let Linger { linger, .. } = Linger::of(socket)?;
        let linger = match linger {
            0 if on => recall(socket).unwrap_or(DEFAULT_TIME),
            time => time,
        };
        Linger { onoff: on.into(), linger }.apply(socket)
    })
}

fn remember(socket: &Socket, linger: u16) {
    if let Ok(cookie) = cookie(socket) {
        displaced().insert(socket.as_raw_fd(), Displaced { cookie, linger });
    }
}

fn recall(socket: &Socket) -> Option<u16> {
    let cookie = cookie(socket).ok()?;
    let displaced = displaced();
    let entry = displaced.get(&socket.as_raw_fd()).filter(|entry| entry.cookie == cookie)?;
    Some(entry.linger)
}

fn displaced() -> MutexGuard<'static, HashMap<RawFd, Displaced>> {
    DISPLACED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn cookie(socket: &Socket) -> io::Result<u64> {
    socket.cookie()
}

/// Fails: without a cookie no time is remembered.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn cookie(_: &Socket) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use socket2::SockRef;

    use super::*;

    fn socket() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        TcpStream::connect(listener.local_addr().expect("address")).expect("connect")
    }

    fn of(onoff: u16, linger: u16) -> Linger {
        Linger { onoff, linger }
    }

    #[test]
    fn the_whole_structure_reads_back() {
        let socket = socket();
        let fd = socket.as_raw_fd();
        for time in [7, 0, 65535, 1, 0, 9] {
            for onoff in [0, 1, 0] {
                set_linger(fd, of(onoff, time)).expect("set");
                assert_eq!(linger(fd).expect("get"), of(onoff, time));
                assert_eq!(Linger::of(&socket).expect("get"), of(onoff, time), "the kernel's");
            }
        }
        set_linger(fd, of(65535, 3)).expect("set");
        assert_eq!(linger(fd).expect("get"), of(1, 3));
    }

    #[test]
    fn turning_it_on_is_never_a_reset() {
        let socket = socket();
        let fd = socket.as_raw_fd();
        let switched = |on| {
            switch_linger(fd, on).expect("set");
            linger(fd).expect("get")
        };
        assert_eq!(switched(false), of(0, 0));
        assert_eq!(switched(true), of(1, 30));
        set_linger(fd, of(1, 7)).expect("set");
        assert_eq!(switched(false), of(0, 7));
        assert_eq!(switched(true), of(1, 7));
        for hard in [of(1, 0), of(0, 0), of(1, 0)] {
            set_linger(fd, hard).expect("set");
        }
        assert_eq!(switched(false), of(0, 0));
        assert_eq!(switched(true), of(1, 7), "the last time that was not zero");
    }

    #[test]
    fn a_reused_descriptor_inherits_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let connect = || TcpStream::connect(listener.local_addr().expect("address")).expect("up");
        let first = connect();
        let fd = first.as_raw_fd();
        set_linger(fd, of(1, 7)).expect("set");
        set_linger(fd, of(1, 0)).expect("set");
        assert_eq!(recall(&SockRef::from(&first)), Some(7));
        // Another socket with the same number; a test that runs in parallel may have the real one.
        let second = connect();
        let entry = displaced().remove(&fd).expect("remembered");
        displaced().insert(second.as_raw_fd(), entry);
        assert_eq!(recall(&SockRef::from(&second)), None);
    }

    #[test]
    fn a_descriptor_of_anything_else_is_refused() {
        let system = |fd: RawFd| match set_linger(fd, of(1, 1)).expect_err("refused") {
            Error::System(error) => error.raw_os_error(),
            Error::NotTcp | Error::NotListening => None,
        };
        assert_eq!(system(-1), Some(libc::EBADF));
        assert_eq!(system(1_000_000), Some(libc::EBADF));
        let file = std::fs::File::open("/dev/null").expect("open");
        assert_eq!(system(file.as_raw_fd()), Some(libc::ENOTSOCK));
        let (unix, _peer) = UnixStream::pair().expect("pair");
        let udp = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").expect("bind"));
        for other in [unix.as_raw_fd(), udp.as_raw_fd()] {
            assert!(matches!(set_linger(other, of(1, 1)), Err(Error::NotTcp)));
        }
        assert_eq!(Linger::of(&unix).expect("get"), Linger::GRACEFUL, "nothing has changed");
    }
}
