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

    let ours = only(AlgorithmKind::Cipher, &["aes256-ctr", "aes128-ctr", "aes128-gcm@openssh.com"]);
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
    let lists = Lists { ciphers, macs: ["", "hmac-sha2-512-etm@openssh.com"], ..Lists::default() };
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
    for cipher in ["aes256-ctr ", "AES256-CTR", "aes256-ct", "aes256-ctr2", ",", "aes256-ctr;"] {
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
    assert_eq!((parsed.to_server.mac, parsed.to_client.mac), ("hmac-sha2-512", "hmac-sha2-512"));
}

#[test]
fn known_host_keys_are_offered_first() {
    let types = vec!["ssh-rsa".into(), "ecdsa-sha2-nistp384".into()];
    let known = KnownKeys { types, authority: false };
    let offer = Offer::new(Algorithms::default(), &known);
    let expected = ["ecdsa-sha2-nistp384", "rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"];
    assert_eq!(offer.0.host_key[..4], expected);
    assert_eq!(offer.0.host_key[4..], [&HOST_KEY[1..2], &HOST_KEY[3..4], &HOST_KEY[6..]].concat());

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
