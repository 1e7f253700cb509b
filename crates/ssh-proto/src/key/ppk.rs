//! PuTTY's key files, versions 2 and 3 (appendix C of PuTTY's manual).
//!
//! ```text
//! PuTTY-User-Key-File-3: type of key
//! Encryption: aes256-cbc, or none
//! Comment: text
//! Public-Lines: n, then n lines of base64
//! Key-Derivation: Argon2id, Argon2i or Argon2d, if encrypted, as the following
//! Argon2-Memory: KiB
//! Argon2-Passes: number
//! Argon2-Parallelism: number
//! Argon2-Salt: hexadecimal
//! Private-Lines: n, then n lines of base64
//! Private-MAC: hexadecimal
//! ```
//!
//! Version 2 derives its keys with SHA-1.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use aws_lc_rs::signature::Ed25519KeyPair;
use ssh_key::Cipher;
use zeroize::Zeroizing;

use super::certificate::{Certificate, SUFFIX};
use super::curve::Curve;
use super::encoding::decode_base64;
use super::private::{PrivateKeyError, Signer};
use super::sha1::sha1;
use super::{ED25519, RSA, openssh, rsa};
use crate::wire::{Malformed, Reader, Writer};

/// First bytes of a file; its version and the type of its key follow.
pub(super) const START: &[u8] = b"PuTTY-User-Key-File-";

/// Bytes of a block of AES, to which the private key is padded.
const BLOCK: usize = 16;
/// Maximum memory of Argon2 in KiB; PuTTYgen writes 8192.
const MAX_MEMORY: u32 = if cfg!(feature = "fuzzing") { 64 } else { 1 << 20 };
/// Maximum work of Argon2, in KiB of all passes: some tens of seconds. PuTTYgen writes a hundredth.
const MAX_WORK: u64 = if cfg!(feature = "fuzzing") { 128 } else { 1 << 24 };

/// A key file, its private key still encrypted.
struct File<'a> {
    version: u8,
    key_type: &'a [u8],
    headers: Vec<(&'a [u8], &'a [u8])>,
    public: Zeroizing<Vec<u8>>,
    private: Zeroizing<Vec<u8>>,
}

/// Keys that are derived from the passphrase.
struct Derived {
    cipher: [u8; 32],
    iv: [u8; BLOCK],
    mac: Vec<u8>,
}

impl zeroize::Zeroize for Derived {
    fn zeroize(&mut self) {
        self.cipher.zeroize();
        self.iv.zeroize();
        self.mac.zeroize();
    }
}

/// Returns the public key of a file without decrypting it; `None` if there is none.
pub(super) fn public_half(text: &[u8]) -> Option<Vec<u8>> {
    let file = File::parse(text).ok()?;
    plain_public(&file).ok()
}

/// Reads a file.
pub(super) fn read(text: &[u8], passphrase: Option<&[u8]>) -> Result<Signer, PrivateKeyError> {
    let mut file = File::parse(text)?;
    let derived = match file.header("Encryption")? {
        b"none" => None,
        b"aes256-cbc" => {
            if !file.private.len().is_multiple_of(BLOCK) {
                return Err(PrivateKeyError::Damaged("its length does not match its cipher"));
            }
            let argon2 = if file.version == 2 { None } else { Some(file.argon2()?) };
            let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
            let derived = match argon2 {
                None => derive_by_sha1(passphrase),
                Some((argon2, salt)) => derive_by_argon2(&argon2, &salt, passphrase)?,
            };
            Cipher::Aes256Cbc
                .decrypt(&derived.cipher, &derived.iv, &mut file.private, None)
                .map_err(|_| PrivateKeyError::PassphraseWrong)?;
            Some(derived)
        }
        other => {
            let what = format!("encrypted with {}", other.escape_ascii());
            return Err(PrivateKeyError::Unsupported(what));
        }
    };
    file.verify(derived.as_ref().map(|derived| derived.mac.as_slice()))?;
    let public = plain_public(&file)?;
    let signer = signer(&public, &file.private)?;
    if signer.public_blob() != public {
        return Err(PrivateKeyError::Damaged("its public and private keys do not match"));
    }
    Ok(signer)
}

