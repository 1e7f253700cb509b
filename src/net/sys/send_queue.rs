//! What the system tells about the send queue of a socket.

use std::io;

use socket2::SockRef;

/// What was given to a socket to be sent.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(windows), expect(dead_code, reason = "others tell what is left"))]
pub(crate) struct Sent {
    /// Bytes that the socket has taken.
    pub(crate) bytes: u64,
    /// Bytes that the system counted as sent before the first of them.
    pub(crate) before: u64,
    /// Whether a FIN was sent after them.
    pub(crate) fin: bool,
}

#[cfg(any(unix, test))]
impl Sent {
    /// For sockets whose bytes were not counted, and without a FIN.
    pub(crate) const NOTHING: Sent = Sent { bytes: 0, before: 0, fin: false };
}

/// What the system tells about a send queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendQueue {
    /// The peer's kernel has acknowledged everything, including a FIN that was sent.
    Empty,
    /// This many bytes are not acknowledged. The FIN does not count, so there may be none.
    Holds(u64),
    /// Something is not acknowledged, and the system does not tell how much.
    HoldsSome,
    /// The system does not tell whether everything was acknowledged.
    Unknown,
}

/// Whether the peer's kernel has acknowledged a FIN, by the state of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    Acknowledged,
    /// Acknowledged, unless the connection was reset.
    Gone,
    UnderWay,
}

