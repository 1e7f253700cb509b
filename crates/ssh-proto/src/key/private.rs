//! The key that logs the user on.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::curve::Curve;
use super::pem::Block;
use super::stack::wiping_stack;
use super::{ED25519, RSA_SHA2_256, RSA_SHA2_512, der, openssh, rsa};
use crate::wire::Writer;

/// A private key, ready to sign.
///
/// The secret is in aws-lc's memory only, which is wiped when the key is dropped, and so is every
/// buffer that it passed through while it was read, the stack included. It is never printed.
pub struct PrivateKey {
    /// What signs.
    signer: Signer,
    /// The public half (RFC 4253 section 6.6).
    public_blob: Vec<u8>,
}

/// A key in the form that signs.
pub(super) enum Signer {
    /// RFC 8709
    Ed25519(Ed25519KeyPair),
    /// RFC 5656
    Ecdsa(Curve, EcdsaKeyPair),
    /// RFC 8332
    Rsa(RsaKeyPair),
}

/// Why a text is no private key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Something else; says what, where that can be told.
    #[error("not a private key: {0}")]
    NotAKey(&'static str),
    /// A private key of a type, format or encryption that is not supported.
    #[error("unsupported private key: {0}")]
    Unsupported(String),
    /// It is encrypted, and there is no passphrase or an empty one.
    #[error("the private key is encrypted and there is no passphrase")]
    PassphraseMissing,
    /// The passphrase does not decrypt it.
    #[error("the passphrase of the private key is wrong")]
    PassphraseWrong,
    /// It begins like a private key and does not go on like one.
    #[error("the private key is damaged: {0}")]
    Damaged(&'static str),
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Not one of [`PrivateKey::algorithms`].
    #[error("this private key does not sign with {0}")]
    WrongAlgorithm(String),
    /// The cryptographic library failed, for want of randomness or memory.
    #[error("signing failed")]
    Failed,
}

impl PrivateKey {
    /// Reads the text of a key file: OpenSSH's own format, PKCS#8, PKCS#1 and SEC1, each with and
    /// without encryption.
    ///
    /// The passphrase of a key that is not encrypted is ignored. That of one that is takes as much
    /// processor time as the key asks for, often a tenth of a second: not for an event loop.
    pub fn parse(text: &[u8], passphrase: Option<&[u8]>) -> Result<Self, PrivateKeyError> {
        wiping_stack(|| Self::read(text, passphrase))
    }

    fn read(text: &[u8], passphrase: Option<&[u8]>) -> Result<Self, PrivateKeyError> {
        let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
        let block = Block::find(text)?;
        let signer = match block.label {
            "OPENSSH PRIVATE KEY" => openssh::read(&block.body, passphrase)?,
            "PRIVATE KEY" => der::pkcs8(&block.body)?,
            "ENCRYPTED PRIVATE KEY" => der::encrypted_pkcs8(&block.body, passphrase)?,
            "RSA PRIVATE KEY" => der::traditional(&block, passphrase, der::pkcs1)?,
            "EC PRIVATE KEY" => der::traditional(&block, passphrase, der::sec1)?,
            other => return Err(PrivateKeyError::Unsupported(format!("a file of type {other}"))),
        };
        Ok(signer.into())
    }

    /// Reads what [`PrivateKey::to_pkcs8`] made.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, PrivateKeyError> {
        wiping_stack(|| der::pkcs8(der)).map(Self::from)
    }

    /// The key without encryption, to be read again later without its passphrase.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let made = wiping_stack(|| match &self.signer {
            Signer::Ed25519(key) => key.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Signer::Ecdsa(_, key) => key.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Signer::Rsa(key) => AsDer::<Pkcs8V1Der<'_>>::as_der(key).map(|der| copy(der.as_ref())),
        });
        made.map_err(|_| SignError::Failed)
    }

    /// The public half of a key file that need not be decrypted for it: only OpenSSH's own format
    /// has it in the clear.
    pub fn public_half(text: &[u8]) -> Option<Vec<u8>> {
        let block = Block::find(text).ok()?;
        if block.label == "OPENSSH PRIVATE KEY" { openssh::public_half(&block.body) } else { None }
    }

    /// The public half, encoded as RFC 4253 section 6.6 says.
    pub fn public_blob(&self) -> &[u8] {
        &self.public_blob
    }

    /// The signature algorithms that it can be used with, best first.
    pub fn algorithms(&self) -> &'static [&'static str] {
        match &self.signer {
            Signer::Ed25519(_) => &[ED25519],
            Signer::Ecdsa(curve, _) => curve.algorithms(),
            Signer::Rsa(_) => &[RSA_SHA2_512, RSA_SHA2_256],
        }
    }

    /// Signs `data`. The result is the blob that SSH sends, and holds the algorithm's name:
    ///
    /// ```text
    /// string  algorithm
    /// string  the signature itself, in the form of the algorithm
    /// ```
    pub fn sign(&self, algorithm: &str, data: &[u8]) -> Result<Vec<u8>, SignError> {
        if !self.algorithms().contains(&algorithm) {
            return Err(SignError::WrongAlgorithm(algorithm.to_owned()));
        }
        let random = SystemRandom::new();
        let signature = match &self.signer {
            Signer::Ed25519(key) => {
                key.try_sign(data).map_err(|_| SignError::Failed)?.as_ref().to_vec()
            }
            Signer::Ecdsa(curve, key) => curve
                .wire_signature(key.sign(&random, data).map_err(|_| SignError::Failed)?.as_ref()),
            Signer::Rsa(key) => {
                let encoding =
                    if algorithm == RSA_SHA2_512 { &RSA_PKCS1_SHA512 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, data, &mut signature).map_err(|_| SignError::Failed)?;
                signature
            }
        };
        let mut blob = Vec::with_capacity(8 + algorithm.len() + signature.len());
        blob.put_string(algorithm.as_bytes());
        blob.put_string(&signature);
        Ok(blob)
    }
}

