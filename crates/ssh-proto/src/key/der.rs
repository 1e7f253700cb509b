//! OpenSSL's formats of private keys, PKCS#8, PKCS#1 and SEC1, and their two kinds of encryption.
//! aws-lc-rs reads the decrypted structures.

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use md5::{Digest, Md5};
use pkcs8::der::asn1::{OctetStringRef, UintRef};
use pkcs8::der::{Decode, Reader, SliceReader};
use pkcs8::pkcs5::{self, pbes2::Kdf};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo};
use ssh_key::Cipher;
use zeroize::{Zeroize, Zeroizing};

use super::curve::Curve;
use super::pem::Block;
use super::ppk::hexadecimal;
use super::private::{PrivateKeyError, Signer};
use super::sha1::{Purpose, pkcs12};
use super::{openssh, rsa};
use crate::wire::bits;

/// id-Ed25519 (RFC 8410)
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// id-ecPublicKey (RFC 5480)
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// rsaEncryption (RFC 8017)
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// id-dsa (RFC 3279)
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
/// pbeWithSHAAnd3-KeyTripleDES-CBC (RFC 7292)
const SHA1_TRIPLE_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
/// pbeWithSHAAnd2-KeyTripleDES-CBC (RFC 7292)
const SHA1_TWO_KEYS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.4");

/// Maximum rounds of PBKDF2, the number that NIST SP 800-132 recommends for very critical keys. OpenSSL
/// writes 2048.
const MAX_ROUNDS: u32 = if cfg!(feature = "fuzzing") { 2 } else { 10_000_000 };
/// Maximum product of the three parameters of scrypt. Each unit takes 128 bytes of memory: this is
/// OpenSSL's limit of 32 MiB.
const MAX_BLOCKS: u64 = if cfg!(feature = "fuzzing") { 64 } else { 1 << 18 };

const WRONG_PARAMETERS: &str = "its encryption parameters are wrong";

/// Reads `PRIVATE KEY`, PKCS#8 with any type of key (RFC 5208, RFC 5958).
pub(super) fn pkcs8(der: &[u8]) -> Result<Signer, PrivateKeyError> {
    let info = PrivateKeyInfo::from_der(der)
        .map_err(|_| PrivateKeyError::Damaged("it is not a PKCS#8 structure"))?;
    match info.algorithm.oid {
        ED25519 => Ok(Signer::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)?)),
        EC => sec1(der),
        RSA => {
            check_modulus(info.private_key)?;
            Ok(Signer::Rsa(RsaKeyPair::from_pkcs8(der)?))
        }
        DSA => Err(PrivateKeyError::Unsupported(openssh::unsupported_type("ssh-dss"))),
        other => Err(PrivateKeyError::Unsupported(format!("PKCS#8 with a key of type {other}"))),
    }
}

/// Reads `RSA PRIVATE KEY`, PKCS#1 (RFC 8017).
pub(super) fn pkcs1(der: &[u8]) -> Result<Signer, PrivateKeyError> {
    check_modulus(der)?;
    Ok(Signer::Rsa(RsaKeyPair::from_der(der)?))
}

/// Checks the size of the modulus in a PKCS#1 structure: aws-lc-rs does not tell.
fn check_modulus(der: &[u8]) -> Result<(), PrivateKeyError> {
    let modulus = || {
        SliceReader::new(der)?.sequence(|fields| {
            u8::decode(fields)?;
            let modulus = UintRef::decode(fields)?;
            fields.read_slice(fields.remaining_len())?;
            Ok(bits(modulus.as_bytes()))
        })
    };
    let damaged = |_: pkcs8::der::Error| PrivateKeyError::Damaged("it is not a PKCS#1 structure");
    rsa::check_size(modulus().map_err(damaged)?)
}

