//! OpenSSH's format of private keys, `openssh-key-v1` (its PROTOCOL.key).
//!
//! The crate ssh-key provides the ciphers and key derivation. The fields are read here, as ssh-key 0.6
//! refuses ECDSA keys whose private number has a leading zero byte: one in 256 keys on nistp256, one
//! in four on nistp521.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use ssh_key::{Cipher, Kdf};
use zeroize::Zeroizing;

use super::curve::{Curve, MAX_WIDTH};
use super::pad::pad_into;
use super::private::{PrivateKeyError, Signer};
use super::{ED25519, RSA, rsa};
use crate::wire::{Malformed, Reader};

/// First bytes of the decoded body.
pub(super) const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Maximum rounds of bcrypt, some tens of seconds of work; ssh-keygen writes 16 or 24. Lower under the
/// fuzzer, so that it can try many files.
const MAX_ROUNDS: u32 = if cfg!(feature = "fuzzing") { 2 } else { 10_000 };

impl From<Malformed> for PrivateKeyError {
    fn from(_: Malformed) -> Self {
        PrivateKeyError::Damaged("a field is missing or cut short")
    }
}

/// Returns the public key of a body, encrypted or not; `None` if there is none.
pub(super) fn public_half(body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Reader::new(body.strip_prefix(MAGIC)?);
    for _ in ["cipher", "key derivation", "its options"] {
        fields.string().ok()?;
    }
    fields.uint32().ok()?;
    fields.string().ok().map(<[u8]>::to_vec)
}

/// Reads the body of a file: the key, and its comment.
///
/// ```text
/// byte[]  "openssh-key-v1" and a zero
/// string  cipher
/// string  key derivation
/// string  its options
/// uint32  number of keys, always 1
/// string  public key
/// string  private key, encrypted
/// byte[]  tag of an authenticating cipher
/// ```
pub(super) fn read(
    body: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<(Signer, Vec<u8>), PrivateKeyError> {
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

    let (signer, comment) = if cipher == "none" {
        if !tag.is_empty() {
            return Err(PrivateKeyError::Damaged("bytes follow it"));
        }
        section(private)?.ok_or(PrivateKeyError::Damaged("its check numbers differ"))?
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
            (false, _) => return Err(PrivateKeyError::Damaged("bytes follow it")),
        };
        if !private.len().is_multiple_of(cipher.block_size()) {
            return Err(PrivateKeyError::Damaged("its length does not match its cipher"));
        }
        let derivation = bcrypt(options)?;
        let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
        let (key, iv) = derivation
            .derive_key_and_iv(cipher, passphrase)
            .map_err(|_| PrivateKeyError::Damaged("its key derivation cannot be run"))?;
        let mut private = Zeroizing::new(private.to_vec());
        // In a supported cipher, only the tag can fail.
        cipher.decrypt(&key, &iv, &mut private, tag).map_err(|_| match tag {
            Some(_) => PrivateKeyError::PassphraseWrong,
            None => unsupported(),
        })?;
        section(&private)?.ok_or(PrivateKeyError::PassphraseWrong)?
    };
    if signer.public_blob() != public {
        return Err(PrivateKeyError::Damaged("its public and private keys do not match"));
    }
    Ok((signer, comment))
}

/// Reads the options of bcrypt, the only key derivation.
///
/// ```text
/// string  salt
/// uint32  rounds
/// ```
fn bcrypt(options: &[u8]) -> Result<Kdf, PrivateKeyError> {
    let mut fields = Reader::new(options);
    let (salt, rounds) = (fields.string()?.to_vec(), fields.uint32()?);
    fields.end()?;
    if rounds > MAX_ROUNDS {
        let what = format!("encrypted with {rounds} rounds of bcrypt, more than {MAX_ROUNDS}");
        return Err(PrivateKeyError::Unsupported(what));
    }
    Ok(Kdf::Bcrypt { salt, rounds })
}

/// Reads the decrypted private key and its comment; `None` if the passphrase was wrong.
///
/// ```text
/// uint32  check
/// uint32  the same number
/// string  type of key, and its fields
/// string  comment
/// byte[]  1, 2, 3, ... up to a multiple of the cipher's block
/// ```
///
/// As in OpenSSH, the padding may have any length: PuTTYgen pads to blocks of 16 bytes without a cipher
/// too, where ssh-keygen pads to 8.
fn section(section: &[u8]) -> Result<Option<(Signer, Vec<u8>)>, PrivateKeyError> {
    let mut fields = Reader::new(section);
    if fields.uint32()? != fields.uint32()? {
        return Ok(None);
    }
    let signer = match fields.text()? {
        ED25519 => ed25519(&mut fields)?,
        RSA => rsa(&mut fields)?,
        name => match Curve::by_algorithm(name) {
            Some(curve) => ecdsa(curve, fields.string()?, fields.string()?, fields.positive()?)?,
            None => return Err(PrivateKeyError::Unsupported(unsupported_type(name))),
        },
    };
    let comment = fields.string()?.to_vec();
    let mut expected = (0..=u8::MAX).cycle().skip(1);
    if !fields.rest().iter().all(|byte| expected.next() == Some(*byte)) {
        return Err(PrivateKeyError::Damaged("its padding is wrong"));
    }
    Ok(Some((signer, comment)))
}

/// Describes a type of key that is not supported.
pub(super) fn unsupported_type(name: &str) -> String {
    if name == "ssh-dss" {
        "a DSA key (ssh-dss), which current servers refuse".to_owned()
    } else if name.starts_with("sk-") {
        format!("{name}, whose private key is in a security key")
    } else {
        format!("a key of type {}", name.escape_debug())
    }
}

/// ```text
/// string  public key
/// string  seed, then public key
/// ```
fn ed25519(fields: &mut Reader<'_>) -> Result<Signer, PrivateKeyError> {
    let (public, pair) = (fields.string()?, fields.string()?);
    // RFC 8032: both are 32 bytes.
    let (seed, again) = pair.split_at_checked(32).ok_or(Malformed)?;
    if public != again {
        return Err(PrivateKeyError::Damaged("its public and private keys do not match"));
    }
    Ok(Signer::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, public)?))
}

/// ```text
/// string  curve
/// string  public point
/// mpint   private number
/// ```
pub(super) fn ecdsa(
    curve: Curve,
    name: &[u8],
    point: &[u8],
    number: &[u8],
) -> Result<Signer, PrivateKeyError> {
    if name != curve.name().as_bytes() {
        return Err(PrivateKeyError::Damaged("its curve does not match its type"));
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

    /// A file with this many rounds.
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
    fn the_work_of_key_derivation_is_bounded() {
        for passphrase in [None, Some(&b"secret"[..])] {
            for rounds in [MAX_ROUNDS + 1, u32::MAX] {
                let error = read(&encrypted(rounds), passphrase).err();
                let Some(PrivateKeyError::Unsupported(text)) = error else { panic!("{error:?}") };
                assert!(text.contains(&rounds.to_string()), "{text}");
            }
        }
        let error = read(&encrypted(MAX_ROUNDS), None).err();
        assert_eq!(error, Some(PrivateKeyError::PassphraseMissing));
        let error = read(&encrypted(1), Some(b"secret")).err();
        assert_eq!(error, Some(PrivateKeyError::PassphraseWrong));
    }
}
