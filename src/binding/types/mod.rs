//! The objects in messages to JavaScript.

pub mod credentials;
pub mod enums;
pub mod inquiry;
pub mod known_host;
pub mod stats;

use std::net::SocketAddr;
use std::sync::Arc;

use napi::Status;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use socket2::Socket;
use zeroize::Zeroizing;

use crate::binding::types::enums::{ClosedBy, ConnectionState, ForwardKind};
use crate::names;
#[cfg(unix)]
use crate::net::external;
use crate::net::linger::Linger;
use crate::net::rate;
use crate::session::{self, HostKeyInfo};
use crate::tunnel::{self, Endpoint, ForwardOptions, ForwardSpec, Login, RemoteTarget, SocketFile};

/// The LINGER structure.
#[napi(object, js_name = "Linger", object_from_js = false)]
#[derive(Debug)]
pub struct LingerOption {
    /// Nonzero: `l_linger` applies.
    #[napi(js_name = "l_onoff")]
    pub l_onoff: u16,
    /// Seconds.
    #[napi(js_name = "l_linger")]
    pub l_linger: u16,
}

/// A connection.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its id.
    pub connection_id: f64,
    /// The id of its forward, or -1 for dial().
    pub forward_id: i64,
    /// The address of the client, if it came by TCP.
    pub remote_address: Option<String>,
    /// The port of the client.
    pub remote_port: Option<u16>,
    /// The address that it connected to.
    pub local_address: Option<String>,
    /// The port that it connected to.
    pub local_port: Option<u16>,
    /// The host of the target.
    pub forward_host: Option<String>,
    /// The port of the target.
    pub forward_port: Option<u16>,
    /// The path of the target, in place of both.
    pub forward_path: Option<String>,
    /// How it will be closed.
    pub linger: LingerOption,
    /// Its state.
    pub state: ConnectionState,
    /// Bytes to the remote end so far.
    pub bytes_up: f64,
    /// Bytes to the local client so far.
    pub bytes_down: f64,
}

/// The report of a connection that has ended.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ConnectionEnd {
    /// Its id.
    pub connection_id: f64,
    /// The id of its forward, or -1 for dial().
    pub forward_id: i64,
    /// `OK`, or what went wrong.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// What the server said when it refused to open the connection.
    pub description: Option<String>,
    /// Whether both directions reached their end of stream with every byte delivered.
    pub clean: bool,
    /// How the local client saw it end.
    pub closed_by: ClosedBy,
    /// Bytes handed to the SSH session.
    pub bytes_up: f64,
    /// Bytes that the kernel of the local client has acknowledged.
    pub bytes_down: f64,
    /// Bytes from the local client that were not handed on.
    pub dropped_up: f64,
    /// Bytes from the remote end that were not delivered.
    pub dropped_down: f64,
    /// Bytes from the remote end that may or may not have been delivered: the system does not tell.
    pub unconfirmed_down: f64,
    /// How it was closed.
    pub linger: LingerOption,
    /// Whether the linger time expired.
    pub linger_expired: bool,
}

/// A port, or a Unix socket.
#[napi(object)]
#[derive(Default)]
pub struct EndpointOption {
    /// A name or an address.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// In place of both.
    pub path: Option<String>,
}

/// Limits of a rate: bytes in a second, 0 for none.
#[napi(object)]
#[derive(Clone, Copy)]
pub struct MaxRate {
    /// From the local client to the remote end.
    pub up: f64,
    /// From the remote end to the local client.
    pub down: f64,
}

/// A forward to start.
#[napi(object, object_to_js = false)]
pub struct ForwardOption {
    /// Its kind.
    pub kind: ForwardKind,
    /// Where it listens.
    pub listen: EndpointOption,
    /// Its target; a dynamic forward has none, nor has a remote one whose clients speak SOCKS.
    pub target: Option<EndpointOption>,
    /// The maximum number of simultaneous connections; unlimited without it.
    pub max_connections: Option<u32>,
    /// The limits of the rate of its connections together.
    pub max_rate: MaxRate,
    /// The permissions of the file of a local Unix socket; for this user only without them.
    pub mode: Option<u32>,
    /// Whether a local Unix socket replaces the file of another one.
    pub replaces: Option<bool>,
    /// A descriptor that listens where it says, in place of binding: it is taken over.
    pub descriptor: Option<i32>,
    /// The username that clients have to send in SOCKS; together with the password.
    pub username: Option<String>,
    /// Together with the username.
    pub password: Option<String>,
}

