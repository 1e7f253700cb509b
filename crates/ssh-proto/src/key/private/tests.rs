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
        (fixture!("p256.pkcs8.des3.enc"), fixture!("p256.pub")),
        (fixture!("p256.pkcs8.pbes1.enc"), fixture!("p256.pub")),
        (fixture!("p384.enc"), fixture!("p384.pub")),
        (fixture!("p521.enc"), fixture!("p521.pub")),
        (fixture!("rsa2048.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pem.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pem.aes256.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pem.des3.enc"), fixture!("rsa2048.pub")),
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

/// UTF-16 in the byte order of `bytes`, with a mark or without.
fn utf16(text: &str, mark: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    format!("{mark}{text}").encode_utf16().flat_map(bytes).collect()
}

/// What editors, environment variables and secret stores do to a text.
fn encodings(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let base64 = |bytes: &[u8]| <base64ct::Base64 as base64ct::Encoding>::encode_string(bytes);
    let marked = utf16(text, "\u{feff}", u16::to_le_bytes);
    let lossy = String::from_utf8_lossy(&marked).into_owned();
    let in_lines = base64(text.as_bytes()).as_bytes().chunks(76).collect::<Vec<_>>().join(&b'\n');
    vec![
        ("a mark", format!("\u{feff}{text}").into()),
        ("UTF-16, little-endian, with a mark", marked.clone()),
        ("UTF-16, big-endian, with a mark", utf16(text, "\u{feff}", u16::to_be_bytes)),
        ("UTF-16, little-endian", utf16(text, "", u16::to_le_bytes)),
        ("UTF-16, big-endian", utf16(text, "", u16::to_be_bytes)),
        ("UTF-16, read as UTF-8", lossy.into()),
        ("quotes", format!("\"{text}\"").into()),
        ("single quotes and blanks", format!(" '{}' \n", text.trim()).into()),
        ("line feeds written out", text.replace('\n', "\\n").into()),
        ("line ends written out", text.replace('\n', "\\r\\n").into()),
        ("line feeds written out twice", text.replace('\n', "\\\\n").into()),
        ("line feeds written out and kept", text.replace('\n', "\\n\n").into()),
        ("JSON", format!("\"{}\"", text.replace('/', "\\/").replace('\n', "\\n")).into()),
        ("continued lines", text.replace('\n', "\\\n").into()),
        ("line ends of Windows", text.replace('\n', "\r\n").into()),
        ("line ends of old Macs", text.replace('\n', "\r").into()),
        ("base64", base64(text.as_bytes()).into()),
        ("base64 in lines", in_lines),
        ("base64 without padding", base64(text.as_bytes()).trim_end_matches('=').into()),
        ("base64 of UTF-16", base64(&marked).into()),
        (
            "base64 of quotes, in quotes",
            format!("'{}'", base64(format!("\"{text}\"").as_bytes())).into(),
        ),
        ("spaces for line feeds", text.replace('\n', " ").into()),
        ("spaces in quotes", format!("\"{}\"", text.replace('\n', "  ")).into()),
    ]
}

#[test]
fn encodings_around_a_key_are_removed() {
    for (file, public) in [
        (fixture!("ed25519"), fixture!("ed25519.pub")),
        (fixture!("p256.enc"), fixture!("p256.pub")),
        (fixture!("p256.pem"), fixture!("p256.pub")),
        (fixture!("p256.params.pem"), fixture!("p256.pub")),
        (fixture!("rsa2048.pem.des3.enc"), fixture!("rsa2048.pub")),
        (fixture!("rsa2048.pkcs8"), fixture!("rsa2048.pub")),
    ] {
        let text = str::from_utf8(file).unwrap();
        for (what, text) in encodings(text) {
            let key =
                PrivateKey::parse(&text, PASSPHRASE).map_err(|error| format!("{what}: {error}"));
            assert_eq!(key.unwrap().public_blob(), blob(public), "{what}");
        }
    }
}

