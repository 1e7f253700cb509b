//! Messages of the authentication protocol (RFC 4252), and the answers to its questions.

use zeroize::Zeroizing;

use super::{Client, Event, Phase};
use crate::Error;
use crate::message::{SERVICE_ACCEPT, USERAUTH_FAILURE};
use crate::userauth::{Auth, Credentials, Step};

impl Client {
    /// Sends the first request, or asks the question that has to be answered before it.
    pub(super) fn begin_authentication(&mut self) -> Result<(), Error> {
        let early = self.keys.accepts_early_requests();
        let step = self.auth.begin(self.keys.session(), early)?;
        let event = self.carry_out(step);
        self.events.extend(event.map(Ok));
        Ok(())
    }

    /// Handles a message of the authentication protocol.
    pub(super) fn authentication(
        &mut self,
        number: u8,
        payload: &[u8],
    ) -> Result<Option<Event>, Error> {
        let step = match number {
            SERVICE_ACCEPT => self.auth.service_accepted(self.keys.session())?,
            _ => self.auth.handle(payload, self.keys.session())?,
        };
        if number == USERAUTH_FAILURE {
            self.early_opens_refused();
        }
        Ok(self.carry_out(step))
    }

    /// Returns the request of [`agent::request_binding`] for this session, to be sent to an agent before
    /// any other; `None` outside the authentication.
    ///
    /// [`agent::request_binding`]: crate::agent::request_binding
    pub fn agent_binding(&self) -> Option<Vec<u8>> {
        self.keys.agent_binding()
    }

    /// Returns the indices of the private keys that have authenticated the user and that the agent, if it
    /// was asked, does not have.
    pub fn keys_for_agent(&self) -> Vec<usize> {
        self.auth.keys_for_agent().collect()
    }

    /// Answers [`Question::Identities`]: the public keys and certificates that the agent holds, or
    /// the reason why there are none. An answer to a question that is not open (any more) is
    /// ignored, here as below; an error ends the session, as in [`Client::next_event`].
    ///
    /// [`Question::Identities`]: crate::Question::Identities
    pub fn identities(&mut self, found: Result<Vec<Vec<u8>>, String>) -> Result<(), Error> {
        self.answer(|auth, session| auth.identities(found, session))
    }

    /// Answers [`Question::Sign`]: the signature with its algorithm's name, in the encoding of RFC
    /// 4253 section 6.6, or the reason why there is none; then the next key is tried.
    ///
    /// [`Question::Sign`]: crate::Question::Sign
    pub fn signature(&mut self, made: Result<Vec<u8>, String>) -> Result<(), Error> {
        self.answer(|auth, session| auth.signature(made, session))
    }

    /// Answers [`Question::Prompts`]: one response to each prompt, or `None` to try the next method.
    ///
    /// [`Question::Prompts`]: crate::Question::Prompts
    pub fn responses(&mut self, given: Option<&[Zeroizing<Vec<u8>>]>) -> Result<(), Error> {
        self.answer(|auth, session| auth.responses(given, session))
    }

    /// Answers [`Question::Password`]: the password, or `None` to try the next method.
    ///
    /// [`Question::Password`]: crate::Question::Password
    pub fn password(&mut self, given: Option<&[u8]>) -> Result<(), Error> {
        self.answer(|auth, session| auth.password(given, session))
    }

    /// Replaces the credentials. To be called before [`Client::trust`], which begins the authentication.
    pub fn set_credentials(&mut self, credentials: Credentials) {
        self.auth = Auth::new(credentials).logging(self.log.clone());
    }

    fn answer(
        &mut self,
        take: impl FnOnce(&mut Auth, &[u8]) -> Result<Step, Error>,
    ) -> Result<(), Error> {
        // The session may have ended since the question.
        if matches!(self.phase, Phase::Over) || !self.keys.has_session() {
            return Ok(());
        }
        match take(&mut self.auth, self.keys.session()) {
            Ok(step) => {
                let event = self.carry_out(step);
                self.events.extend(event.map(Ok));
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
                // Held if a key exchange is in progress.
                self.send(&payload);
                self.send_early_opens();
                None
            }
            Step::Ask(question) => Some(Event::Question(question)),
            Step::Show(banner) => {
                self.server_text.add(banner.message.as_bytes());
                Some(Event::Banner(banner))
            }
            Step::Success => {
                self.phase = Phase::Connected;
                self.server_text.clear();
                self.keys.authenticated();
                self.inbound.authenticated();
                self.outbound.authenticated();
                self.finish_early_opens();
                // While nothing is in flight that could delay the reply.
                if let Some(now) = self.keepalive.last_received() {
                    self.measure_round_trip(now);
                }
                Some(Event::Ready)
            }
            Step::Wait => None,
        }
    }
}
