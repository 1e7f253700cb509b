//! Text that a server sends to the user before the session is connected.

use crate::text::{lines, tail};

/// Bytes that are kept. The last ones tell the most about a failure.
const MAX: usize = 4096;

/// The last lines and banners of a server, bounded and printable, for the error if the session
/// fails.
#[derive(Debug, Default)]
pub(crate) struct ServerText(String);

impl ServerText {
    /// Adds a line, or a message of several.
    pub(crate) fn add(&mut self, text: &[u8]) {
        // More would push all of it out again.
        let text = lines(&text[text.len().saturating_sub(MAX)..]);
        self.0.push_str(&text);
        if !self.0.ends_with('\n') {
            self.0.push('\n');
        }
        if self.0.len() > MAX {
            self.0 = tail(&self.0, MAX).to_owned();
        }
    }

    /// Forgets all of it.
    pub(crate) fn clear(&mut self) {
        self.0 = String::new();
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_within_bounds() {
        let mut text = ServerText::default();
        assert_eq!(text.as_str(), "");
        text.add(b"one");
        text.add(b"two\r\nthree\r\n");
        assert_eq!(text.as_str(), "one\ntwo\nthree\n");
        for _ in 0..1000 {
            text.add("é \u{1b}".repeat(50).as_bytes());
        }
        text.add(b"the end");
        assert!(text.as_str().len() <= MAX && text.as_str().ends_with("?\nthe end\n"));
        text.add(&[b'x'; 100_000]);
        assert_eq!(text.as_str().len(), MAX);
        text.clear();
        assert_eq!(text.as_str(), "");
    }
}
