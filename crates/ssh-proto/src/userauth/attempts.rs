//! The attempts to authenticate, and their order.

use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::sync::Arc;

use super::credentials::{AuthMethod, Credentials};
use super::identity;
use crate::key::ListedKey;

/// A request that may authenticate the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// `none`, which succeeds without proof, or learns the accepted methods.
    None,
    /// The private key with this index, or its certificate.
    Key(usize, KeyOffer),
    /// No request: the agent is asked for its keys, which replace this attempt.
    Agent,
    /// A key of the agent.
    AgentKey(KeyOffer),
    /// `keyboard-interactive`.
    KeyboardInteractive,
    /// The password.
    Password,
}

/// A key with an algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyOffer {
    /// The public key, or a certificate of it.
    pub(super) blob: Arc<[u8]>,
    /// The public key or certificate that the agent has, and signs with.
    pub(super) held: Arc<[u8]>,
    pub(super) algorithm: &'static str,
    /// The algorithm that is preferred for the same key.
    better: Option<&'static str>,
}

impl KeyOffer {
    /// Returns the key or certificate with each of its algorithms, best first; none if it may not be
    /// used.
    fn all(
        blob: &[u8],
        held: &[u8],
        credentials: &Credentials,
    ) -> impl Iterator<Item = Self> + use<> {
        let algorithms = credentials.algorithms(blob);
        let (blob, held) = (Arc::<[u8]>::from(blob), Arc::<[u8]>::from(held));
        let mut better = None;
        algorithms.into_iter().map(move |algorithm| Self {
            blob: blob.clone(),
            held: held.clone(),
            algorithm,
            better: better.replace(algorithm),
        })
    }
}

/// The attempt for the log, with the key's fingerprint and source.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(index, offer) => write!(f, "publickey {offer}, privateKey[{index}]"),
            Self::AgentKey(offer) => write!(f, "publickey {offer}, of the agent"),
            Self::Agent => f.write_str("the keys of the agent"),
            Self::None | Self::KeyboardInteractive | Self::Password => {
                f.write_str(self.method_name())
            }
        }
    }
}

impl fmt::Display for KeyOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", ListedKey::describe(&self.blob), self.algorithm)
    }
}

impl Attempt {
    /// Returns the name of the method.
    pub(super) fn method_name(&self) -> &'static str {
        match self {
            Self::None => AuthMethod::None,
            Self::Key(..) => AuthMethod::PublicKey,
            Self::Agent | Self::AgentKey(_) => AuthMethod::Agent,
            Self::KeyboardInteractive => AuthMethod::KeyboardInteractive,
            Self::Password => AuthMethod::Password,
        }
        .name()
    }

    fn offer(&self) -> Option<&KeyOffer> {
        match self {
            Self::Key(_, offer) | Self::AgentKey(offer) => Some(offer),
            Self::None | Self::Agent | Self::KeyboardInteractive | Self::Password => None,
        }
    }

    /// Returns whether it is `offer` with a private key.
    fn offers(&self, offer: &KeyOffer) -> bool {
        matches!(self, Self::Key(_, own) if own == offer)
    }

    /// Returns whether both use the same key, with or without a certificate.
    fn shares_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(a, _), Self::Key(b, _)) => a == b,
            (Self::AgentKey(a), Self::AgentKey(b)) => a.held == b.held,
            _ => false,
        }
    }
}

/// The attempts that are left.
pub(super) struct Attempts {
    untried: VecDeque<Attempt>,
    /// Attempts that came too early: the server did not list the method.
    early: Vec<Attempt>,
    /// The signature algorithms that the server accepts, once it has listed them.
    signatures: Option<Vec<String>>,
}

impl Attempts {
    pub(super) fn new(credentials: &Credentials) -> Self {
        let mut untried = VecDeque::new();
        for method in credentials.methods() {
            match method {
                AuthMethod::None => untried.push_back(Attempt::None),
                AuthMethod::PublicKey => {
                    for (number, identity) in credentials.keys.iter().enumerate() {
                        for offer in
                            identity.blobs().flat_map(|blob| KeyOffer::all(blob, blob, credentials))
                        {
                            // With several certificates, a key is there several times.
                            if !untried.iter().any(|attempt| attempt.offers(&offer)) {
                                untried.push_back(Attempt::Key(number, offer));
                            }
                        }
                    }
                }
                AuthMethod::Agent => untried.push_back(Attempt::Agent),
                AuthMethod::KeyboardInteractive => untried.push_back(Attempt::KeyboardInteractive),
                AuthMethod::Password => untried.push_back(Attempt::Password),
            }
        }
        Self { untried, early: Vec::new(), signatures: None }
    }

