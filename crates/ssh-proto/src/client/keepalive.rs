//! Whether the server is still there.

use std::time::{Duration, Instant};

use crate::Error;
use crate::message::GLOBAL_REQUEST;
use crate::wire::{Writer, message};

/// How long a server may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// A silence of this length is answered with a question.
    pub interval: Duration,
    /// So many questions may go unanswered; one interval after the last the session is lost.
    pub count_max: u32,
}

/// The question: any answer will do, and every server answers, if only that it does not know it.
pub(crate) fn request() -> Vec<u8> {
    let mut payload = message(GLOBAL_REQUEST);
    payload.put_string(b"keepalive@openssh.com");
    payload.put_boolean(true);
    payload
}

/// Watches over the silence of the server.
pub(crate) struct Watch {
    keepalive: Option<Keepalive>,
    /// When something was last received.
    heard: Option<Instant>,
    /// When the last question was asked since, or else the same.
    since: Option<Instant>,
    /// Questions asked since.
    asked: u32,
}

impl Watch {
    pub(crate) fn new(keepalive: Option<Keepalive>) -> Self {
        Self { keepalive, heard: None, since: None, asked: 0 }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.since = Some(now);
        self.asked = 0;
    }

    /// The process was paused, and the server with it unheard: its silence begins now.
    pub(crate) fn resumed(&mut self, now: Instant) {
        if self.heard.is_some() {
            self.heard(now);
        }
    }

    /// When something was last received.
    pub(crate) fn last_heard(&self) -> Option<Instant> {
        self.heard
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since?.checked_add(self.keepalive?.interval)
    }

    /// Whether it is time to ask; an error when the server was asked often enough. Each question has
    /// its time, also one that was asked late.
    pub(crate) fn expired(&mut self, now: Instant) -> Result<bool, Error> {
        let (Some(deadline), Some(keepalive), Some(heard)) =
            (self.deadline(), self.keepalive, self.heard)
        else {
            return Ok(false);
        };
        if now < deadline {
            return Ok(false);
        }
        if self.asked >= keepalive.count_max {
            return Err(Error::Silent(now.duration_since(heard).as_millis()));
        }
        self.asked += 1;
        self.since = Some(now);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_server_is_lost_after_the_last_question() {
        let start = Instant::now();
        let mut watch = Watch::new(Some(Keepalive { interval: SECOND, count_max: 2 }));
        assert_eq!(watch.deadline(), None, "nothing was heard yet");
        watch.heard(start);
        assert_eq!(watch.expired(start + SECOND / 2), Ok(false));
        assert_eq!(watch.expired(start + SECOND), Ok(true));
        assert_eq!(watch.expired(start + SECOND * 2), Ok(true));
        assert_eq!(watch.deadline(), Some(start + SECOND * 3));
        assert_eq!(watch.expired(start + SECOND * 3), Err(Error::Silent(3000)));
    }

    #[test]
    fn a_question_that_was_asked_late_has_its_time() {
        let start = Instant::now();
        let mut watch = Watch::new(Some(Keepalive { interval: SECOND, count_max: 2 }));
        watch.heard(start);
        let late = start + SECOND * 9 / 2;
        assert_eq!(watch.expired(late), Ok(true));
        assert_eq!(watch.expired(late), Ok(false));
        assert_eq!(watch.deadline(), Some(late + SECOND));
        assert_eq!(watch.expired(late + SECOND), Ok(true));
        assert_eq!(watch.expired(late + SECOND * 2), Err(Error::Silent(6500)));
    }

    #[test]
    fn after_a_pause_the_server_is_asked_again_as_often() {
        let start = Instant::now();
        let mut watch = Watch::new(Some(Keepalive { interval: SECOND, count_max: 1 }));
        watch.resumed(start);
        assert_eq!(watch.deadline(), None, "nothing was heard yet");
        watch.heard(start);
        assert_eq!(watch.expired(start + SECOND), Ok(true));
        let later = start + SECOND * 60;
        watch.resumed(later);
        assert_eq!(watch.expired(later), Ok(false));
        assert_eq!(watch.expired(later + SECOND), Ok(true));
        assert_eq!(watch.expired(later + SECOND * 2), Err(Error::Silent(2000)));
    }

    #[test]
    fn any_sign_of_life_starts_over() {
        let start = Instant::now();
        let mut watch = Watch::new(Some(Keepalive { interval: SECOND, count_max: 1 }));
        watch.heard(start);
        assert_eq!(watch.expired(start + SECOND), Ok(true));
        watch.heard(start + SECOND);
        assert_eq!(watch.deadline(), Some(start + SECOND * 2));
    }
}
