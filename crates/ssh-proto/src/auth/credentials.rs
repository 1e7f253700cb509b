//! Who logs on, with what, and in which order.

use std::fmt;

use zeroize::Zeroizing;

use crate::key::PrivateKey;

/// A way to prove who the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// Asks to be let in without proof.
    None,
    /// The private key.
    PublicKey,
    /// The keys of an agent; the server knows no difference to the private key.
    Agent,
    /// Questions and answers (RFC 4256).
    KeyboardInteractive,
    /// The password.
    Password,
}

impl AuthMethod {
    /// The order of OpenSSH. Where somebody answers questions, the password comes last.
    const QUESTIONS_FIRST: [Self; 4] =
        [Self::PublicKey, Self::Agent, Self::KeyboardInteractive, Self::Password];
    /// Where nobody does, questions are only another way to ask for the password.
    const PASSWORD_FIRST: [Self; 4] =
        [Self::PublicKey, Self::Agent, Self::Password, Self::KeyboardInteractive];

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
    /// A key whose public half the server may know.
    pub key: Option<PrivateKey>,
    /// Whether there is an agent to ask for keys and signatures.
    pub agent: bool,
    /// Whether somebody answers the questions of keyboard-interactive. Otherwise the password
    /// answers them, where that is what they ask for.
    pub interactive: bool,
    /// The user's password.
    pub password: Option<Zeroizing<String>>,
    /// The only methods to use, in this order; `None`: all that there is something for.
    pub methods: Option<Vec<AuthMethod>>,
}

impl Credentials {
    /// The methods to try, in order: never empty unless the user's own choice is.
    pub(super) fn methods(&self) -> Vec<AuthMethod> {
        let usual =
            if self.interactive { AuthMethod::QUESTIONS_FIRST } else { AuthMethod::PASSWORD_FIRST };
        let chosen = self.methods.as_deref().unwrap_or(&usual);
        let mut methods: Vec<_> =
            chosen.iter().copied().filter(|method| self.has(*method)).collect();
        if methods.is_empty() && self.methods.is_none() {
            methods.push(AuthMethod::None);
        }
        methods
    }

    /// Whether there is something to use the method with.
    fn has(&self, method: AuthMethod) -> bool {
        match method {
            AuthMethod::None => true,
            AuthMethod::PublicKey => self.key.is_some(),
            AuthMethod::Agent => self.agent,
            AuthMethod::KeyboardInteractive => self.interactive || self.password.is_some(),
            AuthMethod::Password => self.password.is_some(),
        }
    }

    /// The public half of the private key, where it is one of the methods.
    pub(super) fn tries_key(&self) -> Option<&[u8]> {
        let key = self.key.as_ref()?;
        self.methods().contains(&AuthMethod::PublicKey).then(|| key.public_blob())
    }

    /// Nothing is left to prove.
    pub(super) fn wipe(&mut self) {
        self.key = None;
        self.password = None;
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("methods", &self.methods()).finish_non_exhaustive()
    }
}
