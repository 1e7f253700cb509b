//! Proving who the user is (RFC 4252).
//!
//! [`Auth`] makes one request after the other until the server is content. Two things it cannot do
//! by itself: sign with a key that an agent holds, and answer questions that are meant for people.
//! Then it asks ([`Question`]) and goes on when it is answered.

pub mod agent;
mod attempts;
mod certificate;
mod credentials;
mod identity;
mod prompts;
mod request;
#[cfg(test)]
mod tests;
mod tried;

pub use certificate::{IdentityError, public_blob};
pub use credentials::{AuthMethod, Credentials};
pub use identity::Identity;
pub(crate) use identity::user_key_algorithms;
pub use prompts::{Prompt, Prompts};

use std::mem::take;

use zeroize::Zeroizing;

use crate::Error;
use crate::message::{
    USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_METHOD_SPECIFIC, USERAUTH_SUCCESS,
};
use crate::text::{self, lines, one_line};
use crate::wire::{MAX_NAME, MAX_SECRET, Reader, Writer};
use attempts::{Attempt, Offer, Plan, is_listed};
use identity::signature_name;
use tried::Tried;

/// Messages that a server may show before it decides. OpenSSH's shows one; gateways that wait for a
/// second device show one again and again.
const MAX_BANNERS: usize = 1024;
/// Bytes of all of them together: four of the longest.
const MAX_BANNER_BYTES: usize = 1024 * 1024;

/// What a server shows to the user while he logs on (RFC 4252 section 5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    /// The text, of one line or several: nothing but line feeds and tabs controls anything in it.
    pub message: String,
    /// The language of the text as a tag of RFC 3066; nearly always empty.
    pub language: String,
}

/// What is for somebody else to answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// Which keys does the agent hold? To be answered with [`Client::identities`].
    ///
    /// [`Client::identities`]: crate::Client::identities
    Identities,
    /// The agent is to sign. To be answered with [`Client::signature`].
    ///
    /// [`Client::signature`]: crate::Client::signature
    Sign {
        /// The public half of the key, or the certificate, as the agent listed it.
        key: Vec<u8>,
        /// The algorithm; it tells the digest of an RSA signature.
        algorithm: &'static str,
        /// What is to be signed.
        data: Vec<u8>,
    },
    /// The server's questions. To be answered with [`Client::responses`].
    ///
    /// [`Client::responses`]: crate::Client::responses
    Prompts(Prompts),
}

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this message.
    Send(Zeroizing<Vec<u8>>),
    /// Put this question.
    Ask(Question),
    /// Show this to the user.
    Show(Banner),
    /// The user is logged on.
    Success,
    /// Nothing: an answer is still to come.
    Wait,
}

/// What no server would take in one message.
fn too_long(what: &str) -> Error {
    Error::Auth(format!("the {what} is too long to be sent"))
}

/// Whose turn it is.
#[derive(Debug, Default)]
enum Turn {
    /// Ours: nothing was sent or asked since the last answer.
    #[default]
    Ours,
    /// The server's: a secret is sent only after it has accepted the service.
    Service,
    /// The server's: it has all that the attempt takes.
    Verdict(Attempt),
    /// The server's: it was asked whether this key would do.
    Probe(Offer),
    /// The agent's: it was asked for its keys.
    Listing,
    /// The agent's: it was asked for the signature that completes the request.
    Signing(Offer, Zeroizing<Vec<u8>>),
    /// The server's, in keyboard-interactive: so many rounds are over.
    Asking(usize),
    /// The user's, in round `.0`, to answer `.1` questions.
    Answering(usize, usize),
}

/// Tries one method after the other, each key and each method at most once.
pub(crate) struct Auth {
    credentials: Credentials,
    plan: Plan,
    turn: Turn,
    /// Whether the server has accepted the service.
    service: bool,
    /// The methods that the server named last.
    accepted: Option<String>,
    /// For the error when nothing is left.
    tried: Tried,
    /// How many banners have come, and their bytes.
    banners: (usize, usize),
}

