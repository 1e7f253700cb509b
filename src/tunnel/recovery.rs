//! The session of a tunnel: how it comes up, and what follows when it is lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Event;
use super::driver::Driver;
use super::leaving::Leaving;
use super::operations::answer_all;
use crate::session::{self, Link};

impl Driver {
    pub(super) fn log_on(&mut self) {
        if self.logon.is_none() {
            let observer = self.observer.clone();
            let verify = Arc::new(move |key, answer| observer.verify_host_key(key, answer));
            let observer = self.observer.clone();
            let prompt = Arc::new(move |prompts, answer| observer.answer_prompts(prompts, answer));
            let logon = session::open(self.config.target.clone(), verify, prompt);
            self.logon = Some(Box::pin(logon));
        }
    }

    pub(super) fn logged_on(&mut self, outcome: Result<Link, session::Error>, now: Instant) {
        match outcome {
            Ok(link) => {
                self.link = Some(link);
                self.active = true;
                self.shared.ready.store(true, Ordering::Release);
                self.emit(Event::Ready);
                answer_all(&mut self.operations.starts.connecting, &Ok(()));
                if !self.operations.starts.listening.is_empty() {
                    self.resolve();
                }
                // What came with the server's last word on the logon is read already: no event of
                // the socket will announce it.
                self.handle_events(now);
            }
            Err(error) => {
                self.operations.starts.fail(&error.into());
                self.operations.session_wanted = false;
            }
        }
    }

    /// The session is gone: ends every connection accordingly and tells the owner.
    pub(super) fn lost(&mut self, error: session::Error) {
        self.link = None;
        self.shared.ready.store(false, Ordering::Release);
        if matches!(self.operations.leaving, Leaving::Confirming { .. }) {
            // Nobody needs it any more.
            return;
        }
        answer_all(&mut self.operations.starts.listening, &Err(error.clone().into()));
        self.stop_listening();
        self.operations.session_wanted = false;
        self.end_all(&error);
        self.emit(Event::Error(error.into()));
    }

    /// The session's socket failed.
    pub(super) fn broken(&mut self, error: &io::Error) {
        let text = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
            _ => format!("the connection to the server broke: {error}"),
        };
        self.lost(session::Error::Disconnected(text));
    }
}
