//! The identification strings that open a connection (RFC 4253 section 4.2).

use crate::Error;
use crate::server_text::ServerText;
use crate::text::one_line;

/// Our identification string.
const OURS: &str = concat!("SSH-2.0-sshtunnel_", env!("CARGO_PKG_VERSION"));
/// Lines before the server's identification, as many as OpenSSH accepts. They greet, or explain why
/// the server refuses the connection.
const MAX_LINES: usize = 1024;
/// Bytes of a line, CR and LF included, as many as OpenSSH accepts.
const MAX_BYTES: usize = 8192;

/// Reader of the server's identification.
#[derive(Debug, Default)]
pub(crate) struct Identification {
    lines: usize,
}

impl Identification {
    /// Returns our string without the line end, as the exchange hash covers it.
    pub(crate) fn ours() -> &'static str {
        OURS
    }

    /// Looks for the server's string at the front of `bytes`; the lines before it are added to `text`.
    /// Returns the number of bytes that are used up, and the string once it is complete.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        text: &mut ServerText,
    ) -> Result<(usize, Option<String>), Error> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            let rest = &rest[..rest.len().min(MAX_BYTES)];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..end.unwrap_or(rest.len())];
            // No line has it (RFC 4253 section 4.2).
            if line.contains(&0) {
                return Err(Error::NotSsh("it sent binary data".into()));
            }
            let Some(end) = end else {
                if rest.len() == MAX_BYTES {
                    return Err(Error::NotSsh(format!("it sent \"{}\"", one_line(&rest[..64]))));
                }
                return Ok((used, None));
            };
            used += end + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"SSH-") {
                return identified(line).map(|version| (used, Some(version)));
            }
            self.lines += 1;
            if self.lines > MAX_LINES {
                return Err(Error::NotSsh(format!("it sent \"{}\"", one_line(line))));
            }
            text.add(line);
        }
    }
}

fn identified(line: &[u8]) -> Result<String, Error> {
    let refuse = || Error::NotSsh(format!("it calls itself \"{}\"", one_line(line)));
    let text = std::str::from_utf8(line).map_err(|_| refuse())?;
    // "1.99" stands for a server that supports both 1 and 2 (RFC 4253 section 5.1).
    if !(text.starts_with("SSH-2.0-") || text.starts_with("SSH-1.99-")) {
        return Err(refuse());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(usize, Option<String>), Error> {
        Identification::default().read(bytes, &mut ServerText::default())
    }

    #[test]
    fn lines_before_the_identification_are_skipped() {
        let (used, version) = read(b"hello\r\nthere\nSSH-2.0-x y\r\nrest").expect("identifies");
        assert_eq!(version.as_deref(), Some("SSH-2.0-x y"));
        assert_eq!(used, b"hello\r\nthere\nSSH-2.0-x y\r\n".len());
    }

    #[test]
    fn their_text_is_kept() {
        let mut text = ServerText::default();
        let read =
            Identification::default().read(b"Not allowed\x1b[2J\r\nat this time\n", &mut text);
        assert_eq!(read.map(|(_, version)| version), Ok(None));
        assert_eq!(text.as_str(), "Not allowed?[2J\nat this time\n");
    }

    #[test]
    fn half_a_line_waits_for_more() {
        assert_eq!(read(b"SSH-2.0-hal"), Ok((0, None)));
        assert_eq!(read(b"noise\nSSH-2.0-hal"), Ok((6, None)));
    }

    #[test]
    fn other_protocols_are_refused() {
        assert!(matches!(read(b"SSH-1.5-old\r\n"), Err(Error::NotSsh(_))));
        assert!(matches!(read(&[b'x'; MAX_BYTES]), Err(Error::NotSsh(_))));
        assert!(matches!(read(&[0x16, 3, 1, 0, 0]), Err(Error::NotSsh(_))));
        // In one piece, and in several.
        assert!(matches!(read(b"\0"), Err(Error::NotSsh(_))));
        assert!(matches!(read(b"hello\0\r\nSSH-2.0-x\r\n"), Err(Error::NotSsh(_))));
        assert!(matches!(read(b"SSH-2.0-x\0y\r\n"), Err(Error::NotSsh(_))));
        assert!(matches!(read(&b"banner\n".repeat(MAX_LINES + 1)), Err(Error::NotSsh(_))));
    }
}
