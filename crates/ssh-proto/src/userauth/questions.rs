//! Questions that the application answers: for an agent, and for the prompts of
//! keyboard-interactive (RFC 4256).

use std::mem::take;

use zeroize::Zeroizing;

use super::attempts::{Attempt, KeyOffer};
use super::auth::{Auth, State, Step, too_long};
use super::prompts::{self, Prompts};
use super::{identity, request};
use crate::Error;
use crate::key::ListedKey;
use crate::wire::{MAX_SECRET, Reader, Writer};

/// A question to the application.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// Asks for the agent's keys. To be answered with [`Client::identities`].
    ///
    /// [`Client::identities`]: crate::Client::identities
    Identities,
    /// Asks for a signature of the agent. To be answered with [`Client::signature`].
    ///
    /// [`Client::signature`]: crate::Client::signature
    Sign {
        /// The public key or certificate, as the agent listed it.
        key: Vec<u8>,
        /// The algorithm; it determines the digest of an RSA signature.
        algorithm: &'static str,
        /// The data to sign.
        data: Vec<u8>,
    },
    /// The server's prompts. To be answered with [`Client::responses`].
    ///
    /// [`Client::responses`]: crate::Client::responses
    Prompts(Prompts),
    /// Asks for the user's password. To be answered with [`Client::password`].
    ///
    /// [`Client::password`]: crate::Client::password
    Password,
}

impl Auth {
    /// Handles USERAUTH_PK_OK: `string algorithm, string key`. The server accepts the key; the agent
    /// is asked for the signature.
    pub(super) fn key_accepted(
        &mut self,
        key: KeyOffer,
        reader: &mut Reader<'_>,
        session: &[u8],
    ) -> Result<Step, Error> {
        // Some servers name the key's type here. The signature is of our request in any case.
        reader.string()?;
        if reader.string()? != &*key.blob {
            return Err(Error::Protocol("it accepts a key that was not offered"));
        }
        self.log.write(|| format!("authentication: the server accepts {key}, the agent signs"));
        let user = &self.credentials.user;
        let payload = request::public_key(user, key.algorithm, &key.blob, true);
        let question = Question::Sign {
            key: key.held.to_vec(),
            algorithm: key.algorithm,
            data: request::to_sign(session, &payload),
        };
        self.state = State::Signing(key, payload);
        Ok(Step::Ask(question))
    }

    /// Handles USERAUTH_INFO_REQUEST.
    pub(super) fn prompted(
        &mut self,
        rounds: usize,
        reader: &mut Reader<'_>,
        session: &[u8],
    ) -> Result<Step, Error> {
        let round = rounds + 1;
        if round > prompts::MAX_ROUNDS {
            return Err(Error::Protocol("too many rounds of prompts"));
        }
        let prompts = Prompts::parse(reader)?;
        self.log.write(|| {
            let count = prompts.prompts.len();
            format!("authentication: round {round} of keyboard-interactive, {count} prompts")
        });
        if prompts.prompts.is_empty() {
            self.state = State::Interactive(round);
            return Ok(Step::Send(prompts::response(&[])));
        }
        if self.credentials.interactive {
            self.state = State::Prompting(round, prompts.prompts.len());
            return Ok(Step::Ask(Question::Prompts(prompts)));
        }
        // A password that is sent this way is not sent by the method `password` too.
        let is_for_password = prompts.ask_for_password();
        match self.credentials.password.take_if(|_| is_for_password) {
            Some(password) => {
                self.credentials.asks_password = false;
                self.state = State::Interactive(round);
                Ok(Step::Send(prompts::response(&[password])))
            }
            None if is_for_password && self.credentials.asks_password => {
                self.credentials.asks_password = false;
                self.state = State::PasswordPrompt(round);
                Ok(Step::Ask(Question::Password))
            }
            None => {
                self.tried.note("asks for more than a password");
                self.next(session)
            }
        }
    }