impl<'a> File<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, PrivateKeyError> {
        let end = if text.contains(&b'\n') { b'\n' } else { b'\r' };
        // Only line ends are removed: the comment may end with a space.
        let mut lines = text
            .split(|byte| *byte == end)
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty());
        let first = lines.next().and_then(|line| header(line.strip_prefix(START)?));
        let (version, key_type) = first.ok_or(PrivateKeyError::Damaged("its header is wrong"))?;
        let version = match version {
            b"2" => 2,
            b"3" => 3,
            other => {
                let what = format!("version {} of PuTTY's format", other.escape_ascii());
                return Err(PrivateKeyError::Unsupported(what));
            }
        };
        let mut headers = Vec::new();
        let (mut public, mut private) = (None, None);
        while let Some(line) = lines.next() {
            let (name, value) = header(line)
                .ok_or(PrivateKeyError::Damaged("the lines of its PuTTY format are incomplete"))?;
            let section = match name {
                b"Public-Lines" => &mut public,
                b"Private-Lines" => &mut private,
                _ => {
                    headers.push((name, value));
                    continue;
                }
            };
            let count = number(value)? as usize;
            // Never grows: that would leave a copy of key material in memory.
            let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
            for line in lines.by_ref().take(count) {
                base64.extend_from_slice(line.trim_ascii());
            }
            *section = decode_base64(&base64);
        }
        let missing = PrivateKeyError::Damaged(if headers.is_empty() && public.is_none() {
            "its line feeds are missing, which a PuTTY key file needs"
        } else {
            "its public or private key is missing or not base64"
        });
        match (public, private) {
            (Some(public), Some(private)) => {
                Ok(Self { version, key_type, headers, public, private })
            }
            _ => Err(missing),
        }
    }

    fn header(&self, name: &str) -> Result<&'a [u8], PrivateKeyError> {
        let found = self.headers.iter().find(|header| header.0 == name.as_bytes());
        found
            .map(|header| header.1)
            .ok_or(PrivateKeyError::Damaged("a line of its PuTTY format is missing"))
    }

    /// Returns the key derivation of version 3, and its salt.
    fn argon2(&self) -> Result<(Argon2<'static>, Vec<u8>), PrivateKeyError> {
        let algorithm = match self.header("Key-Derivation")? {
            b"Argon2id" => Algorithm::Argon2id,
            b"Argon2i" => Algorithm::Argon2i,
            b"Argon2d" => Algorithm::Argon2d,
            other => {
                let what = format!("key derivation {}", other.escape_ascii());
                return Err(PrivateKeyError::Unsupported(what));
            }
        };
        let value = |name| self.header(name).and_then(number);
        let (memory, passes) = (value("Argon2-Memory")?, value("Argon2-Passes")?);
        if memory > MAX_MEMORY || u64::from(memory) * u64::from(passes) > MAX_WORK {
            let what = "encrypted with a key derivation of excessive cost";
            return Err(PrivateKeyError::Unsupported(what.to_owned()));
        }
        let wrong = PrivateKeyError::Damaged("its encryption parameters are wrong");
        let parameters = Params::new(memory, passes, value("Argon2-Parallelism")?, None)
            .map_err(|_| wrong.clone())?;
        let salt = hexadecimal(self.header("Argon2-Salt")?).ok_or(wrong)?;
        Ok((Argon2::new(algorithm, Version::V0x13, parameters), salt))
    }

    /// Verifies the MAC, with the key that was derived from the passphrase if there is one.
    fn verify(&self, key: Option<&[u8]>) -> Result<(), PrivateKeyError> {
        let damaged = PrivateKeyError::Damaged("its MAC is wrong");
        let fields = [
            self.key_type,
            self.header("Encryption")?,
            self.header("Comment")?,
            &self.public,
            &self.private,
        ];
        let length = fields.iter().map(|field| 4 + field.len()).sum();
        let mut data = Zeroizing::new(Vec::with_capacity(length));
        for field in fields {
            data.put_string(field);
        }
        let mac = hexadecimal(self.header("Private-MAC")?).ok_or(damaged.clone())?;
        let without_passphrase;
        let (algorithm, key) = match (self.version, key) {
            (2, Some(key)) => (HMAC_SHA1_FOR_LEGACY_USE_ONLY, key),
            (2, None) => {
                without_passphrase = sha1(&[MAC_KEY]);
                (HMAC_SHA1_FOR_LEGACY_USE_ONLY, without_passphrase.as_slice())
            }
            (_, key) => (HMAC_SHA256, key.unwrap_or_default()),
        };
        hmac::verify(&hmac::Key::new(algorithm, key), &data, &mac).map_err(|_| {
            if self.header("Encryption") == Ok(b"none") {
                damaged
            } else {
                PrivateKeyError::PassphraseWrong
            }
        })
    }
}

