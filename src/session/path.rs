//! The path of a session's socket: whether it may have changed since the server was heard last.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::Context;
use std::time::Instant;

use socket2::SockRef;

use crate::runtime::changes::{Changes, GRACE};
use crate::session::{Error, LossReason};

/// What a session knows of its path.
#[derive(Debug)]
pub(crate) struct Path {
    changes: Changes,
    /// `None` if the session has no TCP socket of its own, or one within this machine.
    ends: Option<Ends>,
}

/// Addresses of a TCP connection.
#[derive(Debug)]
struct Ends {
    local: IpAddr,
    remote: SocketAddr,
    /// Address that a new connection to the server would have; `None` without a route.
    source: Option<IpAddr>,
    /// Since when this machine does not have the local address.
    gone: Option<Instant>,
}

impl Path {
    /// Notes the path of a session that has this socket, if it is TCP.
    pub(crate) fn new(socket: Option<SockRef<'_>>) -> Self {
        let ends = socket.and_then(|socket| {
            let local = socket.local_addr().ok()?.as_socket()?.ip();
            let remote = socket.peer_addr().ok()?.as_socket()?;
            let leads_away = !remote.ip().to_canonical().is_loopback();
            leads_away.then(|| Ends { local, remote, source: source(remote), gone: None })
        });
        Self { changes: Changes::default(), ends }
    }

    /// Returns whether the server is to be asked for a sign of life, because the process was paused or
    /// the path has changed. An error means that the local address has been gone for too long.
    pub(crate) fn poll(&mut self, cx: &Context<'_>, now: Instant) -> Result<bool, Error> {
        let changed = self.changes.poll(cx);
        let mut asks = changed.pause;
        if changed.network
            && let Some(ends) = &mut self.ends
        {
            asks |= ends.look(is_here(ends.local), source(ends.remote), now)?;
        }
        Ok(asks)
    }
}

impl Ends {
    /// Compares the path with what it is now. Returns whether it has changed.
    fn look(&mut self, is_here: bool, source: Option<IpAddr>, now: Instant) -> Result<bool, Error> {
        let changed = std::mem::replace(&mut self.source, source) != source;
        if is_here {
            return Ok(self.gone.take().is_some() || changed);
        }
        let first = self.gone.is_none();
        if now.duration_since(*self.gone.get_or_insert(now)) < GRACE {
            return Ok(first || changed);
        }
        let text = format!("this machine does not have the address {} any more", self.local);
        Err(Error::Disconnected { reason: Some(LossReason::Network), text })
    }
}

/// Returns whether this machine has the address. In doubt it has.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0))
        .map_or_else(|error| error.kind() != io::ErrorKind::AddrNotAvailable, |_| true)
}

/// Returns the address that a new connection would have, if there is a route. Nothing is sent.
fn source(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const NEW: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn ends() -> Ends {
        let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 22);
        Ends { local: OLD, remote, source: Some(OLD), gone: None }
    }

    #[test]
    fn a_change_that_concerns_another_path_asks_nobody() {
        let (mut ends, now) = (ends(), Instant::now());
        for _ in 0..3 {
            assert!(!ends.look(true, Some(OLD), now).expect("here"));
        }
    }

    #[test]
    fn each_new_source_asks_once() {
        let (mut ends, now) = (ends(), Instant::now());
        for (source, asks) in
            [(Some(NEW), true), (Some(NEW), false), (None, true), (Some(OLD), true)]
        {
            assert_eq!(ends.look(true, source, now).expect("here"), asks, "{source:?}");
        }
    }

    #[test]
    fn an_address_that_is_gone_may_come_back_within_its_time() {
        let (mut ends, now) = (ends(), Instant::now());
        assert!(ends.look(false, None, now).expect("a while"));
        assert!(!ends.look(false, None, now + GRACE / 2).expect("a while"));
        assert!(ends.look(true, Some(OLD), now + GRACE * 2).expect("it is back"));
        assert!(ends.look(false, None, now + GRACE * 3).expect("a while"));
        let error = ends.look(false, Some(NEW), now + GRACE * 4).expect_err("for too long");
        assert_eq!(error.code(), "ERR_SSH_DISCONNECTED");
        assert_eq!(error.to_string(), "this machine does not have the address 192.0.2.1 any more");
    }

    #[test]
    fn addresses_of_this_machine_are_known() {
        assert!(is_here(Ipv4Addr::LOCALHOST.into()));
        // For documentation only.
        assert!(!is_here(OLD));
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 22));
        assert_eq!(source(here), Some(Ipv4Addr::LOCALHOST.into()));
    }
}
