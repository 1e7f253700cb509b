//! What became of a request, as far as one byte can tell.

/// The answer to a request, as SOCKS 5 knows it. SOCKS 4 only knows the first one and "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
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

impl Reply {
    /// RFC 1928 section 6.
    pub(crate) fn code(self) -> u8 {
        match self {
            Reply::Granted => 0,
            Reply::Failed => 1,
            Reply::NotAllowed => 2,
            Reply::NetworkUnreachable => 3,
            Reply::HostUnreachable => 4,
            Reply::Refused => 5,
            // 6 is about the time to live of packets, which nobody here sees.
            Reply::CommandNotSupported => 7,
            Reply::AddressTypeNotSupported => 8,
        }
    }

    /// The reply for a server's CHANNEL_OPEN_FAILURE with SSH_OPEN_CONNECT_FAILED. SSH has one code
    /// for all reasons (RFC 4254 section 5.1), and only the description tells them apart. OpenSSH sends
    /// the texts of strerror(3) and gai_strerror(3), other servers those of their own libraries. A
    /// description without a known phrase stands for a refused connection.
    pub(crate) fn of_connect_failure(description: &str) -> Self {
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
            // The network's own reply on a host.
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

        let text = description.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        if says(NETWORK) {
            Reply::NetworkUnreachable
        } else if says(HOST) {
            Reply::HostUnreachable
        } else if text == AT_ONCE {
            Reply::Failed
        } else {
            Reply::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(Reply::of_connect_failure(text).code(), code, "{text}");
        }
    }
}