#[test]
fn a_key_without_line_feeds_is_read() {
    for file in [fixture!("ed25519"), fixture!("p256.pem"), fixture!("rsa2048.pkcs8.enc")] {
        let text = str::from_utf8(file).unwrap().replace('\n', "");
        round_trip(&PrivateKey::parse(text.as_bytes(), PASSPHRASE).unwrap());
    }
    // The body of OpenSSH's format says what it is; DER does not.
    let body = |file: &[u8]| {
        let lines = str::from_utf8(file).unwrap().lines().filter(|line| !line.starts_with('-'));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    round_trip(&PrivateKey::parse(body(fixture!("ed25519")).as_bytes(), None).unwrap());
    let error = PrivateKey::parse(body(fixture!("p256.pkcs8")).as_bytes(), None).unwrap_err();
    assert!(error.to_string().contains("BEGIN ... and -----END ... are missing"), "{error}");
}

/// Any result is right.
#[test]
fn encodings_within_encodings_never_panic() {
    for (_, text) in encodings(str::from_utf8(fixture!("ed25519")).unwrap()) {
        for (_, text) in encodings(&String::from_utf8_lossy(&text)) {
            let _ = PrivateKey::parse(&text, None);
        }
        for length in 0..text.len() {
            let _ = PrivateKey::parse(&text[..length], None);
        }
    }
}

/// DER may end in a byte that in a text would be white space, a quote or a backslash. A line feed after
/// it is an editor's.
#[test]
fn der_is_named_whatever_its_bytes() {
    let der = Block::find(fixture!("p256.pkcs8")).unwrap().body;
    for end in [&b"\r"[..], b" ", b"\n\n", b"\\n", b"\\/", b"'", b"\0"] {
        let length = u8::try_from(der.len() - 3 + end.len()).unwrap();
        let mut file = [&[0x30, 0x81, length][..], &der[3..], end].concat();
        for _ in 0..2 {
            let Err(PrivateKeyError::NotAKey(what)) = PrivateKey::parse(&file, None) else {
                panic!("a key: {end:?}");
            };
            assert!(what.contains("DER"), "{end:?}: {what}");
            file.push(b'\n');
        }
    }
}

/// As in OpenSSH: PuTTYgen pads to 16 bytes, also where 8 would do.
#[test]
fn padding_may_have_any_length() {
    let block = Block::find(fixture!("ed25519")).unwrap();
    let padding = block.body.iter().rev().skip_while(|byte| **byte > 8 || **byte == 0);
    let padding = usize::from(*padding.clone().next().unwrap());
    let end = block.body.len() - padding;
    let public = blob(fixture!("ed25519.pub"));
    let at = block.body.windows(public.len()).position(|part| part == public).unwrap();
    let at = at + public.len();
    let with = |padding: &[u8]| {
        let mut body = [&block.body[..end], padding].concat();
        let length = u32::try_from(body.len() - at - 4).unwrap();
        body[at..at + 4].copy_from_slice(&length.to_be_bytes());
        let body = <base64ct::Base64 as base64ct::Encoding>::encode_string(&body);
        PrivateKey::parse(envelope(block.label, "", &body).as_bytes(), None)
    };
    let counted =
        |length| (1..=length).map(|number: u32| number.to_le_bytes()[0]).collect::<Vec<_>>();
    for length in (0..40).chain([255, 256, 257, 600]) {
        round_trip(&with(&counted(length)).unwrap());
    }
    for wrong in [&[0][..], &[2], &[1, 1], &[1, 2, 4], &[1, 2, 3, 0]] {
        let error = with(wrong).unwrap_err();
        assert_eq!(error, PrivateKeyError::Damaged("its padding is wrong"));
    }
}

/// aws-lc-rs does not tell which number it refuses.
#[test]
fn the_size_of_an_rsa_key_is_named() {
    for bytes in [1025_u16, 2048] {
        let modulus = vec![0xff; bytes.into()];
        let [high, low] = (bytes + 1).to_be_bytes();
        let length = (bytes + 1 + 4 + 3).to_be_bytes();
        let head = [0x30, 0x82, length[0], length[1], 2, 1, 0, 2, 0x82, high, low, 0];
        let body = <base64ct::Base64 as base64ct::Encoding>::encode_string(
            &[&head[..], &modulus].concat(),
        );
        let numbers =
            rsa::Numbers { n: &modulus, e: &[3], d: &modulus, iqmp: &[1], p: &[5], q: &[7] };
        let pem = envelope("RSA PRIVATE KEY", "", &body);
        for error in [
            PrivateKey::parse(pem.as_bytes(), None).unwrap_err(),
            numbers.key_pair().map(|_| ()).unwrap_err(),
        ] {
            let words = format!("an RSA key of {} bits; 2048 to 8192", 8 * u32::from(bytes));
            assert!(error.to_string().contains(&words), "{error}");
        }
    }
}

/// A PuTTY key file with this key derivation.
fn argon2(memory: &str, passes: &str, parallelism: &str) -> String {
    let key = "AAAAC3NzaC1lZDI1NTE5";
    format!(
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\nComment: \nPublic-Lines: 1\n{key}\n\
         Key-Derivation: Argon2id\nArgon2-Memory: {memory}\nArgon2-Passes: {passes}\n\
         Argon2-Parallelism: {parallelism}\nArgon2-Salt: 00112233445566778899\n\
         Private-Lines: 1\nAAECAwQFBgcICQoLDA0ODw==\nPrivate-MAC: 00\n"
    )
}

#[test]
fn the_cost_of_a_putty_key_file_is_bounded() {
    let error = |text: String| PrivateKey::parse(text.as_bytes(), PASSPHRASE).unwrap_err();
    assert_eq!(error(argon2("64", "1", "1")), PrivateKeyError::PassphraseWrong);
    for (memory, passes) in [("4294967295", "1"), ("1048577", "1"), ("8192", "4294967295")] {
        let error = error(argon2(memory, passes, "1"));
        assert!(
            matches!(&error, PrivateKeyError::Unsupported(why) if why.contains("cost")),
            "{error}"
        );
    }
    for (memory, passes, parallelism) in
        [("0", "1", "1"), ("64", "0", "1"), ("64", "1", "0"), ("64", "1", "999"), ("-1", "1", "1")]
    {
        let error = error(argon2(memory, passes, parallelism));
        assert!(matches!(error, PrivateKeyError::Damaged(_)), "{error}");
    }
    let text = argon2("64", "1", "1");
    for length in 0..text.len() - 1 {
        assert!(PrivateKey::parse(&text.as_bytes()[..length], PASSPHRASE).is_err());
    }
}

#[test]
fn errors_describe_the_mistake() {
    let error = |text: &[u8]| PrivateKey::parse(text, PASSPHRASE).unwrap_err().to_string();
    assert!(error(b"").contains("empty"));
    assert!(error(b"hello").contains("no line -----BEGIN"));
    assert!(error(b"/home/me/.ssh/id_ed25519").contains("path of a file"));
    assert!(error(b"PuTTY-User-Key-File-3: ssh-ed25519 Comment: x").contains("line feeds"));
    assert!(error(b"PuTTY-User-Key-File-1: ssh-rsa\n").contains("version 1"));
    assert!(error(fixture!("ed25519.pub")).contains("public key"));
    assert!(error(fixture!("p256.pub")).contains("public key"));
    assert!(error(b"-----BEGIN PUBLIC KEY-----\n").contains("public key"));
    assert!(error(b"-----BEGIN CERTIFICATE-----\n").contains("certificate"));
    for (file, reason) in [
        (&b"-----BEGIN DSA PRIVATE KEY-----\n-----END DSA PRIVATE KEY-----"[..], "DSA"),
        (fixture!("dsa"), "a DSA key"),
        (fixture!("rsa1024"), "an RSA key of 1024 bits; 2048 to 8192"),
        (fixture!("x25519.pkcs8"), "1.3.101.110"),
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
