//! The objects in messages to JavaScript.

use std::net::SocketAddr;

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::linger::Linger;
use crate::session::HostKeyInfo;
use crate::tunnel::{self, ClosedBy, ConnectionState};

/// The LINGER structure.
#[napi(object, js_name = "Linger", object_from_js = false)]
#[derive(Debug)]
pub struct LingerOption {
    /// Nonzero: `l_linger` rules the close.
    #[napi(js_name = "l_onoff")]
    pub l_onoff: u16,
    /// Seconds.
    #[napi(js_name = "l_linger")]
    pub l_linger: u16,
}

/// A connection as JavaScript sees it.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its number in the tunnel.
    pub connection_id: f64,
    /// The local program's address.
    pub remote_address: String,
    /// The local program's port.
    pub remote_port: u16,
    /// The address it connected to.
    pub local_address: String,
    /// The port it connected to.
    pub local_port: u16,
    /// The host at the far side.
    pub forward_host: String,
    /// The port at the far side.
    pub forward_port: u16,
    /// How it will be closed.
    pub linger: LingerOption,
    /// `requested`, `opening`, `open` or `closing`.
    pub state: &'static str,
    /// Bytes towards the far side so far.
    pub bytes_up: f64,
    /// Bytes towards the local program so far.
    pub bytes_down: f64,
}

/// How a connection ended, as JavaScript sees it.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ConnectionEnd {
    /// Its number in the tunnel.
    pub connection_id: f64,
    /// `OK`, or what went wrong.
    pub code: String,
    /// The same for people.
    pub reason: String,
    /// Whether both directions were delivered to their end of stream.
    pub clean: bool,
    /// `graceful` or `reset`.
    pub closed_by: &'static str,
    /// Bytes handed to the SSH session.
    pub bytes_up: f64,
    /// Bytes the local program's kernel has acknowledged.
    pub bytes_down: f64,
    /// Bytes from the local program that were not passed on.
    pub dropped_up: f64,
    /// Bytes from the far side that were not delivered.
    pub dropped_down: f64,
    /// How it was closed.
    pub linger: LingerOption,
    /// Whether the linger time cut it short.
    pub linger_expired: bool,
}

/// A host key to decide about, as JavaScript sees it.
#[napi(object, object_from_js = false)]
pub struct HostKey {
    /// The host as it was given.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Which jump host it is, if it is one.
    pub hop: Option<u32>,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: String,
    /// The key's blob.
    pub key: Buffer,
    /// `SHA256:...`
    pub fingerprint: String,
}

impl From<Linger> for LingerOption {
    fn from(linger: Linger) -> Self {
        Self { l_onoff: linger.onoff, l_linger: linger.linger }
    }
}

impl From<&tunnel::ConnectionInfo> for ConnectionInfo {
    fn from(info: &tunnel::ConnectionInfo) -> Self {
        let address = |socket: SocketAddr| (socket.ip().to_string(), socket.port());
        let (remote_address, remote_port) = address(info.remote);
        let (local_address, local_port) = address(info.local);
        Self {
            connection_id: number(info.id),
            remote_address,
            remote_port,
            local_address,
            local_port,
            forward_host: info.forward_host.as_ref().to_owned(),
            forward_port: info.forward_port,
            linger: info.linger.into(),
            state: match info.state {
                ConnectionState::Requested => "requested",
                ConnectionState::Opening => "opening",
                ConnectionState::Open => "open",
                ConnectionState::Closing => "closing",
            },
            bytes_up: number(info.bytes_up),
            bytes_down: number(info.bytes_down),
        }
    }
}

impl From<tunnel::ConnectionEnd> for ConnectionEnd {
    fn from(end: tunnel::ConnectionEnd) -> Self {
        Self {
            connection_id: number(end.id),
            code: end.code.into_owned(),
            reason: end.reason,
            clean: end.clean,
            closed_by: match end.closed_by {
                ClosedBy::Graceful => "graceful",
                ClosedBy::Reset => "reset",
            },
            bytes_up: number(end.bytes_up),
            bytes_down: number(end.bytes_down),
            dropped_up: number(end.dropped_up),
            dropped_down: number(end.dropped_down),
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

/// A count as JavaScript's number: exact up to 2^53, which nothing here reaches.
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