/// Returns what the state of the connection tells: an acknowledged FIN acknowledges every byte before
/// it. An error means that the connection was reset.
fn by_state(
    socket: &SockRef<'_>,
    sent: Sent,
    state: impl FnOnce(&SockRef<'_>) -> Option<Fin>,
) -> io::Result<SendQueue> {
    if !sent.fin {
        return Ok(SendQueue::Unknown);
    }
    Ok(match state(socket) {
        Some(Fin::Acknowledged) => SendQueue::Empty,
        Some(Fin::Gone) => socket.take_error()?.map_or(Ok(SendQueue::Empty), Err)?,
        Some(Fin::UnderWay) => SendQueue::HoldsSome,
        None => SendQueue::Unknown,
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io;

    use socket2::SockRef;

    use super::{Fin, SendQueue, Sent, by_state};
    use crate::net::sys::{Ioctl, queue_length, tcp_state};

    /// States of TCP, from netinet/tcp.h.
    const FIN_WAIT1: u8 = 4;
    const FIN_WAIT2: u8 = 5;
    const TIME_WAIT: u8 = 6;
    const CLOSE: u8 = 7;
    const LAST_ACK: u8 = 9;
    const CLOSING: u8 = 11;

    /// Returns what is not acknowledged. After a reset the value stays as it was.
    ///
    /// Emulators of Linux may not know SIOCOUTQ.
    pub(crate) fn send_queue(socket: &SockRef<'_>, sent: Sent) -> io::Result<SendQueue> {
        // SIOCOUTQ has the number of TIOCOUTQ. A FIN counts as one byte.
        match length(socket, libc::TIOCOUTQ) {
            Ok(0) => Ok(SendQueue::Empty),
            Ok(length) => Ok(SendQueue::Holds(length.saturating_sub(sent.fin.into()) as u64)),
            Err(_) => by_state(socket, sent, fin),
        }
    }

    /// Returns how many bytes in the send queue were never sent, or `None` if the system does not
    /// tell. Other bytes that are not acknowledged are under way; between two programs on one machine
    /// they have arrived.
    ///
    /// Emulators of Linux may know SIOCOUTQ alone. The count then includes the bytes under way.
    pub(crate) fn never_sent(socket: &SockRef<'_>, sent: Sent) -> io::Result<Option<u64>> {
        /// From linux/sockios.h; the libc crate does not have it.
        const SIOCOUTQNSD: Ioctl = 0x894B;
        never_sent_by(socket, sent, SIOCOUTQNSD)
    }

    pub(super) fn never_sent_by(
        socket: &SockRef<'_>,
        sent: Sent,
        request: Ioctl,
    ) -> io::Result<Option<u64>> {
        if let Ok(length) = length(socket, request) {
            return Ok(Some(length.saturating_sub(sent.fin.into()) as u64));
        }
        Ok(match send_queue(socket, sent)? {
            SendQueue::Empty => Some(0),
            SendQueue::Holds(count) => Some(count),
            SendQueue::HoldsSome | SendQueue::Unknown => None,
        })
    }

    fn length(socket: &SockRef<'_>, request: Ioctl) -> io::Result<usize> {
        #[cfg(test)]
        if super::conceal::is_concealed(socket).is_some() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        queue_length(socket, request)
    }

    fn fin(socket: &SockRef<'_>) -> Option<Fin> {
        #[cfg(test)]
        if super::conceal::is_concealed(socket) == Some(super::conceal::Concealed::All) {
            return None;
        }
        match tcp_state(socket).ok()? {
            FIN_WAIT2 | TIME_WAIT => Some(Fin::Acknowledged),
            CLOSE => Some(Fin::Gone),
            FIN_WAIT1 | CLOSING | LAST_ACK => Some(Fin::UnderWay),
            _ => None,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{never_sent, send_queue};

#[cfg(target_vendor = "apple")]
mod apple {
    use std::io;

    use socket2::SockRef;

    use super::{SendQueue, Sent};
    use crate::net::sys::int_option;

    /// Returns what is not acknowledged. macOS does not count the FIN, so a FIN under way is taken for
    /// an acknowledged one.
    pub(crate) fn send_queue(socket: &SockRef<'_>, _: Sent) -> io::Result<SendQueue> {
        Ok(match int_option(socket, libc::SO_NWRITE) {
            Ok(0) => SendQueue::Empty,
            Ok(length) => SendQueue::Holds(length.max(0) as u64),
            Err(_) => SendQueue::Unknown,
        })
    }

    /// Returns how many bytes are not acknowledged, or `None` if the system does not tell: macOS does
    /// not tell apart what was sent and what was not.
    pub(crate) fn never_sent(socket: &SockRef<'_>, sent: Sent) -> io::Result<Option<u64>> {
        Ok(match send_queue(socket, sent)? {
            SendQueue::Empty => Some(0),
            SendQueue::Holds(count) => Some(count),
            SendQueue::HoldsSome | SendQueue::Unknown => None,
        })
    }
}

#[cfg(target_vendor = "apple")]
pub(crate) use apple::{never_sent, send_queue};

#[cfg(windows)]
mod windows {
    use std::io;

    use socket2::SockRef;

    use super::{Fin, SendQueue, Sent, by_state};
    use crate::net::sys::windows::{TcpInfo, TcpState, state_in_table, tcp_info};

    /// Returns what is not acknowledged: by SIO_TCP_INFO, or by the state of the connection in the
    /// table of the system where that is not available (before version 1703 of Windows 10, and in wine).
    pub(crate) fn send_queue(socket: &SockRef<'_>, sent: Sent) -> io::Result<SendQueue> {
        match tcp_info(socket) {
            Ok(info) => by_info(socket, sent, &info),
            Err(_) => by_state(socket, sent, |socket| state_in_table(socket).and_then(fin)),
        }
    }

    /// Returns how many bytes were never sent, or `None` if the system does not tell.
    pub(crate) fn never_sent(socket: &SockRef<'_>, sent: Sent) -> io::Result<Option<u64>> {
        if let Ok(info) = tcp_info(socket)
            && !(sent.fin && fin(info.state) == Some(Fin::Acknowledged))
        {
            return Ok(Some(sent.bytes.saturating_sub(info.sent().saturating_sub(sent.before))));
        }
        Ok(match send_queue(socket, sent)? {
            SendQueue::Empty => Some(0),
            SendQueue::Holds(_) | SendQueue::HoldsSome | SendQueue::Unknown => None,
        })
    }

    fn by_info(socket: &SockRef<'_>, sent: Sent, info: &TcpInfo) -> io::Result<SendQueue> {
        let left = left(sent, info);
        if sent.fin {
            let queue = by_state(socket, sent, |_| fin(info.state))?;
            return Ok(if queue == SendQueue::HoldsSome { SendQueue::Holds(left) } else { queue });
        }
        // If BytesOut leaves repetitions out, those of a lossy network are subtracted twice.
        let all_sent = info.bytes_out.saturating_sub(sent.before) >= sent.bytes;
        Ok(match left {
            0 => SendQueue::Empty,
            _ if info.in_flight == 0 && info.repeated > 0 && all_sent => SendQueue::Unknown,
            left => SendQueue::Holds(left),
        })
    }

    /// Returns how many bytes are not acknowledged, at the most.
    pub(super) fn left(sent: Sent, info: &TcpInfo) -> u64 {
        let acknowledged = info.sent().saturating_sub(info.in_flight);
        sent.bytes.saturating_sub(acknowledged.saturating_sub(sent.before))
    }

    pub(super) fn fin(state: TcpState) -> Option<Fin> {
        match state {
            TcpState::FinWait2 | TcpState::TimeWait => Some(Fin::Acknowledged),
            TcpState::Closed => Some(Fin::Gone),
            TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => Some(Fin::UnderWay),
            TcpState::Other => None,
        }
    }
}

#[cfg(windows)]
pub(crate) use windows::{never_sent, send_queue};

/// Other systems do not tell.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)))]
pub(crate) fn send_queue(socket: &SockRef<'_>, sent: Sent) -> io::Result<SendQueue> {
    by_state(socket, sent, |_| None)
}

/// Returns `None`, as above.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)))]
pub(crate) fn never_sent(_: &SockRef<'_>, _: Sent) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Sockets about which the system tells as little as others do, for tests.
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(crate) mod conceal {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    use socket2::SockRef;

    /// What is not told about a socket.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Concealed {
        /// The length of the send queue.
        Length,
        /// That, and the state of the connection.
        All,
    }

    /// By the kernel's numbers of the sockets, which are never reused.
    static SOCKETS: LazyLock<Mutex<HashMap<u64, Concealed>>> = LazyLock::new(Mutex::default);

    fn sockets() -> MutexGuard<'static, HashMap<u64, Concealed>> {
        SOCKETS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn conceal(socket: &SockRef<'_>, what: Concealed) {
        sockets().insert(socket.cookie().expect("a socket of Linux"), what);
    }

    pub(crate) fn is_concealed(socket: &SockRef<'_>) -> Option<Concealed> {
        let cookie = socket.cookie().ok()?;
        sockets().get(&cookie).copied()
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::conceal::{Concealed, conceal};
    use super::*;
    use crate::net::sys::Ioctl;

    /// A socket and its peer.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let stream = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        (stream, listener.accept().expect("accept").0)
    }

    fn sent(fin: bool) -> Sent {
        Sent { bytes: 0, before: 0, fin }
    }

    #[test]
    fn a_kernel_without_siocoutqnsd_tells_the_unacknowledged_bytes() {
        /// From the range of sockets, and assigned to no request.
        const UNKNOWN: Ioctl = 0x89DF;
        let (mut stream, _peer) = pair();
        stream.set_nonblocking(true).expect("alive");
        while stream.write(&[0; 65536]).is_ok() {}
        let socket = SockRef::from(&stream);
        // The peer reads nothing, so that the queue stays.
        assert!(never_sent(&socket, sent(false)).expect("alive").expect("known here") > 0);
        let reported = linux::never_sent_by(&socket, sent(false), UNKNOWN).expect("falls back");
        let queue = send_queue(&socket, sent(false)).expect("alive");
        assert_eq!(queue, SendQueue::Holds(reported.expect("known")));
    }

    #[test]
    fn without_the_length_an_acknowledged_fin_tells_that_everything_arrived() {
        let (mut stream, peer) = pair();
        stream.set_nonblocking(true).expect("alive");
        while stream.write(&[0; 65536]).is_ok() {}
        let socket = SockRef::from(&stream);
        conceal(&socket, Concealed::Length);
        let told =
            |fin| (send_queue(&socket, sent(fin)).expect("alive"), never_sent(&socket, sent(fin)));
        let (queue, count) = told(false);
        assert_eq!((queue, count.expect("alive")), (SendQueue::Unknown, None));
        stream.shutdown(Shutdown::Write).expect("alive");
        let (queue, count) = told(true);
        assert_eq!((queue, count.expect("alive")), (SendQueue::HoldsSome, None));
        std::io::copy(&mut &peer, &mut std::io::sink()).expect("read to the end");
        // The kernel acknowledges a FIN at once.
        while told(true).0 == SendQueue::HoldsSome {}
        let (queue, count) = told(true);
        assert_eq!((queue, count.expect("alive")), (SendQueue::Empty, Some(0)));
    }

    #[test]
    fn a_connection_that_both_have_ended_is_told_from_one_that_was_reset() {
        for is_reset in [false, true] {
            let (mut stream, peer) = pair();
            peer.shutdown(Shutdown::Write).expect("alive");
            stream.set_nonblocking(true).expect("alive");
            // More than the peer takes, so that it cannot acknowledge the FIN.
            while stream.write(&[0; 65536]).is_ok() && is_reset {}
            let socket = SockRef::from(&stream);
            conceal(&socket, Concealed::Length);
            stream.shutdown(Shutdown::Write).expect("alive");
            if is_reset {
                // It has unread input.
                drop(peer);
            } else {
                std::io::copy(&mut &peer, &mut std::io::sink()).expect("read to the end");
            }
            let queue = loop {
                match send_queue(&socket, sent(true)) {
                    Ok(SendQueue::HoldsSome) => {}
                    told => break told,
                }
            };
            assert_eq!(queue.is_err(), is_reset, "{queue:?}");
            assert!(is_reset || queue.expect("alive") == SendQueue::Empty);
        }
    }

    #[test]
    fn nothing_is_claimed_where_nothing_is_told() {
        let (stream, peer) = pair();
        let socket = SockRef::from(&stream);
        conceal(&socket, Concealed::All);
        (&stream).write_all(&[0; 1000]).expect("there is room");
        stream.shutdown(Shutdown::Write).expect("alive");
        std::io::copy(&mut &peer, &mut std::io::sink()).expect("read to the end");
        assert_eq!(send_queue(&socket, sent(true)).expect("alive"), SendQueue::Unknown);
        assert_eq!(never_sent(&socket, sent(true)).expect("alive"), None);
    }
}

#[cfg(all(test, windows))]
mod windows_tests {
    use super::windows::{fin, left};
    use super::*;
    use crate::net::sys::windows::{TcpInfo, TcpState};

    #[test]
    fn what_is_left_is_what_was_written_and_is_not_known_to_be_acknowledged() {
        for (bytes_out, in_flight, repeated, before, expected) in [
            (0, 0, 0, 0, 1000),
            (600, 600, 0, 0, 1000),
            (600, 100, 0, 0, 500),
            (1000, 0, 0, 0, 0),
            (1001, 0, 0, 1, 0),
            (1200, 0, 200, 0, 0),
            (1000, 0, 200, 0, 200),
        ] {
            let info = TcpInfo { state: TcpState::Other, bytes_out, in_flight, repeated };
            assert_eq!(left(Sent { bytes: 1000, before, fin: false }, &info), expected, "{info:?}");
        }
        assert_eq!(fin(TcpState::Other), None);
    }
}
