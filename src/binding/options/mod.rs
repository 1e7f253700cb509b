//! The options of a tunnel as JavaScript passes them: complete, checked, in plain values.

pub mod algorithms;
pub mod credentials;
pub mod given;
pub mod limits;
pub mod routes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use napi_derive::napi;
use ssh_proto::{AlgorithmKind, Rekey, Windows};

use crate::binding::calls::{duration, unpack};
use crate::binding::errors::{Failure, invalid};
use crate::binding::options::algorithms::AlgorithmLists;
use crate::binding::options::credentials::CredentialsOptions;
use crate::binding::options::routes::ProxyOption;
use crate::binding::types::MaxRate;
use crate::binding::types::enums::Strictness;
use crate::names;
use crate::session::{KnownHostsCommand, Pin, Reconnect, Route, Target, Trust};
use crate::tunnel::{CAN_REUSE_PORT, Config, Endpoint, ForwardSpec, Sessions, Settings};

/// Longer than any process lives, and short enough to be added to any point in time.
const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// A server: the tunnel's own, or a jump host.
#[napi(object, object_to_js = false)]
pub struct Server {
    /// The name of its options in messages: `options`, `options.jump[1]`.
    pub option: String,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name of the user.
    pub username: String,
    /// What proves who the user is.
    pub credentials: CredentialsOptions,
    /// Which algorithms may be used.
    pub algorithms: AlgorithmLists,
    /// Pinned host keys.
    pub host_key: Vec<String>,
    /// Files of known hosts.
    pub known_hosts: Vec<String>,
    /// Whether there is a `hostVerifier`.
    pub verifier: bool,
    /// What becomes of a host key that nothing vouches for.
    pub strict_host_key_checking: Strictness,
    /// The name that files and certificates have for the host.
    pub host_key_alias: Option<String>,
    /// Whether to write the host's other keys.
    pub update_host_keys: bool,
    /// A program that prints lines of known hosts, and its arguments; none if it is empty.
    pub known_hosts_command: Vec<String>,
    /// Whether a server at a loopback address may have any key.
    pub no_host_authentication_for_localhost: bool,
    /// Whether the name of a host is written as a hash.
    pub hash_known_hosts: bool,
    /// Files of revoked keys.
    pub revoked_host_keys: Vec<String>,
    /// The minimum bits of RSA keys.
    #[napi(js_name = "requiredRSASize")]
    pub required_rsa_size: u32,
    /// A program that connects to it; only for the first server.
    pub proxy_command: Option<String>,
    /// Whether a stream of JavaScript leads to it; only for the first server.
    pub sock: bool,
    /// Milliseconds, 0 for never.
    pub keepalive_interval: f64,
    /// The number of unanswered keepalive requests.
    pub keepalive_count_max: u32,
    /// When this side starts a key exchange.
    pub rekey: RekeyLimits,
}

/// The constructor's options, with their defaults.
#[napi(object, object_to_js = false)]
pub struct Options {
    /// The SSH server.
    pub server: Server,
    /// The jump hosts, in order.
    pub jump: Vec<Server>,
    /// The proxy that leads to the first server.
    pub proxy: Option<ProxyOption>,
    /// The shell that runs a `proxyCommand`.
    pub shell: String,
    /// The address of this machine to dial from.
    pub local_address: Option<String>,
    /// Whether only IPv4 addresses are dialed.
    pub force_ipv4: bool,
    /// Whether only IPv6 addresses are dialed.
    pub force_ipv6: bool,
    /// How often the first server is dialed before connecting fails.
    pub connection_attempts: u32,
    /// The maximum number of sessions.
    pub sessions: u32,
    /// The number of connections of each session from which on there is to be another.
    pub connections_each: u32,
    /// The address to listen on.
    pub local_host: String,
    /// The port to listen on.
    pub local_port: u16,
    /// The maximum number of simultaneous connections; unlimited without it.
    pub max_connections: Option<u32>,
    /// The limits of the rate of all connections together.
    pub max_rate: MaxRate,
    /// Whether other listeners may share the local ports.
    pub reuse_port: bool,
    /// The host of the target; without it there is no configured forward.
    pub forward_host: Option<String>,
    /// The port of the target; together with the host.
    pub forward_port: Option<u16>,
    /// The LINGER structure, packed.
    pub linger: f64,
    /// SO_KEEPALIVE for accepted connections.
    pub keep_alive: bool,
    /// Milliseconds, 0 for never.
    pub idle_timeout: f64,
    /// Milliseconds, 0 for no limit.
    pub ready_timeout: f64,
    /// How to reconnect.
    pub reconnect: Option<ReconnectOption>,
    /// The maximum receive window of a connection, in bytes.
    pub window_limit: u32,
    /// The sum of all receive windows, in bytes.
    pub memory_limit: f64,
}

