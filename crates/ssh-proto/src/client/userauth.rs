//! Messages of the authentication protocol (RFC 4252), and answers to what it asks.

use zeroize::Zeroizing;

use super::{Client, Event, Phase};
use crate::Error;
use crate::message::SERVICE_ACCEPT;
use crate::userauth::{Auth, Step};

impl Client {
    /// Makes the first request if it may be made unasked, or asks what it takes to make it.
    pub(super) fn begin_authentication(&mut self) -> Result<(), Error> {
        let early = self.keys.takes_early_requests();
        let step = self.auth.begin(self.keys.session(), early)?;
        let event = self.carry_out(step);
        self.ahead.extend(event.map(Ok));
        Ok(())
    }

    pub(super) fn authentication(
        &mut self,
        number: u8,
        payload: &[u8],
    ) -> Result<Option<Event>, Error> {
        let step = match number {
            SERVICE_ACCEPT => self.auth.service_accepted(self.keys.session())?,
            _ => self.auth.handle(payload, self.keys.session())?,
        };
        Ok(self.carry_out(step))
    }

    /// Answers [`Question::Identities`]: the public keys and certificates that the agent holds, or
    /// why there are none. In the answers to all questions, what is not asked (any more) is
    /// ignored; an error ends the session, as in [`Client::next_event`].
    ///
    /// [`Question::Identities`]: crate::Question::Identities
    pub fn identities(&mut self, found: Result<Vec<Vec<u8>>, String>) -> Result<(), Error> {
        self.answer(|auth, session| auth.identities(found, session))
    }

    /// Answers [`Question::Sign`]: the signature with its algorithm's name, as agents and SSH have
    /// it, or why there is none; then the next key is tried.
    ///
    /// [`Question::Sign`]: crate::Question::Sign
    pub fn signature(&mut self, made: Result<Vec<u8>, String>) -> Result<(), Error> {
        self.answer(|auth, session| auth.signature(made, session))
    }

    /// Answers [`Question::Prompts`]: as many answers as there are questions, or `None` to give up
    /// on them and try the next method.
    ///
    /// [`Question::Prompts`]: crate::Question::Prompts
    pub fn responses(&mut self, given: Option<&[Zeroizing<Vec<u8>>]>) -> Result<(), Error> {
        self.answer(|auth, session| auth.responses(given, session))
    }

    fn answer(
        &mut self,
        take: impl FnOnce(&mut Auth, &[u8]) -> Result<Step, Error>,
    ) -> Result<(), Error> {
        // The session may have ended since it asked.
        if matches!(self.phase, Phase::Over) || !self.keys.has_session() {
            return Ok(());
        }
        match take(&mut self.auth, self.keys.session()) {
            Ok(step) => {
                let event = self.carry_out(step);
                self.ahead.extend(event.map(Ok));
                Ok(())
            }
            Err(error) => {
                self.fail(&error);
                Err(error)
            }
        }
    }

    fn carry_out(&mut self, step: Step) -> Option<Event> {
        match step {
            Step::Send(payload) => {
                // Not straight out: the server may be changing keys.
                self.send(&payload);
                None
            }
            Step::Ask(question) => Some(Event::Asked(question)),
            Step::Show(banner) => {
                self.said.add(banner.message.as_bytes());
                Some(Event::Banner(banner))
            }
            Step::Success => {
                self.phase = Phase::Connected;
                self.said.clear();
                self.inbound.logged_on();
                self.outbound.logged_on();
                // While nothing is under way that the answer could queue behind.
                if let Some(heard) = self.watch.last_heard() {
                    self.measure(heard);
                }
                Some(Event::Ready)
            }
            Step::Wait => None,
        }
    }
}
