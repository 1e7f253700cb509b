//! Keys as files list them.

use super::*;

/// Public keys of ssh-keygen.
const LINES: [&str; 6] = [
    include_str!("../fixtures/ed25519.pub"),
    include_str!("../fixtures/p256.pub"),
    include_str!("../fixtures/p384.pub"),
    include_str!("../fixtures/p521.pub"),
    include_str!("../fixtures/rsa2048.pub"),
    include_str!("../fixtures/rsa1024.pub"),
];

fn read(key_type: &str, blob: &[u8]) -> Result<ListedKey, ListedKeyError> {
    ListedKey::parse(key_type.as_bytes(), Base64::encode_string(blob).as_bytes())
}

fn blob(fields: &[&[u8]]) -> Vec<u8> {
    let mut blob = Vec::new();
    fields.iter().for_each(|field| blob.put_string(field));
    blob
}

fn words(line: &str) -> (&str, Vec<u8>) {
    let (key_type, rest) = line.split_once(' ').unwrap();
    (key_type, Base64::decode_vec(rest.split_whitespace().next().unwrap()).unwrap())
}

#[test]
fn a_listed_key_equals_the_servers_key() {
    for line in LINES {
        let (key_type, blob) = words(line);
        let listed = read(key_type, &blob).unwrap();
        assert!(listed.is_known() && !listed.is_certificate());
        assert_eq!((listed.key_type(), listed.blob()), (key_type, &*blob));
        if let Ok(key) = PublicKey::parse(&blob) {
            assert_eq!((listed.blob(), listed.fingerprint()), (key.blob(), key.fingerprint()));
            assert_eq!(key.line(), line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim());
        }
        for length in 0..blob.len() {
            assert!(read(key_type, &blob[..length]).is_err(), "{key_type} {length}");
        }
        assert!(read(key_type, &[&blob[..], &[0]].concat()).is_err(), "{key_type}");
    }
}

#[test]
fn leading_zeros_make_no_difference() {
    let (_, plain) = words(LINES[4]);
    let mut fields = Reader::new(&plain);
    fields.string().unwrap();
    let (e, n) = (fields.positive().unwrap(), fields.positive().unwrap());
    let zeros = |number: &[u8]| [&[0; 5], number].concat();
    let listed = read("ssh-rsa", &blob(&[b"ssh-rsa", &zeros(e), &zeros(n)])).unwrap();
    assert_eq!(listed.blob(), plain);
    // Negative, and zero.
    assert!(read("ssh-rsa", &blob(&[b"ssh-rsa", e, n])).is_err());
    assert!(read("ssh-rsa", &blob(&[b"ssh-rsa", &[0], &zeros(n)])).is_err());
    assert_eq!(canonical_blob(&blob(&[b"ssh-rsa", &zeros(e), &zeros(n)])), Some(plain));
}

#[test]
fn the_listed_type_has_to_match_the_key() {
    let (_, rsa) = words(LINES[4]);
    for name in ["rsa-sha2-256", "rsa-sha2-512", "ssh-rsa"] {
        assert_eq!(read(name, &rsa).unwrap().key_type(), "ssh-rsa", "{name}");
    }
    for name in ["ssh-dss", "ssh-ed25519", "rsa-sha2", "rsa-sha2-512x", "SSH-RSA", ""] {
        let other = ListedKeyError::OtherType("ssh-rsa".to_owned());
        assert_eq!(read(name, &rsa), Err(other), "{name}");
    }
    let (_, p256) = words(LINES[1]);
    assert!(read("ecdsa-sha2-nistp384", &p256).is_err());
    let crossed = blob(&[b"ecdsa-sha2-nistp256", b"nistp384", &[4; 65]]);
    assert_eq!(read("ecdsa-sha2-nistp256", &crossed), Err(ListedKeyError::Malformed));
}

#[test]
fn compressed_points_are_refused() {
    let (name, p256) = words(LINES[1]);
    let point = &p256[p256.len() - 65..];
    let with = |point: &[u8]| read(name, &blob(&[name.as_bytes(), b"nistp256", point]));
    assert!(with(point).is_ok());
    let compressed = [&[2 + (point[64] & 1)], &point[1..33]].concat();
    let mut off = point.to_vec();
    off[64] ^= 1;
    for bad in [&compressed[..], &off, &[0], &[]] {
        assert_eq!(with(bad), Err(ListedKeyError::Invalid("ecdsa-sha2-nistp256")));
    }
    assert!(read("ssh-ed25519", &blob(&[b"ssh-ed25519", &[7; 31]])).is_err());
}

#[test]
fn listed_certificates_hold_their_key() {
    let (name, certificate) = words(include_str!("../fixtures/ed25519-cert.pub"));
    let listed = read(name, &certificate).unwrap();
    assert!(listed.is_certificate() && listed.is_known());
    assert_eq!(listed.blob(), words(LINES[0]).1);
    let (name, certificate) = words(include_str!("../fixtures/rsa2048-cert.pub"));
    assert_eq!(name, "ssh-rsa-cert-v01@openssh.com");
    for name in [name, "rsa-sha2-512-cert-v01@openssh.com"] {
        assert_eq!(read(name, &certificate).unwrap().blob(), words(LINES[4]).1);
    }
    assert_eq!(rsa::blob_bits(&certificate), Some(2048));
    assert_eq!(rsa::blob_bits(&words(LINES[5]).1), Some(1024));
    assert_eq!(rsa::blob_bits(&words(LINES[0]).1), None);
}

#[test]
fn unknown_types_are_kept_as_they_are() {
    for name in ["ssh-mldsa44", "x@y", "ssh-ed25519-cert-v02@openssh.com"] {
        let bytes = [&blob(&[name.as_bytes()])[..], &[1, 2, 3]].concat();
        let listed = read(name, &bytes).unwrap();
        assert!(!listed.is_known() && !listed.is_certificate());
        assert_eq!((listed.key_type(), listed.blob()), (name, &*bytes));
        assert!(!ListedKey::is_type(name.as_bytes()));
    }
    for name in
        ["ssh-dss", "rsa-sha2-256", "sk-ssh-ed25519@openssh.com", "ssh-rsa-cert-v01@openssh.com"]
    {
        assert!(ListedKey::is_type(name.as_bytes()), "{name}");
    }
}

#[test]
fn base64_is_whole() {
    let (key_type, good) = words(LINES[0]);
    let base64 = Base64::encode_string(&good);
    let read = |text: &str| ListedKey::parse(key_type.as_bytes(), text.as_bytes());
    assert!(read(&format!("{}\r{}\u{b}\u{c}", &base64[..9], &base64[9..])).is_ok());
    let padded = blob(&[b"ssh-ed25519", &[7; 32]]);
    assert_eq!(
        Base64::encode_string(&padded),
        Base64::encode_string(&padded).trim_end_matches('=')
    );
    for bad in
        [&base64[1..], &format!("{base64}="), &format!("={base64}"), "", "\u{e9}", "AAA", "A==="]
    {
        assert!(read(bad).is_err(), "{bad}");
    }
    // Bits beyond the last byte.
    let (_, p256) = words(LINES[1]);
    let text = Base64::encode_string(&p256).replace("d4=", "d5=");
    assert_eq!(
        ListedKey::parse(b"ecdsa-sha2-nistp256", text.as_bytes()),
        Err(ListedKeyError::Base64)
    );
}
