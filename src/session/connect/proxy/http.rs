//! The messages of the method CONNECT of HTTP/1.1 (RFC 9110, section 9.3.6; RFC 9112).

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::session::ProxyFault;
use crate::session::connect::proxy::Failure;

/// Maximum bytes of all heads together: interim responses and the final one.
pub(super) const MAX_HEADS: usize = 16 * 1024;
/// Maximum bytes of the proxy's text in a message.
const MAX_SHOWN: usize = 200;

/// Beginning of every response.
const PROTOCOL: &[u8] = b"HTTP/1.";

/// Status of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u16,
    /// Printable; may be empty.
    phrase: String,
}

impl Status {
    /// Returns the failure that another status than 2xx is.
    pub(super) fn into_failure(self, address: &str) -> Failure {
        let Self { code, phrase } = self;
        let text = format!("it refused to connect to {address}: {code} {phrase}");
        (ProxyFault::Status { code, phrase }, text.trim_end().to_owned())
    }
}

/// Encodes the request for a connection to `address` (`host:port`), with Basic credentials (RFC 7617).
pub(super) fn request(address: &str, login: Option<(&str, &[u8])>) -> Zeroizing<Vec<u8>> {
    let credentials = login.map(|(username, password)| {
        let mut plain = Zeroizing::new(Vec::with_capacity(username.len() + 1 + password.len()));
        plain.extend_from_slice(username.as_bytes());
        plain.push(b':');
        plain.extend_from_slice(password);
        Zeroizing::new(Base64::encode_string(&plain))
    });
    const AUTHORIZATION: &str = "Proxy-Authorization: Basic ";
    let start = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n");
    let rest = credentials.as_ref().map_or(0, |text| AUTHORIZATION.len() + text.len() + 2) + 2;
    // Has room for all of it: growing would leave a copy behind that is not wiped.
    let mut request = Zeroizing::new(Vec::with_capacity(start.len() + rest));
    request.extend_from_slice(start.as_bytes());
    if let Some(text) = credentials {
        request.extend_from_slice(AUTHORIZATION.as_bytes());
        request.extend_from_slice(text.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Returns the length of the head that `bytes` begin with, with the empty line at its end; `None` if it
/// has not arrived as a whole. An error means that this is no HTTP response.
pub(super) fn head_length(bytes: &[u8]) -> Result<Option<usize>, ()> {
    let start = bytes.len().min(PROTOCOL.len());
    if bytes[..start] != PROTOCOL[..start] {
        return Err(());
    }
    // A line may also end without CR (RFC 9112, section 2.2).
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut length = 0;
    while let Some(line) = lines.next().filter(|line| line.ends_with(b"\n")) {
        length += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

/// Parses the status line of a head; `None` if it is none.
pub(super) fn status(head: &[u8]) -> Option<Status> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(PROTOCOL)?;
    let [_version, b' ', code @ ..] = line else { return None };
    let (code, phrase) = code.split_at_checked(3)?;
    let code =
        std::str::from_utf8(code).ok().filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
    let code = code?.parse().ok().filter(|code| (100..=599).contains(code))?;
    if !phrase.is_empty() && phrase[0] != b' ' {
        return None;
    }
    Some(Status { code, phrase: shown(phrase).trim().to_owned() })
}

/// Returns the proxy's text for a message: printable, one line, shortened.
pub(super) fn shown(text: &[u8]) -> String {
    ssh_proto::one_line(&text[..text.len().min(MAX_SHOWN)]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_credentials_only_if_there_are_any() {
        let plain = request("[::1]:22", None);
        assert_eq!(*plain, b"CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\n\r\n");
        let login = request("host:22", Some(("anna", b"se:cret")));
        let expected = "CONNECT host:22 HTTP/1.1\r\nHost: host:22\r\n\
                        Proxy-Authorization: Basic YW5uYTpzZTpjcmV0\r\n\r\n";
        assert_eq!(*login, expected.as_bytes());
        assert_eq!(login.capacity(), login.len());
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200\n\n", "HTTP/1.1 200 \r\nA: b\n\r\n"] {
            let bytes = format!("{head}SSH-2.0-x\r\n");
            assert_eq!(head_length(bytes.as_bytes()), Ok(Some(head.len())));
            for cut in 0..head.len() {
                assert_eq!(head_length(&bytes.as_bytes()[..cut]), Ok(None), "{head:?} to {cut}");
            }
        }
    }

    #[test]
    fn another_protocol_is_found_by_its_first_bytes() {
        for bytes in ["S", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/2 200\r\n", "\r\n\r\n", "\u{5}\0"] {
            assert_eq!(head_length(bytes.as_bytes()), Err(()), "{bytes:?}");
        }
    }

    #[test]
    fn a_status_line_has_a_code_and_a_phrase() {
        for (line, code, phrase) in [
            ("HTTP/1.1 200 Connection established\r\n", 200, "Connection established"),
            ("HTTP/1.0 407 \n", 407, ""),
            ("HTTP/1.1 502\r\n", 502, ""),
            ("HTTP/1.1 403 No\u{1b}[2J way\r\nX: y\r\n", 403, "No?[2J way"),
        ] {
            let status = status(line.as_bytes()).expect(line);
            assert_eq!((status.code, &*status.phrase), (code, phrase));
        }
        let long = format!("HTTP/1.1 500 {}\r\n", "x".repeat(5000));
        assert_eq!(status(long.as_bytes()).expect("valid").phrase.len(), MAX_SHOWN - 1);
        for line in
            ["HTTP/1.1 20 OK", "HTTP/1.1 2000", "HTTP/1.1  200", "HTTP/1.1 099 x", "HTTP/1.1200"]
        {
            assert_eq!(status(line.as_bytes()), None, "{line}");
        }
    }
}