    /// Sets the signature algorithms that the server accepts (`server-sig-algs` of RFC 8308).
    pub(super) fn set_signature_algorithms(&mut self, names: &str) {
        self.signatures = Some(names.split(',').map(str::to_owned).collect());
    }

    /// Takes the first attempt with a method that the server accepts; `accepted` is its list, if it
    /// has sent one. Attempts with other methods stay for later. If `none` is not listed, it is the
    /// last resort, and only where no secret was tried.
    pub(super) fn next(&mut self, accepted: Option<&str>) -> Option<Attempt> {
        let signatures = self.signatures.as_deref();
        self.untried.retain(|attempt| is_best_signature(attempt, signatures));
        let listed = self.untried.iter().position(|attempt| is_listed(attempt, accepted));
        // Servers do not list `none`, also where they accept it (RFC 4252 section 5.2).
        let last = || self.untried.iter().position(|attempt| *attempt == Attempt::None);
        let at = listed.or_else(last)?;
        let attempt = self.untried.remove(at)?;
        if matches!(attempt, Attempt::KeyboardInteractive | Attempt::Password) {
            let none = self.untried.iter().take(at).position(|other| *other == Attempt::None);
            none.map(|none| self.untried.remove(none));
        }
        Some(attempt)
    }

    /// Puts back the attempt of [`Attempts::next`]: it cannot be made yet, or is to be repeated.
    pub(super) fn put_back(&mut self, attempt: Attempt) {
        self.untried.push_front(attempt);
    }

    /// Returns whether no attempt is left with a method that the server accepts; `accepted` is its
    /// list.
    pub(super) fn is_exhausted(&self, accepted: &str) -> bool {
        !self.untried.iter().any(|attempt| is_listed(attempt, Some(accepted)))
    }

    /// Puts the keys of the agent in front, each after its certificates; returns the number of attempts
    /// with them. A key that is here too is used without the agent, in the agent's place, and not a
    /// second time. Certificates that were named for the agent come first of all.
    pub(super) fn add_identities(&mut self, blobs: &[Vec<u8>], credentials: &Credentials) -> usize {
        let mut first = self.take_keys(|_, offer| credentials.is_named_certificate(&offer.blob));
        for held in blobs {
            first.extend(self.take_keys(|number, _| credentials.holds(number, held)));
            if credentials.tries_itself(held) {
                continue;
            }
            let certificates = credentials.certificates_for(held, blobs).into_iter();
            let offers = certificates
                .chain([held.as_slice()])
                .flat_map(|blob| KeyOffer::all(blob, held, credentials));
            for attempt in offers.map(Attempt::AgentKey) {
                // An agent may list a key twice.
                if !first.contains(&attempt) {
                    first.push(attempt);
                }
            }
        }
        let count = first.len();
        for attempt in first.into_iter().rev() {
            self.untried.push_front(attempt);
        }
        count
    }

    /// Takes the attempts with these private keys, in their order.
    fn take_keys(&mut self, wanted: impl Fn(usize, &KeyOffer) -> bool) -> Vec<Attempt> {
        let is_wanted = |attempt: &Attempt| match attempt {
            Attempt::Key(number, offer) => wanted(*number, offer),
            Attempt::None
            | Attempt::Agent
            | Attempt::AgentKey(_)
            | Attempt::KeyboardInteractive
            | Attempt::Password => false,
        };
        let (taken, left) = take(&mut self.untried).into_iter().partition(is_wanted);
        self.untried = left;
        taken.into()
    }

    /// Keeps an attempt that the server refused because another method has to come first.
    pub(super) fn too_early(&mut self, attempt: Attempt) {
        self.early.push(attempt);
    }

    /// Handles partial success: `attempt` was one step of several. Attempts that came too early are
    /// made again, its key is used up, and `none` would not succeed.
    pub(super) fn advanced(&mut self, attempt: &Attempt) {
        for early in self.early.drain(..).rev() {
            self.untried.push_front(early);
        }
        self.untried.retain(|other| !other.shares_key(attempt) && *other != Attempt::None);
    }
}

