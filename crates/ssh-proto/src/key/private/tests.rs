use super::*;
use crate::key::PublicKey;

/// The passphrase of the encrypted files.
const PASSPHRASE: Option<&[u8]> = Some(b"correct-horse");

/// A file that ssh-keygen or openssl wrote for these tests.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name)).as_slice()
    };
}

/// The blob in a `.pub` file.
fn blob(line: &[u8]) -> Vec<u8> {
    let line = str::from_utf8(line).unwrap();
    ssh_key::PublicKey::from_openssh(line).unwrap().to_bytes().unwrap()
}

/// Signs with every algorithm, and verifies with the public key.
fn round_trip(key: &PrivateKey) {
    let public = PublicKey::parse(key.public_blob()).unwrap();
    for algorithm in key.algorithms() {
        let signature = key.sign(algorithm, b"data").unwrap();
        assert_eq!(public.verify(algorithm, b"data", &signature), Ok(()), "{algorithm}");
    }
    let other = SignError::WrongAlgorithm("ssh-rsa".into());
    assert_eq!(key.sign("ssh-rsa", b"data"), Err(other));
}

#[test]
fn the_public_key_of_an_encrypted_file_is_found() {
    let public = blob(fixture!("ed25519.pub"));
    for file in [fixture!("ed25519"), fixture!("ed25519.enc")] {
        assert_eq!(PrivateKey::public_half(file), Some(public.clone()));
    }
    for file in [fixture!("p256.pem"), fixture!("p256.pkcs8.enc"), b"", fixture!("ed25519.pub")] {
        assert_eq!(PrivateKey::public_half(file), None);
    }
    for length in 0..60 {
        let body = [b"openssh-key-v1\0".as_slice(), &[0; 60][..length]].concat();
        assert_eq!(openssh::public_half(&body).is_some(), length >= 20, "{length}");
    }
}

#[test]
fn plain_files_of_every_format() {
    for (file, public) in [
        (fixture!("ed25519"), fixture!("ed25519.pub")),
        (fixture!("p256"), fixture!("p256.pub")),
        (fixture!("p256.pem"), fixture!("p256.pub")),
        (fixture!("p256.params.pem"), fixture!("p256.pub")),
        (fixture!("p256.pkcs8"), fixture!("p256.pub")),
        (fixture!("p384"), fixture!("p384.pub")),
        (fixture!("p384.pem"), fixture!("p384.pub")),
        (fixture!("p384.pkcs8"), fixture!("p384.pub")),
        (fixture!("p521"), fixture!("p521.pub")),
        (fixture!("p521.pem"), fixture!("p521.pub")),
        (fixture!("p521.pkcs8"), fixture!("p521.pub")),
        // Its private number has a leading zero byte.
        (fixture!("p521.short"), fixture!("p521.short.pub")),
        (fixture!("rsa2048"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pem"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pkcs8"), fixture!("rsa2048.pub")),
        (fixture!("rsa3072"), fixture!("rsa3072.pub")),
        (fixture!("rsa5120"), fixture!("rsa5120.pub")),
    ] {
        // An unnecessary passphrase is ignored.
        for passphrase in [None, PASSPHRASE] {
            let key = PrivateKey::parse(file, passphrase).unwrap();
            assert_eq!(key.public_blob(), blob(public));
            round_trip(&key);
            let again = PrivateKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.public_blob(), key.public_blob());
            round_trip(&again);
        }
    }
    round_trip(&PrivateKey::parse(fixture!("ed25519b.pkcs8"), None).unwrap());
}

#[test]
fn encrypted_files_of_every_format() {
    for (file, public) in [
        (fixture!("ed25519.enc"), fixture!("ed25519.pub")),
        (fixture!("ed25519.chacha.enc"), fixture!("ed25519.pub")),
        (fixture!("ed25519b.pkcs8.enc"), &[]),
        (fixture!("p256.enc"), fixture!("p256.pub")),
        (fixture!("p256.pem.enc"), fixture!("p256.pub")),
        (fixture!("p256.pkcs8.enc"), fixture!("p256.pub")),
        (fixture!("p256.pkcs8.scrypt.enc"), fixture!("p256.pub")),
        (fixture!("p256.pkcs8.sha1.enc"), fixture!("p256.pub")),
        (fixture!("p384.enc"), fixture!("p384.pub")),
        (fixture!("p521.enc"), fixture!("p521.pub")),
        (fixture!("rsa2048.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pem.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pem.aes256.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pkcs8.enc"), fixture!("rsa2048.pub")),
    ] {
        let key = PrivateKey::parse(file, PASSPHRASE).unwrap();
        if !public.is_empty() {
            assert_eq!(key.public_blob(), blob(public));
        }
        round_trip(&key);

        for missing in [None, Some(&b""[..])] {
            let error = PrivateKey::parse(file, missing).unwrap_err();
            assert_eq!(error, PrivateKeyError::PassphraseMissing);
        }
        let error = PrivateKey::parse(file, Some(b"wrong")).unwrap_err();
        assert_eq!(error, PrivateKeyError::PassphraseWrong);
    }
}

/// In one of 256 cases a wrong passphrase yields a valid padding.
#[test]
fn a_wrong_passphrase_is_not_reported_as_damage() {
    for number in 0..1000_u32 {
        let wrong = number.to_string();
        let error = PrivateKey::parse(fixture!("p256.pem.enc"), Some(wrong.as_bytes()));
        assert_eq!(error.unwrap_err(), PrivateKeyError::PassphraseWrong);
    }
}

