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
mod tests {
    use super::super::algorithms::Selection;
    use super::*;

    const CURVE: &str = "curve25519-sha256";
    const GCM: &str = "aes256-gcm@openssh.com";

    /// The lists of a server; each pair is one list for either direction.
    struct Lists<'a> {
        kex: &'a str,
        host_key: &'a str,
        ciphers: [&'a str; 2],
        macs: [&'a str; 2],
        compressions: [&'a str; 2],
        guess: bool,
    }

    impl Default for Lists<'_> {
        fn default() -> Self {
            Self {
                kex: CURVE,
                host_key: "ssh-ed25519",
                ciphers: [GCM; 2],
                macs: [""; 2],
                compressions: ["zlib,none", "none"],
                guess: false,
            }
        }
    }

    impl Lists<'_> {
        fn payload(&self) -> Vec<u8> {
            let mut payload = message(KEXINIT);
            payload.extend([0; COOKIE]);
            let directed = [self.ciphers, self.macs, self.compressions, [""; 2]].concat();
            for list in [self.kex, self.host_key].into_iter().chain(directed) {
                payload.put_string(list.as_bytes());
            }
            payload.put_boolean(self.guess);
            payload.put_uint32(0);
            payload
        }

        fn meet(&self, offer: &Offer) -> Result<Agreed, Error> {
            offer.negotiate(&KexInit::parse(&self.payload())?)
        }
    }

    fn offer() -> Offer {
        Offer::new(Algorithms::default(), &KnownKeys::default())
    }

    fn only(kind: AlgorithmKind, names: &[&str]) -> Offer {
        let mut algorithms = Algorithms::default();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        algorithms.select(kind, &Selection::Only(names)).expect("known names");
        Offer::new(algorithms, &KnownKeys::default())
    }