/// Returns whether the server accepts the method; before it has sent its list, every method may do.
pub(super) fn is_listed(attempt: &Attempt, accepted: Option<&str>) -> bool {
    accepted.is_none_or(|names| names.split(',').any(|name| name == attempt.method_name()))
}

/// Returns whether an attempt with an RSA key has the best signature that the server accepts. Only
/// RSA keys have several, and only for them do servers list all of them: OpenSSH checks no others
/// either.
fn is_best_signature(attempt: &Attempt, signatures: Option<&[String]>) -> bool {
    let (Some(accepted), Some(offer)) = (signatures, attempt.offer()) else { return true };
    let accepts = |name: &str| accepted.iter().any(|other| other == identity::signature_name(name));
    if !identity::signature_name(offer.algorithm).starts_with("rsa-") {
        return true;
    }
    // A key is tried with the best one first: if that was refused, so is the key.
    accepts(offer.algorithm) && !offer.better.is_some_and(accepts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use super::*;
    use crate::key::PrivateKey;
    use crate::userauth::Identity;

    const ED25519: &[u8] = include_bytes!("../key/fixtures/ed25519");
    const RSA: &[u8] = include_bytes!("../key/fixtures/rsa2048");
    const RSA_CERTIFICATE: &[u8] = include_bytes!("../key/fixtures/rsa2048-cert.pub");

    /// The algorithms of the attempts with an Ed25519 key and an RSA key with its certificate.
    fn plan(
        accepted: Option<&[&'static str]>,
        rsa_bits: usize,
        takes: Option<&str>,
        agent: bool,
    ) -> Vec<&'static str> {
        let key = |text| PrivateKey::parse(text, None).unwrap();
        let keys = vec![
            Identity::from(key(ED25519)),
            Identity::with_certificate(key(RSA), RSA_CERTIFICATE).unwrap(),
        ];
        let algorithms = accepted.map(<[_]>::to_vec);
        let mut credentials = Credentials { keys, algorithms, rsa_bits, ..Credentials::default() };
        let blobs: Vec<_> =
            credentials.keys.iter().flat_map(Identity::blobs).map(<[u8]>::to_vec).collect();
        if agent {
            credentials.keys.clear();
        }
        let mut attempts = Attempts::new(&credentials);
        if agent {
            attempts.untried.clear();
            attempts.add_identities(&blobs, &credentials);
        }
        if let Some(names) = takes {
            attempts.set_signature_algorithms(names);
        }
        let next = std::iter::from_fn(|| attempts.next(None));
        next.filter_map(|attempt| Some(attempt.offer()?.algorithm)).collect()
    }

    #[test]
    fn keys_are_used_with_the_algorithms_that_are_accepted() {
        let certificate = "rsa-sha2-512-cert-v01@openssh.com";
        let all = "rsa-sha2-256,rsa-sha2-512,ssh-ed25519";
        for agent in [false, true] {
            let plan = |accepted: &[&'static str], takes| plan(Some(accepted), 0, takes, agent);
            assert_eq!(plan(&["ssh-ed25519"], None), ["ssh-ed25519"]);
            assert_eq!(plan(&[certificate], None), [certificate]);
            assert!(plan(&["sk-ssh-ed25519@openssh.com"], None).is_empty());
            // The order is that of the keys; for one key, that of the list.
            let both = ["rsa-sha2-256", "rsa-sha2-512", "ssh-ed25519"];
            assert_eq!(plan(&both, None), ["ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512"]);
            assert_eq!(plan(&both, Some(all)), ["ssh-ed25519", "rsa-sha2-256"]);
            assert_eq!(plan(&both, Some("rsa-sha2-512")), ["ssh-ed25519", "rsa-sha2-512"]);
            // The better one may be taken by the server, and not be accepted here.
            assert_eq!(plan(&["rsa-sha2-256"], Some(all)), ["rsa-sha2-256"]);
        }
    }

    #[test]
    fn rsa_keys_that_are_too_small_are_not_used() {
        for agent in [false, true] {
            assert_eq!(plan(None, 2048, None, agent).len(), 5);
            assert_eq!(plan(None, 2049, None, agent), ["ssh-ed25519"]);
        }
    }
}
