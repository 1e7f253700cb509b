//! A local port, or a socket in the file system.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, lookup_host};

use crate::net::descriptors;
use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
use crate::tunnel::{Endpoint, Error};

/// Connections that may wait to be accepted; the system cuts it to its own limit.
const BACKLOG: i32 = 4096;
/// How long to leave a port alone when the process has few descriptors left, or hears too little of
/// what it is told. Nothing tells when that is over.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// Whether the system deals connections out among all who listen on one port. Others have an
/// option of the same name that lets several listen, and does not deal out.
pub const CAN_REUSE_PORT: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd"
));

/// A bound port, or a bound path.
pub(crate) struct Listener {
    listener: Kind,
    /// Accepting goes on at this time.
    paused_until: Option<Instant>,
    /// Whether descriptors were scarce when they were looked at last.
    is_short: bool,
}

enum Kind {
    Tcp(TcpListener, SocketAddr),
    // In this order: the name goes when nobody is accepted any more.
    #[cfg(unix)]
    Unix(UnixListener, Name),
}

/// A connection that came in.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// Who connected, and to which of our addresses; a Unix socket has no address.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
}

/// Listens there; of the addresses of a name, on the first that can be bound. Must run within the
/// runtime on which the connections are to be served.
///
/// With `share`, others who say so too may listen on the same port, and the system deals the
/// connections out among them; see [`CAN_REUSE_PORT`]. A path is nobody else's in any case.
pub(crate) async fn listen(place: Endpoint, share: bool) -> Result<Listener, Error> {
    match &place {
        Endpoint::Tcp { host, port } => {
            let found = lookup_host((&**host, *port)).await;
            let addresses: Vec<_> =
                found.map_err(|error| Error::lookup(place.to_string(), &error))?.collect();
            Listener::bind(&addresses, share)
        }
        Endpoint::Unix(path) => Listener::bind_path(path),
    }
    .map_err(|error| Error::listen("listen", place.to_string(), &error))
}

impl Listener {
    /// Binds the first of the addresses that can be bound.
    fn bind(addresses: &[SocketAddr], share: bool) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match bind_address(*address, share) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok(Self {
                        listener: Kind::Tcp(listener, address),
                        paused_until: None,
                        is_short: false,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    #[cfg(unix)]
    fn bind_path(path: &str) -> io::Result<Self> {
        let (listener, name) = bind_path(path)?;
        Ok(Self { listener: Kind::Unix(listener, name), paused_until: None, is_short: false })
    }

    #[cfg(not(unix))]
    fn bind_path(_: &str) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where it listens, as it was bound.
    pub(crate) fn address(&self) -> Endpoint {
        match &self.listener {
            Kind::Tcp(_, address) => {
                Endpoint::Tcp { host: address.ip().to_string().into(), port: address.port() }
            }
            #[cfg(unix)]
            Kind::Unix(_, name) => Endpoint::Unix(name.path.to_string_lossy().into()),
        }
    }

    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// The next connection. An error means that the port is lost. While descriptors are scarce,
    /// none is taken but the tunnel's first.
    pub(crate) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        is_first: bool,
    ) -> Poll<io::Result<Accepted>> {
        if self.paused_until.is_some_and(|until| now < until) {
            return Poll::Pending;
        }
        self.is_short = self.is_short && descriptors::are_scarce_now();
        if self.is_short && !is_first {
            self.paused_until = Some(now + PAUSE);
            return Poll::Pending;
        }
        self.paused_until = None;
        loop {
            let Poll::Ready(accepted) = self.listener.poll_accept(cx) else { return Poll::Pending };
            match accepted {
                Ok(accepted) => {
                    self.is_short = descriptors::are_scarce(&accepted.stream);
                    return Poll::Ready(Ok(accepted));
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
}

impl Kind {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Kind::Tcp(listener, address) => listener.poll_accept(cx).map_ok(|(stream, remote)| {
                let local = if address.ip().is_unspecified() {
                    stream.local_addr().unwrap_or(*address)
                } else {
                    *address
                };
                Accepted { stream: stream.into(), remote: Some(remote), local: Some(local) }
            }),
            #[cfg(unix)]
            Kind::Unix(listener, _) => listener.poll_accept(cx).map_ok(|(stream, _)| Accepted {
                stream: stream.into(),
                remote: None,
                local: None,
            }),
        }
    }
}

fn bind_address(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
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

/// A file that is there already is left alone, as by OpenSSH without StreamLocalBindUnlink:
/// EADDRINUSE.
#[cfg(unix)]
fn bind_path(path: &str) -> io::Result<(UnixListener, Name)> {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let name = Name::new(path.into())?;
    // For this user only, whatever the umask, which is the whole process's. Nobody can connect
    // before listen().
    set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(socket.into())?, name))
}

/// The name of a bound socket in the file system. Dropping it removes the file, if it is still the
/// one that was made then.
#[cfg(unix)]
struct Name {
    path: PathBuf,
    file: (u64, u64),
}

#[cfg(unix)]
impl Name {
    fn new(path: PathBuf) -> io::Result<Self> {
        // A relative path means the same file whatever directory the process goes to.
        let path = std::path::absolute(path)?;
        let file = identity(&path)?;
        Ok(Self { path, file })
    }
}

#[cfg(unix)]
impl Drop for Name {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // Nobody is there to be told.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn identity(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
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
mod tests;
