//! Calls of Windows.

use std::io;
use std::net::SocketAddr;
use std::os::windows::io::AsRawSocket;
use std::ptr::null_mut;

use socket2::SockRef;
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper as ip_helper;
use windows_sys::Win32::Networking::WinSock as winsock;

/// The state of a connection, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcpState {
    Closed,
    FinWait1,
    FinWait2,
    Closing,
    LastAck,
    TimeWait,
    Other,
}

/// What SIO_TCP_INFO tells about the bytes of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpInfo {
    pub(super) state: TcpState,
    pub(super) bytes_out: u64,
    pub(super) in_flight: u64,
    pub(super) repeated: u64,
}

impl TcpInfo {
    /// Returns how many bytes were sent at the least: repetitions do not count.
    pub(super) fn sent(&self) -> u64 {
        self.bytes_out.saturating_sub(self.repeated)
    }
}

/// Asks SIO_TCP_INFO, which Windows has since version 1703 of Windows 10.
pub(super) fn tcp_info(socket: &SockRef<'_>) -> io::Result<TcpInfo> {
    let version = 0_u32;
    let mut info = winsock::TCP_INFO_v0::default();
    let mut written = 0;
    // SAFETY: the socket is borrowed; the pointers and lengths describe `version` and `info`, which
    // outlive a call that is not overlapped.
    let status = unsafe {
        winsock::WSAIoctl(
            socket.as_raw_socket() as winsock::SOCKET,
            winsock::SIO_TCP_INFO,
            (&raw const version).cast(),
            size_of::<u32>() as u32,
            (&raw mut info).cast(),
            size_of::<winsock::TCP_INFO_v0>() as u32,
            &raw mut written,
            null_mut(),
            None,
        )
    };
    if status != 0 {
        return Err(last_error());
    }
    let state = match info.State {
        winsock::TCPSTATE_CLOSED => TcpState::Closed,
        winsock::TCPSTATE_FIN_WAIT_1 => TcpState::FinWait1,
        winsock::TCPSTATE_FIN_WAIT_2 => TcpState::FinWait2,
        winsock::TCPSTATE_CLOSING => TcpState::Closing,
        winsock::TCPSTATE_LAST_ACK => TcpState::LastAck,
        winsock::TCPSTATE_TIME_WAIT => TcpState::TimeWait,
        _ => TcpState::Other,
    };
    Ok(TcpInfo {
        state,
        bytes_out: info.BytesOut,
        in_flight: info.BytesInFlight.into(),
        repeated: info.BytesRetrans.into(),
    })
}

/// Returns the state of a connection by the system's table of connections, which has none of those
/// that are over; `None` if that cannot be read.
pub(super) fn state_in_table(socket: &SockRef<'_>) -> Option<TcpState> {
    let local = socket.local_addr().ok()?.as_socket()?;
    let remote = socket.peer_addr().ok()?.as_socket()?;
    let state = match (local, remote) {
        (SocketAddr::V4(local), SocketAddr::V4(remote)) => {
            let ends = |it: &ip_helper::MIB_TCPROW_LH| {
                is_end(
                    it.dwLocalPort,
                    it.dwLocalAddr.to_ne_bytes(),
                    local.port(),
                    local.ip().octets(),
                ) && is_end(
                    it.dwRemotePort,
                    it.dwRemoteAddr.to_ne_bytes(),
                    remote.port(),
                    remote.ip().octets(),
                )
            };
            // SAFETY: both members of the union are the same number.
            let state = |it: &ip_helper::MIB_TCPROW_LH| unsafe { it.Anonymous.dwState as i32 };
            table4()?.iter().find(|it| ends(it)).map(state)
        }
        (SocketAddr::V6(local), SocketAddr::V6(remote)) => {
            // SAFETY: every member of the union is the same 16 bytes.
            let bytes = |it: winsock::IN6_ADDR| unsafe { it.u.Byte };
            let ends = |it: &ip_helper::MIB_TCP6ROW| {
                is_end(it.dwLocalPort, bytes(it.LocalAddr), local.port(), local.ip().octets())
                    && is_end(
                        it.dwRemotePort,
                        bytes(it.RemoteAddr),
                        remote.port(),
                        remote.ip().octets(),
                    )
            };
            table6()?.iter().find(|it| ends(it)).map(|it| it.State)
        }
        _ => return None,
    };
    Some(match state {
        None | Some(ip_helper::MIB_TCP_STATE_CLOSED | ip_helper::MIB_TCP_STATE_DELETE_TCB) => {
            TcpState::Closed
        }
        Some(ip_helper::MIB_TCP_STATE_FIN_WAIT1) => TcpState::FinWait1,
        Some(ip_helper::MIB_TCP_STATE_FIN_WAIT2) => TcpState::FinWait2,
        Some(ip_helper::MIB_TCP_STATE_CLOSING) => TcpState::Closing,
        Some(ip_helper::MIB_TCP_STATE_LAST_ACK) => TcpState::LastAck,
        Some(ip_helper::MIB_TCP_STATE_TIME_WAIT) => TcpState::TimeWait,
        Some(_) => TcpState::Other,
    })
}

