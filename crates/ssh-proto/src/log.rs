//! Log of a session: one line for each event of the handshake and of the session, to find a fault by.
//! No line has a password, a response, a passphrase, a private key or data of a connection.

use std::fmt;
use std::sync::Arc;

use crate::text::log_line;

/// Receiver of the lines of sessions. It is called on any thread, and has to return at once.
pub trait LogSink: Send + Sync {
    /// Returns whether lines are wanted now. Otherwise none is made.
    fn is_on(&self) -> bool;

    /// Receives a line: bounded, and without characters that could control a terminal.
    fn line(&self, line: String);
}

/// Log of one session, or of a part of a program. The default one is off.
#[derive(Clone, Default)]
pub struct Log {
    sink: Option<Arc<dyn LogSink>>,
    /// What each line begins with.
    prefix: Arc<str>,
}

impl Log {
    /// Makes a log whose lines begin with `prefix`.
    pub fn new(sink: Arc<dyn LogSink>, prefix: &str) -> Self {
        Self { sink: Some(sink), prefix: prefix.into() }
    }

    /// Returns a log whose lines have a further prefix.
    #[must_use]
    pub fn within(&self, prefix: &str) -> Self {
        Self { sink: self.sink.clone(), prefix: format!("{}{prefix}", self.prefix).into() }
    }

    /// Returns whether lines are wanted now.
    pub fn is_on(&self) -> bool {
        self.on().is_some()
    }

    fn on(&self) -> Option<&dyn LogSink> {
        self.sink.as_deref().filter(|sink| sink.is_on())
    }

    /// Writes a line. `line` is called only where somebody receives it.
    pub fn write<T: fmt::Display>(&self, line: impl FnOnce() -> T) {
        if let Some(sink) = self.on() {
            sink.line(log_line(&format!("{}{}", self.prefix, line())));
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Keeps the lines.
    #[derive(Default)]
    pub(crate) struct Lines {
        off: AtomicBool,
        lines: Mutex<Vec<String>>,
    }

    impl Lines {
        pub(crate) fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.lines.lock().expect("nobody panicked"))
        }
    }

    impl LogSink for Lines {
        fn is_on(&self) -> bool {
            !self.off.load(Ordering::Relaxed)
        }

        fn line(&self, line: String) {
            self.lines.lock().expect("nobody panicked").push(line);
        }
    }

    #[test]
    fn lines_have_their_prefixes_and_control_nothing() {
        let lines = Arc::new(Lines::default());
        let log = Log::new(lines.clone(), "session 1: ").within("host:22: ");
        log.write(|| "\x1b[2Jred\nforged: line\u{202e}");
        log.write(|| "x".repeat(100_000));
        let written = lines.take();
        assert_eq!(written[0], "session 1: host:22: ?[2Jred forged: line?");
        assert!(written[1].len() < 2000);
    }

    #[test]
    fn a_log_that_is_off_makes_no_line() {
        let lines = Arc::new(Lines::default());
        lines.off.store(true, Ordering::Relaxed);
        Log::new(lines.clone(), "").write(|| -> &str { unreachable!("nobody listens") });
        Log::default().write(|| -> &str { unreachable!("nobody listens") });
        assert_eq!(lines.take(), [""; 0]);
    }
}
