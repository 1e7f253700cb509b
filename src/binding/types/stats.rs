//! The counters of a tunnel.

use std::collections::BTreeMap;
use std::time::Duration;

use napi_derive::napi;

use crate::binding::types::number;
use crate::tunnel;

/// The prefix of the codes with which a server refuses to open a connection.
const REFUSED: &str = "ERR_SSH_OPEN_";
/// The code of a connection that the application has rejected.
const REJECTED: &str = "ERR_TUNNEL_REJECTED";

/// All counters.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct Stats {
    /// Those of sessions.
    pub sessions: SessionStats,
    /// Those of connections.
    pub connections: ConnectionStats,
}

/// Counters of sessions.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct SessionStats {
    /// Sessions that are up.
    pub up: f64,
    /// Sessions that were established.
    pub logons: f64,
    /// Connection attempts that failed.
    pub logon_failures: f64,
    /// Sessions that disconnected.
    pub losses: f64,
    /// Attempts to reconnect.
    pub reconnect_attempts: f64,
    /// Milliseconds that the last session took to connect.
    #[napi(js_name = "logonTime")]
    pub connect_time: Option<f64>,
    /// The round trip to the server, in milliseconds.
    pub round_trip: Option<f64>,
}

/// Counters of connections.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ConnectionStats {
    /// Connections that were accepted.
    pub accepted: f64,
    /// Those that were opened.
    pub opened: f64,
    /// Those that are not open yet.
    pub pending: f64,
    /// Those that are open.
    pub open: f64,
    /// Those that the application rejected.
    pub rejected: f64,
    /// Those that the server refused, by code.
    pub refused: BTreeMap<String, f64>,
    /// Those that ended, by code.
    pub ended: BTreeMap<String, f64>,
    /// Those that ended cleanly.
    pub clean: f64,
    /// Those that did not.
    pub unclean: f64,
    /// Those that ended, by how the local client saw it.
    pub closed_by: ClosedBy,
    /// Those whose linger time expired.
    pub linger_expired: f64,
    /// Bytes handed to the SSH session.
    pub bytes_up: f64,
    /// Bytes delivered.
    pub bytes_down: f64,
    /// Bytes from local clients that were not handed on.
    pub dropped_up: f64,
    /// Bytes from remote ends that were not delivered.
    pub dropped_down: f64,
    /// Bytes from remote ends that may or may not have been delivered: the system does not tell.
    pub unconfirmed_down: f64,
}

/// How local clients saw their connections end.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct ClosedBy {
    /// By FIN.
    pub graceful: f64,
    /// By RST.
    pub reset: f64,
}

impl From<&tunnel::Stats> for Stats {
    fn from(tunnel::Stats { sessions, connections }: &tunnel::Stats) -> Self {
        Self { sessions: sessions.into(), connections: connections.into() }
    }
}

impl From<&tunnel::SessionStats> for SessionStats {
    fn from(stats: &tunnel::SessionStats) -> Self {
        Self {
            up: number(stats.up),
            logons: number(stats.logons),
            logon_failures: number(stats.logon_failures),
            losses: number(stats.losses),
            reconnect_attempts: number(stats.reconnect_attempts),
            connect_time: stats.connect_time.map(milliseconds),
            round_trip: stats.round_trip.map(milliseconds),
        }
    }
}

impl From<&tunnel::ConnectionStats> for ConnectionStats {
    fn from(stats: &tunnel::ConnectionStats) -> Self {
        let by_code = |holds: fn(&str) -> bool| {
            let ended = stats.ended_by(holds);
            ended.map(|(code, count)| (code.to_owned(), number(count))).collect::<BTreeMap<_, _>>()
        };
        let rejected = stats.ended_by(|code| code == REJECTED);
        let all = stats.ended_by(|_| true);
        Self {
            accepted: number(stats.accepted),
            opened: number(stats.opened),
            pending: number(stats.pending()),
            open: number(stats.open()),
            rejected: number(rejected.map(|(_, count)| count).sum()),
            refused: by_code(|code| code.starts_with(REFUSED)),
            ended: by_code(|_| true),
            clean: number(stats.clean),
            unclean: number(all.map(|(_, count)| count).sum::<u64>() - stats.clean),
            closed_by: ClosedBy { graceful: number(stats.graceful), reset: number(stats.reset) },
            linger_expired: number(stats.linger_expired),
            bytes_up: number(stats.bytes.up),
            bytes_down: number(stats.bytes.down),
            dropped_up: number(stats.bytes.dropped_up),
            dropped_down: number(stats.bytes.dropped_down),
            unconfirmed_down: number(stats.bytes.unconfirmed_down),
        }
    }
}

/// Returns milliseconds, with fractions.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