/// A forward that is bound, or will be bound again after a reconnect.
#[napi(object, object_from_js = false)]
pub struct ForwardInfo {
    /// Its id.
    pub forward_id: i64,
    /// Its kind.
    pub kind: ForwardKind,
    /// Where it listens.
    pub bound: EndpointOption,
    /// Whether it listens now.
    pub listening: bool,
    /// Its target.
    pub target: Option<EndpointOption>,
}

/// A connection that was dialed.
#[napi(object, object_from_js = false)]
pub struct Dialed {
    /// Its id.
    pub connection_id: f64,
    /// The number of its stream.
    pub stream: u32,
}

/// A host key for the hostVerifier.
#[napi(object, object_from_js = false)]
pub struct HostKey {
    /// The host as it was given.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The index of the jump host, if it is one.
    pub hop: Option<u32>,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: String,
    /// The key's blob.
    pub key: Buffer,
    /// `SHA256:...`
    pub fingerprint: String,
}

/// A banner of a server.
#[napi(object, object_from_js = false)]
pub struct Banner {
    /// The server's host as it was given.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The text.
    pub message: String,
    /// Its language.
    pub language: String,
}

impl From<session::Banner> for Banner {
    fn from(banner: session::Banner) -> Self {
        let session::Banner { host, port, message, language } = banner;
        Self { host, port, message, language }
    }
}

impl From<Linger> for LingerOption {
    fn from(linger: Linger) -> Self {
        Self { l_onoff: linger.onoff, l_linger: linger.linger }
    }
}

impl From<&Endpoint> for EndpointOption {
    fn from(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Tcp { host, port } => {
                Self { host: Some(host.as_ref().to_owned()), port: Some(*port), path: None }
            }
            Endpoint::Unix(path) => {
                Self { host: None, port: None, path: Some(path.as_ref().to_owned()) }
            }
        }
    }
}

impl TryFrom<EndpointOption> for Endpoint {
    type Error = napi::Error;

    /// JavaScript passes a path, or a host and a port, and has checked them.
    fn try_from(option: EndpointOption) -> Result<Self, napi::Error> {
        let refused = |fault| napi::Error::new(Status::InvalidArg, format!("a name {fault}"));
        if let Some(path) = option.path {
            names::check(&path, names::MAX_PATH).map_err(refused)?;
            return Ok(Self::Unix(path.into()));
        }
        let host = option.host.unwrap_or_default();
        // For a server that listens, the empty name is every address.
        if !host.is_empty() {
            names::check(&host, names::MAX_HOST).map_err(refused)?;
        }
        Ok(Self::Tcp { host: host.into(), port: option.port.unwrap_or_default() })
    }
}

impl From<MaxRate> for rate::MaxRate {
    fn from(MaxRate { up, down }: MaxRate) -> Self {
        Self { up: up as u64, down: down as u64 }
    }
}

impl From<rate::MaxRate> for MaxRate {
    fn from(rate::MaxRate { up, down }: rate::MaxRate) -> Self {
        Self { up: up as f64, down: down as f64 }
    }
}

impl TryFrom<ForwardOption> for ForwardOptions {
    type Error = napi::Error;

    fn try_from(option: ForwardOption) -> Result<Self, napi::Error> {
        let listen = option.listen.try_into()?;
        let login = login(option.username, option.password)?;
        let spec = match (option.kind, option.target) {
            (ForwardKind::Local, target) => {
                ForwardSpec::Local { listen, target: target.unwrap_or_default().try_into()? }
            }
            (ForwardKind::Remote, Some(target)) => {
                ForwardSpec::Remote { listen, target: RemoteTarget::Fixed(target.try_into()?) }
            }
            (ForwardKind::Remote, None) => {
                ForwardSpec::Remote { listen, target: RemoteTarget::Socks { login } }
            }
            (ForwardKind::Dynamic, _) => ForwardSpec::Dynamic { listen, login },
        };
        let SocketFile { mode, .. } = SocketFile::default();
        let file = SocketFile {
            mode: option.mode.unwrap_or(mode),
            replaces: option.replaces.unwrap_or_default(),
        };
        let (max_connections, max_rate) = (option.max_connections, option.max_rate.into());
        // The last one that can fail: only a whole forward takes it over.
        let socket = option.descriptor.map(take_listener).transpose()?;
        Ok(Self { spec, max_connections, max_rate, file, socket })
    }
}

