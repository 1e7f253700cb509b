//! TCP connection to a host by the first of its addresses that answers (RFC 8305).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::net::error_code::{lookup_code, system_code};
use crate::session::Error;

/// Time after which the next address is tried in parallel: the Connection Attempt Delay that
/// RFC 8305, section 5, recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Time between two attempts to connect, as in OpenSSH.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How a TCP connection is made.
#[derive(Debug)]
pub struct Dialing {
    /// Local address; `None` lets the system choose.
    pub local_address: Option<IpAddr>,
    /// Address family of the host.
    pub family: Family,
    /// Number of attempts: each tries every address of the host.
    pub attempts: u32,
}

impl Default for Dialing {
    fn default() -> Self {
        Self { local_address: None, family: Family::Any, attempts: 1 }
    }
}

/// Address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Returns whether an address belongs to the family.
    pub fn contains(self, address: IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }
}

impl Dialing {
    fn allows(&self, address: IpAddr) -> bool {
        let reachable = |local: IpAddr| local.is_ipv4() == address.is_ipv4();
        self.family.contains(address) && self.local_address.is_none_or(reachable)
    }
}

/// Connects to a host.
pub(crate) async fn dial(host: &str, port: u16, dialing: &Dialing) -> Result<TcpStream, Error> {
    let unknown =
        |code| Error::Dial { syscall: "getaddrinfo", code, errno: None, address: host.to_owned() };
    let found = lookup_host((host, port)).await.map_err(|error| unknown(lookup_code(&error)))?;
    let addresses: Vec<_> = found.filter(|address| dialing.allows(address.ip())).collect();
    if addresses.is_empty() {
        return Err(unknown("ENOTFOUND".into()));
    }
    let local = dialing.local_address;
    let mut left = dialing.attempts;
    let connected = loop {
        let outcome = race(addresses.clone(), |address| connect(address, local)).await;
        left = left.saturating_sub(1);
        if outcome.is_ok() || left == 0 {
            break outcome;
        }
        sleep(RETRY_DELAY).await;
    };
    let stream = connected.map_err(|failure| {
        let Failure { syscall, error } = failure;
        let address = match local {
            Some(local) if syscall == "bind" => local.to_string(),
            _ => host_and_port(host, port),
        };
        Error::Dial { syscall, code: system_code(&error), errno: error.raw_os_error(), address }
    })?;
    // Packets are collected before a write, so that Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Formats `host:port`, with an IPv6 address in brackets.
pub(crate) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why a connection to an address failed.
#[derive(Debug)]
struct Failure {
    syscall: &'static str,
    error: io::Error,
}

impl Failure {
    /// Returns whether the error came from the network or the host, and not from this machine.
    fn is_remote(&self) -> bool {
        use io::ErrorKind as Kind;
        matches!(
            self.error.kind(),
            Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::HostUnreachable
                | Kind::TimedOut
        )
    }
}

async fn connect(address: SocketAddr, local: Option<IpAddr>) -> Result<TcpStream, Failure> {
    let failed = |syscall| move |error| Failure { syscall, error };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(failed("connect"))?;
    if let Some(local) = local {
        socket.bind((local, 0).into()).map_err(failed("bind"))?;
    }
    socket.connect(address).await.map_err(failed("connect"))
}

/// Tries the addresses in order, each when the one before has failed or [`ATTEMPT_DELAY`] is over,
/// and returns the first connection; the other attempts are dropped. If all fail, returns the first
/// remote failure, or the first failure if all are local.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut waiting = interleave(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failure: Option<Failure> = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(connect(address));
        }
        let next = attempts.join_next();
        let ended = if waiting.len() > 0 {
            let Ok(ended) = timeout(ATTEMPT_DELAY, next).await else { continue };
            ended
        } else {
            next.await
        };
        match ended.map(|ended| ended.expect("an attempt neither panics nor is aborted")) {
            Some(Ok(connected)) => return Ok(connected),
            Some(Err(failed)) => match &failure {
                Some(first) if first.is_remote() || !failed.is_remote() => {}
                _ => failure = Some(failed),
            },
            None => return Err(failure.expect("there was an address to try")),
        }
    }
}

