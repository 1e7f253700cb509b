//! The public types of a forward: where it listens, where its connections lead, and how it stands.

use std::fmt;
use std::sync::Arc;

use socket2::{SockAddr, Socket};

use crate::net::rate::MaxRate;
use crate::socks::Login;

/// The id of the forward in a tunnel's configuration.
pub const DEFAULT_FORWARD: i64 = 0;
/// In place of a forward's id: the connection was opened by `dial()`.
pub const DIAL_FORWARD: i64 = -1;

/// An address to listen on or to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// A host name or an address.
        host: Arc<str>,
        /// The port; when listening, 0 lets the system choose one.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(Arc<str>),
}

impl From<&SockAddr> for Endpoint {
    /// Returns the address of a listening socket. The name of an abstract Unix socket begins with `@`.
    fn from(address: &SockAddr) -> Self {
        if let Some(address) = address.as_socket() {
            return Self::Tcp { host: address.ip().to_string().into(), port: address.port() };
        }
        Self::Unix(path_of(address).into())
    }
}

#[cfg(unix)]
fn path_of(address: &SockAddr) -> String {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_namespace() {
        return format!("@{}", String::from_utf8_lossy(name));
    }
    address.as_pathname().unwrap_or(std::path::Path::new("")).to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn path_of(_: &SockAddr) -> String {
    String::new()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => f.write_str(path),
        }
    }
}

/// How the file of a Unix socket is made that a forward listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// The permissions.
    pub mode: u32,
    /// Whether a file that is there already is removed.
    pub replaces: bool,
}

impl Default for SocketFile {
    /// For this user only, and never in place of another file.
    fn default() -> Self {
        Self { mode: 0o600, replaces: false }
    }
}

/// The kind of a forward, with its addresses.
#[derive(Clone, Debug)]
pub enum ForwardSpec {
    /// Listens here; every connection leads to one target of the SSH server.
    Local {
        /// The local address; a host name is resolved when the forward starts.
        listen: Endpoint,
        /// The target that the SSH server connects to.
        target: Endpoint,
    },
    /// Listens here as a SOCKS server; each client names its own target.
    Dynamic {
        /// The local address.
        listen: Endpoint,
        /// The credentials that clients must present; `None`: no authentication.
        login: Option<Arc<Login>>,
    },
    /// Listens at the SSH server; this side connects to the targets.
    Remote {
        /// The address that the SSH server listens on.
        listen: Endpoint,
        /// Where its connections lead.
        target: RemoteTarget,
    },
}

/// Where the connections of a remote forward lead.
#[derive(Clone, Debug)]
pub enum RemoteTarget {
    /// To one target.
    Fixed(Endpoint),
    /// Each client names its own target in SOCKS.
    Socks {
        /// The credentials that clients must present; `None`: no authentication.
        login: Option<Arc<Login>>,
    },
}

impl From<Endpoint> for RemoteTarget {
    fn from(target: Endpoint) -> Self {
        Self::Fixed(target)
    }
}

impl ForwardSpec {
    /// Returns the address that the forward listens on, here or at the server.
    pub(crate) fn listen(&self) -> &Endpoint {
        match self {
            Self::Local { listen, .. }
            | Self::Dynamic { listen, .. }
            | Self::Remote { listen, .. } => listen,
        }
    }
}

/// A forward to start, with its limits.
#[derive(Debug)]
pub struct ForwardOptions {
    /// The kind of the forward, with its addresses.
    pub spec: ForwardSpec,
    /// The maximum number of simultaneous connections; `None`: unlimited.
    pub max_connections: Option<u32>,
    /// The limits of the rate of its connections together.
    pub max_rate: MaxRate,
    /// How the file of a local Unix socket is made.
    pub file: SocketFile,
    /// A socket that listens at the local address already, in place of a new one.
    pub socket: Option<Socket>,
}

impl From<ForwardSpec> for ForwardOptions {
    fn from(spec: ForwardSpec) -> Self {
        let (max_rate, file) = (MaxRate::default(), SocketFile::default());
        Self { spec, max_connections: None, max_rate, file, socket: None }
    }
}

/// A forward that has been bound.
#[derive(Clone, Debug)]
pub struct ForwardInfo {
    /// The id of the forward, unique within the tunnel.
    pub id: i64,
    /// The address that the forward is bound to.
    pub bound: Endpoint,
    /// Whether the forward listens; `false` for a remote forward whose session is disconnected.
    pub listening: bool,
    /// The forward as it was started.
    pub spec: ForwardSpec,
}