/// What the key of version 2's MAC is derived from, with the passphrase.
const MAC_KEY: &[u8] = b"putty-private-key-file-mac-key";

/// Splits a line `name: value`.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = &line[colon + 1..];
    Some((&line[..colon], value.strip_prefix(b" ").unwrap_or(value)))
}

fn number(text: &[u8]) -> Result<u32, PrivateKeyError> {
    let number = str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
    number.ok_or(PrivateKeyError::Damaged("a number of its PuTTY format is wrong"))
}

/// Decodes hexadecimal digits.
pub(super) fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.trim_ascii().as_chunks::<2>() else { return None };
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn derive_by_sha1(passphrase: &[u8]) -> Zeroizing<Derived> {
    let mut derived = empty();
    let digests = [0_u8, 1].map(|number| sha1(&[&[0, 0, 0, number], passphrase]));
    let bytes = digests.iter().flat_map(|digest| digest.iter());
    for (to, from) in derived.cipher.iter_mut().zip(bytes) {
        *to = *from;
    }
    derived.mac.extend_from_slice(&sha1(&[MAC_KEY, passphrase]));
    derived
}

fn derive_by_argon2(
    argon2: &Argon2<'_>,
    salt: &[u8],
    passphrase: &[u8],
) -> Result<Zeroizing<Derived>, PrivateKeyError> {
    let failed = || PrivateKeyError::Damaged("its key derivation cannot be run");
    let blocks = argon2.params().block_count();
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(blocks).map_err(|_| failed())?;
    memory.resize(blocks, Block::default());
    let mut derived = empty();
    let mut bytes = Zeroizing::new([0; 80]);
    argon2
        .hash_password_into_with_memory(passphrase, salt, &mut *bytes, memory.as_mut_slice())
        .map_err(|_| failed())?;
    derived.cipher.copy_from_slice(&bytes[..32]);
    derived.iv.copy_from_slice(&bytes[32..48]);
    derived.mac.extend_from_slice(&bytes[48..]);
    Ok(derived)
}

/// Room for the keys that are derived from the passphrase.
fn empty() -> Zeroizing<Derived> {
    Zeroizing::new(Derived { cipher: [0; 32], iv: [0; BLOCK], mac: Vec::with_capacity(32) })
}

/// Returns the public key; of a certificate, which PuTTY stores in its place, its key.
fn plain_public(file: &File<'_>) -> Result<Vec<u8>, PrivateKeyError> {
    let damaged = PrivateKeyError::Damaged("its type does not match its public key");
    if Reader::new(&file.public).string()? != file.key_type {
        return Err(damaged);
    }
    if !file.key_type.ends_with(SUFFIX.as_bytes()) {
        return Ok(file.public.to_vec());
    }
    Certificate::parse(&file.public)
        .map(|certificate| certificate.key().blob().to_vec())
        .map_err(|_| PrivateKeyError::Damaged("its certificate is damaged"))
}

/// Reads the fields of both keys. Padding follows the private ones.
///
/// ```text
/// ssh-rsa:      mpint e, n            mpint d, p, q, inverse of q modulo p
/// ssh-ed25519:  string public key     string seed, without zero bytes at its end
/// ecdsa-sha2-:  string curve, point   mpint private number
/// ```
fn signer(public: &[u8], private: &[u8]) -> Result<Signer, PrivateKeyError> {
    let (mut public, mut private) = (Reader::new(public), Reader::new(private));
    match public.text()? {
        RSA => {
            let (e, n) = (public.positive()?, public.positive()?);
            let (d, p, q) = (private.positive()?, private.positive()?, private.positive()?);
            let numbers = rsa::Numbers { n, e, d, iqmp: private.positive()?, p, q };
            Ok(Signer::Rsa(numbers.key_pair()?))
        }
        ED25519 => {
            let mut seed = Zeroizing::new([0; 32]);
            let bytes = private.string()?;
            seed.get_mut(..bytes.len()).ok_or(Malformed)?.copy_from_slice(bytes);
            Ok(Signer::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&*seed, public.string()?)?))
        }
        name => match Curve::by_algorithm(name) {
            Some(curve) => {
                let (name, point) = (public.string()?, public.string()?);
                openssh::ecdsa(curve, name, point, private.positive()?)
            }
            None => Err(PrivateKeyError::Unsupported(openssh::unsupported_type(name))),
        },
    }
}