/// How to reconnect, with the defaults.
#[napi(object, object_to_js = false)]
pub struct ReconnectOption {
    /// Milliseconds.
    pub initial_delay: f64,
    /// Milliseconds.
    pub max_delay: f64,
    /// Unlimited without it.
    pub max_attempts: Option<u32>,
    /// Also for the first session.
    pub initial: bool,
}

impl From<ReconnectOption> for Reconnect {
    fn from(option: ReconnectOption) -> Self {
        Self {
            initial_delay: duration(option.initial_delay).unwrap_or_default(),
            max_delay: duration(option.max_delay).unwrap_or_default(),
            max_attempts: option.max_attempts,
            initial: option.initial,
        }
    }
}

/// How much data one set of keys carries, and for how long; absent members have their defaults.
#[napi(object, object_to_js = false)]
pub struct RekeyLimits {
    /// Bytes.
    pub bytes: Option<f64>,
    /// Seconds, 0 for any time.
    pub seconds: Option<f64>,
}

impl From<RekeyLimits> for Rekey {
    fn from(limits: RekeyLimits) -> Self {
        let mut rekey = Rekey::default();
        if let Some(bytes) = limits.bytes {
            rekey.bytes = bytes as u64;
        }
        if let Some(seconds) = limits.seconds {
            rekey.interval = duration(seconds * 1000.0);
        }
        rekey
    }
}

/// Options for the tunnel's server and its jump hosts alike.
#[derive(Clone, Copy)]
struct Shared {
    ready_timeout: Duration,
    windows: Windows,
}

impl Options {
    /// Returns the parts of a tunnel. Secrets are copied; JavaScript wipes the originals.
    pub(crate) fn into_parts(self) -> Result<(Config, Settings), Failure> {
        if self.reuse_port && !CAN_REUSE_PORT {
            return Err(routes::unavailable("reusePort"));
        }
        let host = |text: &str, property| named(text, names::MAX_HOST, "options", property);
        host(&self.local_host, "localHost")?;
        self.forward_host.iter().try_for_each(|text| host(text, "forwardHost"))?;
        self.local_address.iter().try_for_each(|text| host(text, "localAddress"))?;
        for server in self.jump.iter().chain([&self.server]) {
            server.check_names()?;
        }
        let (memory, further_memory) =
            memory_shares(self.memory_limit as u64, self.sessions, self.connections_each);
        let dialing = routes::dialing(
            self.local_address,
            self.force_ipv4,
            self.force_ipv6,
            self.connection_attempts,
        )?;
        let shared = Shared {
            ready_timeout: duration(self.ready_timeout).unwrap_or(CENTURY),
            windows: Windows { limit: self.window_limit, memory },
        };
        // The first server is reached from here, each other one through the one before it.
        let first = self.jump.first().unwrap_or(&self.server);
        let mut route = routes::first(first, dialing, self.proxy, self.shell)?;
        for (number, hop) in (0..).zip(self.jump) {
            route = Route::Jump(Arc::new(hop.into_target(route, Some(number), shared)?));
        }
        let config = Config {
            target: Arc::new(self.server.into_target(route, None, shared)?),
            reconnect: self.reconnect.map(Into::into),
            sessions: Sessions {
                max: self.sessions as usize,
                connections_each: self.connections_each as usize,
                further_memory,
            },
            max_connections: self.max_connections,
            max_rate: self.max_rate.into(),
            reuse_port: self.reuse_port,
            forward: self.forward_host.zip(self.forward_port).map(|(host, port)| {
                ForwardSpec::Local {
                    listen: Endpoint::Tcp { host: self.local_host.into(), port: self.local_port },
                    target: Endpoint::Tcp { host: host.into(), port },
                }
            }),
        };
        let settings = Settings {
            linger: unpack(self.linger),
            keep_alive: self.keep_alive,
            idle_timeout: duration(self.idle_timeout),
        };
        Ok((config, settings))
    }
}

