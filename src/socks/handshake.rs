//! The handshake from the first byte to the request, without a socket.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::socks::{Fault, Login, MAX_LENGTH, Parsed, Request, v4, v5};

/// The length of the longest message: a request of SOCKS 4a.
const MAX_MESSAGE: usize = 8 + 2 * (MAX_LENGTH + 1);

/// The handshake with one client. Bytes are read into [`Handshake::space`], then passed to
/// [`Handshake::received`], until that returns the request or an error.
pub(crate) struct Handshake {
    /// The credentials that the client must present; `None`: no authentication.
    login: Option<Arc<Login>>,
    expected: Message,
    /// The message that is arriving, possibly with a password.
    buffer: Zeroizing<[u8; MAX_MESSAGE]>,
    /// The number of bytes that have arrived.
    filled: usize,
    /// The minimum length of the message.
    needed: usize,
}

/// The message that is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// The request of SOCKS 4 or the methods of SOCKS 5; the first byte is the version.
    First,
    /// The username and password of SOCKS 5.
    Login,
    /// The request of SOCKS 5.
    Request,
}

/// What the caller does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Reads more.
    Receive,
    /// Sends this, then reads more.
    Send([u8; 2]),
    /// Handles the request. The client waits for the reply.
    Request(Request),
}

impl Handshake {
    pub(crate) fn new(login: Option<Arc<Login>>) -> Self {
        let buffer = Zeroizing::new([0; MAX_MESSAGE]);
        Self { login, expected: Message::First, buffer, filled: 0, needed: 1 }
    }

    /// Returns the space for the next bytes: no longer than the message, and never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..self.needed]
    }

    /// Handles bytes that have arrived. An error ends the handshake with [`Fault::reply`].
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
                        Ok(Parsed::Whole((Step::Send(v5::choice(method)), next)))
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
                if self.login.as_ref().is_some_and(|login| login.matches(username, password)) {
                    let step = Step::Send(v5::LOGIN_ACCEPTED);
                    Ok(Parsed::Whole((step, Message::Request)))
                } else {
                    Err(Fault::Login)
                }
            }
        }
    }
}

/// Ends the handshake with the request.
fn request(parsed: Parsed<Request>) -> Parsed<(Step, Message)> {
    parsed.map(|request| (Step::Request(request), Message::First))
}

#[cfg(test)]
mod tests;
