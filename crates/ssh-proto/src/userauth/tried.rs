//! What was tried, in words.

use std::fmt;

/// An error names this many attempts; an agent may hold any number of keys.
const MOST: usize = 16;

/// The attempts so far, for the error when nothing is left.
#[derive(Default)]
pub(super) struct Tried(Vec<String>);

impl Tried {
    pub(super) fn push(&mut self, attempt: String) {
        self.0.push(attempt);
    }

    /// Adds to what is told about the last attempt.
    pub(super) fn note(&mut self, what: &str) {
        if let Some(last) = self.0.last_mut() {
            last.push_str(": ");
            last.push_str(what);
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let (named, others) = self.0.split_at(self.0.len().min(MOST));
        f.write_str(&named.join(", "))?;
        if others.is_empty() { Ok(()) } else { write!(f, " and {} more", others.len()) }
    }
}
