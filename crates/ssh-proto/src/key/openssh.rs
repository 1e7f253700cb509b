//! OpenSSH's own format of private keys, `openssh-key-v1` (its PROTOCOL.key).
//!
//! The ciphers and the derivation of their keys are those of ssh-key. The fields are read here,
//! as ssh-key 0.6 refuses ECDSA keys whose private number happens to have a leading zero byte:
//! one in 256 of those on nistp256, one in four on nistp521.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use ssh_key::{Cipher, Kdf};
use zeroize::Zeroizing;

use super::curve::{Curve, MAX_WIDTH};
use super::pad::pad_into;
use super::private::{PrivateKeyError, Signer};
use super::{ED25519, RSA, rsa};
use crate::wire::{Malformed, Reader};

/// What the decoded body begins with.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The most rounds of bcrypt that a file may ask for, some tens of seconds of work; ssh-keygen writes
/// 16 or 24. Few enough under the fuzzer for it to try many files.
const MOST_ROUNDS: u32 = if cfg!(feature = "fuzzing") { 2 } else { 10_000 };

impl From<Malformed> for PrivateKeyError {
    fn from(_: Malformed) -> Self {
        PrivateKeyError::Damaged("a field is missing or cut short")
    }
}

/// The public half of a body, encrypted or not; `None` where there is none to be found.
pub(super) fn public_half(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Reader::new(body.strip_prefix(MAGIC)?);
    for _ in ["cipher", "key derivation", "its options"] {
        fields.string().ok()?;
    }
    fields.uint32().ok()?;
    fields.string().ok().map(<[u8]>::to_vec)
}

/// Reads the body of a file.
///
/// ```text
/// byte[]  "openssh-key-v1" and a zero
/// string  cipher
/// string  key derivation
/// string  its options
/// uint32  number of keys, always 1
/// string  the public half
/// string  the private half, encrypted
/// byte[]  the tag of an authenticating cipher
/// ```
pub(super) fn read(body: &[u8], passphrase: Option<&[u8]>) -> Result<Signer, PrivateKeyError> {
    let body = body.strip_prefix(MAGIC).ok_or(PrivateKeyError::Damaged("its header is wrong"))?;
    let mut fields = Reader::new(body);
    let (cipher, derivation) = (fields.text()?, fields.text()?);
    let options = fields.string()?;
    if fields.uint32()? != 1 {
        return Err(PrivateKeyError::Unsupported("a file with several keys".to_owned()));
    }
    let public = fields.string()?;
    let private = fields.string()?;
    let tag = fields.rest();

    let signer = if cipher == "none" {
        if !tag.is_empty() {
            return Err(PrivateKeyError::Damaged("something follows it"));
        }
        section(private, 8)?.ok_or(PrivateKeyError::Damaged("its check numbers differ"))?
    } else {
        let unsupported = || PrivateKeyError::Unsupported(format!("encrypted with {cipher}"));
        let cipher = Cipher::new(cipher).map_err(|_| unsupported())?;
        if derivation != "bcrypt" {
            return Err(PrivateKeyError::Unsupported(format!("key derivation {derivation}")));
        }
        let tag = match (cipher.has_tag(), tag) {
            (false, []) => None,
            (true, tag) => {
                Some(tag.try_into().map_err(|_| PrivateKeyError::Damaged("its tag is cut short"))?)
            }
            (false, _) => return Err(PrivateKeyError::Damaged("something follows it")),
        };
        if !private.len().is_multiple_of(cipher.block_size()) {
            return Err(PrivateKeyError::Damaged("its length does not fit its cipher"));
        }
        let derivation = bcrypt(options)?;
        let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
        let (key, iv) = derivation
            .derive_key_and_iv(cipher, passphrase)
            .map_err(|_| PrivateKeyError::Damaged("its key derivation cannot be run"))?;
        let mut private = Zeroizing::new(private.to_vec());
        // Only a tag can fail in a cipher that is there at all.
        cipher.decrypt(&key, &iv, &mut private, tag).map_err(|_| match tag {
            Some(_) => PrivateKeyError::PassphraseWrong,
            None => unsupported(),
        })?;
        section(&private, cipher.block_size())?.ok_or(PrivateKeyError::PassphraseWrong)?
    };
    if signer.public_blob() != public {
        return Err(PrivateKeyError::Damaged("its public and private halves do not fit"));
    }
    Ok(signer)
}

/// The options of the one key derivation there is.
///
/// ```text
/// string  salt
/// uint32  rounds
/// ```
fn bcrypt(options: &[u8]) -> Result<Kdf, PrivateKeyError> {
    let mut fields = Reader::new(options);
    let (salt, rounds) = (fields.string()?.to_vec(), fields.uint32()?);
    fields.end()?;
    if rounds > MOST_ROUNDS {
        let what = format!("encrypted with {rounds} rounds of bcrypt, more than {MOST_ROUNDS}");
        return Err(PrivateKeyError::Unsupported(what));
    }
    Ok(Kdf::Bcrypt { salt, rounds })
}

