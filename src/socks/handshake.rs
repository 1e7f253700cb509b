//! The conversation from the first byte to the request.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::socks::{Fault, Login, Parsed, Request, v4, v5};

/// The longest message: a request of SOCKS 4a with the longest user id and the longest name.
const MOST: usize = 8 + 2 * (crate::socks::LONGEST + 1);

/// What a program has said, and what comes next. Bytes are received into [`Handshake::space`],
/// then [`Handshake::received`] says what they mean; again and again until that is the request, or
/// that there will be none.
pub(crate) struct Handshake {
    /// What the program has to prove; `None`: nothing.
    login: Option<Arc<Login>>,
    expected: Message,
    /// The message that is coming: it may be a password.
    buffer: Zeroizing<[u8; MOST]>,
    /// How much of it has come.
    filled: usize,
    /// How long it is at least.
    needed: usize,
}

/// What is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// The whole of SOCKS 4, or the methods of SOCKS 5: its first byte tells.
    First,
    /// Username and password.
    Login,
    /// The request of SOCKS 5.
    Request,
}

/// What is to be done after some bytes have come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Receive more.
    Receive,
    /// Send this, then receive more.
    Answer([u8; 2]),
    /// The conversation is over: this is what the program wants. It waits for the reply.
    Request(Request),
}

impl Handshake {
    pub(crate) fn new(login: Option<Arc<Login>>) -> Self {
        let buffer = Zeroizing::new([0; MOST]);
        Self { login, expected: Message::First, buffer, filled: 0, needed: 1 }
    }

    /// Where the next bytes go. No longer than what surely belongs to the conversation; never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..self.needed]
    }

    /// So many bytes have come. An error ends the conversation: [`Fault::reply`] is its last word.
    pub(crate) fn received(&mut self, count: usize) -> Result<Step, Fault> {
        self.filled += count;
        let bytes = &self.buffer[..self.filled];
        let parsed = match self.expected {
            Message::First => self.first(bytes)?,
            Message::Login => self.login(bytes)?,
            Message::Request => request(v5::request(bytes)?),
        };
        match parsed {
            Parsed::Needs(length) => {
                self.needed = length;
                Ok(Step::Receive)
            }
            Parsed::Whole((step, next)) => {
                self.expected = next;
                (self.filled, self.needed) = (0, 1);
                Ok(step)
            }
        }
    }

    fn first(&self, bytes: &[u8]) -> Result<Parsed<(Step, Message)>, Fault> {
        match bytes {
            [] => Ok(Parsed::Needs(1)),
            [v4::VERSION, ..] => match (v4::request(bytes)?, &self.login) {
                (Parsed::Whole(_), Some(_)) => Err(Fault::NoPassword),
                (parsed, _) => Ok(request(parsed)),
            },
            [v5::VERSION, ..] => {
                let (method, next) = match self.login {
                    Some(_) => (v5::USERNAME_PASSWORD, Message::Login),
                    None => (v5::NO_AUTHENTICATION, Message::Request),
                };
                match v5::methods(bytes) {
                    Parsed::Needs(length) => Ok(Parsed::Needs(length)),
                    Parsed::Whole(methods) if methods.contains(&method) => {
                        Ok(Parsed::Whole((Step::Answer(v5::choice(method)), next)))
                    }
                    Parsed::Whole(_) => Err(Fault::Method),
                }
            }
            [other, ..] => Err(Fault::NotSocks(*other)),
        }
    }

    fn login(&self, bytes: &[u8]) -> Result<Parsed<(Step, Message)>, Fault> {
        match v5::login(bytes)? {
            Parsed::Needs(length) => Ok(Parsed::Needs(length)),
            Parsed::Whole((username, password)) => {
                if self.login.as_ref().is_some_and(|login| login.is(username, password)) {
                    let step = Step::Answer(v5::LOGIN_ACCEPTED);
                    Ok(Parsed::Whole((step, Message::Request)))
                } else {
                    Err(Fault::Login)
                }
            }
        }
    }
}

/// The last message. Nothing follows; whoever went on would begin anew.
fn request(parsed: Parsed<Request>) -> Parsed<(Step, Message)> {
    parsed.map(|request| (Step::Request(request), Message::First))
}

#[cfg(test)]
mod tests;
