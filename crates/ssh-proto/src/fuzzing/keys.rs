//! Keys of servers, in files and of agents.

use base64ct::{Base64, Encoding};

use super::Input;
use crate::agent::{self as answers, AnswerError};
use crate::key::{Certificate, CertificateKind, PrivateKey, PrivateKeyError, PublicKey};
use crate::userauth::{Identity, PublicEntry};
use crate::wire::Reader;

/// Reads `string public key, string signature`, then the signed data.
pub fn public_key(data: &[u8]) {
    let mut fields = Reader::new(data);
    let Ok(blob) = fields.string() else { return };
    let Ok(key) = PublicKey::parse(blob) else { return };
    // In its canonical form.
    assert!(key.blob().len() <= blob.len());
    assert!(PublicKey::parse(key.blob()).is_ok_and(|again| again.blob() == key.blob()));
    assert!(key.fingerprint().starts_with("SHA256:"));
    let signature = fields.string().unwrap_or_default();
    let signed = fields.rest();
    for algorithm in
        ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]
            .into_iter()
            .chain(["rsa-sha2-256", "rsa-sha2-512", "ssh-rsa"])
    {
        if key.verify(algorithm, signed, signature).is_ok() {
            assert_ne!(algorithm, "ssh-rsa");
            assert_eq!(Reader::new(signature).text(), Ok(algorithm));
            let other_data = [signed, &[0]].concat();
            assert!(key.verify(algorithm, &other_data, signature).is_err());
        }
    }
}

/// Reads the blob of a certificate, or its line.
pub fn certificate(data: &[u8]) {
    static KEY: &[u8] = include_bytes!("../key/fixtures/ed25519");
    let key = || PrivateKey::parse(KEY, None).unwrap();
    let line = format!("a {}", Base64::encode_string(data));
    let identity = Identity::with_certificate(key(), line.as_bytes());
    let _ = Identity::with_certificate(key(), data);

    let Ok(certificate) = Certificate::parse(data) else { return };
    assert_eq!(certificate.blob(), data);
    let is_ours = certificate.key().blob() == key().public_blob();
    assert_eq!(identity.is_ok(), is_ours && certificate.kind() == CertificateKind::User);
    assert!(certificate.principals().count() <= 256 && certificate.id().len() <= 256);
    if certificate.signature().is_ok() {
        // One bit of the signed data.
        let mut forged = data.to_vec();
        forged[data.len() / 3] ^= 1;
        assert!(!Certificate::parse(&forged).is_ok_and(|other| other.signature().is_ok()));
    }
}

/// The passphrase of the encrypted seeds.
const PASSPHRASE: &[u8] = b"correct-horse";

/// Reads a file as it is, or the body of one of each type, as the fuzzer cannot write base64.
pub fn private_key(data: &[u8]) {
    let is_text =
        data.starts_with(b"-----") || data.starts_with(b"PuTTY-") || data.starts_with(b"\"");
    let text = if is_text { data.to_vec() } else { wrapped(data) };
    let _ = PrivateKey::public_half(&text);
    let _ = PublicEntry::find(data);
    for passphrase in [None, Some(PASSPHRASE)] {
        match PrivateKey::parse(&text, passphrase) {
            Ok(key) => {
                let public = PublicKey::parse(key.public_blob()).unwrap();
                for algorithm in key.algorithms() {
                    let signature = key.sign(algorithm, b"data").unwrap();
                    assert_eq!(public.verify(algorithm, b"data", &signature), Ok(()));
                }
                return;
            }
            Err(PrivateKeyError::PassphraseMissing) => assert_eq!(passphrase, None),
            Err(PrivateKeyError::PassphraseWrong) => assert!(passphrase.is_some()),
            Err(
                PrivateKeyError::NotAKey(_)
                | PrivateKeyError::Unsupported(_)
                | PrivateKeyError::Damaged(_),
            ) => return,
        }
    }
}

fn wrapped(data: &[u8]) -> Vec<u8> {
    let mut input = Input::new(data);
    let label = input.pick(&[
        "OPENSSH PRIVATE KEY",
        "PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
    ]);
    let body = Base64::encode_string(input.rest());
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
}

/// Reads the beginning of an answer, then the bytes after its length.
pub fn agent(data: &[u8]) {
    let Some((field, rest)) = data.split_first_chunk() else { return };
    let length = match answers::answer_length(*field) {
        Ok(length) => length,
        Err(AnswerError::TooLong(length)) => {
            assert!(length > 256 * 1024);
            return;
        }
        Err(error) => {
            assert_eq!(error, AnswerError::Malformed);
            return;
        }
    };
    let answer = &rest[..length.min(rest.len())];
    if let Ok(keys) = answers::identities(answer) {
        assert!(keys.iter().map(|key| 8 + key.len()).sum::<usize>() <= answer.len());
        assert_eq!(answers::signature(answer), Err(AnswerError::Malformed));
    }
    if let Ok(signature) = answers::signature(answer) {
        assert!(answer[5..].starts_with(&signature));
    }
}