/// Reads the private half; `None` when it was decrypted with the wrong key.
///
/// ```text
/// uint32  check
/// uint32  the same number
/// string  type of key, and its fields
/// string  comment
/// byte[]  1, 2, 3, ... up to a multiple of the cipher's block
/// ```
fn section(section: &[u8], block: usize) -> Result<Option<Signer>, PrivateKeyError> {
    let mut fields = Reader::new(section);
    if fields.uint32()? != fields.uint32()? {
        return Ok(None);
    }
    let signer = match fields.text()? {
        ED25519 => ed25519(&mut fields)?,
        RSA => rsa(&mut fields)?,
        name => match Curve::by_algorithm(name) {
            Some(curve) => ecdsa(curve, &mut fields)?,
            None => return Err(PrivateKeyError::Unsupported(unsupported_type(name))),
        },
    };
    fields.string()?;
    let padding = fields.rest();
    if padding.len() >= block || !padding.iter().copied().eq((1..).take(padding.len())) {
        return Err(PrivateKeyError::Damaged("its padding is wrong"));
    }
    Ok(Some(signer))
}

/// Says what a type is that cannot be used, where people have such keys.
fn unsupported_type(name: &str) -> String {
    if name.starts_with("sk-") {
        format!("{name}, the secret of which is in a security key")
    } else {
        format!("a key of type {}", name.escape_debug())
    }
}

/// ```text
/// string  public key
/// string  seed and public key
/// ```
fn ed25519(fields: &mut Reader<'_>) -> Result<Signer, PrivateKeyError> {
    let (public, pair) = (fields.string()?, fields.string()?);
    // RFC 8032: both are 32 bytes.
    let (seed, again) = pair.split_at_checked(32).ok_or(Malformed)?;
    if public != again {
        return Err(PrivateKeyError::Damaged("its public and private halves do not fit"));
    }
    Ok(Signer::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, public)?))
}

/// ```text
/// string  curve
/// string  public point
/// mpint   private number
/// ```
fn ecdsa(curve: Curve, fields: &mut Reader<'_>) -> Result<Signer, PrivateKeyError> {
    let (name, point, number) = (fields.string()?, fields.string()?, fields.positive()?);
    if name != curve.name().as_bytes() {
        return Err(PrivateKeyError::Damaged("its curve is not the one of its type"));
    }
    let mut scalar = Zeroizing::new([0; MAX_WIDTH]);
    let scalar = &mut scalar[..curve.width()];
    pad_into(scalar, number).ok_or(Malformed)?;
    let key = EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), scalar, point)?;
    Ok(Signer::Ecdsa(curve, key))
}

/// ```text
/// mpint   n
/// mpint   e
/// mpint   d
/// mpint   inverse of q modulo p
/// mpint   p
/// mpint   q
/// ```
fn rsa(fields: &mut Reader<'_>) -> Result<Signer, PrivateKeyError> {
    let numbers = rsa::Numbers {
        n: fields.positive()?,
        e: fields.positive()?,
        d: fields.positive()?,
        iqmp: fields.positive()?,
        p: fields.positive()?,
        q: fields.positive()?,
    };
    Ok(Signer::Rsa(numbers.key_pair()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;

    /// A file that asks for this many rounds, whatever it holds.
    fn encrypted(rounds: u32) -> Vec<u8> {
        let mut options = Vec::new();
        options.put_string(b"salt");
        options.put_uint32(rounds);
        let mut body = MAGIC.to_vec();
        body.put_string(b"aes256-ctr");
        body.put_string(b"bcrypt");
        body.put_string(&options);
        body.put_uint32(1);
        body.put_string(b"public");
        body.put_string(&[7; 32]);
        body
    }

    /// 4 billion rounds would take a thread for half a year.
    #[test]
    fn the_work_for_a_passphrase_is_bounded() {
        for passphrase in [None, Some(&b"secret"[..])] {
            for rounds in [MOST_ROUNDS + 1, u32::MAX] {
                let error = read(&encrypted(rounds), passphrase).err();
                let Some(PrivateKeyError::Unsupported(text)) = error else { panic!("{error:?}") };
                assert!(text.contains(&rounds.to_string()), "{text}");
            }
        }
        let error = read(&encrypted(MOST_ROUNDS), None).err();
        assert_eq!(error, Some(PrivateKeyError::PassphraseMissing));
        let error = read(&encrypted(1), Some(b"secret")).err();
        assert_eq!(error, Some(PrivateKeyError::PassphraseWrong));
    }
}
