//! KEXINIT: the algorithms of each side, and the choice between them (RFC 4253 section 7.1).

use std::fmt;

use super::algorithms::{AlgorithmKind, Algorithms};
use super::cipher::{Cipher, Mac, Protection, name_of};
use super::compression::Compression;
use super::kex::Kex;
use crate::Error;
use crate::key::plain_type;
use crate::message::KEXINIT;
use crate::text::one_line;
use crate::wire::{Reader, Writer, message};

const COOKIE: usize = 16;

/// Signature algorithms of host keys, best first. Certificates come last: they count only where an
/// authority is known.
pub(super) const HOST_KEY: [&str; 12] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
];
/// Requests EXT_INFO (RFC 8308).
const EXT_INFO: &str = "ext-info-c";
/// Strict key exchange (OpenSSH's PROTOCOL, section 1.9): sequence numbers restart with new keys and no
/// other message may come during the first exchange. Without it a man in the middle can remove
/// messages from the front of the session, undetected under ChaCha20 and, with less success, under a
/// counter mode with an "etm" MAC (the Terrapin attack). These are offered to servers without it all
/// the same, as OpenSSH does: only the list of extensions can be removed.
const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";

/// The known host keys of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownKeys {
    /// Types of its keys, such as `ssh-ed25519`.
    pub types: Vec<String>,
    /// Whether an authority is known that may have certified its keys.
    pub authority: bool,
}

/// The algorithms that both sides use.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    pub(crate) kex: Kex,
    /// The name of `kex`, which has several.
    pub(crate) kex_name: &'static str,
    pub(crate) host_key: &'static str,
    pub(crate) to_server: Protection,
    pub(crate) to_client: Protection,
    pub(crate) compression_to_server: Compression,
    pub(crate) compression_to_client: Compression,
    /// Whether the server supports strict key exchange. Only the first KEXINIT tells.
    pub(crate) strict: bool,
    /// Whether the server's next packet is a wrong guess.
    pub(crate) wrong_guess: bool,
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strict = if self.strict { ", strict" } else { "" };
        write!(f, "key exchange {}{strict}, host key {}", self.kex_name, self.host_key)?;
        for (direction, protection, compression) in [
            ("to the server", self.to_server, self.compression_to_server),
            ("to the client", self.to_client, self.compression_to_client),
        ] {
            let compression = name_of(compression, &Compression::ALL);
            write!(f, "; {direction} {protection}, compression {compression}")?;
        }
        Ok(())
    }
}

/// The algorithms that we offer, the best of each kind first.
#[derive(Debug)]
pub(crate) struct Offer(Algorithms);

impl Offer {
    /// Offers the algorithms. Unless the application has chosen the order, those of certificates of a
    /// known authority come first, then those of known keys.
    pub(crate) fn new(mut algorithms: Algorithms, known: &KnownKeys) -> Self {
        if !algorithms.prefers_known_keys() {
            return Self(algorithms);
        }
        algorithms.host_key.sort_by_key(|name| match plain_type(name) {
            None if known.authority => 0,
            Some(key_type) if known.types.iter().any(|known| known == key_type) => 1,
            None | Some(_) => 2,
        });
        Self(algorithms)
    }

    /// Returns our KEXINIT. `cookie` is random; `first` is false after the first exchange.
    pub(crate) fn payload(&self, cookie: [u8; COOKIE], first: bool) -> Vec<u8> {
        let offered = &self.0;
        let mut kex = offered.kex.clone();
        if first {
            kex.extend([EXT_INFO, STRICT_CLIENT]);
        }
        let mut payload = message(KEXINIT);
        payload.extend(cookie);
        for list in [&kex, &offered.host_key] {
            payload.put_string(list.join(",").as_bytes());
        }
        // MACs are sent even if no cipher needs one: some servers require a common one in any case.
        for list in [&offered.cipher, &offered.mac, &offered.compression] {
            let list = list.join(",");
            payload.put_string(list.as_bytes());
            payload.put_string(list.as_bytes());
        }
        // Languages in each direction, then "a guessed packet follows", then a reserved number.
        payload.put_string(b"");
        payload.put_string(b"");
        payload.put_boolean(false);
        payload.put_uint32(0);
        payload
    }

