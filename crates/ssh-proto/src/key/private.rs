//! Private keys of the user.

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
use super::{ED25519, RSA_SHA2_256, RSA_SHA2_512, der, encoding, fields, openssh, ppk, rsa};
use crate::wire::Writer;

/// A private key, ready to sign.
///
/// The secret is in the memory of aws-lc only, which is wiped when the key is dropped. Every buffer
/// that held it while it was read is wiped too, including the stack. It is never printed.
pub struct PrivateKey {
    /// The private key.
    signer: Signer,
    /// The public key (RFC 4253 section 6.6).
    public_blob: Vec<u8>,
    /// The comment in its file; empty if there is none.
    comment: Vec<u8>,
}

/// A private key of aws-lc-rs.
pub(super) enum Signer {
    /// RFC 8709.
    Ed25519(Ed25519KeyPair),
    /// RFC 5656.
    Ecdsa(Curve, EcdsaKeyPair),
    /// RFC 8332.
    Rsa(RsaKeyPair),
}

/// The reason why a private key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// The text is something else; describes it as far as possible.
    #[error("not a private key: {0}")]
    NotAKey(&'static str),
    /// The type, format or encryption is not supported.
    #[error("unsupported private key: {0}")]
    Unsupported(String),
    /// The key is encrypted, and there is no passphrase or an empty one.
    #[error("the private key is encrypted and there is no passphrase")]
    PassphraseMissing,
    /// The passphrase does not decrypt the key.
    #[error("the passphrase of the private key is wrong")]
    PassphraseWrong,
    /// The text begins as a private key, and is damaged.
    #[error("the private key is damaged: {0}")]
    Damaged(&'static str),
}

/// The reason why signing failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The algorithm is not in [`PrivateKey::algorithms`].
    #[error("this private key does not sign with {0}")]
    WrongAlgorithm(String),
    /// The cryptographic library has failed, as it has no randomness or memory.
    #[error("signing failed")]
    Failed,
}

impl PrivateKey {
    /// Reads the text of a key file: OpenSSH's format, PKCS#8, PKCS#1, SEC1, and PuTTY's format, each
    /// with or without encryption. `encoding` says what else may surround it.
    ///
    /// The passphrase is ignored if the key is not encrypted. Decryption takes the processor time that
    /// the file specifies, often a tenth of a second: too long for an event loop.
    pub fn parse(text: &[u8], passphrase: Option<&[u8]>) -> Result<Self, PrivateKeyError> {
        wiping_stack(|| Self::read(text, passphrase))
    }

    fn read(text: &[u8], passphrase: Option<&[u8]>) -> Result<Self, PrivateKeyError> {
        let passphrase = passphrase.filter(|passphrase| !passphrase.is_empty());
        let text = encoding::plain(text);
        if text.starts_with(ppk::START) {
            return Ok(ppk::read(&text, passphrase)?.into());
        }
        let block = Block::find(&text)?;
        let signer = match block.label {
            "OPENSSH PRIVATE KEY" => {
                let (signer, comment) = openssh::read(&block.body, passphrase)?;
                return Ok(Self { comment, ..signer.into() });
            }
            "PRIVATE KEY" => der::pkcs8(&block.body)?,
            "ENCRYPTED PRIVATE KEY" => der::encrypted_pkcs8(&block.body, passphrase)?,
            "RSA PRIVATE KEY" => der::traditional(&block, passphrase, der::pkcs1)?,
            "EC PRIVATE KEY" => der::traditional(&block, passphrase, der::sec1)?,
            "DSA PRIVATE KEY" => {
                return Err(PrivateKeyError::Unsupported(openssh::unsupported_type("ssh-dss")));
            }
            other => return Err(PrivateKeyError::Unsupported(format!("a file of type {other}"))),
        };
        Ok(signer.into())
    }

    /// Reads the result of [`PrivateKey::to_pkcs8`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, PrivateKeyError> {
        wiping_stack(|| der::pkcs8(der)).map(Self::from)
    }

    /// Returns the key without encryption, to be read again later without its passphrase.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, SignError> {
        let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let made = wiping_stack(|| match &self.signer {
            Signer::Ed25519(key) => key.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Signer::Ecdsa(_, key) => key.to_pkcs8v1().map(|der| copy(der.as_ref())),
            Signer::Rsa(key) => AsDer::<Pkcs8V1Der<'_>>::as_der(key).map(|der| copy(der.as_ref())),
        });
        made.map_err(|_| SignError::Failed)
    }

    /// Appends the key to a message to an agent, which is to be wiped, and makes room for `room` more
    /// bytes: growing would leave a copy in memory.
    pub(crate) fn put_fields(&self, message: &mut Vec<u8>, room: usize) -> Result<(), SignError> {
        let pkcs8 = self.to_pkcs8()?;
        // The fields are shorter than that.
        message.reserve_exact(64 + 2 * pkcs8.len() + room);
        wiping_stack(|| fields::put(message, &self.signer, &pkcs8)).map_err(|_| SignError::Failed)
    }

    /// Returns the public key of a key file without decrypting it: only the formats of OpenSSH and PuTTY
    /// have it in the clear.
    pub fn public_half(text: &[u8]) -> Option<Vec<u8>> {
        wiping_stack(|| Self::read_public_half(text))
    }

    fn read_public_half(text: &[u8]) -> Option<Vec<u8>> {
        let text = encoding::plain(text);
        if text.starts_with(ppk::START) {
            return ppk::public_half(&text);
        }
        let block = Block::find(&text).ok()?;
        if block.label == "OPENSSH PRIVATE KEY" { openssh::public_half(&block.body) } else { None }
    }

    /// Returns the public key in the encoding of RFC 4253 section 6.6.
    pub fn public_blob(&self) -> &[u8] {
        &self.public_blob
    }

    /// Returns the comment in a file of OpenSSH's format; empty if there is none, and after
    /// [`PrivateKey::from_pkcs8`].
    pub fn comment(&self) -> &[u8] {
        &self.comment
    }

    /// Returns the signature algorithms of the key, best first.
    pub fn algorithms(&self) -> &'static [&'static str] {
        match &self.signer {
            Signer::Ed25519(_) => &[ED25519],
            Signer::Ecdsa(curve, _) => curve.algorithms(),
            Signer::Rsa(_) => &[RSA_SHA2_512, RSA_SHA2_256],
        }
    }

    /// Signs `data`. Returns the signature in the encoding of RFC 4253 section 6.6:
    ///
    /// ```text
    /// string  algorithm
    /// string  signature, in the encoding of the algorithm
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
    /// Returns the public key (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4).
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
        Self { public_blob: signer.public_blob(), signer, comment: Vec::new() }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("algorithms", &self.algorithms()).finish_non_exhaustive()
    }
}

impl From<KeyRejected> for PrivateKeyError {
    fn from(_: KeyRejected) -> Self {
        PrivateKeyError::Damaged("its numbers are not a key")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests;
