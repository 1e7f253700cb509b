//! The key exchange (RFC 4253 sections 7 and 8): one file for each family of methods, and what they
//! have in common.
//!
//! Every method sends a half, takes the server's half, host key and signature, and ends in a secret
//! that goes into the exchange hash. They differ in the kind of the halves and in how the secret is
//! written; group exchange has the server choose a group first.

mod curve25519;
mod group;
mod group_exchange;
mod hybrid;
mod modular;
mod nist;
mod primes;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use primes::{GROUP_14, GROUP_16, GROUP_18};

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512};
use zeroize::Zeroizing;

use super::secrets::{Secrets, Shared, Transcript};
use crate::Error;
use crate::key::HostKey;
use crate::message::{
    KEX_DH_GEX_GROUP, KEX_DH_GEX_INIT, KEX_DH_GEX_REPLY, KEX_ECDH_INIT, KEX_ECDH_REPLY,
};
use crate::wire::{Reader, Writer, message};
use group::Group;
use modular::Exponent;
use nist::Curve;

/// A method of key exchange that both sides can agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kex {
    MlKem768X25519,
    Curve25519,
    NistP256,
    NistP384,
    NistP521,
    GroupExchange,
    Group14,
    Group16,
    Group18,
}

impl Kex {
    /// Every method and its name, best first: what withstands a quantum computer, then by strength
    /// for what it costs. Curve25519 has two names; the second is from before RFC 8731.
    pub(crate) const ALL: [(&'static str, Kex); 10] = [
        ("mlkem768x25519-sha256", Kex::MlKem768X25519),
        ("curve25519-sha256", Kex::Curve25519),
        ("curve25519-sha256@libssh.org", Kex::Curve25519),
        ("ecdh-sha2-nistp256", Kex::NistP256),
        ("ecdh-sha2-nistp384", Kex::NistP384),
        ("ecdh-sha2-nistp521", Kex::NistP521),
        ("diffie-hellman-group-exchange-sha256", Kex::GroupExchange),
        ("diffie-hellman-group16-sha512", Kex::Group16),
        ("diffie-hellman-group18-sha512", Kex::Group18),
        ("diffie-hellman-group14-sha256", Kex::Group14),
    ];

    /// The hash of the exchange and of the keys that come of it.
    pub(crate) fn hash(self) -> &'static Algorithm {
        match self {
            Kex::MlKem768X25519
            | Kex::Curve25519
            | Kex::NistP256
            | Kex::GroupExchange
            | Kex::Group14 => &SHA256,
            Kex::NistP384 => &SHA384,
            Kex::NistP521 | Kex::Group16 | Kex::Group18 => &SHA512,
        }
    }
}

/// Our half of an exchange.
enum Half {
    Hybrid(Box<hybrid::Half>),
    Curve25519(curve25519::Half),
    Nist(nist::Half),
    Group(group::Half),
}

impl Half {
    /// What goes to the server, without its length.
    fn public(&self) -> &[u8] {
        match self {
            Half::Hybrid(half) => half.public(),
            Half::Curve25519(half) => half.public(),
            Half::Nist(half) => half.public(),
            Half::Group(half) => half.public(),
        }
    }

    /// The secret, given the server's half without its length.
    fn agree(&self, theirs: &[u8]) -> Result<Shared, Error> {
        match self {
            Half::Hybrid(half) => half.agree(theirs),
            Half::Curve25519(half) => half.agree(theirs),
            Half::Nist(half) => half.agree(theirs),
            Half::Group(half) => half.agree(theirs),
        }
    }
}

/// How far an exchange is.
enum State {
    /// A group is asked for.
    Asking(Exponent),
    /// Our half is made, the server's is awaited.
    Halfway {
        half: Half,
        /// What the exchange hash covers before the halves.
        group: Vec<u8>,
        /// The numbers of the messages that carry our half and the server's.
        numbers: (u8, u8),
    },
}

/// An exchange that waits for the server.
pub(crate) struct Exchange {
    hash: &'static Algorithm,
    state: State,
}