/// Returns whether the connection is over: the system has no state of it any more.
pub(crate) fn is_gone(socket: &SockRef<'_>) -> bool {
    match tcp_info(socket) {
        Ok(info) => info.state == TcpState::Closed,
        Err(_) => socket.peer_addr().is_err() || state_in_table(socket) == Some(TcpState::Closed),
    }
}

/// Compares one end of a row. Its port has the order of the network, in the lower half.
fn is_end<A: PartialEq>(row_port: u32, row_address: A, port: u16, address: A) -> bool {
    u16::from_be(row_port as u16) == port && row_address == address
}

fn table4() -> Option<Vec<ip_helper::MIB_TCPROW_LH>> {
    // SAFETY: the callee writes at most `size` bytes, and a table that begins with the number of rows.
    let words = words(|start, size| unsafe { ip_helper::GetTcpTable(start.cast(), size, 0) })?;
    let table = words.as_ptr().cast::<ip_helper::MIB_TCPTABLE>();
    // SAFETY: `words` is aligned for the table, which was written; its rows follow one another.
    let rows = unsafe {
        let first = (&raw const (*table).table).cast::<ip_helper::MIB_TCPROW_LH>();
        std::slice::from_raw_parts(first, (*table).dwNumEntries as usize)
    };
    Some(rows.to_vec())
}

fn table6() -> Option<Vec<ip_helper::MIB_TCP6ROW>> {
    // SAFETY: as above.
    let words = words(|start, size| unsafe { ip_helper::GetTcp6Table(start.cast(), size, 0) })?;
    let table = words.as_ptr().cast::<ip_helper::MIB_TCP6TABLE>();
    // SAFETY: as above.
    let rows = unsafe {
        let first = (&raw const (*table).table).cast::<ip_helper::MIB_TCP6ROW>();
        std::slice::from_raw_parts(first, (*table).dwNumEntries as usize)
    };
    Some(rows.to_vec())
}

/// Reads a table whose size is not known before.
fn words(mut read: impl FnMut(*mut u32, *mut u32) -> u32) -> Option<Vec<u32>> {
    /// The table may grow between two calls.
    const ATTEMPTS: usize = 5;
    let mut size = 16 * 1024_u32;
    for _ in 0..ATTEMPTS {
        let mut words = vec![0_u32; (size as usize).div_ceil(4)];
        match read(words.as_mut_ptr(), &raw mut size) {
            NO_ERROR => return Some(words),
            ERROR_INSUFFICIENT_BUFFER => size += size / 4,
            _ => return None,
        }
    }
    None
}

/// Returns how many bytes have arrived and were not read.
pub(super) fn unread(socket: &SockRef<'_>) -> io::Result<usize> {
    let mut count = 0;
    // SAFETY: the socket is borrowed; the callee writes one number, which outlives the call.
    let status = unsafe {
        winsock::ioctlsocket(
            socket.as_raw_socket() as winsock::SOCKET,
            winsock::FIONREAD,
            &raw mut count,
        )
    };
    if status == 0 { Ok(count as usize) } else { Err(last_error()) }
}

/// Returns whether the socket takes bytes now.
pub(super) fn is_writable(socket: &SockRef<'_>) -> io::Result<bool> {
    let fd = socket.as_raw_socket() as winsock::SOCKET;
    let mut poll = winsock::WSAPOLLFD { fd, events: winsock::POLLOUT, revents: 0 };
    // SAFETY: one structure, which outlives the call.
    let status = unsafe { winsock::WSAPoll(&raw mut poll, 1, 0) };
    if status < 0 { Err(last_error()) } else { Ok(poll.revents & winsock::POLLOUT != 0) }
}

/// Takes the address of the listener for this process alone: without SO_EXCLUSIVEADDRUSE, any process
/// may bind to it with SO_REUSEADDR, and take its connections.
pub(super) fn set_exclusive(socket: &SockRef<'_>) -> io::Result<()> {
    let on = 1_i32;
    // SAFETY: the socket is borrowed; the pointer and length describe `on`.
    let status = unsafe {
        winsock::setsockopt(
            socket.as_raw_socket() as winsock::SOCKET,
            winsock::SOL_SOCKET,
            winsock::SO_EXCLUSIVEADDRUSE,
            (&raw const on).cast(),
            size_of::<i32>() as i32,
        )
    };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> io::Error {
    // SAFETY: takes nothing, and reads the number of this thread.
    io::Error::from_raw_os_error(unsafe { winsock::WSAGetLastError() })
}
