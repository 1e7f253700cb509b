//! KEXINIT: what each side can do, and what both settle on (RFC 4253 section 7.1).

use super::cipher::Cipher;
use super::kex::Kex;
use crate::Error;
use crate::error::printable;
use crate::message::KEXINIT;
use crate::wire::{Reader, Writer, message};

const COOKIE: usize = 16;

/// Signature algorithms of host keys, best first.
const HOST_KEY: [&str; 4] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"];
/// Never used, since every cipher here authenticates its packets itself; but some servers look for
/// a common name before they look at the cipher.
const MAC: [&str; 2] = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"];
const COMPRESSION: [&str; 1] = ["none"];
/// Asks for EXT_INFO (RFC 8308).
const EXT_INFO: &str = "ext-info-c";
/// Strict key exchange: sequence numbers restart with new keys and nothing may be slipped into the
/// first exchange. Without it a man in the middle can cut messages from the front of the session.
const STRICT_CLIENT: &str = "kex-strict-c-v00@openssh.com";
const STRICT_SERVER: &str = "kex-strict-s-v00@openssh.com";

/// What both sides settled on.
#[derive(Clone, Debug)]
pub(crate) struct Algorithms {
    pub(crate) kex: Kex,
    pub(crate) host_key: &'static str,
    pub(crate) to_server: Cipher,
    pub(crate) to_client: Cipher,
    /// Whether the server knows strict key exchange. It says so in the first KEXINIT only.
    pub(crate) strict: bool,
    /// Whether the server's next packet is a guess that turned out wrong.
    pub(crate) wrong_guess: bool,
}

/// What we offer, the best of each kind first.
#[derive(Debug)]
pub(crate) struct Offer {
    host_key: Vec<&'static str>,
}

impl Offer {
    /// Offers everything; algorithms for host keys of the `known` types come first.
    pub(crate) fn new(known: &[String]) -> Self {
        let mut host_key = HOST_KEY.to_vec();
        let rank = |name: &str| {
            let key_type = if name.starts_with("rsa-sha2-") { "ssh-rsa" } else { name };
            known.iter().position(|known| known == key_type).unwrap_or(known.len())
        };
        host_key.sort_by_key(|name| rank(name));
        Self { host_key }
    }