/// What follows a message of the server.
pub(crate) enum Step {
    /// This is to be sent; another message has to come.
    Send(Vec<u8>),
    /// The server's half is good, and so is its signature.
    Done(HostKey, Secrets),
}

impl Exchange {
    /// Begins an exchange. `random` fills its argument with random bytes.
    pub(crate) fn new(method: Kex, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let half = |half| State::Halfway {
            half,
            group: Vec::new(),
            numbers: (KEX_ECDH_INIT, KEX_ECDH_REPLY),
        };
        let state = match method {
            Kex::MlKem768X25519 => half(Half::Hybrid(Box::new(hybrid::Half::new(&bytes(random))))),
            Kex::Curve25519 => half(Half::Curve25519(curve25519::Half::new(&bytes(random)))),
            Kex::NistP256 => half(Half::Nist(nist::Half::new(Curve::P256))),
            Kex::NistP384 => half(Half::Nist(nist::Half::new(Curve::P384))),
            Kex::NistP521 => half(Half::Nist(nist::Half::new(Curve::P521))),
            Kex::Group14 => half(Half::Group(group::Half::new(Group::Fourteen, bytes(random)))),
            Kex::Group16 => half(Half::Group(group::Half::new(Group::Sixteen, bytes(random)))),
            Kex::Group18 => half(Half::Group(group::Half::new(Group::Eighteen, bytes(random)))),
            Kex::GroupExchange => State::Asking(bytes(random)),
        };
        Self { hash: method.hash(), state }
    }

    /// The message that opens it: our half, or the question for a group.
    pub(crate) fn init(&self) -> Vec<u8> {
        match &self.state {
            State::Asking(_) => group_exchange::request(),
            State::Halfway { half, numbers: (init, _), .. } => {
                let mut payload = message(*init);
                payload.put_string(half.public());
                payload
            }
        }
    }

    /// Takes a message of the server, which is numbered for key exchange methods. The last one is
    /// `byte, string host key, string or mpint half, string signature`: checks the signature, and
    /// derives the secrets. `session` is the session's identifier, once there is one.
    pub(crate) fn handle(
        &mut self,
        payload: &[u8],
        host_key_algorithm: &str,
        transcript: &Transcript<'_>,
        session: Option<&[u8]>,
    ) -> Result<Step, Error> {
        let mut reader = Reader::new(payload);
        let number = reader.byte()?;
        let (half, group) = match &mut self.state {
            State::Asking(exponent) if number == KEX_DH_GEX_GROUP => {
                let (half, group) = group_exchange::choose(payload, exponent.clone())?;
                let (half, numbers) = (Half::Group(half), (KEX_DH_GEX_INIT, KEX_DH_GEX_REPLY));
                self.state = State::Halfway { half, group, numbers };
                return Ok(Step::Send(self.init()));
            }
            State::Halfway { half, group, numbers: (_, reply) } if number == *reply => {
                (half, group)
            }
            State::Asking(_) | State::Halfway { .. } => {
                return Err(Error::Protocol("a message of another key exchange method"));
            }
        };
        let (host_key, theirs, signature) = (reader.string()?, reader.string()?, reader.string()?);
        let shared = half.agree(theirs)?;
        let mut halves = group.clone();
        halves.put_string(half.public());
        halves.put_string(theirs);
        let secrets = Secrets::new(self.hash, transcript, host_key, &halves, shared, session);
        let host_key = HostKey::parse(host_key_algorithm, host_key)
            .map_err(|error| Error::HostKey(error.to_string()))?;
        host_key
            .verify(host_key_algorithm, secrets.hash(), signature)
            .map_err(|error| Error::HostKey(error.to_string()))?;
        Ok(Step::Done(host_key, secrets))
    }
}

/// Random bytes that are wiped when they are dropped.
fn bytes<const N: usize>(random: &mut dyn FnMut(&mut [u8])) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    random(&mut *bytes);
    bytes
}

/// What is said about every half that cannot be one.
fn invalid() -> Error {
    Error::Protocol("the server's half of the key exchange is not valid")
}

/// The bytes of a known answer.
#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digits).collect()
}
