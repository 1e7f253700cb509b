//! What a server says to the user before the session stands.

use crate::text::{lines, tail};

/// Bytes that are kept. The last ones are about the end.
const MAX: usize = 4096;

/// The last lines and banners of a server, for the error if the session does not come about.
#[derive(Debug, Default)]
pub(crate) struct Said(String);

impl Said {
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

    /// What is kept, fit to be shown.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_it_is_kept_within_bounds() {
        let mut said = Said::default();
        assert_eq!(said.text(), "");
        said.add(b"one");
        said.add(b"two\r\nthree\r\n");
        assert_eq!(said.text(), "one\ntwo\nthree\n");
        for _ in 0..1000 {
            said.add("é \u{1b}".repeat(50).as_bytes());
        }
        said.add(b"the end");
        assert!(said.text().len() <= MAX && said.text().ends_with("?\nthe end\n"));
        said.add(&[b'x'; 100_000]);
        assert_eq!(said.text().len(), MAX);
        said.clear();
        assert_eq!(said.text(), "");
    }
}
