//! Messages of the kernel about addresses and routes (Linux).

use std::io::{self, Read};
use std::mem::size_of_val;
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bytes of one read. What a message says does not matter, only that there is one.
const READ_SIZE: usize = 8 * 1024;
/// Reads before the rest is left for the next call.
const MAX_READS: usize = 256;

/// The multicast groups: addresses and routes of both families.
const GROUPS: libc::c_int = libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV6_ROUTE;

/// A socket that is readable when addresses or routes of this machine have changed.
pub(crate) struct NetworkChanges(AsyncFd<Socket>);

impl NetworkChanges {
    /// Opens the socket; `None` where the system does not allow it, as in some sandboxes.
    pub(crate) fn open() -> Option<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), kind, Some(protocol)).ok()?;
        // SAFETY: all zeros are a valid value of this plain structure.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = GROUPS.cast_unsigned();
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address is initialized, has this length and outlives the call; the descriptor is open.
        let status = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        if status < 0 {
            return None;
        }
        // SAFETY: the AsyncFd owns the socket, which keeps its one descriptor open until it is dropped.
        unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.ok().map(Self)
    }

    /// Completes when something has changed.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.0.readable().await.map(|_guard| ())
    }

    /// Discards the messages that have arrived.
    pub(crate) fn drain(&self) {
        let mut buffer = [0; READ_SIZE];
        for _ in 0..MAX_READS {
            match self.0.try_io(Interest::READABLE, |mut socket| socket.read(&mut buffer)) {
                // ENOBUFS: more came than the socket could keep.
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}
