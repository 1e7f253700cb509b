//! The attempts that were made, for the error when none is left.

use std::fmt;

/// Attempts that an error lists; an agent may hold any number of keys.
const MAX_LISTED: usize = 16;

/// The attempts that were made.
#[derive(Default)]
pub(super) struct Tried {
    words: Vec<String>,
    methods: Vec<&'static str>,
}

impl Tried {
    pub(super) fn push(&mut self, method: &'static str, words: String) {
        self.words.push(words);
        if !self.methods.contains(&method) {
            self.methods.push(method);
        }
    }

    /// A credential that was left out.
    pub(super) fn unused(&mut self, words: String) {
        self.words.push(words);
    }

    /// The methods that were used, each once.
    pub(super) fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    /// Adds a note to the last attempt.
    pub(super) fn note(&mut self, what: &str) {
        if let Some(last) = self.words.last_mut() {
            last.push_str(": ");
            last.push_str(what);
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.words.is_empty() {
            return f.write_str("nothing");
        }
        let (listed, others) = self.words.split_at(self.words.len().min(MAX_LISTED));
        f.write_str(&listed.join(", "))?;
        if others.is_empty() { Ok(()) } else { write!(f, " and {} more", others.len()) }
    }
}