    /// Our message. `cookie` is random; `first` is false for every exchange after the first.
    pub(crate) fn payload(&self, cookie: [u8; COOKIE], first: bool) -> Vec<u8> {
        let ciphers = Cipher::ALL.map(|(name, _)| name).join(",");
        let mut kex = Kex::ALL.map(|(name, _)| name).join(",");
        if first {
            for marker in [EXT_INFO, STRICT_CLIENT] {
                kex.push(',');
                kex.push_str(marker);
            }
        }
        let (macs, compression) = (MAC.join(","), COMPRESSION.join(","));
        let mut payload = message(KEXINIT);
        payload.extend(cookie);
        for list in [&kex, &self.host_key.join(",")] {
            payload.put_string(list.as_bytes());
        }
        for list in [&ciphers, &macs, &compression] {
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

    /// Settles on the first of our names that the server has too, for each kind.
    pub(crate) fn negotiate(&self, theirs: &KexInit<'_>) -> Result<Algorithms, Error> {
        let kex = choose_kex(theirs.kex)?;
        let host_key = choose("host key algorithm", &self.host_key, theirs.host_key)?;
        choose("compression", &COMPRESSION, theirs.compression_to_server)?;
        choose("compression", &COMPRESSION, theirs.compression_to_client)?;
        // A guess is right when both sides like the same best, whatever is settled on.
        let (best_kex, _) = Kex::ALL[0];
        let right = first(theirs.kex) == best_kex && first(theirs.host_key) == self.host_key[0];
        Ok(Algorithms {
            kex,
            host_key,
            to_server: choose_cipher(theirs.to_server)?,
            to_client: choose_cipher(theirs.to_client)?,
            strict: names(theirs.kex).any(|name| name == STRICT_SERVER),
            wrong_guess: theirs.guess_follows && !right,
        })
    }
}

/// A KEXINIT message.
#[derive(Debug)]
pub(crate) struct KexInit<'a> {
    kex: &'a str,
    host_key: &'a str,
    to_server: &'a str,
    to_client: &'a str,
    compression_to_server: &'a str,
    compression_to_client: &'a str,
    guess_follows: bool,
}

impl<'a> KexInit<'a> {
    /// Reads the server's message.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload);
        reader.bytes(1 + COOKIE)?;
        let (kex, host_key) = (reader.text()?, reader.text()?);
        let (to_server, to_client) = (reader.text()?, reader.text()?);
        // MACs: see above.
        reader.string()?;
        reader.string()?;
        let (compression_to_server, compression_to_client) = (reader.text()?, reader.text()?);
        // Languages.
        reader.string()?;
        reader.string()?;
        let guess_follows = reader.boolean()?;
        Ok(Self {
            kex,
            host_key,
            to_server,
            to_client,
            compression_to_server,
            compression_to_client,
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

fn choose(kind: &'static str, ours: &[&'static str], theirs: &str) -> Result<&'static str, Error> {
    let common = ours.iter().find(|name| names(theirs).any(|other| other == **name));
    common.copied().ok_or_else(|| Error::NoCommonAlgorithm {
        kind,
        theirs: printable(theirs.as_bytes()),
        ours: ours.join(","),
    })
}

fn choose_kex(theirs: &str) -> Result<Kex, Error> {
    let chosen = choose("key exchange", &Kex::ALL.map(|(name, _)| name), theirs)?;
    let (_, kex) =
        Kex::ALL.into_iter().find(|(name, _)| *name == chosen).expect("chosen from this list");
    Ok(kex)
}

fn choose_cipher(theirs: &str) -> Result<Cipher, Error> {
    let chosen = choose("cipher", &Cipher::ALL.map(|(name, _)| name), theirs)?;
    let (_, cipher) =
        Cipher::ALL.into_iter().find(|(name, _)| *name == chosen).expect("chosen from this list");
    Ok(cipher)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(kex: &str, host_key: &str, cipher: &str, guess: bool) -> Vec<u8> {
        let mut payload = message(KEXINIT);
        payload.extend([0; COOKIE]);
        for list in [kex, host_key, cipher, cipher, "", "", "zlib,none", "none", "", ""] {
            payload.put_string(list.as_bytes());
        }
        payload.put_boolean(guess);
        payload.put_uint32(0);
        payload
    }

    fn negotiate(payload: &[u8]) -> Result<Algorithms, Error> {
        Offer::new(&[]).negotiate(&KexInit::parse(payload)?)
    }

    #[test]
    fn our_order_decides() {
        let chosen = negotiate(&server(
            "sntrup761x25519-sha512,curve25519-sha256,kex-strict-s-v00@openssh.com",
            "rsa-sha2-512,ssh-ed25519",
            "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com",
            false,
        ))
        .expect("common ground");
        assert_eq!(chosen.kex, Kex::Curve25519);
        assert_eq!(chosen.host_key, "ssh-ed25519");
        assert_eq!(chosen.to_server, Cipher::Aes128Gcm);
        assert!(chosen.strict);
        assert!(!chosen.wrong_guess);
    }

    #[test]
    fn a_guess_counts_only_when_both_first_names_are_ours() {
        let cipher = "aes256-gcm@openssh.com";
        let right = server("mlkem768x25519-sha256", "ssh-ed25519", cipher, true);
        assert!(!negotiate(&right).expect("common ground").wrong_guess);
        for (kex, host_key) in [
            ("other,mlkem768x25519-sha256", "ssh-ed25519"),
            ("mlkem768x25519-sha256", "rsa-sha2-512"),
            ("curve25519-sha256", "ssh-ed25519"),
        ] {
            let wrong = server(kex, host_key, cipher, true);
            assert!(negotiate(&wrong).expect("common ground").wrong_guess);
        }
    }

    #[test]
    fn what_is_missing_is_named_with_both_lists() {
        let error = negotiate(&server("curve25519-sha256", "ssh-ed25519", "3des-cbc", false));
        let Err(Error::NoCommonAlgorithm { kind, theirs, ours }) = error else {
            panic!("{error:?}");
        };
        assert_eq!((kind, theirs.as_str()), ("cipher", "3des-cbc"));
        assert!(ours.contains("aes256-gcm@openssh.com"));
    }

    #[test]
    fn ours_is_well_formed_and_later_ones_carry_no_markers() {
        let payload = Offer::new(&[]).payload([1; COOKIE], true);
        let parsed = KexInit::parse(&payload).expect("well formed");
        assert!(parsed.kex.ends_with("ext-info-c,kex-strict-c-v00@openssh.com"));
        let payload = Offer::new(&[]).payload([1; COOKIE], false);
        let names = Kex::ALL.map(|(name, _)| name).join(",");
        assert_eq!(KexInit::parse(&payload).expect("well formed").kex, names);
    }

    #[test]
    fn known_host_keys_are_asked_for_first() {
        let offer = Offer::new(&["ssh-rsa".into(), "ecdsa-sha2-nistp256".into()]);
        let expected = ["rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"];
        assert_eq!(offer.host_key, expected);
    }

    #[test]
    fn every_cut_message_is_refused() {
        let whole = server("curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com", false);
        for length in 1..whole.len() - 4 {
            assert!(KexInit::parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