/// Alternates between the two families, so that a family that does not work costs one delay and not
/// one for each address (RFC 8305, section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let count = addresses.len();
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::with_capacity(count);
    while order.len() < count {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::{Arc, Mutex};

    use tokio::net::TcpListener;
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::runtime;

    fn v4(last: u8) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), 22).into()
    }

    fn v6(last: u16) -> SocketAddr {
        (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 22).into()
    }

    /// Decides the outcome of an attempt.
    type Decision = oneshot::Sender<Result<SocketAddr, io::ErrorKind>>;

    type Announced = mpsc::UnboundedReceiver<(SocketAddr, Decision)>;
    type Race = tokio::task::JoinHandle<Result<SocketAddr, Failure>>;

    /// Starts a race whose attempts the test decides.
    fn begin(addresses: Vec<SocketAddr>) -> (Announced, Race) {
        let (announce, announced) = mpsc::unbounded_channel();
        let race = runtime::handle().spawn(async move {
            race(addresses, |address| {
                let (decide, decided) = oneshot::channel();
                announce.send((address, decide)).expect("the test listens");
                async move {
                    let decided: Result<_, io::ErrorKind> = decided.await.expect("decided");
                    decided.map_err(|kind| Failure { syscall: "connect", error: kind.into() })
                }
            })
            .await
        });
        (announced, race)
    }

    #[test]
    fn families_alternate_and_the_first_address_stays_first() {
        assert_eq!(
            interleave(vec![v6(1), v6(2), v6(3), v4(1), v4(2)]),
            [v6(1), v4(1), v6(2), v4(2), v6(3)]
        );
        assert_eq!(interleave(vec![v4(1), v4(2), v6(1)]), [v4(1), v6(1), v4(2)]);
        assert_eq!(interleave(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
    }

    #[test]
    fn a_silent_address_does_not_delay_the_next() {
        runtime::handle().block_on(async {
            let (mut announced, race) = begin(vec![v6(1), v4(1), v4(2)]);
            let (first, mut silent) = announced.recv().await.expect("an attempt");
            let (second, answers) = announced.recv().await.expect("an attempt beside it");
            assert_eq!((first, second), (v6(1), v4(1)));
            answers.send(Ok(second)).expect("it waits");
            assert_eq!(race.await.expect("no panic").expect("connected"), v4(1));
            silent.closed().await; // the other attempt is dropped
        });
    }

    #[test]
    fn the_first_address_may_still_win_after_the_second_was_tried() {
        runtime::handle().block_on(async {
            let (mut announced, race) = begin(vec![v6(1), v4(1)]);
            let (first, slow) = announced.recv().await.expect("an attempt");
            let (_, mut slower) = announced.recv().await.expect("an attempt beside it");
            slow.send(Ok(first)).expect("it waits");
            assert_eq!(race.await.expect("no panic").expect("connected"), v6(1));
            slower.closed().await;
        });
    }

    #[test]
    fn a_failure_starts_the_next_attempt_and_the_first_remote_one_is_reported() {
        runtime::handle().block_on(async {
            let (mut announced, race) = begin(vec![v6(1), v4(1), v6(2), v4(2)]);
            let kinds = [
                io::ErrorKind::NetworkUnreachable,
                io::ErrorKind::ConnectionRefused,
                io::ErrorKind::AddrNotAvailable,
                io::ErrorKind::TimedOut,
            ];
            for kind in kinds {
                let (_, decide) = announced.recv().await.expect("an attempt");
                decide.send(Err(kind)).expect("it waits");
            }
            let failure = race.await.expect("no panic").expect_err("all failed");
            assert_eq!(failure.error.kind(), io::ErrorKind::ConnectionRefused);
        });
    }

    #[test]
    fn of_local_failures_the_first_is_reported() {
        runtime::handle().block_on(async {
            let kinds = Arc::new(Mutex::new(vec![
                io::ErrorKind::AddrNotAvailable,
                io::ErrorKind::NetworkUnreachable,
            ]));
            let failed = race(vec![v6(1), v4(1)], |_| {
                let kind = kinds.lock().expect("not poisoned").pop().expect("two attempts");
                async move { Err::<(), _>(Failure { syscall: "connect", error: kind.into() }) }
            });
            let failure = failed.await.expect_err("all failed");
            assert_eq!(failure.error.kind(), io::ErrorKind::NetworkUnreachable);
        });
    }

    #[test]
    fn real_addresses_that_refuse_or_are_silent_do_not_delay_others() {
        runtime::handle().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let open = listener.local_addr().expect("address");
            // Fills the backlog of a listener that does not accept.
            let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                .expect("a socket");
            let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            full.bind(&loopback.into()).expect("bind");
            full.listen(0).expect("listen");
            let silent = full.local_addr().expect("address").as_socket().expect("of IP");
            let mut waiting = Vec::new();
            while let Ok(filled) = timeout(ATTEMPT_DELAY, TcpStream::connect(silent)).await {
                waiting.push(filled);
            }
            // A port that is bound and does not listen.
            let refusing = TcpSocket::new_v4().expect("a socket");
            refusing.bind(loopback).expect("bind");
            let refusing = (refusing.local_addr().expect("address"), refusing);

            let order = vec![refusing.0, silent, open];
            let stream = race(order, |address| connect(address, None)).await.expect("connected");
            assert_eq!(stream.peer_addr().expect("connected"), open);
            let failed = race(vec![refusing.0], |address| connect(address, None)).await;
            let failure = failed.expect_err("nobody listens");
            assert_eq!(failure.error.kind(), io::ErrorKind::ConnectionRefused);
        });
    }

    #[test]
    #[cfg_attr(windows, ignore = "wine does not resolve localhost")]
    fn a_real_connection_uses_the_addresses_asked_for() {
        runtime::handle().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let port = listener.local_addr().expect("address").port();
            let local = Some(Ipv4Addr::new(127, 0, 0, 2).into());
            let dialing = Dialing { local_address: local, ..Dialing::default() };
            let dialed = dial("localhost", port, &dialing).await.expect("connected");
            let (_, peer) = listener.accept().await.expect("accepted");
            assert_eq!(Some(peer.ip()), local);
            assert!(dialed.nodelay().expect("an option of TCP"));

            let dialing = Dialing { family: Family::V6, ..Dialing::default() };
            let error = dial("127.0.0.1", port, &dialing).await.expect_err("no such address");
            assert_eq!(error.to_string(), "getaddrinfo ENOTFOUND 127.0.0.1");

            let local = Some(Ipv4Addr::new(192, 0, 2, 1).into());
            let dialing = Dialing { local_address: local, family: Family::V4, attempts: 1 };
            let error = dial("127.0.0.1", port, &dialing).await.expect_err("not of this machine");
            assert_eq!(error.to_string(), "bind EADDRNOTAVAIL 192.0.2.1");
        });
    }
}