#[cfg(unix)]
fn take_listener(descriptor: i32) -> Result<Socket, napi::Error> {
    external::take_listener(descriptor).map_err(|error| napi::Error::from_reason(error.to_string()))
}

/// JavaScript has refused the option.
#[cfg(not(unix))]
fn take_listener(_: i32) -> Result<Socket, napi::Error> {
    Err(napi::Error::from_reason("descriptors of sockets are not supported"))
}

/// The credentials that clients have to send; none if there is neither a username nor a password.
fn login(
    username: Option<String>,
    password: Option<String>,
) -> Result<Option<Arc<Login>>, napi::Error> {
    match (username.map(Zeroizing::new), password.map(Zeroizing::new)) {
        (None, None) => Ok(None),
        // Half of a login is an invalid one.
        (username, password) => {
            let (username, password) = (username.unwrap_or_default(), password.unwrap_or_default());
            let login = Login::new(username.as_bytes(), password.as_bytes());
            let invalid = || napi::Error::from_reason("the login is not valid");
            Ok(Some(Arc::new(login.ok_or_else(invalid)?)))
        }
    }
}

impl From<&tunnel::ForwardInfo> for ForwardInfo {
    fn from(info: &tunnel::ForwardInfo) -> Self {
        Self {
            forward_id: info.id,
            kind: (&info.spec).into(),
            bound: (&info.bound).into(),
            listening: info.listening,
            target: match &info.spec {
                ForwardSpec::Local { target, .. }
                | ForwardSpec::Remote { target: RemoteTarget::Fixed(target), .. } => {
                    Some(target.into())
                }
                ForwardSpec::Dynamic { .. }
                | ForwardSpec::Remote { target: RemoteTarget::Socks { .. }, .. } => None,
            },
        }
    }
}

impl From<&tunnel::ConnectionInfo> for ConnectionInfo {
    fn from(info: &tunnel::ConnectionInfo) -> Self {
        let address = |socket: SocketAddr| (socket.ip().to_string(), socket.port());
        let (remote_address, remote_port) = info.remote.map(address).unzip();
        let (local_address, local_port) = info.local.map(address).unzip();
        let target = info.target.as_ref().map(EndpointOption::from).unwrap_or_default();
        Self {
            connection_id: number(info.id),
            forward_id: info.forward,
            remote_address,
            remote_port,
            local_address,
            local_port,
            forward_host: target.host,
            forward_port: target.port,
            forward_path: target.path,
            linger: info.linger.into(),
            state: info.state.into(),
            bytes_up: number(info.bytes_up),
            bytes_down: number(info.bytes_down),
        }
    }
}

impl From<tunnel::ConnectionEnd> for ConnectionEnd {
    fn from(end: tunnel::ConnectionEnd) -> Self {
        Self {
            connection_id: number(end.id),
            forward_id: end.forward,
            code: end.code.into_owned(),
            reason: end.reason.into_owned(),
            description: end.description,
            clean: end.clean,
            closed_by: end.closed_by.into(),
            bytes_up: number(end.bytes_up),
            bytes_down: number(end.bytes_down),
            dropped_up: number(end.dropped_up),
            dropped_down: number(end.dropped_down),
            unconfirmed_down: number(end.unconfirmed_down),
            linger: end.linger.into(),
            linger_expired: end.linger_expired,
        }
    }
}

impl From<HostKeyInfo> for HostKey {
    fn from(key: HostKeyInfo) -> Self {
        Self {
            host: key.host,
            port: key.port,
            hop: key.hop,
            key_type: key.key_type,
            key: key.key.into(),
            fingerprint: key.fingerprint,
        }
    }
}

/// Returns a count as a number of JavaScript, exact up to 2^53.
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
