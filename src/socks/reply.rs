//! The codes of replies.

/// The reply to a request, with the meanings of SOCKS 5. SOCKS 4 has only granted and rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The connection is open.
    Granted,
    /// Any failure without a code of its own.
    Failed,
    /// The SSH server or the application does not allow the connection.
    NotAllowed,
    /// The SSH server has no route to the target's network.
    NetworkUnreachable,
    /// The host name does not resolve, or the host does not answer.
    HostUnreachable,
    /// The host does not listen on this port.
    Refused,
    /// The command is not CONNECT.
    CommandNotSupported,
    /// The address is neither IPv4, nor IPv6, nor a host name.
    AddressTypeNotSupported,
}

impl Reply {
    /// Returns the code of RFC 1928 section 6.
    pub(crate) fn code(self) -> u8 {
        match self {
            Reply::Granted => 0,
            Reply::Failed => 1,
            Reply::NotAllowed => 2,
            Reply::NetworkUnreachable => 3,
            Reply::HostUnreachable => 4,
            Reply::Refused => 5,
            // 6 is "TTL expired", which a proxy does not learn.
            Reply::CommandNotSupported => 7,
            Reply::AddressTypeNotSupported => 8,
        }
    }

    /// Returns the reply for an error of a connection attempt at this side, by its code.
    pub(crate) fn of_connect_error(code: &str) -> Self {
        match code {
            "ECONNREFUSED" => Reply::Refused,
            "ENETUNREACH" | "ENETDOWN" | "EADDRNOTAVAIL" | "EAFNOSUPPORT" => {
                Reply::NetworkUnreachable
            }
            "EHOSTUNREACH" | "EHOSTDOWN" | "ETIMEDOUT" | "ENOTFOUND" => Reply::HostUnreachable,
            "EACCES" | "EPERM" => Reply::NotAllowed,
            // A name server that does not answer.
            code if code.starts_with("EAI_") => Reply::HostUnreachable,
            _ => Reply::Failed,
        }
    }

    /// Returns the reply for a server's CHANNEL_OPEN_FAILURE with SSH_OPEN_CONNECT_FAILED. SSH has one code
    /// for all reasons (RFC 4254 section 5.1), and only the description tells them apart. OpenSSH sends
    /// the texts of strerror(3) and gai_strerror(3), other servers those of their own libraries. A
    /// description without a known phrase stands for a refused connection.
    pub(crate) fn of_connect_failure(description: &str) -> Self {
        /// The host name has no address, or the host does not answer.
        const HOST: &[&str] = &[
            // C libraries: glibc, BSD and macOS, musl, Windows.
            "name or service not known",
            "name resolution",
            "no address associated",
            "servname provided",
            "name does not resolve",
            "no such host",
            // Servers' own texts.
            "unknown host",
            "host not found",
            "could not resolve",
            "error resolving",
            "getaddrinfo",
            "enotfound",
            // Errors of the network.
            "no route to host",
            "host is unreachable",
            "host is down",
            "ehostunreach",
            "timed out",
            "timeout",
            "etimedout",
        ];
        /// The text of OpenSSH 9.2 when connect(2) fails at once, mostly because there is no route. A
        /// refused connection does not fail at once.
        const AT_ONCE: &str = "open failed";
        const NETWORK: &[&str] = &["network is unreachable", "network is down", "enetunreach"];

        let text = description.to_ascii_lowercase();
        let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
        if has(NETWORK) {
            Reply::NetworkUnreachable
        } else if has(HOST) {
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
    fn a_failed_connect_at_this_side_is_classified_by_its_code() {
        for (code, error) in [
            (5, "ECONNREFUSED"),
            (4, "ENOTFOUND"),
            (4, "EAI_AGAIN"),
            (4, "EHOSTUNREACH"),
            (4, "ETIMEDOUT"),
            (3, "ENETUNREACH"),
            (2, "EACCES"),
            (1, "EMFILE"),
            (1, "ERR_SSH_DISCONNECTED"),
        ] {
            assert_eq!(Reply::of_connect_error(error).code(), code, "{error}");
        }
    }

    #[test]
    fn a_failed_connect_is_classified_by_its_text() {
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
