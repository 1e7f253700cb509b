//! The algorithms that a session offers, and their order: by default all that are known, without
//! compression.

use std::fmt;

use super::cipher::{Cipher, Mac};
use super::compression::Compression;
use super::kex::Kex;
use super::negotiation::HOST_KEY;
use crate::key::plain_type;
use crate::userauth::user_key_algorithms;

/// A kind of algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmKind {
    /// Methods of key exchange.
    Kex,
    /// Signature algorithms of host keys.
    HostKey,
    /// Ciphers.
    Cipher,
    /// MACs, for ciphers that do not authenticate packets themselves.
    Mac,
    /// Compression methods.
    Compression,
    /// Signature algorithms of authorities, in the certificates of host keys. They are not negotiated,
    /// and their order does not matter.
    CaSignature,
    /// Signature algorithms of the user's keys and certificates.
    PublicKey,
}

impl AlgorithmKind {
    /// Every kind.
    pub const ALL: [AlgorithmKind; 7] = [
        AlgorithmKind::Kex,
        AlgorithmKind::HostKey,
        AlgorithmKind::Cipher,
        AlgorithmKind::Mac,
        AlgorithmKind::Compression,
        AlgorithmKind::CaSignature,
        AlgorithmKind::PublicKey,
    ];

    /// Returns the name in errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            AlgorithmKind::Kex => "key exchange",
            AlgorithmKind::HostKey => "host key algorithm",
            AlgorithmKind::Cipher => "cipher",
            AlgorithmKind::Mac => "MAC",
            AlgorithmKind::Compression => "compression",
            AlgorithmKind::CaSignature => "signature algorithm of authorities",
            AlgorithmKind::PublicKey => "public key algorithm",
        }
    }

    /// Returns every known name of this kind, best first. All of them are offered by default, except
    /// compression: weak algorithms are not supported.
    fn known(self) -> Vec<&'static str> {
        match self {
            AlgorithmKind::Kex => Kex::ALL.map(|(name, _)| name).to_vec(),
            AlgorithmKind::HostKey => HOST_KEY.to_vec(),
            AlgorithmKind::Cipher => Cipher::all().map(|(name, _)| name).to_vec(),
            AlgorithmKind::Mac => Mac::ALL.map(|(name, _)| name).to_vec(),
            AlgorithmKind::Compression => Compression::ALL.map(|(name, _)| name).to_vec(),
            AlgorithmKind::CaSignature => {
                HOST_KEY.into_iter().filter(|name| plain_type(name).is_some()).collect()
            }
            AlgorithmKind::PublicKey => user_key_algorithms().collect(),
        }
    }
}

impl fmt::Display for AlgorithmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The algorithms that a session offers: at least one of each kind, the preferred first. The default is
/// every known algorithm, without compression: it saves time only on slow networks, and the length of
/// compressed packets tells something about their contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms {
    pub(super) kex: Vec<&'static str>,
    pub(super) host_key: Vec<&'static str>,
    pub(super) cipher: Vec<&'static str>,
    pub(super) mac: Vec<&'static str>,
    pub(super) compression: Vec<&'static str>,
    ca_signature: Vec<&'static str>,
    public_key: Vec<&'static str>,
    /// Whether the application has chosen the order of `host_key`.
    host_key_order: bool,
}

impl Default for Algorithms {
    fn default() -> Self {
        Self {
            kex: AlgorithmKind::Kex.known(),
            host_key: AlgorithmKind::HostKey.known(),
            cipher: AlgorithmKind::Cipher.known(),
            mac: AlgorithmKind::Mac.known(),
            compression: vec![Compression::ALL[0].0],
            ca_signature: AlgorithmKind::CaSignature.known(),
            public_key: AlgorithmKind::PublicKey.known(),
            host_key_order: false,
        }
    }
}