    /// Chooses the first of our names that the server offers too, for each kind.
    pub(crate) fn negotiate(&self, theirs: &KexInit<'_>) -> Result<Agreed, Error> {
        let kex = self.choose(AlgorithmKind::Kex, theirs.kex)?;
        let host_key = self.choose(AlgorithmKind::HostKey, theirs.host_key)?;
        let to_server = self.protection(&theirs.to_server)?;
        let to_client = self.protection(&theirs.to_client)?;
        let compression_to_server = self.compression(&theirs.to_server)?;
        let compression_to_client = self.compression(&theirs.to_client)?;
        // A guess is right if the first names of both sides are the same, whatever is chosen.
        let best = (self.0.kex[0], self.0.host_key[0]);
        let right = (first(theirs.kex), first(theirs.host_key)) == best;
        Ok(Agreed {
            kex: named(kex, &Kex::ALL),
            kex_name: kex,
            host_key,
            to_server,
            to_client,
            compression_to_server,
            compression_to_client,
            strict: names(theirs.kex).any(|name| name == STRICT_SERVER),
            wrong_guess: theirs.guess_follows && !right,
        })
    }

    /// Chooses the cipher of one direction, and the MAC if the cipher needs one: for other ciphers the
    /// lists of MACs need no common name (OpenSSH's PROTOCOL, "transport: AES-GCM"; it also holds for
    /// ChaCha20-Poly1305).
    fn protection(&self, theirs: &Directed<'_>) -> Result<Protection, Error> {
        let name = self.choose(AlgorithmKind::Cipher, theirs.cipher)?;
        Ok(match named(name, &Cipher::all()) {
            Cipher::Authenticating(cipher) => Protection::Authenticating(cipher),
            Cipher::Counter(cipher) => {
                let name = self.choose(AlgorithmKind::Mac, theirs.mac)?;
                Protection::Counter(cipher, named(name, &Mac::ALL))
            }
        })
    }

    fn compression(&self, theirs: &Directed<'_>) -> Result<Compression, Error> {
        let name = self.choose(AlgorithmKind::Compression, theirs.compression)?;
        Ok(named(name, &Compression::ALL))
    }

    fn choose(&self, kind: AlgorithmKind, theirs: &str) -> Result<&'static str, Error> {
        let ours = self.0.names(kind);
        let common = ours.iter().find(|name| names(theirs).any(|other| other == **name));
        common.copied().ok_or_else(|| Error::NoCommonAlgorithm {
            kind: kind.name(),
            theirs: one_line(theirs.as_bytes()),
            ours: ours.join(","),
        })
    }
}

/// A KEXINIT message.
#[derive(Debug)]
pub(crate) struct KexInit<'a> {
    pub(crate) kex: &'a str,
    pub(crate) host_key: &'a str,
    pub(crate) to_server: Directed<'a>,
    pub(crate) to_client: Directed<'a>,
    pub(crate) guess_follows: bool,
}

/// The lists that are separate for each direction.
#[derive(Debug)]
pub(crate) struct Directed<'a> {
    pub(crate) cipher: &'a str,
    pub(crate) mac: &'a str,
    pub(crate) compression: &'a str,
}

impl<'a> KexInit<'a> {
    /// Reads the server's message.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload);
        reader.bytes(1 + COOKIE)?;
        let (kex, host_key) = (reader.text()?, reader.text()?);
        let mut pair = || Ok::<_, Error>((reader.text()?, reader.text()?));
        let (ciphers, macs, compressions) = (pair()?, pair()?, pair()?);
        // Languages.
        reader.string()?;
        reader.string()?;
        let guess_follows = reader.boolean()?;
        let directed = |cipher, mac, compression| Directed { cipher, mac, compression };
        Ok(Self {
            kex,
            host_key,
            to_server: directed(ciphers.0, macs.0, compressions.0),
            to_client: directed(ciphers.1, macs.1, compressions.1),
            guess_follows,
        })
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
}

fn first(list: &str) -> &str {
    names(list).next().unwrap_or_default()
}

/// Returns the algorithm of a name in our lists.
fn named<T: Copy>(name: &str, table: &[(&'static str, T)]) -> T {
    let found = table.iter().find(|(known, _)| *known == name);
    found.expect("lists hold only known names").1
}

#[cfg(test)]
mod tests;
