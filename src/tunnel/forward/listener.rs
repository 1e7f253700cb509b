//! Listeners of local and dynamic forwards: a TCP port or a Unix socket.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

#[cfg(windows)]
use socket2::SockRef;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, lookup_host};

use crate::net::descriptors;
use crate::net::linger::Linger;
use crate::net::local_stream::Stream;
#[cfg(windows)]
use crate::net::sys;
use crate::tunnel::forward::spec::SocketFile;
use crate::tunnel::{Endpoint, Error};

/// The maximum number of connections that wait to be accepted; the system reduces it to its limit.
const BACKLOG: i32 = 4096;
/// The pause in accepting when file descriptors are scarce or the observer is behind. No event says
/// when either ends.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// Whether the system distributes connections over all listeners of one port. Other systems have an
/// option of the same name that does not distribute them.
pub const CAN_REUSE_PORT: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd"
));

/// A listener on a TCP port or a Unix socket.
pub(crate) struct Listener {
    listener: Kind,
    /// Accepting goes on at this time.
    paused_until: Option<Instant>,
    /// Whether descriptors were scarce at the last connection.
    is_short: bool,
    /// Whether it was taken over: connections do not inherit the options of sockets from here.
    is_taken: bool,
}

enum Kind {
    Tcp(TcpListener, SocketAddr),
    // In this order: the file is removed after the socket is closed.
    #[cfg(unix)]
    Unix(UnixListener, Name),
}

/// An accepted connection.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// The addresses of the client and of the listener; `None` for a Unix socket.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
}

/// Binds an address; of the addresses of a host name, the first that can be bound. Must run within
/// the runtime on which the connections are served. A `socket` that listens there already is taken
/// over in place of that.
///
/// With `reuse_port`, other listeners with the same option may share the port, and the system
/// distributes the connections; see [`CAN_REUSE_PORT`]. Unix sockets cannot be shared.
pub(crate) async fn listen(
    address: Endpoint,
    reuse_port: bool,
    file: SocketFile,
    socket: Option<Socket>,
) -> Result<Listener, Error> {
    match (&address, socket) {
        (_, Some(socket)) => Listener::take(socket),
        (Endpoint::Tcp { host, port }, None) => {
            let found = lookup_host((&**host, *port)).await;
            let addresses: Vec<_> =
                found.map_err(|error| Error::lookup(address.to_string(), &error))?.collect();
            Listener::bind(&addresses, reuse_port)
        }
        (Endpoint::Unix(path), None) => Listener::bind_path(path, file),
    }
    .map_err(|error| Error::listen("listen", address.to_string(), &error))
}

impl Listener {
    /// Binds the first of the addresses that can be bound.
    fn bind(addresses: &[SocketAddr], reuse_port: bool) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match bind_address(*address, reuse_port) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok(Kind::Tcp(listener, address).into());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    #[cfg(unix)]
    fn bind_path(path: &str, file: SocketFile) -> io::Result<Self> {
        let (listener, name) = bind_path(path, file)?;
        Ok(Kind::Unix(listener, name).into())
    }

    #[cfg(not(unix))]
    fn bind_path(_: &str, _: SocketFile) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes over a socket that listens. Its options stay as they are for others that have it.
    fn take(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let listener = match address.as_socket() {
            Some(address) => Kind::Tcp(TcpListener::from_std(socket.into())?, address),
            None => take_unix(socket, &address)?,
        };
        Ok(Self { is_taken: true, ..listener.into() })
    }

    /// Returns the bound address.
    pub(crate) fn address(&self) -> Endpoint {
        match &self.listener {
            Kind::Tcp(_, address) => {
                Endpoint::Tcp { host: address.ip().to_string().into(), port: address.port() }
            }
            #[cfg(unix)]
            Kind::Unix(_, name) => Endpoint::Unix(name.path.to_string_lossy().into()),
        }
    }

