//! What became of a request, as far as one byte can tell.

use ssh_proto::OpenFailure;

use crate::tunnel::ending::Cause;

/// The answer to a request, as SOCKS 5 knows it. SOCKS 4 only knows the first one and "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Verdict {
    /// The connection is open from end to end.
    Granted,
    /// Whatever has no code of its own.
    Failed,
    /// The server's rules forbid it, or the tunnel's owner does.
    NotAllowed,
    /// The server has no way to the target's network.
    NetworkUnreachable,
    /// No host of that name or address answers.
    HostUnreachable,
    /// The host is there, and nobody listens at that port.
    Refused,
    /// Only CONNECT is served.
    CommandNotSupported,
    /// Neither IPv4, nor IPv6, nor a name.
    AddressTypeNotSupported,
}

impl Verdict {
    /// RFC 1928 section 6.
    pub(super) fn code(self) -> u8 {
        match self {
            Verdict::Granted => 0,
            Verdict::Failed => 1,
            Verdict::NotAllowed => 2,
            Verdict::NetworkUnreachable => 3,
            Verdict::HostUnreachable => 4,
            Verdict::Refused => 5,
            // 6 is about the time to live of packets, which nobody here sees.
            Verdict::CommandNotSupported => 7,
            Verdict::AddressTypeNotSupported => 8,
        }
    }

    /// What to tell a program whose connection does not open. `None`: nothing; it is gone itself, or
    /// the owner wants it gone.
    pub(in crate::tunnel) fn of(cause: &Cause) -> Option<Self> {
        Some(match cause {
            Cause::Refused(OpenFailure::ConnectFailed, text) => unreached(text),
            Cause::Refused(OpenFailure::AdministrativelyProhibited, _) | Cause::Rejected => {
                Verdict::NotAllowed
            }
            Cause::Refused(
                OpenFailure::UnknownChannelType
                | OpenFailure::ResourceShortage
                | OpenFailure::Other(_),
                _,
            )
            | Cause::Unanswered(_)
            | Cause::SessionLost(_)
            | Cause::NoSession(_)
            | Cause::Unreached(_)
            | Cause::ClosedByFar
            | Cause::CutByFar => Verdict::Failed,
            Cause::Owner(_)
            | Cause::ResetByLocal
            | Cause::Socks(_)
            | Cause::Completed
            | Cause::CutByOwner
            | Cause::Full
            | Cause::Idle => return None,
        })
    }
}

/// Why a server could not connect to the target. SSH has one code for all reasons (RFC 4254 section
/// 5.1); which one it was, only the text tells that is meant for people. OpenSSH writes what
/// strerror(3) and gai_strerror(3) say, others what their own libraries do. A text that says nothing
/// of the kind is taken for the usual reason.
fn unreached(text: &str) -> Verdict {
    /// Of a name that has no address, of an address at which nobody answers.
    const HOST: &[&str] = &[
        // C libraries: glibc, BSD and macOS, musl, Windows.
        "name or service not known",
        "name resolution",
        "no address associated",
        "servname provided",
        "name does not resolve",
        "no such host",
        // What servers write in front of it, or instead.
        "unknown host",
        "host not found",
        "could not resolve",
        "error resolving",
        "getaddrinfo",
        "enotfound",
        // The network's own verdict on a host.
        "no route to host",
        "host is unreachable",
        "host is down",
        "ehostunreach",
        "timed out",
        "timeout",
        "etimedout",
    ];
    /// What OpenSSH (9.2) says when connect(2) fails at once, mostly for want of a way to the network.
    /// A refusal is never among that: it takes an answer.
    const AT_ONCE: &str = "open failed";
    const NETWORK: &[&str] = &["network is unreachable", "network is down", "enetunreach"];

    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
    if says(NETWORK) {
        Verdict::NetworkUnreachable
    } else if says(HOST) {
        Verdict::HostUnreachable
    } else if text == AT_ONCE {
        Verdict::Failed
    } else {
        Verdict::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session;

    fn unreached_says(text: &str) -> u8 {
        let cause = Cause::Refused(OpenFailure::ConnectFailed, text.to_owned());
        Verdict::of(&cause).expect("a verdict").code()
    }

    #[test]
    fn a_failed_connect_is_told_by_its_text() {
        for (code, text) in [
            (5, "Connection refused"),
            (5, "connect to 127.0.0.1 port 1: ECONNREFUSED"),
            (5, "Connect failed"),
            (1, "open failed"),
            (5, ""),
            (4, "Name or service not known"),
            (4, "Temporary failure in name resolution"),
            (4, "Non-recoverable failure in name resolution"),
            (4, "No address associated with hostname"),
            (4, "nodename nor servname provided, or not known"),
            (4, "Name does not resolve"),
            (4, "No such host is known."),
            (4, "dial tcp: lookup nowhere.invalid: no such host"),
            (4, "unknown host (nowhere.invalid)"),
            (4, "getaddrinfo ENOTFOUND nowhere.invalid"),
            (4, "No route to host"),
            (4, "Connection timed out"),
            (3, "Network is unreachable"),
            (3, "connect ENETUNREACH 192.0.2.1:80"),
        ] {
            assert_eq!(unreached_says(text), code, "{text}");
        }
    }

    #[test]
    fn everything_else_is_told_by_its_kind() {
        let refused = |reason| Cause::Refused(reason, "Connection refused".into());
        for (code, cause) in [
            (2, refused(OpenFailure::AdministrativelyProhibited)),
            (2, Cause::Rejected),
            (1, refused(OpenFailure::ResourceShortage)),
            (1, refused(OpenFailure::UnknownChannelType)),
            (1, refused(OpenFailure::Other(77))),
            (1, Cause::Unanswered("answer")),
            (1, Cause::SessionLost(session::Error::no_session())),
            (1, Cause::NoSession(session::Error::no_session())),
        ] {
            assert_eq!(Verdict::of(&cause).expect("a verdict").code(), code, "{cause:?}");
        }
        for cause in [Cause::Owner("disconnect"), Cause::ResetByLocal] {
            assert_eq!(Verdict::of(&cause), None, "{cause:?}");
        }
    }
}
