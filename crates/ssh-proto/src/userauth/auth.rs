//! The sequence of authentication requests.

use std::mem::take;

use zeroize::Zeroizing;

use super::attempts::{Attempt, Attempts, KeyOffer, is_listed};
use super::credentials::Credentials;
use super::identity::signature_name;
use super::questions::Question;
use super::request;
use super::tried::Tried;
use crate::message::{
    USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_METHOD_SPECIFIC, USERAUTH_SUCCESS,
};
use crate::text::{self, lines, one_line};
use crate::wire::{MAX_NAME, MAX_SECRET, Reader, Writer};
use crate::{AuthFailure, Error, Log};

/// Banners before the decision. OpenSSH's server sends one; gateways that wait for a second device
/// send one again and again.
pub(super) const MAX_BANNERS: usize = 1024;
/// Bytes of all banners together: four of the longest.
pub(super) const MAX_BANNER_BYTES: usize = 1024 * 1024;

/// A message of the server to the user during authentication (RFC 4252 section 5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Banner {
    /// The text, of one line or several, without control characters other than line feeds and tabs.
    pub message: String,
    /// The language of the text as a tag of RFC 3066; nearly always empty.
    pub language: String,
}

/// The next step of the authentication.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this message.
    Send(Zeroizing<Vec<u8>>),
    /// Ask the application.
    Ask(Question),
    /// Show this to the user.
    Show(Banner),
    /// The user is authenticated.
    Success,
    /// Nothing: a message or an answer is awaited.
    Wait,
}

/// What is awaited.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Nothing: the next attempt can be made.
    #[default]
    Ready,
    /// SERVICE_ACCEPT: a secret is sent only after it.
    Service,
    /// The result of a complete request.
    Requested(Attempt),
    /// Whether the server accepts this key.
    Offered(KeyOffer),
    /// The agent's keys.
    Listing,
    /// The agent's signature, which completes the request.
    Signing(KeyOffer, Zeroizing<Vec<u8>>),
    /// The prompts or the result of keyboard-interactive, after this number of rounds.
    Interactive(usize),
    /// The application's responses, in round `.0`, to `.1` prompts.
    Prompting(usize, usize),
    /// A password from the application.
    AskingPassword,
    /// The same, as the response to the prompt of this round.
    PasswordPrompt(usize),
}

/// Tries one method after another, each key and each method at most once, except for what the
/// application is asked again for.
pub(crate) struct Auth {
    pub(super) credentials: Credentials,
    pub(super) attempts: Attempts,
    pub(super) state: State,
    /// Whether the server has accepted the service.
    service: bool,
    /// The methods that the server listed last.
    accepted: Option<String>,
    /// For the error when no attempt is left.
    pub(super) tried: Tried,
    /// The number of banners, and their bytes.
    banners: (usize, usize),
    /// How often prompts have been repeated, and requests for a password.
    repeated: (u32, u32),
    /// The private keys that the server has accepted, by their indices.
    used_keys: Vec<usize>,
    /// The private keys that the agent has, too.
    pub(super) held_keys: Vec<usize>,
    pub(super) log: Log,
}