impl Auth {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let mut tried = Tried::default();
        for algorithm in credentials.unused_keys() {
            tried.push(format!("publickey ({algorithm}: not used, for its size or algorithm)"));
        }
        Self {
            plan: Plan::new(&credentials),
            credentials,
            turn: Turn::Ours,
            service: false,
            accepted: None,
            tried,
            banners: (0, 0),
        }
    }

    /// The server's word on which signatures it takes (`server-sig-algs` of RFC 8308).
    pub(crate) fn takes_signatures(&mut self, names: &str) {
        self.plan.takes_signatures(names);
    }

    /// The first step. Keys and `none` do not wait for the service to be accepted, which saves a
    /// round trip, unless the server cannot take requests as `early`.
    pub(crate) fn begin(&mut self, session: &[u8], early: bool) -> Result<Step, Error> {
        let Credentials { user, password, .. } = &self.credentials;
        let password = password.as_ref().map_or(0, |password| password.len());
        if user.len() > MAX_NAME || password > MAX_SECRET {
            return Err(too_long(if user.len() > MAX_NAME { "user name" } else { "password" }));
        }
        if !early {
            self.turn = Turn::Service;
            return Ok(Step::Wait);
        }
        self.next(session)
    }

    /// SSH_MSG_SERVICE_ACCEPT: what was held back until now may be sent.
    pub(crate) fn service_accepted(&mut self, session: &[u8]) -> Result<Step, Error> {
        self.service = true;
        match self.turn {
            Turn::Service => self.next(session),
            _ => Ok(Step::Wait),
        }
    }

    /// Whether the only request left to be answered is one for `none`, after proofs were refused.
    /// A server that has had enough of requests may disconnect instead of refusing it.
    pub(crate) fn is_last_resort(&self) -> bool {
        matches!(self.turn, Turn::Verdict(Attempt::None))
            && self.accepted.as_deref().is_some_and(|accepted| self.plan.is_exhausted(accepted))
    }

    /// What is waited for, in words.
    pub(crate) fn waiting_for(&self) -> &'static str {
        match self.turn {
            Turn::Ours | Turn::Verdict(_) | Turn::Probe(_) | Turn::Asking(_) => {
                "the answer to the authentication request"
            }
            Turn::Service => "the start of the authentication",
            Turn::Listing => "the keys of the agent",
            Turn::Signing(..) => "the agent's signature",
            Turn::Answering(..) => "the answers to the server's questions",
        }
    }

    /// Takes a message of the server's.
    pub(crate) fn handle(&mut self, payload: &[u8], session: &[u8]) -> Result<Step, Error> {
        let mut reader = Reader::new(payload);
        let number = reader.byte()?;
        if !self.service && number != USERAUTH_BANNER {
            return Err(unexpected());
        }
        match number {
            USERAUTH_SUCCESS => {
                self.answered()?;
                self.credentials.wipe();
                Ok(Step::Success)
            }
            USERAUTH_FAILURE => {
                let accepted = reader.text()?;
                self.refused(accepted, reader.boolean()?)?;
                self.next(session)
            }
            USERAUTH_BANNER => self.banner(&mut reader).map(Step::Show),
            USERAUTH_METHOD_SPECIFIC => match take(&mut self.turn) {
                Turn::Probe(key) => self.welcome(key, &mut reader, session),
                Turn::Asking(rounds) => self.asked(rounds, &mut reader, session),
                Turn::Verdict(Attempt::Password) => {
                    Err(Error::Auth("the server demands that the password be changed".into()))
                }
                Turn::Ours
                | Turn::Service
                | Turn::Verdict(_)
                | Turn::Listing
                | Turn::Signing(..)
                | Turn::Answering(..) => Err(unexpected()),
            },
            _ => Err(unexpected()),
        }
    }

    /// SSH_MSG_USERAUTH_BANNER: `string message, string language tag`.
    fn banner(&mut self, reader: &mut Reader<'_>) -> Result<Banner, Error> {
        let message = reader.string()?;
        // Old servers leave it out.
        let language = reader.string().unwrap_or_default();
        self.banners.0 += 1;
        self.banners.1 += message.len();
        if self.banners.0 > MAX_BANNERS || self.banners.1 > MAX_BANNER_BYTES {
            return Err(Error::Protocol("banners without end"));
        }
        Ok(Banner { message: lines(message), language: text::name(language) })
    }

    /// The attempt that the server has judged; an error if there was none.
    fn answered(&mut self) -> Result<Attempt, Error> {
        match take(&mut self.turn) {
            Turn::Verdict(attempt) => Ok(attempt),
            Turn::Probe(key) => Ok(Attempt::AgentKey(key)),
            Turn::Asking(_) | Turn::Answering(..) => Ok(Attempt::KeyboardInteractive),
            Turn::Ours | Turn::Service | Turn::Listing | Turn::Signing(..) => Err(unexpected()),
        }
    }

    fn refused(&mut self, accepted: &str, partial: bool) -> Result<(), Error> {
        // Otherwise, a method that is not in the list was not even looked at.
        let looked_at = matches!(
            self.turn,
            Turn::Asking(1..) | Turn::Answering(..) | Turn::Verdict(Attempt::AgentKey(_))
        );
        let attempt = self.answered()?;
        if partial {
            self.tried.note("one step of several");
            self.plan.advanced(&attempt);
        }
        if attempt == Attempt::None {
            // Some servers list nothing here, although they take passwords.
            if !accepted.is_empty() {
                self.accepted = Some(accepted.to_owned());
            }
            return Ok(());
        }
        let early = !partial && !looked_at && !is_listed(&attempt, Some(accepted));
        if early {
            self.plan.too_early(attempt);
        } else if attempt == Attempt::Password {
            self.credentials.password = None;
        }
        self.accepted = Some(accepted.to_owned());
        Ok(())
    }

    /// Goes on to the next attempt that may work.
    fn next(&mut self, session: &[u8]) -> Result<Step, Error> {
        while let Some(attempt) = self.plan.next(self.accepted.as_deref()) {
            if attempt == Attempt::Password && !self.service {
                self.plan.postpone(attempt);
                self.turn = Turn::Service;
                return Ok(Step::Wait);
            }
            let user = &self.credentials.user;
            let request = match &attempt {
                Attempt::None => request::none(user),
                Attempt::Key(index, Offer { blob, algorithm, .. }) => {
                    let Some(identity) = self.credentials.keys.get(*index) else { continue };
                    let mut payload = request::public_key(user, algorithm, blob, true);
                    let signature = identity
                        .key()
                        .sign(signature_name(algorithm), &request::to_sign(session, &payload))
                        .map_err(|error| Error::Auth(format!("the private key: {error}")))?;
                    payload.put_string(&signature);
                    payload
                }
                Attempt::Agent => {
                    self.turn = Turn::Listing;
                    return Ok(Step::Ask(Question::Identities));
                }
                Attempt::AgentKey(key) => {
                    let payload = request::public_key(user, key.algorithm, &key.blob, false);
                    self.tried.push(format!("publickey ({} of the agent)", key.algorithm));
                    self.turn = Turn::Probe(key.clone());
                    return Ok(Step::Send(payload));
                }
                Attempt::KeyboardInteractive => {
                    if !self.credentials.interactive && self.credentials.password.is_none() {
                        continue; // the password was refused already
                    }
                    let payload = request::keyboard_interactive(user);
                    self.tried.push("keyboard-interactive".into());
                    self.turn = Turn::Asking(0);
                    return Ok(Step::Send(payload));
                }
                Attempt::Password => {
                    let Some(password) = &self.credentials.password else { continue };
                    request::password(user, password)
                }
            };
            self.tried.push(match &attempt {
                Attempt::Key(_, Offer { algorithm, .. }) => format!("publickey ({algorithm})"),
                other => other.on_wire().into(),
            });
            self.turn = Turn::Verdict(attempt);
            return Ok(Step::Send(request));
        }
        Err(self.exhausted())
    }

    /// SSH_MSG_USERAUTH_PK_OK: `string algorithm, string key`. The key would do.
    fn welcome(
        &mut self,
        key: Offer,
        reader: &mut Reader<'_>,
        session: &[u8],
    ) -> Result<Step, Error> {
        // Some servers name the key's type here. Our own request says what the signature is of.
        reader.string()?;
        if reader.string()? != &*key.blob {
            return Err(Error::Protocol("it accepts a key that was not offered"));
        }
        let user = &self.credentials.user;
        let payload = request::public_key(user, key.algorithm, &key.blob, true);
        let question = Question::Sign {
            key: key.blob.to_vec(),
            algorithm: key.algorithm,
            data: request::to_sign(session, &payload),
        };
        self.turn = Turn::Signing(key, payload);
        Ok(Step::Ask(question))
    }

    /// A round of questions has come.
    fn asked(
        &mut self,
        rounds: usize,
        reader: &mut Reader<'_>,
        session: &[u8],
    ) -> Result<Step, Error> {
        let round = rounds + 1;
        if round > prompts::MOST_ROUNDS {
            return Err(Error::Protocol("questions without end"));
        }
        let prompts = Prompts::parse(reader)?;
        if prompts.prompts.is_empty() {
            self.turn = Turn::Asking(round);
            return Ok(Step::Send(prompts::response(&[])));
        }
        if self.credentials.interactive {
            self.turn = Turn::Answering(round, prompts.prompts.len());
            return Ok(Step::Ask(Question::Prompts(prompts)));
        }
        // A password that was asked for this way is not sent another way, too.
        let password = self.credentials.password.take_if(|_| prompts.ask_for_password());
        match password {
            Some(password) => {
                self.turn = Turn::Asking(round);
                Ok(Step::Send(prompts::response(&[password])))
            }
            None => {
                self.tried.note("asks for more than a password");
                self.next(session)
            }
        }
    }

    /// The agent's keys, as blobs, or why there are none.
    pub(crate) fn identities(
        &mut self,
        found: Result<Vec<Vec<u8>>, String>,
        session: &[u8],
    ) -> Result<Step, Error> {
        if !matches!(self.turn, Turn::Listing) {
            return Ok(Step::Wait);
        }
        self.turn = Turn::Ours;
        match found {
            Ok(mut blobs) => {
                blobs.retain(|blob| self.credentials.wants_from_agent(blob));
                if self.plan.add_identities(&blobs, &self.credentials) == 0 {
                    self.tried.push("agent (it has no other key)".into());
                }
            }
            Err(why) => self.tried.push(format!("agent ({why})")),
        }
        self.next(session)
    }

    /// The agent's signature, or why there is none. One that comes too late is ignored.
    pub(crate) fn signature(
        &mut self,
        made: Result<Vec<u8>, String>,
        session: &[u8],
    ) -> Result<Step, Error> {
        let (key, mut request) = match take(&mut self.turn) {
            Turn::Signing(key, request) => (key, request),
            other => {
                self.turn = other;
                return Ok(Step::Wait);
            }
        };
        match made {
            Ok(signature) if identity::is_signature(&signature, key.algorithm) => {
                request.put_string(&signature);
                self.turn = Turn::Verdict(Attempt::AgentKey(key));
                return Ok(Step::Send(request));
            }
            Ok(_) => self.tried.note("its signature is of another kind"),
            Err(why) => self.tried.note(&why),
        }
        self.next(session)
    }

    /// The answers to the server's questions, or `None` to give up on them. Answers that come too
    /// late are ignored.
    pub(crate) fn responses(
        &mut self,
        given: Option<&[Zeroizing<Vec<u8>>]>,
        session: &[u8],
    ) -> Result<Step, Error> {
        let Turn::Answering(round, count) = self.turn else { return Ok(Step::Wait) };
        if let Some(answers) = given.filter(|answers| answers.len() == count) {
            if answers.iter().map(|answer| answer.len() + 4).sum::<usize>() > MAX_SECRET {
                return Err(too_long("answer"));
            }
            self.turn = Turn::Asking(round);
            return Ok(Step::Send(prompts::response(answers)));
        }
        // The next request is what tells the server (RFC 4252 section 5).
        self.turn = Turn::Ours;
        self.tried.note("not answered");
        self.next(session)
    }

    /// Everything was tried.
    pub(crate) fn exhausted(&mut self) -> Error {
        self.credentials.wipe();
        let user = one_line(self.credentials.user.as_bytes());
        let mut text = format!("authentication failed for user {user}: tried {}", self.tried);
        if let Some(accepted) = &self.accepted {
            text.push_str("; the server accepts ");
            text.push_str(&one_line(accepted.as_bytes()));
        }
        Error::Auth(text)
    }
}

fn unexpected() -> Error {
    Error::Protocol("an unexpected message while logging on")
}
