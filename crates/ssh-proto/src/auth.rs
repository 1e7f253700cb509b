//! Proving who the user is (RFC 4252).

use std::collections::VecDeque;

use zeroize::Zeroizing;

use crate::Error;
use crate::error::printable;
use crate::key::PrivateKey;
use crate::message::{
    USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_PASSWD_CHANGEREQ, USERAUTH_REQUEST,
    USERAUTH_SUCCESS,
};
use crate::wire::{Reader, Writer, message};

const SERVICE: &[u8] = b"ssh-connection";
/// A server may show this many messages before it decides; OpenSSH shows one.
const MOST_BANNERS: usize = 32;

/// Who logs on, and with what.
#[derive(Debug)]
pub struct Credentials {
    /// The user's name on the server.
    pub user: String,
    /// A key whose public half the server may know.
    pub key: Option<PrivateKey>,
    /// The user's password.
    pub password: Option<Zeroizing<String>>,
}

/// A method to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// With the signature algorithm to use.
    PublicKey(&'static str),
    Password,
    /// Asks to be let in without proof, and learns what is wanted.
    None,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::PublicKey(_) => "publickey",
            Method::Password => "password",
            Method::None => "none",
        }
    }
}

/// What to do next.
pub(crate) enum Step {
    /// Send this request.
    Request(Zeroizing<Vec<u8>>),
    /// The user is logged on.
    Success,
    /// Nothing: the answer is still to come.
    Wait,
}

/// Tries one method after the other, strongest first, each at most once.
pub(crate) struct Auth {
    credentials: Credentials,
    untried: VecDeque<Method>,
    tried: Vec<String>,
    banners: usize,
}

impl Auth {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let keys = credentials.key.iter().flat_map(PrivateKey::algorithms);
        let mut untried: VecDeque<_> = keys.map(|name| Method::PublicKey(name)).collect();
        untried.extend(credentials.password.is_some().then_some(Method::Password));
        if untried.is_empty() {
            untried.push_back(Method::None);
        }
        Self { credentials, untried, tried: Vec::new(), banners: 0 }
    }

    /// The server's word on which signatures it takes (`server-sig-algs` of RFC 8308).
    pub(crate) fn takes_signatures(&mut self, names: &str) {
        let known = |method: &Method| match method {
            Method::PublicKey(algorithm) => names.split(',').any(|name| name == *algorithm),
            Method::Password | Method::None => true,
        };
        self.untried.retain(known);
    }

    /// The first request. It is sent without waiting to be asked: the first guess is nearly always
    /// the right one, and it saves a round trip.
    pub(crate) fn begin(&mut self, session: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let method = self.untried.pop_front().expect("there is always something to try first");
        self.request(method, session)
    }

    /// Takes a message of the server's.
    pub(crate) fn handle(&mut self, payload: &[u8], session: &[u8]) -> Result<Step, Error> {
        let mut reader = Reader::new(payload);
        match reader.byte()? {
            USERAUTH_SUCCESS => {
                // Nothing is left to prove: wipe what it took.
                self.credentials.key = None;
                self.credentials.password = None;
                Ok(Step::Success)
            }
            USERAUTH_FAILURE => {
                let accepted = reader.text()?;
                // Partial success needs no care of its own: what goes on is in the list.
                self.next(accepted, session).map(Step::Request)
            }
            USERAUTH_BANNER => {
                self.banners += 1;
                if self.banners > MOST_BANNERS {
                    return Err(Error::Protocol("banners without end"));
                }
                Ok(Step::Wait)
            }
            USERAUTH_PASSWD_CHANGEREQ => {
                Err(Error::Auth("the server demands that the password be changed".into()))
            }
            _ => Err(Error::Protocol("an unexpected message while logging on")),
        }
    }

    fn next(&mut self, accepted: &str, session: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        while let Some(method) = self.untried.pop_front() {
            if accepted.split(',').any(|name| name == method.name()) {
                return self.request(method, session);
            }
        }
        Err(Error::Auth(format!(
            "authentication failed for user {}: tried {}; the server accepts {}",
            printable(self.credentials.user.as_bytes()),
            self.tried.join(", "),
            printable(accepted.as_bytes()),
        )))
    }

    fn request(&mut self, method: Method, session: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut payload = Zeroizing::new(message(USERAUTH_REQUEST));
        payload.put_string(self.credentials.user.as_bytes());
        payload.put_string(SERVICE);
        payload.put_string(method.name().as_bytes());
        match (method, &self.credentials.key, &self.credentials.password) {
            (Method::PublicKey(algorithm), Some(key), _) => {
                self.tried.push(format!("publickey ({algorithm})"));
                payload.put_boolean(true);
                payload.put_string(algorithm.as_bytes());
                payload.put_string(key.public_blob());
                // What is signed: the session's identifier, then the request up to here.
                let mut signed = Vec::with_capacity(payload.len() + session.len() + 4);
                signed.put_string(session);
                signed.extend_from_slice(&payload);
                let signature = key
                    .sign(algorithm, &signed)
                    .map_err(|error| Error::Auth(format!("the private key: {error}")))?;
                payload.put_string(&signature);
            }
            (Method::Password, _, Some(password)) => {
                self.tried.push("password".into());
                payload.put_boolean(false);
                // Room first: growing would leave a copy behind that nobody wipes.
                payload.reserve_exact(4 + password.len());
                payload.put_string(password.as_bytes());
            }
            (Method::None, ..) => self.tried.push("none".into()),
            (Method::PublicKey(_) | Method::Password, ..) => {
                unreachable!("only methods that we have something for are tried")
            }
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> Auth {
        Auth::new(Credentials {
            user: "ann".into(),
            key: None,
            password: Some(Zeroizing::new("secret".into())),
        })
    }

    fn failure(accepted: &str) -> Vec<u8> {
        let mut payload = message(USERAUTH_FAILURE);
        payload.put_string(accepted.as_bytes());
        payload.put_boolean(false);
        payload
    }

    #[test]
    fn without_any_credentials_none_is_asked() {
        let mut auth = Auth::new(Credentials { user: "ann".into(), key: None, password: None });
        let request = auth.begin(b"session").expect("a request");
        assert!(request.ends_with(b"\0\0\0\x04none"));
    }

    #[test]
    fn a_method_is_tried_once() {
        let mut auth = password();
        let request = auth.begin(b"session").expect("a request");
        assert!(request.ends_with(b"\0\0\0\0\x06secret"));
        let Err(Error::Auth(text)) = auth.handle(&failure("password,publickey"), b"session") else {
            panic!("nothing is left to try");
        };
        assert!(text.contains("tried password") && text.contains("accepts password,publickey"));
        assert!(!text.contains("secret"));
    }

    #[test]
    fn banners_have_an_end() {
        let mut auth = password();
        let mut banner = message(USERAUTH_BANNER);
        banner.put_string(b"hello");
        banner.put_string(b"");
        for _ in 0..MOST_BANNERS {
            assert!(matches!(auth.handle(&banner, b""), Ok(Step::Wait)));
        }
        assert!(matches!(auth.handle(&banner, b""), Err(Error::Protocol(_))));
    }

    #[test]
    fn a_demand_for_a_new_password_ends_it() {
        let answer = password().handle(&message(USERAUTH_PASSWD_CHANGEREQ), b"");
        assert!(matches!(answer, Err(Error::Auth(_))));
    }
}
