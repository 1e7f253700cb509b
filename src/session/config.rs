//! The server to connect to, and how.

use std::sync::Arc;
use std::time::Duration;

use ssh_proto::key::PublicKey;
use ssh_proto::{Algorithms, HostKeys, Rekey, Windows};
use tokio::task::spawn_blocking;

use crate::session::Error;
use crate::session::auth::credentials::Credentials;
use crate::session::connect::happy_eyeballs::Dialing;
use crate::session::connect::proxy::Proxy;
use crate::session::connect::proxy_command::ProxyCommand;
use crate::session::host_key::trust::Trust;

/// An SSH server, how to connect to it, and how to authenticate.
#[derive(Debug)]
pub struct Target {
    /// Name or address of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// How to reach the server.
    pub route: Route,
    /// Index among the jump hosts of the tunnel, from 0; `None` for the tunnel's own server.
    pub hop: Option<u32>,
    /// Name of the user.
    pub username: String,
    /// Credentials of the user.
    pub credentials: Credentials,
    /// Which host keys are trusted.
    pub trust: Trust,
    /// Algorithms in order of preference.
    pub algorithms: Algorithms,
    /// Time limit for connecting and authenticating together.
    pub ready_timeout: Duration,
    /// Time without data from the server after which a keepalive request is sent; `None` for never.
    pub keepalive_interval: Option<Duration>,
    /// Number of unanswered keepalive requests in a row after which the session is disconnected.
    pub keepalive_count_max: u32,
    /// Bytes and time after which keys are exchanged again.
    pub rekey: Rekey,
    /// Limits of the receive windows.
    pub windows: Windows,
}

impl Target {
    /// Returns the server at this host and port: this one, or a jump host on the route to it.
    pub(crate) fn server(self: &Arc<Self>, host: &str, port: u16) -> Option<Arc<Self>> {
        if self.host == host && self.port == port {
            return Some(self.clone());
        }
        match &self.route {
            Route::Jump(hop) => hop.server(host, port),
            Route::Direct(_) | Route::Proxy(..) | Route::Command(_) | Route::Sock => None,
        }
    }

    /// Adds a host key of this server to its file of known hosts, as [`Trust::add`] does.
    pub fn trust_host(&self, key: &PublicKey) -> Result<(), Error> {
        self.trust.add(&self.host, self.port, key)
    }

    /// Writes the keys that the server has proved to a file of known hosts, and removes the keys that it
    /// no longer has, on a blocking thread. Nothing waits for it, and an error does not affect the
    /// session: the server announces the keys again next time.
    pub(crate) fn update_host_keys(self: &Arc<Self>, keys: HostKeys) {
        let target = self.clone();
        drop(spawn_blocking(move || {
            target.trust.update_host_keys(&target.host, target.port, &keys)
        }));
    }
}

/// How a server is reached.
#[derive(Debug)]
pub enum Route {
    /// By a TCP connection.
    Direct(Dialing),
    /// By a TCP connection to a proxy, which connects to the server.
    Proxy(Dialing, Proxy),
    /// Through a session with a jump host, which connects to the server.
    Jump(Arc<Target>),
    /// Through the standard input and output of a program.
    Command(ProxyCommand),
    /// Through a stream of the application.
    Sock,
}