    fn missing(lists: &Lists<'_>, offer: &Offer) -> (&'static str, String, String) {
        match lists.meet(offer) {
            Err(Error::NoCommonAlgorithm { kind, theirs, ours }) => (kind, theirs, ours),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn our_order_decides() {
        let lists = Lists {
            kex: "sntrup761x25519-sha512,curve25519-sha256,kex-strict-s-v00@openssh.com",
            host_key: "rsa-sha2-512,ssh-ed25519",
            ciphers: ["aes128-ctr,aes128-gcm@openssh.com", "aes128-gcm@openssh.com,aes256-ctr"],
            ..Lists::default()
        };
        let agreed = lists.meet(&offer()).expect("common ground");
        assert_eq!(agreed.kex, Kex::Curve25519);
        assert_eq!(agreed.host_key, "ssh-ed25519");
        assert_eq!(agreed.to_server, Protection::named("aes128-gcm@openssh.com", ""));
        assert_eq!(agreed.to_client, agreed.to_server);
        assert!(agreed.strict);
        assert!(!agreed.wrong_guess);

        let ours =
            only(AlgorithmKind::Cipher, &["aes256-ctr", "aes128-ctr", "aes128-gcm@openssh.com"]);
        let lists = Lists { macs: ["hmac-sha2-512,hmac-sha2-256", "umac,hmac-sha2-512"], ..lists };
        let agreed = lists.meet(&ours).expect("common ground");
        assert_eq!(agreed.to_server, Protection::named("aes128-ctr", "hmac-sha2-256"));
        assert_eq!(agreed.to_client, Protection::named("aes256-ctr", "hmac-sha2-512"));
    }

    #[test]
    fn macs_count_only_under_ciphers_that_need_one() {
        for macs in ["", "hmac-md5", "hmac-sha2-256"] {
            let lists = Lists { macs: [macs; 2], ..Lists::default() };
            assert!(lists.meet(&offer()).is_ok(), "{macs}");
        }
        // Each direction by itself.
        let ciphers = [GCM, "aes192-ctr"];
        let lists =
            Lists { ciphers, macs: ["", "hmac-sha2-512-etm@openssh.com"], ..Lists::default() };
        let agreed = lists.meet(&offer()).expect("common ground");
        assert_eq!(agreed.to_server, Protection::named(GCM, ""));
        let expected = Protection::named("aes192-ctr", "hmac-sha2-512-etm@openssh.com");
        assert_eq!(agreed.to_client, expected);
        let lists = Lists { macs: ["hmac-sha2-256", "hmac-sha1"], ..lists };
        assert_eq!(missing(&lists, &offer()).0, "MAC");
    }

    #[test]
    fn a_guess_counts_only_when_both_first_names_are_ours() {
        let ours = only(AlgorithmKind::Kex, &["curve25519-sha256", "ecdh-sha2-nistp256"]);
        for (kex, host_key, wrong) in [
            ("curve25519-sha256", "ssh-ed25519", false),
            ("other,curve25519-sha256", "ssh-ed25519", true),
            ("curve25519-sha256", "rsa-sha2-512", true),
            ("ecdh-sha2-nistp256", "ssh-ed25519", true),
        ] {
            let lists = Lists { kex, host_key, guess: true, ..Lists::default() };
            let agreed = lists.meet(&ours).expect("common ground");
            assert_eq!(agreed.wrong_guess, wrong, "{kex} {host_key}");
        }
    }

    #[test]
    fn a_missing_algorithm_is_reported_with_both_lists() {
        let lists = Lists { ciphers: [GCM, "3des-cbc"], ..Lists::default() };
        let (kind, theirs, ours) = missing(&lists, &offer());
        assert_eq!((kind, theirs.as_str()), ("cipher", "3des-cbc"));
        assert!(ours.contains(GCM) && ours.contains("aes128-ctr"));

        let lists = Lists { compressions: ["none", "zlib"], ..Lists::default() };
        let expected = ("compression", "zlib".to_owned(), "none".to_owned());
        assert_eq!(missing(&lists, &offer()), expected);

        // An algorithm that was removed is missing too.
        let ours = only(AlgorithmKind::HostKey, &["rsa-sha2-512"]);
        let expected = ("host key algorithm", "ssh-ed25519".to_owned(), "rsa-sha2-512".to_owned());
        assert_eq!(missing(&Lists::default(), &ours), expected);
    }

    /// One letter less or more, another case, a space: all of them other names.
    #[test]
    fn names_are_compared_whole() {
        for cipher in ["aes256-ctr ", "AES256-CTR", "aes256-ct", "aes256-ctr2", ",", "aes256-ctr;"]
        {
            let lists = Lists { ciphers: [cipher; 2], ..Lists::default() };
            assert_eq!(missing(&lists, &offer()).0, "cipher", "{cipher}");
        }
    }

    #[test]
    fn our_kexinit_is_well_formed_and_later_ones_have_no_markers() {
        let payload = offer().payload([1; COOKIE], true);
        let parsed = KexInit::parse(&payload).expect("well formed");
        assert!(parsed.kex.ends_with("ext-info-c,kex-strict-c-v00@openssh.com"));
        let payload = offer().payload([1; COOKIE], false);
        let parsed = KexInit::parse(&payload).expect("well formed");
        assert_eq!(parsed.kex, Kex::ALL.map(|(name, _)| name).join(","));
        for directed in [parsed.to_server, parsed.to_client] {
            assert_eq!(directed.cipher, Cipher::all().map(|(name, _)| name).join(","));
            assert_eq!(directed.mac, Mac::ALL.map(|(name, _)| name).join(","));
            assert_eq!(directed.compression, "none");
        }
    }

    #[test]
    fn our_kexinit_holds_the_chosen_algorithms() {
        let payload = only(AlgorithmKind::Mac, &["hmac-sha2-512"]).payload([1; COOKIE], true);
        let parsed = KexInit::parse(&payload).expect("well formed");
        assert_eq!(
            (parsed.to_server.mac, parsed.to_client.mac),
            ("hmac-sha2-512", "hmac-sha2-512")
        );
    }

    #[test]
    fn known_host_keys_are_offered_first() {
        let types = vec!["ssh-rsa".into(), "ecdsa-sha2-nistp384".into()];
        let known = KnownKeys { types, authority: false };
        let offer = Offer::new(Algorithms::default(), &known);
        let expected = ["ecdsa-sha2-nistp384", "rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"];
        assert_eq!(offer.0.host_key[..4], expected);
        assert_eq!(
            offer.0.host_key[4..],
            [&HOST_KEY[1..2], &HOST_KEY[3..4], &HOST_KEY[6..]].concat()
        );

        let offer = Offer::new(Algorithms::default(), &KnownKeys { authority: true, ..known });
        assert_eq!(offer.0.host_key[..6], HOST_KEY[6..]);
        assert_eq!(offer.0.host_key[6..10], expected);
    }

    /// As OpenSSH keeps the order of a list and of one that begins with "^", and no other.
    #[test]
    fn a_chosen_order_is_kept_with_known_keys() {
        let known = KnownKeys { types: vec!["ssh-rsa".into()], authority: true };
        let first = |selection: Selection| {
            let mut algorithms = Algorithms::default();
            algorithms.select(AlgorithmKind::HostKey, &selection).expect("known names");
            Offer::new(algorithms, &known).0.host_key[0]
        };
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let none = Vec::new;
        let names = ["ssh-ed25519", "rsa-sha2-512", "ssh-ed25519-cert-v01@openssh.com"];
        assert_eq!(first(Selection::Only(owned(&names))), "ssh-ed25519");
        let change = |remove, prepend, append| Selection::Change { remove, prepend, append };
        let head = owned(&["ecdsa-sha2-nistp521"]);
        assert_eq!(first(change(none(), head, none())), "ecdsa-sha2-nistp521");
        for (remove, append) in [(owned(&["ssh-ed25519"]), none()), (none(), owned(&names))] {
            let certificates = "ssh-ed25519-cert-v01@openssh.com";
            assert_eq!(first(change(remove, none(), append)), certificates);
        }
    }

    #[test]
    fn every_cut_message_is_refused() {
        let whole = Lists::default().payload();
        for length in 1..whole.len() - 4 {
            assert!(KexInit::parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
