//! The key exchange (RFC 4253 sections 7 and 8): the exchange here, each family of methods in a file
//! of its own.
//!
//! Every method sends a public value, receives the server's public value, host key and signature, and
//! yields a shared secret that goes into the exchange hash. In group exchange the server chooses a
//! group first. `modular` and `primes` serve the methods of finite fields.

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

/// A method of key exchange.
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
    /// Every method and its name, best first: safe against quantum computers, then by strength for
    /// the cost. Curve25519 has two names; the second is older than RFC 8731.
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

    /// Returns the hash of the exchange, which also derives the keys.
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

/// Our half of an exchange: the private value, and the public one.
enum Half {
    Hybrid(Box<hybrid::Half>),
    Curve25519(curve25519::Half),
    Nist(nist::Half),
    Group(group::Half),
}

impl Half {
    /// Returns our public value, without its length.
    fn public(&self) -> &[u8] {
        match self {
            Half::Hybrid(half) => half.public(),
            Half::Curve25519(half) => half.public(),
            Half::Nist(half) => half.public(),
            Half::Group(half) => half.public(),
        }
    }

    /// Returns the shared secret; `theirs` is the server's public value, without its length.
    fn agree(&self, theirs: &[u8]) -> Result<Shared, Error> {
        match self {
            Half::Hybrid(half) => half.agree(theirs),
            Half::Curve25519(half) => half.agree(theirs),
            Half::Nist(half) => half.agree(theirs),
            Half::Group(half) => half.agree(theirs),
        }
    }
}

/// The state of an exchange.
enum State {
    /// The group is awaited, for which this size was preferred.
    AwaitingGroup(Exponent, u32),
    /// The server's public value is awaited.
    AwaitingReply {
        half: Half,
        /// What the exchange hash covers before the public values.
        group: Vec<u8>,
        /// The numbers of the messages with our public value and the server's.
        numbers: (u8, u8),
    },
}

/// A key exchange, as the client.
pub(crate) struct Exchange {
    hash: &'static Algorithm,
    state: State,
}

/// The next step of an exchange.
pub(crate) enum Step {
    /// Send this message, and wait for another one.
    Send(Vec<u8>),
    /// The server's signature is verified.
    Done(HostKey, Secrets),
}

impl Exchange {
    /// Begins an exchange for ciphers and MACs whose keys have `key_bits`. `random` fills its argument
    /// with random bytes.
    pub(crate) fn new(method: Kex, key_bits: usize, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let half = |half| State::AwaitingReply {
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
            Kex::GroupExchange => {
                State::AwaitingGroup(bytes(random), group_exchange::preferred_size(key_bits))
            }
        };
        Self { hash: method.hash(), state }
    }

    /// Returns the first message: our public value, or the request for a group.
    pub(crate) fn init(&self) -> Vec<u8> {
        match &self.state {
            State::AwaitingGroup(_, preferred) => group_exchange::request(*preferred),
            State::AwaitingReply { half, numbers: (init, _), .. } => {
                let mut payload = message(*init);
                payload.put_string(half.public());
                payload
            }
        }
    }

    /// Handles a message of the server with a number of key exchange methods. The last one is `byte,
    /// string host key, string or mpint public value, string signature`: verifies the signature, and
    /// yields the secrets. `session` is the session identifier, once there is one.
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
            State::AwaitingGroup(exponent, preferred) if number == KEX_DH_GEX_GROUP => {
                let (half, group) = group_exchange::choose(payload, exponent.clone(), *preferred)?;
                let (half, numbers) = (Half::Group(half), (KEX_DH_GEX_INIT, KEX_DH_GEX_REPLY));
                self.state = State::AwaitingReply { half, group, numbers };
                return Ok(Step::Send(self.init()));
            }
            State::AwaitingReply { half, group, numbers: (_, reply) } if number == *reply => {
                (half, group)
            }
            State::AwaitingGroup(..) | State::AwaitingReply { .. } => {
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

/// Returns random bytes, which are wiped when they are dropped.
fn bytes<const N: usize>(random: &mut dyn FnMut(&mut [u8])) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    random(&mut *bytes);
    bytes
}

/// Returns the error for public values that are not valid.
fn invalid() -> Error {
    Error::Protocol("the server's public value of the key exchange is not valid")
}

/// Decodes a known answer.
#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digits).collect()
}
