//! What the system tells about the path of a TCP connection, and how it limits what waits for it.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use std::io;
use std::time::Duration;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use socket2::SockRef;

/// The path of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathInfo {
    /// The least round trip of the last minutes.
    pub(crate) round_trip: Duration,
    /// Bytes a second that were delivered of late, while the sender was not idle.
    pub(crate) rate: u64,
    /// Bytes that were written and not acknowledged.
    pub(crate) queued: u64,
    /// Bytes that were acknowledged in all.
    pub(crate) acknowledged: u64,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::io;
    use std::time::Duration;

    use socket2::SockRef;

    use super::PathInfo;
    use crate::net::sys::{OptionValue, queue_length, read_option, write_option};

    /// The beginning of struct tcp_info of linux/tcp.h, which only grows at its end. The libc crate
    /// does not have these fields for every C library.
    const LENGTH: usize = 168;
    const BYTES_ACKED: usize = 120;
    const MIN_RTT: usize = 148;
    const DELIVERY_RATE: usize = 160;

    impl OptionValue for [u8; LENGTH] {}

    /// Reads TCP_INFO and SIOCOUTQ. Fails on kernels before 4.9.
    pub(crate) fn path_info(socket: &SockRef<'_>) -> io::Result<PathInfo> {
        let mut info = [0_u8; LENGTH];
        let length = read_option(socket, (libc::IPPROTO_TCP, libc::TCP_INFO), &mut info)?;
        if length < LENGTH {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let number = |at: usize| info[at..].first_chunk().map_or(0, |it| u64::from_ne_bytes(*it));
        let rtt = info[MIN_RTT..].first_chunk().map_or(0, |it| u32::from_ne_bytes(*it));
        Ok(PathInfo {
            round_trip: Duration::from_micros(rtt.into()),
            rate: number(DELIVERY_RATE),
            acknowledged: number(BYTES_ACKED),
            // SIOCOUTQ has the number of TIOCOUTQ.
            queued: queue_length(socket, libc::TIOCOUTQ)? as u64,
        })
    }

    /// Limits how many bytes may wait to be sent before the socket takes no more; `None` is the
    /// system's default.
    pub(crate) fn set_notsent_lowat(socket: &SockRef<'_>, count: Option<u32>) -> io::Result<()> {
        let value = libc::c_int::try_from(count.unwrap_or(0)).unwrap_or(libc::c_int::MAX);
        write_option(socket, (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), &value)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{path_info, set_notsent_lowat};

/// Fails: what other systems tell was not tested.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn path_info(_: &SockRef<'_>) -> io::Result<PathInfo> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails, as above.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_notsent_lowat(_: &SockRef<'_>, _: Option<u32>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