#[test]
fn other_line_lengths_line_ends_and_text_are_accepted() {
    let text = str::from_utf8(fixture!("ed25519")).unwrap();
    let body = text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let (start, end) = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----");
    for text in [
        text.replace('\n', "\r\n"),
        format!("{start}\n{body}\n{end}"),
        format!("a note\n  {start}\n  {}\n  {}\n  {end}\n\n\n", &body[..64], &body[64..]),
    ] {
        round_trip(&PrivateKey::parse(text.as_bytes(), None).unwrap());
    }
}

#[test]
fn errors_describe_the_mistake() {
    let error = |text: &[u8]| PrivateKey::parse(text, PASSPHRASE).unwrap_err().to_string();
    assert!(error(b"").contains("empty"));
    assert!(error(b"hello").contains("no line -----BEGIN"));
    assert!(error(b"/home/me/.ssh/id_ed25519").contains("path of a file"));
    assert!(error(b"PuTTY-User-Key-File-3: ssh-ed25519\n").contains("PuTTY"));
    assert!(error(fixture!("ed25519.pub")).contains("public key"));
    assert!(error(fixture!("p256.pub")).contains("public key"));
    assert!(error(b"-----BEGIN PUBLIC KEY-----\n").contains("public key"));
    assert!(error(b"-----BEGIN CERTIFICATE-----\n").contains("certificate"));
    for (file, reason) in [
        (&b"-----BEGIN DSA PRIVATE KEY-----\n-----END DSA PRIVATE KEY-----"[..], "DSA"),
        (fixture!("dsa"), "a key of type ssh-dss"),
        (fixture!("rsa1024"), "2048"),
        (fixture!("x25519.pkcs8"), "1.3.101.110"),
        (fixture!("p256.pkcs8.des3.enc"), "something other than PBES2"),
        (fixture!("p256.pkcs8.pbes1.enc"), "something other than PBES2"),
        (fixture!("rsa2048.pem.des3.enc"), "encrypted with DES-EDE3-CBC"),
    ] {
        let error = PrivateKey::parse(file, PASSPHRASE).unwrap_err();
        assert!(
            matches!(&error, PrivateKeyError::Unsupported(why) if why.contains(reason)),
            "{error}"
        );
    }
    assert!(error(fixture!("secp256k1.pem")).contains("nistp256"));
}

#[test]
fn a_key_is_never_printed() {
    let key = PrivateKey::parse(fixture!("ed25519"), None).unwrap();
    assert_eq!(format!("{key:?}"), r#"PrivateKey { algorithms: ["ssh-ed25519"], .. }"#);
}

/// Truncates the text, and the body within its envelope.
#[test]
fn no_part_of_a_file_is_a_key() {
    for file in [
        fixture!("ed25519"),
        fixture!("p256"),
        fixture!("p256.pem"),
        fixture!("p256.pem.enc"),
        fixture!("p256.pkcs8"),
        fixture!("rsa2048"),
        fixture!("rsa2048.pem"),
        fixture!("ed25519b.pkcs8"),
    ] {
        // The last dashes are required; the line end after them is not.
        for length in 0..file.trim_ascii_end().len() {
            assert!(PrivateKey::parse(&file[..length], PASSPHRASE).is_err(), "{length}");
        }
        let block = Block::find(file).unwrap();
        let headers = str::from_utf8(file).unwrap().lines().filter(|line| line.contains(": "));
        let headers = headers.map(|line| format!("{line}\n")).collect::<String>();
        for length in 0..block.body.len() {
            let body =
                <base64ct::Base64 as base64ct::Encoding>::encode_string(&block.body[..length]);
            let text = envelope(block.label, &headers, &body);
            assert!(PrivateKey::parse(text.as_bytes(), PASSPHRASE).is_err(), "{length}");
        }
    }
}

fn envelope(label: &str, headers: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{headers}{body}\n-----END {label}-----\n")
}

#[test]
fn public_and_private_keys_have_to_match() {
    let block = Block::find(fixture!("ed25519")).unwrap();
    let mut body = block.body.to_vec();
    // The last byte of the public key that is not encrypted.
    let public = blob(fixture!("ed25519.pub"));
    let at = body.windows(public.len()).position(|part| part == public).unwrap();
    body[at + public.len() - 1] ^= 1;
    let body = <base64ct::Base64 as base64ct::Encoding>::encode_string(&body);
    let error = PrivateKey::parse(envelope(block.label, "", &body).as_bytes(), None);
    assert!(
        matches!(error, Err(PrivateKeyError::Damaged(why)) if why.contains("public and private keys"))
    );
}

/// Any result is right.
#[test]
fn a_changed_byte_never_panics() {
    for file in [fixture!("ed25519"), fixture!("p256"), fixture!("p256.pkcs8")] {
        let block = Block::find(file).unwrap();
        for at in 0..block.body.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut body = block.body.to_vec();
                body[at] = value;
                let body = <base64ct::Base64 as base64ct::Encoding>::encode_string(&body);
                let text = envelope(block.label, "", &body);
                if let Ok(key) = PrivateKey::parse(text.as_bytes(), None) {
                    round_trip(&key);
                }
            }
        }
    }
}