impl Signer {
    /// The public half (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4).
    pub(super) fn public_blob(&self) -> Vec<u8> {
        match self {
            Signer::Ed25519(key) => {
                let mut blob = Vec::with_capacity(51);
                blob.put_string(ED25519.as_bytes());
                blob.put_string(key.public_key().as_ref());
                blob
            }
            Signer::Ecdsa(curve, key) => curve.public_blob(key.public_key().as_ref()),
            Signer::Rsa(key) => {
                let key = key.public_key();
                rsa::public_blob(
                    key.exponent().big_endian_without_leading_zero(),
                    key.modulus().big_endian_without_leading_zero(),
                )
            }
        }
    }
}

impl From<Signer> for PrivateKey {
    fn from(signer: Signer) -> Self {
        Self { public_blob: signer.public_blob(), signer }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("algorithms", &self.algorithms()).finish_non_exhaustive()
    }
}

impl From<KeyRejected> for PrivateKeyError {
    fn from(rejected: KeyRejected) -> Self {
        // aws-lc-rs has its reasons as text only.
        match rejected.description_() {
            "TooSmall" | "TooLarge" => {
                PrivateKeyError::Unsupported("an RSA key outside of 2048 to 8192 bits".to_owned())
            }
            _ => PrivateKeyError::Damaged("its numbers are not those of a key"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use super::*;
    use crate::key::PublicKey;

    /// What the encrypted files are encrypted with.
    const PASSPHRASE: Option<&[u8]> = Some(b"correct-horse");

    /// A file that ssh-keygen or openssl wrote for these tests: the keys open nothing.
    macro_rules! fixture {
        ($name:literal) => {
            include_bytes!(concat!("fixtures/", $name)).as_slice()
        };
    }

    /// The blob in a `.pub` file.
    fn blob(line: &[u8]) -> Vec<u8> {
        let line = str::from_utf8(line).unwrap();
        ssh_key::PublicKey::from_openssh(line).unwrap().to_bytes().unwrap()
    }

    /// Every algorithm signs, and the public half verifies it.
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
    fn the_public_half_of_an_encrypted_file() {
        let public = blob(fixture!("ed25519.pub"));
        for file in [fixture!("ed25519"), fixture!("ed25519.enc")] {
            assert_eq!(PrivateKey::public_half(file), Some(public.clone()));
        }
        for file in [fixture!("p256.pem"), fixture!("p256.pkcs8.enc"), b"", fixture!("ed25519.pub")]
        {
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
            // Its private number is one byte shorter than the curve is wide.
            (fixture!("p521.short"), fixture!("p521.short.pub")),
            (fixture!("rsa2048"), fixture!("rsa2048.pub")),
            (fixture!("rsa2048.pem"), fixture!("rsa2048.pub")),
            (fixture!("rsa2048.pkcs8"), fixture!("rsa2048.pub")),
            (fixture!("rsa3072"), fixture!("rsa3072.pub")),
            (fixture!("rsa5120"), fixture!("rsa5120.pub")),
        ] {
            // A passphrase that is not needed does no harm.
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

    /// In one case of 256 the padding of what a wrong passphrase decrypts is right by accident.
    #[test]
    fn no_wrong_passphrase_looks_like_damage() {
        for number in 0..1000_u32 {
            let wrong = number.to_string();
            let error = PrivateKey::parse(fixture!("p256.pem.enc"), Some(wrong.as_bytes()));
            assert_eq!(error.unwrap_err(), PrivateKeyError::PassphraseWrong);
        }
    }

    #[test]
    fn other_line_lengths_line_ends_and_text_around() {
        let text = str::from_utf8(fixture!("ed25519")).unwrap();
        let body = text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let (start, end) =
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----");
        for text in [
            text.replace('\n', "\r\n"),
            format!("{start}\n{body}\n{end}"),
            format!("a note\n  {start}\n  {}\n  {}\n  {end}\n\n\n", &body[..64], &body[64..]),
        ] {
            round_trip(&PrivateKey::parse(text.as_bytes(), None).unwrap());
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
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
            (fixture!("p256.pkcs8.des3.enc"), "another way than PBES2"),
            (fixture!("p256.pkcs8.pbes1.enc"), "another way than PBES2"),
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

    /// Cut anywhere, in the text and, with the envelope kept whole, in what is inside.
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
            // Without its last dashes it is none; without the line end behind them it is.
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
    fn both_halves_of_a_file_have_to_fit() {
        let block = Block::find(fixture!("ed25519")).unwrap();
        let mut body = block.body.to_vec();
        // The last byte of the public half that is not encrypted in any file.
        let public = blob(fixture!("ed25519.pub"));
        let at = body.windows(public.len()).position(|part| part == public).unwrap();
        body[at + public.len() - 1] ^= 1;
        let body = <base64ct::Base64 as base64ct::Encoding>::encode_string(&body);
        let error = PrivateKey::parse(envelope(block.label, "", &body).as_bytes(), None);
        assert!(matches!(error, Err(PrivateKeyError::Damaged(why)) if why.contains("halves")));
    }

    /// Any answer is right as long as it is one.
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
}
