//! The attempts that were made, for the error when none is left.

use std::fmt;

/// Attempts that an error lists; an agent may hold any number of keys.
const MAX_LISTED: usize = 16;

/// The attempts that were made.
#[derive(Default)]
pub(super) struct Tried(Vec<String>);

impl Tried {
    pub(super) fn push(&mut self, attempt: String) {
        self.0.push(attempt);
    }

    /// Adds a note to the last attempt.
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
        let (listed, others) = self.0.split_at(self.0.len().min(MAX_LISTED));
        f.write_str(&listed.join(", "))?;
        if others.is_empty() { Ok(()) } else { write!(f, " and {} more", others.len()) }
    }
}