    /// Takes the agent's keys, as blobs, or the reason why there are none.
    pub(crate) fn identities(
        &mut self,
        found: Result<Vec<Vec<u8>>, String>,
        session: &[u8],
    ) -> Result<Step, Error> {
        if !matches!(self.state, State::Listing) {
            return Ok(Step::Wait);
        }
        self.state = State::Ready;
        match found {
            Ok(mut blobs) => {
                for blob in &blobs {
                    self.log.write(|| format!("agent: has {}", ListedKey::describe(blob)));
                }
                let is_held =
                    |number: &usize| blobs.iter().any(|blob| self.credentials.holds(*number, blob));
                self.held_keys = (0..self.credentials.keys.len()).filter(is_held).collect();
                blobs.retain(|blob| self.credentials.wants_from_agent(blob));
                self.credentials.sort_agent(&mut blobs);
                if self.attempts.add_identities(&blobs, &self.credentials) == 0 {
                    self.tried.push("agent", "agent (it has no other key)".into());
                }
            }
            Err(why) => {
                self.log.write(|| format!("agent: {why}"));
                self.tried.push("agent", format!("agent ({why})"));
            }
        }
        self.next(session)
    }

    /// Takes the agent's signature, or the reason why there is none. A late one is ignored.
    pub(crate) fn signature(
        &mut self,
        made: Result<Vec<u8>, String>,
        session: &[u8],
    ) -> Result<Step, Error> {
        let (key, mut request) = match take(&mut self.state) {
            State::Signing(key, request) => (key, request),
            other => {
                self.state = other;
                return Ok(Step::Wait);
            }
        };
        match made {
            Ok(signature) if identity::is_signature(&signature, key.algorithm) => {
                request.put_string(&signature);
                self.state = State::Requested(Attempt::AgentKey(key));
                return Ok(Step::Send(request));
            }
            Ok(_) => self.unsigned("its signature is of another kind"),
            Err(why) => self.unsigned(&why),
        }
        self.next(session)
    }

    fn unsigned(&mut self, why: &str) {
        self.log.write(|| format!("agent: no signature, {why}"));
        self.tried.note(why);
    }

    /// Takes the responses to the prompts, or `None` to try the next method. Late ones are ignored.
    pub(crate) fn responses(
        &mut self,
        given: Option<&[Zeroizing<Vec<u8>>]>,
        session: &[u8],
    ) -> Result<Step, Error> {
        let State::Prompting(round, count) = self.state else { return Ok(Step::Wait) };
        if let Some(answers) = given.filter(|answers| answers.len() == count) {
            if answers.iter().map(|answer| answer.len() + 4).sum::<usize>() > MAX_SECRET {
                return Err(too_long("answer"));
            }
            self.state = State::Interactive(round);
            return Ok(Step::Send(prompts::response(answers)));
        }
        // The next request ends this one (RFC 4252 section 5).
        self.state = State::Ready;
        self.tried.note("not answered");
        self.next(session)
    }

    /// Takes the user's password, or `None` to try the next method. A late one is ignored.
    pub(crate) fn password(&mut self, given: Option<&[u8]>, session: &[u8]) -> Result<Step, Error> {
        let round = match self.state {
            State::AskingPassword => None,
            State::PasswordPrompt(round) => Some(round),
            _ => return Ok(Step::Wait),
        };
        match (given, round) {
            (Some(password), _) if password.len() > MAX_SECRET => Err(too_long("password")),
            (Some(password), None) => {
                self.log_attempt(&Attempt::Password);
                self.tried.push("password", "password".into());
                self.state = State::Requested(Attempt::Password);
                Ok(Step::Send(request::password(&self.credentials.user, password)))
            }
            (Some(password), Some(round)) => {
                self.state = State::Interactive(round);
                Ok(Step::Send(prompts::response(&[Zeroizing::new(password.to_vec())])))
            }
            (None, None) => {
                self.credentials.asks_password = false;
                self.state = State::Ready;
                self.tried.unused("password (not given)".into());
                self.next(session)
            }
            (None, Some(_)) => {
                // The next request ends this one (RFC 4252 section 5).
                self.state = State::Ready;
                self.tried.note("not answered");
                self.next(session)
            }
        }
    }
}