/// A change of the algorithms of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Offers these and no others, in this order.
    Only(Vec<String>),
    /// Changes the list, in the order of the fields.
    Change {
        /// Names to remove.
        remove: Vec<String>,
        /// Names to put first, in this order, wherever they were.
        prepend: Vec<String>,
        /// Names to put last, in this order, unless they are in the list.
        append: Vec<String>,
    },
}

/// The reason why a list of algorithms cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AlgorithmError {
    /// The name is unknown.
    #[error("{name:?} is no {kind} that is known, those are: {known}")]
    Unknown {
        /// The kind of algorithm.
        kind: AlgorithmKind,
        /// The name.
        name: String,
        /// Every known name.
        known: String,
    },
    /// The list would be empty.
    #[error("it leaves no {0}")]
    NothingLeft(AlgorithmKind),
}

impl Algorithms {
    /// Returns the names of one kind, the preferred first.
    pub fn names(&self, kind: AlgorithmKind) -> &[&'static str] {
        match kind {
            AlgorithmKind::Kex => &self.kex,
            AlgorithmKind::HostKey => &self.host_key,
            AlgorithmKind::Cipher => &self.cipher,
            AlgorithmKind::Mac => &self.mac,
            AlgorithmKind::Compression => &self.compression,
            AlgorithmKind::CaSignature => &self.ca_signature,
            AlgorithmKind::PublicKey => &self.public_key,
        }
    }

    /// Returns whether [`KnownKeys`] change what is offered: the application has not chosen the order
    /// of the host keys' algorithms.
    ///
    /// [`KnownKeys`]: crate::KnownKeys
    pub fn prefers_known_keys(&self) -> bool {
        !self.host_key_order
    }

    /// Changes the list of one kind. It stays unchanged on an error.
    pub fn select(
        &mut self,
        kind: AlgorithmKind,
        selection: &Selection,
    ) -> Result<(), AlgorithmError> {
        let mut list = Vec::new();
        match selection {
            Selection::Only(names) => add(&mut list, &parse(kind, names)?),
            Selection::Change { remove, prepend, append } => {
                let removed = parse(kind, remove)?;
                let left = self.names(kind).iter().copied();
                let left: Vec<_> = left.filter(|name| !removed.contains(name)).collect();
                add(&mut list, &parse(kind, prepend)?);
                add(&mut list, &left);
                add(&mut list, &parse(kind, append)?);
            }
        }
        if list.is_empty() {
            return Err(AlgorithmError::NothingLeft(kind));
        }
        if kind == AlgorithmKind::HostKey {
            self.host_key_order = match selection {
                Selection::Only(_) => true,
                Selection::Change { prepend, .. } => !prepend.is_empty(),
            };
        }
        let names = match kind {
            AlgorithmKind::Kex => &mut self.kex,
            AlgorithmKind::HostKey => &mut self.host_key,
            AlgorithmKind::Cipher => &mut self.cipher,
            AlgorithmKind::Mac => &mut self.mac,
            AlgorithmKind::Compression => &mut self.compression,
            AlgorithmKind::CaSignature => &mut self.ca_signature,
            AlgorithmKind::PublicKey => &mut self.public_key,
        };
        *names = list;
        Ok(())
    }
}

/// Adds the names that are not in the list.
fn add(list: &mut Vec<&'static str>, names: &[&'static str]) {
    for name in names {
        if !list.contains(name) {
            list.push(name);
        }
    }
}