/// Shares the memory of all receive windows between the first session and each further one.
fn memory_shares(memory: u64, sessions: u32, connections_each: u32) -> (u64, u64) {
    let equal = memory / u64::from(sessions.max(1));
    match u64::from(sessions.saturating_sub(1)) {
        // Each has a connection soon.
        further if further == 0 || connections_each == 1 => (equal, equal),
        // Often there is only the first.
        further => (memory / 2, memory / 2 / further),
    }
}

impl Server {
    /// Checks the names again, which `lib/validate/server.js` has checked.
    fn check_names(&self) -> Result<(), Failure> {
        let check = |text: &str, most, property| named(text, most, &self.option, property);
        check(&self.host, names::MAX_HOST, "host")?;
        check(&self.username, names::MAX_USER, "username")?;
        self.host_key_alias
            .iter()
            .try_for_each(|text| check(text, names::MAX_HOST, "hostKeyAlias"))?;
        self.credentials.agent.iter().try_for_each(|text| check(text, names::MAX_PATH, "agent"))
    }

    fn into_target(
        self,
        route: Route,
        hop: Option<u32>,
        shared: Shared,
    ) -> Result<Target, Failure> {
        let option = self.option;
        let named = |mut failure: Failure| {
            failure.message = failure.message.replacen("options", &option, 1);
            failure
        };
        let credentials = self.credentials.into_credentials().map_err(named)?;
        let algorithms = self.algorithms.select().map_err(named)?;
        let trust = Trust {
            pins: self
                .host_key
                .iter()
                .map(|text| pin(text))
                .collect::<Result<_, _>>()
                .map_err(named)?,
            known_hosts: self.known_hosts.into_iter().map(PathBuf::from).collect(),
            command: known_hosts_command(self.known_hosts_command).map_err(named)?,
            any_local: self.no_host_authentication_for_localhost,
            hashes: self.hash_known_hosts,
            verifier: self.verifier,
            strictness: self.strict_host_key_checking.into(),
            alias: self.host_key_alias,
            update: self.update_host_keys,
            revoked: self.revoked_host_keys.into_iter().map(PathBuf::from).collect(),
            rsa_bits: self.required_rsa_size as usize,
            ca_signatures: algorithms.names(AlgorithmKind::CaSignature).to_vec(),
        };
        Ok(Target {
            host: self.host,
            port: self.port,
            route,
            hop,
            username: self.username,
            credentials,
            trust,
            algorithms,
            ready_timeout: shared.ready_timeout,
            keepalive_interval: duration(self.keepalive_interval),
            keepalive_count_max: self.keepalive_count_max,
            rekey: self.rekey.into(),
            windows: shared.windows,
        })
    }
}

fn known_hosts_command(words: Vec<String>) -> Result<Option<KnownHostsCommand>, Failure> {
    let Some(program) = words.first().cloned() else { return Ok(None) };
    let command = KnownHostsCommand::new(words);
    let unknown = || invalid("knownHostsCommand", "an argument has an unknown token", &program);
    command.map(Some).ok_or_else(unknown)
}

fn pin(text: &str) -> Result<Pin, Failure> {
    text.parse().map_err(|reason| invalid("hostKey", reason, text))
}

/// Checks a name. The error does not show an invalid one, which has passed the check in JavaScript.
fn named(text: &str, most: usize, option: &str, property: &str) -> Result<(), Failure> {
    names::check(text, most).map_err(|fault| {
        let message = format!("The property '{option}.{property}' {fault}. Received type string");
        Failure::new("ERR_INVALID_ARG_VALUE", message)
    })
}