impl Auth {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let mut tried = Tried::default();
        for algorithm in credentials.unused_keys() {
            tried.unused(format!("publickey ({algorithm}: not used, for its size or algorithm)"));
        }
        Self {
            attempts: Attempts::new(&credentials),
            credentials,
            state: State::Ready,
            service: false,
            accepted: None,
            tried,
            banners: (0, 0),
            repeated: (0, 0),
            used_keys: Vec::new(),
            held_keys: Vec::new(),
            log: Log::default(),
        }
    }

    /// Writes what happens to this log.
    pub(crate) fn logging(self, log: Log) -> Self {
        for algorithm in self.credentials.unused_keys() {
            log.write(|| {
                format!("authentication: a {algorithm} key is not used, for its size or algorithm")
            });
        }
        Self { log, ..self }
    }

    /// Sets the signature algorithms that the server accepts (`server-sig-algs` of RFC 8308).
    pub(crate) fn set_signature_algorithms(&mut self, names: &str) {
        self.attempts.set_signature_algorithms(names);
    }

    /// Returns the first step. Requests without a secret do not wait for SERVICE_ACCEPT, which saves
    /// a round trip, unless the server cannot handle `early` requests.
    pub(crate) fn begin(&mut self, session: &[u8], early: bool) -> Result<Step, Error> {
        let Credentials { user, password, .. } = &self.credentials;
        let password = password.as_ref().map_or(0, |password| password.len());
        if user.len() > MAX_NAME || password > MAX_SECRET {
            return Err(too_long(if user.len() > MAX_NAME { "user name" } else { "password" }));
        }
        if !early {
            self.state = State::Service;
            return Ok(Step::Wait);
        }
        self.next(session)
    }

    /// Handles SERVICE_ACCEPT.
    pub(crate) fn service_accepted(&mut self, session: &[u8]) -> Result<Step, Error> {
        self.service = true;
        match self.state {
            State::Service => self.next(session),
            _ => Ok(Step::Wait),
        }
    }

    /// Returns whether the only open request is one for `none`, after all others were refused. A
    /// server with a limit of requests may disconnect instead of refusing it.
    pub(crate) fn is_last_resort(&self) -> bool {
        matches!(self.state, State::Requested(Attempt::None))
            && self.accepted.as_deref().is_some_and(|accepted| self.attempts.is_exhausted(accepted))
    }

    /// Returns whether the open request may be granted without a further one. `none` nearly never is.
    pub(crate) fn may_be_granted(&self) -> bool {
        match &self.state {
            State::Requested(attempt) => *attempt != Attempt::None,
            State::Ready
            | State::Service
            | State::Offered(_)
            | State::Listing
            | State::Signing(..)
            | State::Interactive(_)
            | State::Prompting(..)
            | State::AskingPassword
            | State::PasswordPrompt(_) => false,
        }
    }

    /// Describes what is awaited.
    pub(crate) fn waiting_for(&self) -> &'static str {
        match self.state {
            State::Ready | State::Requested(_) | State::Offered(_) | State::Interactive(_) => {
                "the answer to the authentication request"
            }
            State::Service => "the start of the authentication",
            State::Listing => "the keys of the agent",
            State::Signing(..) => "the agent's signature",
            State::Prompting(..) => "the answers to the server's questions",
            State::AskingPassword | State::PasswordPrompt(_) => "the user's password",
        }
    }

    /// Handles a message of the server.
    pub(crate) fn handle(&mut self, payload: &[u8], session: &[u8]) -> Result<Step, Error> {
        let mut reader = Reader::new(payload);
        let number = reader.byte()?;
        if !self.service && number != USERAUTH_BANNER {
            return Err(unexpected());
        }
        match number {
            USERAUTH_SUCCESS => {
                let attempt = self.take_attempt()?;
                self.log.write(|| format!("authentication: accepted, {attempt}"));
                self.succeeded(&attempt);
                self.credentials.wipe();
                Ok(Step::Success)
            }
            USERAUTH_FAILURE => {
                let accepted = reader.text()?;
                self.failed(accepted, reader.boolean()?)?;
                self.next(session)
            }
            USERAUTH_BANNER => self.banner(&mut reader).map(Step::Show),
            USERAUTH_METHOD_SPECIFIC => match take(&mut self.state) {
                State::Offered(key) => self.key_accepted(key, &mut reader, session),
                State::Interactive(rounds) => self.prompted(rounds, &mut reader, session),
                State::Requested(Attempt::Password) => {
                    Err(self.failure("the server demands that the password be changed".into()))
                }
                State::Ready
                | State::Service
                | State::Requested(_)
                | State::Listing
                | State::Signing(..)
                | State::Prompting(..)
                | State::AskingPassword
                | State::PasswordPrompt(_) => Err(unexpected()),
            },
            _ => Err(unexpected()),
        }
    }

    /// Handles USERAUTH_BANNER: `string message, string language tag`.
    fn banner(&mut self, reader: &mut Reader<'_>) -> Result<Banner, Error> {
        let message = reader.string()?;
        // Old servers leave it out.
        let language = reader.string().unwrap_or_default();
        self.banners.0 += 1;
        self.banners.1 += message.len();
        if self.banners.0 > MAX_BANNERS || self.banners.1 > MAX_BANNER_BYTES {
            return Err(Error::Protocol("too many banners"));
        }
        self.log.write(|| format!("banner of {} bytes", message.len()));
        Ok(Banner { message: lines(message), language: text::name(language) })
    }

    /// Returns the attempt that SUCCESS or FAILURE is for; an error if there is none.
    fn take_attempt(&mut self) -> Result<Attempt, Error> {
        match take(&mut self.state) {
            State::Requested(attempt) => Ok(attempt),
            State::Offered(key) => Ok(Attempt::AgentKey(key)),
            State::Interactive(_) | State::Prompting(..) | State::PasswordPrompt(_) => {
                Ok(Attempt::KeyboardInteractive)
            }
            State::Ready
            | State::Service
            | State::Listing
            | State::Signing(..)
            | State::AskingPassword => Err(unexpected()),
        }
    }

    /// Handles USERAUTH_FAILURE: `name-list accepted, boolean partial success`.
    fn failed(&mut self, accepted: &str, partial: bool) -> Result<(), Error> {
        // Otherwise a method that is not listed was not tried by the server at all.
        let was_tried = matches!(
            self.state,
            State::Interactive(1..)
                | State::Prompting(..)
                | State::PasswordPrompt(_)
                | State::Requested(Attempt::AgentKey(_))
        );
        let answered = matches!(self.state, State::Interactive(1..));
        let attempt = self.take_attempt()?;
        self.log.write(|| {
            let outcome = if partial { "partial success" } else { "refused" };
            let left = one_line(accepted.as_bytes());
            format!("authentication: {outcome}, {attempt}; methods left: {left}")
        });
        if partial {
            self.succeeded(&attempt);
            self.tried.note("one step of several");
            self.attempts.advanced(&attempt);
        }
        if attempt == Attempt::None {
            // Some servers list nothing here, although they accept passwords.
            if !accepted.is_empty() {
                self.accepted = Some(accepted.to_owned());
            }
            return Ok(());
        }
        let early = !partial && !was_tried && !is_listed(&attempt, Some(accepted));
        if early {
            self.attempts.too_early(attempt);
        } else {
            if attempt == Attempt::Password {
                self.credentials.password = None;
            }
            if !partial
                && is_listed(&attempt, Some(accepted))
                && self.may_repeat(&attempt, answered)
            {
                self.attempts.put_back(attempt);
            } else if attempt == Attempt::Password {
                self.credentials.asks_password = false;
            }
        }
        self.accepted = Some(accepted.to_owned());
        Ok(())
    }

    /// Records that an attempt has authenticated the user, alone or as one step of several.
    fn succeeded(&mut self, attempt: &Attempt) {
        if let Attempt::Key(number, _) = attempt {
            self.used_keys.push(*number);
        }
    }

    /// Returns the indices of the private keys that have authenticated the user and that the agent does
    /// not have.
    pub(crate) fn keys_for_agent(&self) -> impl Iterator<Item = usize> {
        self.used_keys.iter().copied().filter(|number| !self.held_keys.contains(number))
    }

    /// Returns whether an attempt is made again after its refusal, and counts it then. `answered` says
    /// whether prompts were answered: otherwise the server has refused to ask.
    fn may_repeat(&mut self, attempt: &Attempt, answered: bool) -> bool {
        let Credentials { interactive, asks_password, repetitions, .. } = self.credentials;
        let count = match attempt {
            Attempt::KeyboardInteractive if interactive && answered => &mut self.repeated.0,
            Attempt::Password if asks_password => &mut self.repeated.1,
            Attempt::None
            | Attempt::Key(..)
            | Attempt::Agent
            | Attempt::AgentKey(_)
            | Attempt::KeyboardInteractive
            | Attempt::Password => return false,
        };
        *count += 1;
        *count <= repetitions
    }

    /// Makes the next attempt that may succeed.
    pub(super) fn next(&mut self, session: &[u8]) -> Result<Step, Error> {
        while let Some(attempt) = self.attempts.next(self.accepted.as_deref()) {
            if attempt == Attempt::Password && !self.service {
                self.attempts.put_back(attempt);
                self.state = State::Service;
                return Ok(Step::Wait);
            }
            let user = &self.credentials.user;
            let request = match &attempt {
                Attempt::None => request::none(user),
                Attempt::Key(index, KeyOffer { blob, algorithm, .. }) => {
                    let Some(identity) = self.credentials.keys.get(*index) else { continue };
                    let mut payload = request::public_key(user, algorithm, blob, true);
                    let signature = identity
                        .key()
                        .sign(signature_name(algorithm), &request::to_sign(session, &payload))
                        .map_err(|error| Error::auth(format!("the private key: {error}")))?;
                    payload.put_string(&signature);
                    payload
                }
                Attempt::Agent => {
                    self.log_attempt(&attempt);
                    self.state = State::Listing;
                    return Ok(Step::Ask(Question::Identities));
                }
                Attempt::AgentKey(key) => {
                    self.log_attempt(&attempt);
                    let payload = request::public_key(user, key.algorithm, &key.blob, false);
                    self.tried.push("agent", format!("publickey ({} of the agent)", key.algorithm));
                    self.state = State::Offered(key.clone());
                    return Ok(Step::Send(payload));
                }
                Attempt::KeyboardInteractive => {
                    if !self.credentials.interactive && !self.credentials.has_password() {
                        continue; // the password was refused already
                    }
                    self.log_attempt(&attempt);
                    let payload = request::keyboard_interactive(user);
                    self.tried.push("keyboard-interactive", "keyboard-interactive".into());
                    self.state = State::Interactive(0);
                    return Ok(Step::Send(payload));
                }
                Attempt::Password => match &self.credentials.password {
                    Some(password) => request::password(user, password),
                    None if self.credentials.asks_password => {
                        self.state = State::AskingPassword;
                        return Ok(Step::Ask(Question::Password));
                    }
                    None => continue,
                },
            };
            self.log_attempt(&attempt);
            let method = attempt.method_name();
            let words = match &attempt {
                Attempt::Key(_, KeyOffer { algorithm, .. }) => format!("publickey ({algorithm})"),
                _ => method.into(),
            };
            self.tried.push(method, words);
            self.state = State::Requested(attempt);
            return Ok(Step::Send(request));
        }
        Err(self.exhausted())
    }

    pub(super) fn log_attempt(&self, attempt: &Attempt) {
        self.log.write(|| format!("authentication: tries {attempt}"));
    }

    /// Returns the error when no attempt is left.
    pub(crate) fn exhausted(&mut self) -> Error {
        self.credentials.wipe();
        let user = one_line(self.credentials.user.as_bytes());
        let mut text = format!("authentication failed for user {user}: tried {}", self.tried);
        if let Some(accepted) = &self.accepted {
            text.push_str("; the server accepts ");
            text.push_str(&one_line(accepted.as_bytes()));
        }
        self.failure(text)
    }

    /// Returns the error of an authentication that failed for the reason in `text`.
    pub(crate) fn failure(&self, text: String) -> Error {
        let accepted = self.accepted.as_deref().unwrap_or_default().split(',');
        Error::Auth(Box::new(AuthFailure {
            text,
            tried: self.tried.methods().to_vec(),
            accepted: accepted
                .filter(|method| !method.is_empty())
                .map(|method| one_line(method.as_bytes()))
                .collect(),
        }))
    }
}

/// The error for a value that no server would accept in one message.
pub(super) fn too_long(what: &str) -> Error {
    Error::auth(format!("the {what} is too long to be sent"))
}

fn unexpected() -> Error {
    Error::Protocol("an unexpected message during authentication")
}