fn parse(kind: AlgorithmKind, names: &[String]) -> Result<Vec<&'static str>, AlgorithmError> {
    let known = kind.known();
    let parse =
        |name: &String| {
            known.iter().copied().find(|known| known == name).ok_or_else(|| {
                AlgorithmError::Unknown { kind, name: name.clone(), known: known.join(", ") }
            })
        };
    names.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn change(remove: &[&str], prepend: &[&str], append: &[&str]) -> Selection {
        let (remove, prepend, append) = (owned(remove), owned(prepend), owned(append));
        Selection::Change { remove, prepend, append }
    }

    fn macs(selection: &Selection) -> Result<Vec<&'static str>, AlgorithmError> {
        let mut algorithms = Algorithms::default();
        algorithms.select(AlgorithmKind::Mac, selection)?;
        Ok(algorithms.mac)
    }

    #[test]
    fn every_name_is_offered_once_by_default() {
        for kind in AlgorithmKind::ALL {
            let names = Algorithms::default().names(kind).to_vec();
            let mut once = names.clone();
            once.sort_unstable();
            once.dedup();
            assert!(!names.is_empty());
            assert_eq!(once.len(), names.len(), "{kind}");
        }
    }

    /// AES-GCM first where the processor is made for it, and never a cipher without authentication
    /// of its own before one that has it.
    #[test]
    fn ciphers_are_ordered_by_what_the_processor_can_do() {
        let names = |has_aes| super::super::cipher::ciphers(has_aes).map(|(name, _)| name);
        let counter = ["aes256-ctr", "aes192-ctr", "aes128-ctr"];
        let gcm = ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com"];
        let chacha = ["chacha20-poly1305@openssh.com"];
        assert_eq!(names(true)[..], [&gcm[..], &chacha, &counter].concat());
        assert_eq!(names(false)[..], [&chacha[..], &gcm, &counter].concat());
        assert!([names(true), names(false)].contains(&Cipher::all().map(|(name, _)| name)));
    }

    #[test]
    fn a_list_replaces_the_default() {
        let names = ["hmac-sha2-512", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512"];
        assert_eq!(macs(&Selection::Only(owned(&names))), Ok(names[..2].to_vec()));
    }

    #[test]
    fn a_change_applies_to_the_current_list() {
        let [a, b, c, d] = Mac::ALL.map(|(name, _)| name);
        assert_eq!(macs(&change(&[], &[], &[])), Ok(vec![a, b, c, d]));
        assert_eq!(macs(&change(&[b, d], &[], &[])), Ok(vec![a, c]));
        assert_eq!(macs(&change(&[], &[d, b], &[])), Ok(vec![d, b, a, c]));
        assert_eq!(macs(&change(&[], &[], &[a])), Ok(vec![a, b, c, d]), "it is in the list");
        assert_eq!(macs(&change(&[a], &[], &[a])), Ok(vec![b, c, d, a]), "it was taken out");
        assert_eq!(macs(&change(&[a, b, c, d], &[], &[c])), Ok(vec![c]));
    }

    #[test]
    fn unknown_names_are_refused() {
        let bad = "hmac-md5";
        let selections = [
            Selection::Only(owned(&["hmac-sha2-256", bad])),
            change(&[bad], &[], &[]),
            change(&[], &[bad], &[]),
            change(&[], &[], &[bad]),
        ];
        for selection in selections {
            let error = macs(&selection).expect_err("it is not known");
            let AlgorithmError::Unknown { kind, name, known } = &error else { panic!("{error}") };
            assert_eq!((*kind, name.as_str()), (AlgorithmKind::Mac, bad));
            assert!(known.contains("hmac-sha2-512-etm@openssh.com"));
        }
        // Known, but of another kind; and what only looks alike.
        for name in ["aes256-ctr", "", "HMAC-SHA2-256", "hmac-sha2-256,hmac-sha2-512", "ext-info-c"]
        {
            assert!(macs(&Selection::Only(owned(&[name]))).is_err(), "{name}");
        }
    }

    #[test]
    fn an_empty_list_is_refused_and_an_error_changes_nothing() {
        let all = Mac::ALL.map(|(name, _)| name);
        for selection in [Selection::Only(vec![]), change(&all, &[], &[])] {
            let mut algorithms = Algorithms::default();
            let error = algorithms.select(AlgorithmKind::Mac, &selection);
            assert_eq!(error, Err(AlgorithmError::NothingLeft(AlgorithmKind::Mac)));
            assert_eq!(algorithms, Algorithms::default());
        }
    }
}
