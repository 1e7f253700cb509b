//! Who logs on, with what, and in which order.

use std::fmt;

use zeroize::Zeroizing;

use super::certificate::is_about;
use super::identity::{self, Identity};
use crate::key::rsa_bits;

/// A way to prove who the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// Asks to be let in without proof.
    None,
    /// The private keys.
    PublicKey,
    /// The keys of an agent; the server knows no difference to a private key.
    Agent,
    /// Questions and answers (RFC 4256).
    KeyboardInteractive,
    /// The password.
    Password,
}

impl AuthMethod {
    /// The order of OpenSSH, but that keys come before `none`: they are the right guess nearly
    /// always, and save a round trip. No secret is sent to a server that asks for none.
    /// Where somebody answers questions, the password comes last.
    const QUESTIONS_FIRST: [Self; 5] =
        [Self::PublicKey, Self::Agent, Self::None, Self::KeyboardInteractive, Self::Password];
    /// Where nobody does, questions are only another way to ask for the password.
    const PASSWORD_FIRST: [Self; 5] =
        [Self::PublicKey, Self::Agent, Self::None, Self::Password, Self::KeyboardInteractive];

    /// The name that the protocol has for it.
    pub(super) fn on_wire(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PublicKey | Self::Agent => "publickey",
            Self::KeyboardInteractive => "keyboard-interactive",
            Self::Password => "password",
        }
    }
}

/// Who logs on, and with what. Wiped from memory when dropped, never printed.
#[derive(Default)]
pub struct Credentials {
    /// The user's name on the server.
    pub user: String,
    /// Keys whose public halves the server may know, in the order in which they are offered.
    pub keys: Vec<Identity>,
    /// Whether there is an agent to ask for keys and signatures.
    pub agent: bool,
    /// The blobs of the only keys of the agent to use, with their certificates; `None`: all.
    pub agent_keys: Option<Vec<Vec<u8>>>,
    /// Whether somebody answers the questions of keyboard-interactive. Otherwise the password
    /// answers them, where that is what they ask for.
    pub interactive: bool,
    /// The user's password, as the server gets it: UTF-8, where it can choose.
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// The only methods to use, in this order; `None`: all that there is something for.
    pub methods: Option<Vec<AuthMethod>>,
    /// The only algorithms to use keys with, the preferred first; `None`: all.
    pub algorithms: Option<Vec<&'static str>>,
    /// Bits that an RSA key has to have; those of fewer are not used.
    pub rsa_bits: usize,
}

impl Credentials {
    /// The methods to try, in order: never empty unless the user's own choice is.
    pub(super) fn methods(&self) -> Vec<AuthMethod> {
        let usual =
            if self.interactive { AuthMethod::QUESTIONS_FIRST } else { AuthMethod::PASSWORD_FIRST };
        let chosen = self.methods.as_deref().unwrap_or(&usual);
        chosen.iter().copied().filter(|method| self.has(*method)).collect()
    }

    /// Whether there is something to use the method with.
    fn has(&self, method: AuthMethod) -> bool {
        match method {
            AuthMethod::None => true,
            AuthMethod::PublicKey => !self.keys.is_empty(),
            AuthMethod::Agent => self.agent,
            AuthMethod::KeyboardInteractive => self.interactive || self.password.is_some(),
            AuthMethod::Password => self.password.is_some(),
        }
    }

    /// The algorithms to use a key or certificate with, best first; none if it may not be used.
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

    /// An algorithm of each private key that may be used with none.
    pub(super) fn unused_keys(&self) -> impl Iterator<Item = &'static str> {
        let unused =
            |identity: &&Identity| identity.blobs().all(|blob| self.algorithms(blob).is_empty());
        self.keys.iter().filter(unused).map(|identity| identity.key().algorithms()[0])
    }

    /// Whether the agent's key or certificate is to be offered: it is one of those to use, and not
    /// tried without the agent anyway.
    pub(super) fn wants_from_agent(&self, blob: &[u8]) -> bool {
        let named = self
            .agent_keys
            .as_ref()
            .is_none_or(|keys| keys.iter().any(|key| key == blob || is_about(blob, key)));
        let own = self.keys.iter().flat_map(Identity::blobs).any(|own| own == blob);
        named && !(own && self.methods().contains(&AuthMethod::PublicKey))
    }

    /// Nothing is left to prove.
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
