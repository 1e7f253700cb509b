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

/// Whether the system deals connections out among all who listen on one port. Others have an
/// option of the same name that lets several listen, and does not deal out.
pub const CAN_SHARE: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd"
));

/// A bound port.
pub(super) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    /// Accepting goes on at this time.
    paused_until: Option<Instant>,
}

impl Listener {
    /// Binds the first of the addresses that can be bound. Must run within the runtime.
    ///
    /// With `share`, others who say so too may listen on the same port, and the system deals the
    /// connections out among them; see [`CAN_SHARE`].
    pub(super) fn bind(addresses: &[SocketAddr], share: bool) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match listen(*address, share) {
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

fn listen(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option means that anybody may take the port away.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    if share {
        share_port(&socket)?;
    }
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

#[cfg(any(target_os = "linux", target_os = "android", target_os = "dragonfly"))]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(target_os = "freebsd")]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port_lb(true)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd"
)))]
fn share_port(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Errors of a connection that died before it was accepted; the port is well.
fn is_about_the_connection(error: &io::Error) -> bool {
    // accept(2) names these too as errors that were waiting on the new socket; they have no kind.
    #[cfg(unix)]
    let numbers = [libc::EPROTO, libc::ENOPROTOOPT, libc::EHOSTDOWN, libc::EOPNOTSUPP];
    #[cfg(windows)]
    let numbers = [];
    if error.raw_os_error().is_some_and(|number| numbers.contains(&number)) {
        return true;
    }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use super::*;
    use crate::runtime;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    async fn accept(listener: &mut Listener) -> (TcpStream, SocketAddr, SocketAddr) {
        poll_fn(|cx| listener.poll_accept(cx, Instant::now())).await.expect("a connection")
    }

    /// Waits for the end of a stream on which nothing comes.
    async fn end(peer: &TcpStream) -> io::Result<usize> {
        loop {
            peer.readable().await?;
            match peer.try_read(&mut [0; 1]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                end => return end,
            }
        }
    }

    #[test]
    fn accepted_sockets_reset_unless_they_are_told_otherwise() {
        runtime::handle().block_on(async {
            let mut listener = Listener::bind(&[any()], false).expect("bind");
            let peer = TcpStream::connect(listener.address()).await.expect("connect");
            let (stream, remote, local) = accept(&mut listener).await;
            assert_eq!(Linger::of(&stream).expect("alive"), Linger::HARD);
            assert!(stream.nodelay().expect("alive"));
            assert_eq!(remote, peer.local_addr().expect("alive"));
            assert_eq!(local, peer.peer_addr().expect("alive"));
            drop(stream);
            let error = end(&peer).await.expect_err("a reset");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn what_waits_to_be_accepted_is_reset_with_the_listener() {
        runtime::handle().block_on(async {
            let listener = Listener::bind(&[any()], false).expect("bind");
            let peer = TcpStream::connect(listener.address()).await.expect("connect");
            drop(listener);
            let error = end(&peer).await.expect_err("a reset");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn the_first_address_that_can_be_bound_is_taken() {
        runtime::handle().block_on(async {
            let taken = Listener::bind(&[any()], false).expect("bind").address();
            let holder =
                Listener::bind(&[taken], false).expect("a port that was given up is free at once");
            let error = Listener::bind(&[taken], false).err().expect("it is taken");
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            let other = Listener::bind(&[taken, any()], false).expect("the second one is free");
            assert_ne!(other.address(), holder.address());
            let error = Listener::bind(&[], false).err().expect("no address");
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_port_is_shared_by_those_who_all_say_so() {
        runtime::handle().block_on(async {
            let mut first = Listener::bind(&[any()], true).expect("bind");
            let place = [first.address()];
            let error = Listener::bind(&place, false).err().expect("it does not share");
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            let mut second = Listener::bind(&place, true).expect("both share");
            assert_eq!(second.address(), first.address());

            // Which one gets a connection is the system's choice; each gets some.
            let now = Instant::now();
            let (mut dealt, mut peers) = ([0, 0], Vec::new());
            while dealt.contains(&0) {
                peers.push(TcpStream::connect(place[0]).await.expect("connect"));
                let who = poll_fn(|cx| {
                    if first.poll_accept(cx, now).is_ready() {
                        return Poll::Ready(0);
                    }
                    second.poll_accept(cx, now).map(|_| 1)
                });
                dealt[who.await] += 1;
            }
            drop(first);
            let _peer = TcpStream::connect(place[0]).await.expect("the other one still listens");
            accept(&mut second).await;

            let alone = Listener::bind(&[any()], false).expect("bind");
            let error = Listener::bind(&[alone.address()], true).err().expect("it does not share");
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            // Who lets the system choose gets a port of its own.
            let other = Listener::bind(&[any()], true).expect("bind");
            assert_ne!(other.address(), second.address());
        });
    }

    #[test]
    fn the_local_address_is_the_one_that_was_connected_to() {
        runtime::handle().block_on(async {
            let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
            let mut listener = Listener::bind(&[everywhere], false).expect("bind");
            assert!(listener.address().ip().is_unspecified());
            let place = SocketAddr::from(([127, 0, 0, 1], listener.address().port()));
            let _peer = TcpStream::connect(place).await.expect("connect");
            assert_eq!(accept(&mut listener).await.2, place);
        });
    }

    #[test]
    fn a_pause_leaves_connections_waiting_until_it_is_over() {
        runtime::handle().block_on(async {
            let mut listener = Listener::bind(&[any()], false).expect("bind");
            let _peer = TcpStream::connect(listener.address()).await.expect("connect");
            let now = Instant::now();
            listener.paused_until = Some(now + PAUSE);
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(listener.poll_accept(cx, now).is_pending());
            assert_eq!(listener.paused_until(), Some(now + PAUSE));
            let later = poll_fn(|cx| listener.poll_accept(cx, now + PAUSE)).await;
            later.expect("a connection");
            assert_eq!(listener.paused_until(), None);
        });
    }

    #[test]
    #[cfg(unix)]
    fn no_error_of_one_connection_or_of_scarcity_loses_the_port() {
        let error = io::Error::from_raw_os_error;
        for number in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC] {
            assert!(is_shortage(&error(number)) && !is_about_the_connection(&error(number)));
        }
        // Those that accept(2) tells to be treated as a failed connection, and try again.
        for number in [
            libc::ECONNABORTED,
            libc::EINTR,
            libc::EPERM,
            libc::ENETDOWN,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::EPROTO,
            libc::ENOPROTOOPT,
            libc::EHOSTDOWN,
            libc::EOPNOTSUPP,
        ] {
            assert!(is_about_the_connection(&error(number)), "{}", error(number));
        }
        for number in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert!(!is_shortage(&error(number)) && !is_about_the_connection(&error(number)));
        }
    }
}