/// Reads `EC PRIVATE KEY`, SEC1 (RFC 5915), also inside PKCS#8. The curve is the one that accepts it.
pub(super) fn sec1(der: &[u8]) -> Result<Signer, PrivateKeyError> {
    Curve::ALL
        .into_iter()
        .find_map(|curve| {
            let key = EcdsaKeyPair::from_private_key_der(curve.signing(), der).ok()?;
            Some(Signer::Ecdsa(curve, key))
        })
        .ok_or(PrivateKeyError::Damaged("it is not a key on nistp256, nistp384 or nistp521"))
}

/// Reads `ENCRYPTED PRIVATE KEY`, PKCS#8 encrypted with PBES2 (RFC 8018), or with SHA-1 and 3DES as in
/// PKCS#12 (RFC 7292).
pub(super) fn encrypted_pkcs8(
    der: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Signer, PrivateKeyError> {
    let damaged = PrivateKeyError::Damaged("it is not an encrypted PKCS#8 structure");
    let (algorithm, encrypted) = outline(der).map_err(|_| damaged)?;
    if [SHA1_TRIPLE_DES, SHA1_TWO_KEYS].contains(&algorithm.oid) {
        return sha1_triple_des(algorithm, encrypted, passphrase);
    }
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| unsupported_encryption())?;
    if !is_sensible(&info) {
        return Err(PrivateKeyError::Damaged(WRONG_PARAMETERS));
    }
    if !is_affordable(&info) {
        return Err(excessive_cost());
    }
    let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
    let document = info.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::NoPbes1CryptSupport,
        ) => unsupported_encryption(),
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::AlgorithmParametersInvalid { .. }) => {
            PrivateKeyError::Damaged(WRONG_PARAMETERS)
        }
        // The padding is wrong, or the result is not a structure.
        _ => PrivateKeyError::PassphraseWrong,
    })?;
    pkcs8(document.as_bytes()).map_err(misdecrypted)
}

/// Returns whether the cost of scrypt is a power of two: the library computes the logarithm of zero.
fn is_sensible(info: &EncryptedPrivateKeyInfo<'_>) -> bool {
    match info.encryption_algorithm.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(scrypt)) => scrypt.cost_parameter.is_power_of_two(),
        Some(_) | None => true,
    }
}

/// Returns whether the key derivation is limited in time and memory: the library trusts the file, and a
/// failed allocation would end the process.
fn is_affordable(info: &EncryptedPrivateKeyInfo<'_>) -> bool {
    match info.encryption_algorithm.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MAX_ROUNDS,
        Some(Kdf::Scrypt(scrypt)) => {
            let blocks = u64::from(scrypt.block_size) * u64::from(scrypt.parallelization);
            blocks.checked_mul(scrypt.cost_parameter).is_some_and(|all| all <= MAX_BLOCKS)
        }
        // Refused by the library.
        Some(_) | None => true,
    }
}

/// Returns the algorithm and the content of an encrypted key with any cipher: the parser of pkcs8 does
/// not distinguish an unknown cipher from a damaged file.
fn outline(der: &[u8]) -> pkcs8::der::Result<(AlgorithmIdentifierRef<'_>, &[u8])> {
    let mut reader = SliceReader::new(der)?;
    let parts = reader.sequence(|fields| {
        let algorithm = AlgorithmIdentifierRef::decode(fields)?;
        Ok((algorithm, OctetStringRef::decode(fields)?.as_bytes()))
    })?;
    reader.finish(parts)
}

fn unsupported_encryption() -> PrivateKeyError {
    let what = "encrypted with something other than PBES2 with AES-CBC or 3DES and PBKDF2 or scrypt, or \
                SHA-1 with 3DES";
    PrivateKeyError::Unsupported(what.to_owned())
}

