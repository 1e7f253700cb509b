//! The user, and what proves who the user is.

use std::fmt;

use zeroize::Zeroizing;

use super::certificate::is_for;
use super::identity::{self, Identity};
use crate::key::rsa_bits;

/// A method of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// `none`: no proof.
    None,
    /// `publickey` with the private keys.
    PublicKey,
    /// `publickey` with the keys of an agent.
    Agent,
    /// `keyboard-interactive`: prompts and responses (RFC 4256).
    KeyboardInteractive,
    /// `password`.
    Password,
}

impl AuthMethod {
    /// The order of OpenSSH, except that keys come before `none`: they nearly always succeed, which
    /// saves a round trip. No secret is sent to a server that accepts `none`.
    /// Where the application responds to prompts, the password comes last.
    const PROMPTS_FIRST: [Self; 5] =
        [Self::PublicKey, Self::Agent, Self::None, Self::KeyboardInteractive, Self::Password];
    /// Where it does not, prompts only ask for the password in another way.
    const PASSWORD_FIRST: [Self; 5] =
        [Self::PublicKey, Self::Agent, Self::None, Self::Password, Self::KeyboardInteractive];

    /// Returns the name of the method in the protocol.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PublicKey | Self::Agent => "publickey",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::Password => "password",
        }
    }
}

/// The user's name, keys and secrets. Wiped from memory when dropped, never printed.
#[derive(Default)]
pub struct Credentials {
    /// The user's name on the server.
    pub user: String,
    /// Private keys, in the order in which they are offered.
    pub keys: Vec<Identity>,
    /// Whether there is an agent: [`Question::Identities`] and [`Question::Sign`] are asked then.
    ///
    /// [`Question::Identities`]: crate::Question::Identities
    /// [`Question::Sign`]: crate::Question::Sign
    pub agent: bool,
    /// The blobs of the agent's keys to use, with or without their certificates; `None`: all.
    pub agent_keys: Option<Vec<Vec<u8>>>,
    /// The blobs of the agent's keys to offer before its others.
    pub agent_first: Vec<Vec<u8>>,
    /// The blobs of certificates that are offered with the agent's keys, which come first too.
    pub agent_certificates: Vec<Vec<u8>>,
    /// Whether the application responds to the prompts of keyboard-interactive. Otherwise the
    /// password is the response to a single prompt without echo.
    pub interactive: bool,
    /// The password, as it is sent: UTF-8 by RFC 4252 section 8.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// Whether the application is asked for a password if there is none ([`Question::Password`]).
    ///
    /// [`Question::Password`]: crate::Question::Password
    pub asks_password: bool,
    /// How often the application is asked again when the server refuses a password of its, or its
    /// responses to prompts, and still accepts the method. Default: never.
    pub repetitions: u32,
    /// The methods to use, in this order; `None`: all for which there are credentials.
    pub methods: Option<Vec<AuthMethod>>,
    /// The algorithms to use keys with, the preferred first; `None`: all.
    pub algorithms: Option<Vec<&'static str>>,
    /// The minimum size of RSA keys in bits; smaller ones are not used.
    pub rsa_bits: usize,
}

impl Credentials {
    /// Returns the methods to try, in order.
    pub(super) fn methods(&self) -> Vec<AuthMethod> {
        let usual =
            if self.interactive { AuthMethod::PROMPTS_FIRST } else { AuthMethod::PASSWORD_FIRST };
        let chosen = self.methods.as_deref().unwrap_or(&usual);
        chosen.iter().copied().filter(|method| self.has(*method)).collect()
    }

    /// Returns whether there are credentials for the method.
    fn has(&self, method: AuthMethod) -> bool {
        match method {
            AuthMethod::None => true,
            AuthMethod::PublicKey => !self.keys.is_empty(),
            AuthMethod::Agent => self.agent,
            AuthMethod::KeyboardInteractive => self.interactive || self.has_password(),
            AuthMethod::Password => self.has_password(),
        }
    }

    /// Returns whether there is a password, or one can be asked for.
    pub(super) fn has_password(&self) -> bool {
        self.password.is_some() || self.asks_password
    }

    /// Returns the algorithms to use a key or certificate with, best first; none if it may not be
    /// used.
    pub(super) fn algorithms(&self, blob: &[u8]) -> Vec<&'static str> {
        let mut fit = identity::algorithms(blob).to_vec();
        if rsa_bits(blob).is_some_and(|bits| bits < self.rsa_bits) {
            fit.clear();
        }
        if let Some(accepted) = &self.algorithms {
            let rank = |name: &&str| accepted.iter().position(|other| other == name);
            fit.retain(|name| rank(name).is_some());
            fit.sort_by_key(rank);
        }
        fit
    }

    /// Returns an algorithm of each private key that cannot be used.
    pub(super) fn unused_keys(&self) -> impl Iterator<Item = &'static str> {
        let unused =
            |identity: &&Identity| identity.blobs().all(|blob| self.algorithms(blob).is_empty());
        self.keys.iter().filter(unused).map(|identity| identity.key().algorithms()[0])
    }

    /// Returns whether the agent's key or certificate may be offered: it is one of `agent_keys`.
    pub(super) fn wants_from_agent(&self, blob: &[u8]) -> bool {
        let mut keys = self.agent_keys.iter().flatten();
        self.agent_keys.is_none() || keys.any(|key| key == blob || is_for(blob, key))
    }

    /// Returns whether a private key has this public key or certificate.
    pub(super) fn holds(&self, number: usize, blob: &[u8]) -> bool {
        self.keys.get(number).is_some_and(|identity| identity.blobs().any(|own| own == blob))
    }

    /// Returns whether a public key or certificate is tried without the agent.
    pub(super) fn tries_itself(&self, blob: &[u8]) -> bool {
        let own = (0..self.keys.len()).any(|number| self.holds(number, blob));
        own && self.methods().contains(&AuthMethod::PublicKey)
    }

    /// Returns whether it is one of `agent_certificates`.
    pub(super) fn is_named_certificate(&self, blob: &[u8]) -> bool {
        self.agent_certificates.iter().any(|named| named == blob)
    }

    /// Moves the agent's keys to the front that are to be offered first, with the agent's certificates
    /// for them. Otherwise they stay in the agent's order.
    pub(super) fn sort_agent(&self, blobs: &mut [Vec<u8>]) {
        let is_first = |blob: &Vec<u8>| {
            self.agent_first.iter().any(|key| key == blob || is_for(blob, key))
                || self.agent_certificates.iter().any(|own| own == blob || is_for(own, blob))
        };
        blobs.sort_by_key(|blob| !is_first(blob));
    }

    /// Returns the certificates to offer with a key of the agent, unless the agent has them itself.
    pub(super) fn certificates_for(&self, key: &[u8], held: &[Vec<u8>]) -> Vec<&[u8]> {
        let fits = |blob: &&Vec<u8>| is_for(blob, key) && !held.contains(blob);
        self.agent_certificates.iter().filter(fits).map(Vec::as_slice).collect()
    }

    /// Wipes the keys and the password.
    pub(super) fn wipe(&mut self) {
        self.keys.clear();
        self.password = None;
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("methods", &self.methods()).finish_non_exhaustive()
    }
}
