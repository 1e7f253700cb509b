//! The local port.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::linger::Linger;

/// Connections that may wait to be accepted; the system cuts it to its own limit.
const BACKLOG: i32 = 4096;
/// How long to leave the port alone when the process has no descriptor left. Any other part of
/// the program may free one, and nothing tells when.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound port.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    /// Accepting goes on at this time.
    paused_until: Option<Instant>,
}

impl Listener {
    /// Binds the first of the addresses that can be bound. Must run within the runtime.
    pub(super) fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match listen(*address) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok(Self { listener, address, paused_until: None });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The next connection: its socket, who connected, and to which of our addresses. An error
    /// means that the port is lost.
    pub(super) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<io::Result<(TcpStream, SocketAddr, SocketAddr)>> {
        if self.paused_until.is_some_and(|until| now < until) {
            return Poll::Pending;
        }
        self.paused_until = None;
        loop {
            let Poll::Ready(accepted) = self.listener.poll_accept(cx) else { return Poll::Pending };
            match accepted {
                Ok((stream, remote)) => {
                    let local = self.local_address(&stream);
                    return Poll::Ready(Ok((stream, remote, local)));
                }
                Err(error) if is_about_the_connection(&error) => {}
                Err(error) if is_shortage(&error) => {
                    self.paused_until = Some(now + PAUSE);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_address(&self, stream: &TcpStream) -> SocketAddr {
        if self.address.ip().is_unspecified() {
            stream.local_addr().unwrap_or(self.address)
        } else {
            self.address
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option means that anybody may take the port away.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit both. Small answers leave at once. And should the process die, the
    // kernel resets what was open, whatever the owner's Linger: a cut stream never looks complete.
    // That Linger is applied when a connection is closed.
    socket.set_tcp_nodelay(true)?;
    Linger::HARD.apply(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Errors of a connection that died before it was accepted; the port is well.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}

/// Out of descriptors or memory.
fn is_shortage(error: &io::Error) -> bool {
    // ENOSPC: no room for another socket to be watched.
    #[cfg(unix)]
    let numbers = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC];
    // WSAEMFILE and WSAENOBUFS.
    #[cfg(windows)]
    let numbers = [10024, 10055];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}