/// Reads a key encrypted with `PBE-SHA1-3DES`, as OpenSSL and PuTTY wrote many. Its parameters:
///
/// ```text
/// SEQUENCE { salt OCTET STRING, iterations INTEGER }
/// ```
fn sha1_triple_des(
    algorithm: AlgorithmIdentifierRef<'_>,
    encrypted: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Signer, PrivateKeyError> {
    let parameters = || {
        algorithm.parameters.ok_or(pkcs8::der::ErrorKind::Failed)?.sequence(|fields| {
            Ok((OctetStringRef::decode(fields)?.as_bytes(), u32::decode(fields)?))
        })
    };
    let wrong = |_: pkcs8::der::Error| PrivateKeyError::Damaged(WRONG_PARAMETERS);
    let (salt, rounds) = parameters().map_err(wrong)?;
    if rounds > MAX_ROUNDS {
        return Err(excessive_cost());
    }
    let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
    let text = str::from_utf8(passphrase).map_err(|_| PrivateKeyError::PassphraseWrong)?;
    let length = if algorithm.oid == SHA1_TWO_KEYS { 16 } else { 24 };
    let derived = pkcs12(text, salt, rounds, Purpose::Cipher, length);
    // With two keys, the first one is used again.
    let mut key = Zeroizing::new([0; 24]);
    for (to, from) in key.iter_mut().zip(derived.iter().cycle()) {
        *to = *from;
    }
    let iv = pkcs12(text, salt, rounds, Purpose::Iv, 8);
    let mut body = Zeroizing::new(encrypted.to_vec());
    pkcs8(decrypt(Cipher::TDesCbc, &*key, &iv, &mut body)?).map_err(misdecrypted)
}

fn excessive_cost() -> PrivateKeyError {
    let what = "encrypted with a key derivation of excessive cost";
    PrivateKeyError::Unsupported(what.to_owned())
}

/// Decrypts and removes the padding (RFC 5652 section 6.3): each of its bytes is its length.
fn decrypt<'a>(
    cipher: Cipher,
    key: &[u8],
    iv: &[u8],
    body: &'a mut [u8],
) -> Result<&'a [u8], PrivateKeyError> {
    let block = cipher.block_size();
    if body.is_empty() || !body.len().is_multiple_of(block) {
        return Err(PrivateKeyError::Damaged("its length does not match its cipher"));
    }
    cipher.decrypt(key, iv, body, None).map_err(|_| PrivateKeyError::PassphraseWrong)?;
    let count = body.last().copied().unwrap_or_default();
    let (content, padding) = body
        .split_at_checked(body.len().wrapping_sub(count.into()))
        .ok_or(PrivateKeyError::PassphraseWrong)?;
    if padding.is_empty() || padding.len() > block || padding.iter().any(|byte| *byte != count) {
        return Err(PrivateKeyError::PassphraseWrong);
    }
    Ok(content)
}

/// Reads a format that OpenSSL used before PKCS#8, with its encryption in the headers:
///
/// ```text
/// Proc-Type: 4,ENCRYPTED
/// DEK-Info: AES-128-CBC,[16 bytes in hexadecimal]
/// ```
pub(super) fn traditional(
    block: &Block<'_>,
    passphrase: Option<&[u8]>,
    read: fn(&[u8]) -> Result<Signer, PrivateKeyError>,
) -> Result<Signer, PrivateKeyError> {
    if !block.header("Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED")) {
        return read(&block.body);
    }
    let (cipher, iv) = block
        .header("DEK-Info")
        .and_then(|value| value.split_once(','))
        .ok_or(PrivateKeyError::Damaged("its DEK-Info line is missing"))?;
    let (cipher, key_length) = match cipher {
        "AES-128-CBC" => (Cipher::Aes128Cbc, 16),
        "AES-192-CBC" => (Cipher::Aes192Cbc, 24),
        "AES-256-CBC" => (Cipher::Aes256Cbc, 32),
        "DES-EDE3-CBC" => (Cipher::TDesCbc, 24),
        other => return Err(PrivateKeyError::Unsupported(format!("encrypted with {other}"))),
    };
    let iv = hexadecimal(iv.as_bytes())
        .filter(|iv| iv.len() == cipher.block_size())
        .ok_or(PrivateKeyError::Damaged("its DEK-Info line is damaged"))?;
    let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;
    let key = bytes_to_key(passphrase, &iv, key_length);
    let mut body = block.body.clone();
    read(decrypt(cipher, &key, &iv, &mut body)?).map_err(misdecrypted)
}

