//! What is tried, and in which order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::credentials::{AuthMethod, Credentials};
use super::identity;

/// One request that may log the user on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Asks to be let in without proof, and learns what is wanted.
    None,
    /// The private key with this number, or its certificate.
    Key(usize, Offer),
    /// No request: the agent is to be asked for its keys, which then stand here.
    Agent,
    /// A key of the agent's.
    AgentKey(Offer),
    /// Questions and answers.
    KeyboardInteractive,
    /// The password.
    Password,
}

/// A key, with the algorithm to use it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The public half, or a certificate of it.
    pub(super) blob: Arc<[u8]>,
    pub(super) algorithm: &'static str,
    /// The algorithm that the same key is rather used with.
    better: Option<&'static str>,
}

impl Offer {
    /// Every way to use a key or certificate, best first; none when it may not be used.
    fn all(blob: &[u8], credentials: &Credentials) -> impl Iterator<Item = Self> + use<> {
        let algorithms = credentials.algorithms(blob);
        let blob = Arc::<[u8]>::from(blob);
        let mut better = None;
        algorithms.into_iter().map(move |algorithm| Self {
            blob: blob.clone(),
            algorithm,
            better: better.replace(algorithm),
        })
    }
}

impl Attempt {
    /// The name that the server lists it under.
    pub(super) fn on_wire(&self) -> &'static str {
        match self {
            Self::None => AuthMethod::None,
            Self::Key(..) => AuthMethod::PublicKey,
            Self::Agent | Self::AgentKey(_) => AuthMethod::Agent,
            Self::KeyboardInteractive => AuthMethod::KeyboardInteractive,
            Self::Password => AuthMethod::Password,
        }
        .on_wire()
    }

    fn offer(&self) -> Option<&Offer> {
        match self {
            Self::Key(_, offer) | Self::AgentKey(offer) => Some(offer),
            Self::None | Self::Agent | Self::KeyboardInteractive | Self::Password => None,
        }
    }

    /// Whether it is `offer` by a private key.
    fn offers(&self, offer: &Offer) -> bool {
        matches!(self, Self::Key(_, own) if own == offer)
    }

    /// Whether both use the same key, be it with its certificate or alone.
    fn shares_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(a, _), Self::Key(b, _)) => a == b,
            (Self::AgentKey(a), Self::AgentKey(b)) => a.blob == b.blob,
            _ => false,
        }
    }
}

/// Every attempt that is left.
pub(super) struct Plan {
    untried: VecDeque<Attempt>,
    /// Refused unseen, because it was not the method's turn.
    early: Vec<Attempt>,
    /// The signatures that the server takes, once it has said so.
    signatures: Option<Vec<String>>,
}

impl Plan {
    pub(super) fn new(credentials: &Credentials) -> Self {
        let mut untried = VecDeque::new();
        for method in credentials.methods() {
            match method {
                AuthMethod::None => untried.push_back(Attempt::None),
                AuthMethod::PublicKey => {
                    for (number, identity) in credentials.keys.iter().enumerate() {
                        for offer in identity.blobs().flat_map(|blob| Offer::all(blob, credentials))
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

    /// The server's word on which signatures it takes (`server-sig-algs` of RFC 8308).
    pub(super) fn takes_signatures(&mut self, names: &str) {
        self.signatures = Some(names.split(',').map(str::to_owned).collect());
    }

    /// Takes out the first attempt that the server would look at; `accepted` is its list of
    /// methods, where it has given one. What is passed over stays for later; but `none`, where it
    /// is not listed, is the last resort of those who have no secret to try.
    pub(super) fn next(&mut self, accepted: Option<&str>) -> Option<Attempt> {
        let signatures = self.signatures.as_deref();
        self.untried.retain(|attempt| is_worth_it(attempt, signatures));
        let listed = self.untried.iter().position(|attempt| is_listed(attempt, accepted));
        // Servers do not list `none`, also where they accept it (RFC 4252 section 5.2).
        let last = || self.untried.iter().position(|attempt| *attempt == Attempt::None);
        let at = listed.or_else(last)?;
        let attempt = self.untried.remove(at)?;
        if matches!(attempt, Attempt::KeyboardInteractive | Attempt::Password) {
            let passed_over =
                self.untried.iter().take(at).position(|other| *other == Attempt::None);
            passed_over.map(|none| self.untried.remove(none));
        }
        Some(attempt)
    }

    /// Puts back what [`Plan::next`] gave, because it cannot be sent yet.
    pub(super) fn postpone(&mut self, attempt: Attempt) {
        self.untried.push_front(attempt);
    }

    /// Whether the server would look at nothing that is left; `accepted` is its list of methods.
    pub(super) fn is_exhausted(&self, accepted: &str) -> bool {
        !self.untried.iter().any(|attempt| is_listed(attempt, Some(accepted)))
    }

    /// Puts the keys of the agent in front. Returns how many attempts they make.
    pub(super) fn add_identities(&mut self, blobs: &[Vec<u8>], credentials: &Credentials) -> usize {
        let keys: Vec<_> = blobs.iter().flat_map(|blob| Offer::all(blob, credentials)).collect();
        // An agent may list a key twice; the order of the first counts.
        let mut count = 0;
        for key in keys.into_iter().rev().map(Attempt::AgentKey) {
            self.untried.retain(|attempt| *attempt != key);
            self.untried.push_front(key);
            count += 1;
        }
        count
    }

    /// The server refused `attempt` because something else has to come first.
    pub(super) fn too_early(&mut self, attempt: Attempt) {
        self.early.push(attempt);
    }

    /// `attempt` was one step of several: what came too early may have its turn now, its key has
    /// done its part, and `none` would not do.
    pub(super) fn advanced(&mut self, attempt: &Attempt) {
        for early in self.early.drain(..).rev() {
            self.untried.push_front(early);
        }
        self.untried.retain(|other| !other.shares_key(attempt) && *other != Attempt::None);
    }
}

/// Whether the server's list has the method; before there is a list, everything may work.
pub(super) fn is_listed(attempt: &Attempt, accepted: Option<&str>) -> bool {
    accepted.is_none_or(|names| names.split(',').any(|name| name == attempt.on_wire()))
}

/// Whether an RSA key's attempt is with the best signature that the server takes. Only RSA keys
/// have a choice, and only for them do servers list everything: OpenSSH looks no further, either.
fn is_worth_it(attempt: &Attempt, signatures: Option<&[String]>) -> bool {
    let (Some(takes), Some(offer)) = (signatures, attempt.offer()) else { return true };
    let takes = |name: &str| takes.iter().any(|taken| taken == identity::signature_name(name));
    if !identity::signature_name(offer.algorithm).starts_with("rsa-") {
        return true;
    }
    // A key is tried with the better one first: if that was refused, it is for the key's sake.
    takes(offer.algorithm) && !offer.better.is_some_and(takes)
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
            Identity::certified(key(RSA), RSA_CERTIFICATE).unwrap(),
        ];
        let algorithms = accepted.map(<[_]>::to_vec);
        let mut credentials = Credentials { keys, algorithms, rsa_bits, ..Credentials::default() };
        let blobs: Vec<_> =
            credentials.keys.iter().flat_map(Identity::blobs).map(<[u8]>::to_vec).collect();
        if agent {
            credentials.keys.clear();
        }
        let mut plan = Plan::new(&credentials);
        if agent {
            plan.untried.clear();
            plan.add_identities(&blobs, &credentials);
        }
        if let Some(names) = takes {
            plan.takes_signatures(names);
        }
        let next = std::iter::from_fn(|| plan.next(None));
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