    /// Returns the end of a pause that is not over. After its end, a listener that nothing is
    /// accepted from waits for room: what makes room wakes the task.
    pub(crate) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| now < *until)
    }

    /// Pauses accepting as a shortage of descriptors does.
    #[cfg(test)]
    pub(crate) fn pause(&mut self, until: Instant) {
        self.paused_until = Some(until);
    }

    /// Accepts the next connection. An error means that the listener has failed for good. While
    /// descriptors are scarce, accepts only the first connection of the tunnel.
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
                    let socket = accepted.stream.socket();
                    if let Some(socket) = &socket
                        && self.is_taken
                        && accepted.remote.is_some()
                    {
                        // Fails for a connection that has died, which shows when it is read.
                        let _ = prepare(socket);
                    }
                    self.is_short = socket.is_some_and(|socket| descriptors::are_scarce(&*socket));
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

impl From<Kind> for Listener {
    fn from(listener: Kind) -> Self {
        Self { listener, paused_until: None, is_short: false, is_taken: false }
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

fn bind_address(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows that option lets any program take the port away, unless the port is exclusive.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    #[cfg(windows)]
    sys::set_exclusive(&SockRef::from(&socket))?;
    if reuse_port {
        set_reuse_port(&socket)?;
    }
    prepare(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets options that accepted sockets inherit from a listener. If the process dies, the kernel resets its connections,
/// so that a cut stream never looks complete. A connection's Linger is applied when it closes.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    Linger::HARD.apply(socket)
}

#[cfg(unix)]
fn take_unix(socket: Socket, address: &SockAddr) -> io::Result<Kind> {
    let name = Name::kept(&Endpoint::from(address).to_string());
    Ok(Kind::Unix(UnixListener::from_std(socket.into())?, name))
}

#[cfg(not(unix))]
fn take_unix(_: Socket, _: &SockAddr) -> io::Result<Kind> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "dragonfly"))]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(target_os = "freebsd")]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port_lb(true)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd"
)))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Binds a Unix socket. An existing file is replaced or an error, EADDRINUSE, as with OpenSSH with
/// and without `StreamLocalBindUnlink`.
#[cfg(unix)]
fn bind_path(path: &str, file: SocketFile) -> io::Result<(UnixListener, Name)> {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    if file.replaces {
        remove_socket(path)?;
    }
    socket.bind(&address)?;
    let name = Name::new(path.into())?;
    // Whatever the umask of the process is. No client can connect before listen().
    set_permissions(path, Permissions::from_mode(file.mode))?;
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(socket.into())?, name))
}

/// Removes a socket, and no file of another kind.
#[cfg(unix)]
fn remove_socket(path: &str) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;

    match std::fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

/// The file of a Unix socket. Dropping this removes the file of a socket that was bound here, unless it
/// has been replaced.
#[cfg(unix)]
struct Name {
    path: PathBuf,
    /// `None`: it is another process's.
    file: Option<(u64, u64)>,
}

#[cfg(unix)]
impl Name {
    fn new(path: PathBuf) -> io::Result<Self> {
        // The process may change its working directory.
        let path = std::path::absolute(path)?;
        let file = Some(identity(&path)?);
        Ok(Self { path, file })
    }

    fn kept(path: &str) -> Self {
        Self { path: path.into(), file: None }
    }
}

#[cfg(unix)]
impl Drop for Name {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path).ok() == self.file {
            // There is no caller to report a failure to.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn identity(path: &std::path::Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Returns whether the error is of a connection that died before it was accepted.
fn is_about_the_connection(error: &io::Error) -> bool {
    // accept(2) also has these as pending errors of the new socket; they have no ErrorKind.
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

/// Returns whether descriptors or memory are exhausted.
fn is_shortage(error: &io::Error) -> bool {
    // ENOSPC: epoll can watch no further socket.
    #[cfg(unix)]
    let numbers = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC];
    // WSAEMFILE and WSAENOBUFS.
    #[cfg(windows)]
    let numbers = [10024, 10055];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

#[cfg(test)]
mod tests;