/// Returns the error after decryption: in one of 256 cases a wrong passphrase yields a valid padding,
/// and then a damaged structure.
fn misdecrypted(error: PrivateKeyError) -> PrivateKeyError {
    match error {
        PrivateKeyError::Damaged(_) => PrivateKeyError::PassphraseWrong,
        PrivateKeyError::NotAKey(_)
        | PrivateKeyError::Unsupported(_)
        | PrivateKeyError::PassphraseMissing
        | PrivateKeyError::PassphraseWrong => error,
    }
}

/// Derives a key with OpenSSL's `EVP_BytesToKey`, MD5 and one round: each block is the digest of the
/// previous one, the passphrase, and 8 bytes of salt, the first of the initialization vector.
fn bytes_to_key(passphrase: &[u8], iv: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    // Room for whole blocks: growing would leave a copy in memory.
    let mut key = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(16)));
    while key.len() < length {
        let before = key.len().saturating_sub(16);
        let mut block = Md5::new()
            .chain_update(&key[before..])
            .chain_update(passphrase)
            .chain_update(&iv[..8])
            .finalize();
        key.extend_from_slice(&block);
        block.as_mut_slice().zeroize();
    }
    key.truncate(length);
    key
}

#[cfg(test)]
mod tests {
    use pkcs8::der::Encode;
    use pkcs8::pkcs5::pbes2::{EncryptionScheme, Parameters, Pbkdf2Params, ScryptParams};

    use super::*;

    fn read(kdf: Kdf<'_>) -> PrivateKeyError {
        let encryption = EncryptionScheme::Aes256Cbc { iv: &[7; 16] };
        let encryption_algorithm = Parameters { kdf, encryption }.into();
        let info = EncryptedPrivateKeyInfo { encryption_algorithm, encrypted_data: &[7; 48] };
        let der = info.to_der().expect("it is well formed");
        let error = encrypted_pkcs8(&der, None).err().expect("there is no passphrase");
        match (&error, encrypted_pkcs8(&der, Some(b"secret")).err()) {
            (PrivateKeyError::PassphraseMissing, Some(PrivateKeyError::PassphraseWrong)) => {}
            (error, other) => assert_eq!(Some(error), other.as_ref()),
        }
        error
    }

    fn scrypt(cost: u64, block_size: u16, parallelization: u16) -> PrivateKeyError {
        read(Kdf::Scrypt(ScryptParams {
            salt: b"salt",
            cost_parameter: cost,
            block_size,
            parallelization,
            key_length: None,
        }))
    }

    #[test]
    fn the_work_of_key_derivation_is_bounded() {
        let rounds = |rounds| {
            let pbkdf2 = Pbkdf2Params::hmac_with_sha256(rounds, b"salt");
            read(Kdf::Pbkdf2(pbkdf2.expect("the library takes more")))
        };
        assert_eq!(rounds(2), PrivateKeyError::PassphraseMissing);
        assert!(matches!(rounds(MAX_ROUNDS + 1), PrivateKeyError::Unsupported(_)));
    }

    #[test]
    fn invalid_costs_of_scrypt_are_refused() {
        for cost in [0, 3] {
            let error = scrypt(cost, 8, 1);
            assert_eq!(error, PrivateKeyError::Damaged(WRONG_PARAMETERS), "{cost}");
        }
    }

    /// A terabyte of memory, and a day of work with little of it.
    #[test]
    fn the_memory_of_key_derivation_is_bounded() {
        assert_eq!(scrypt(2, 8, 1), PrivateKeyError::PassphraseMissing);
        for (cost, block_size, parallelization) in
            [(1 << 30, 8, 1), (1 << 17, 1, u16::MAX), (1 << 63, u16::MAX, u16::MAX)]
        {
            let error = scrypt(cost, block_size, parallelization);
            assert!(matches!(error, PrivateKeyError::Unsupported(_)), "{error}");
        }
    }
}
