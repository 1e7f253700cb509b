//! OpenSSL's formats of private keys, PKCS#8, PKCS#1 and SEC1, and their two kinds of encryption.
//! aws-lc-rs reads the decrypted structures.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use md5::{Digest, Md5};
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode, Reader, SliceReader};
use pkcs8::pkcs5::{self, pbes2::Kdf};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo};
use zeroize::{Zeroize, Zeroizing};

use super::curve::Curve;
use super::pem::Block;
use super::private::{PrivateKeyError, Signer};

/// id-Ed25519 (RFC 8410)
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// id-ecPublicKey (RFC 5480)
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// rsaEncryption (RFC 8017)
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

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
        RSA => Ok(Signer::Rsa(RsaKeyPair::from_pkcs8(der)?)),
        other => Err(PrivateKeyError::Unsupported(format!("PKCS#8 with a key of type {other}"))),
    }
}

/// Reads `RSA PRIVATE KEY`, PKCS#1 (RFC 8017).
pub(super) fn pkcs1(der: &[u8]) -> Result<Signer, PrivateKeyError> {
    Ok(Signer::Rsa(RsaKeyPair::from_der(der)?))
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

/// Reads `ENCRYPTED PRIVATE KEY`, PKCS#8 encrypted with PBES2 (RFC 8018).
pub(super) fn encrypted_pkcs8(
    der: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Signer, PrivateKeyError> {
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| match outline(der) {
        Ok(()) => unsupported_encryption(),
        Err(_) => PrivateKeyError::Damaged("it is not an encrypted PKCS#8 structure"),
    })?;
    if !is_sensible(&info) {
        return Err(PrivateKeyError::Damaged(WRONG_PARAMETERS));
    }
    if !is_affordable(&info) {
        let what = "encrypted with a key derivation of excessive cost";
        return Err(PrivateKeyError::Unsupported(what.to_owned()));
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

/// Checks for the structure of an encrypted key with any cipher: the parser of pkcs8 does not
/// distinguish an unknown cipher from a damaged file.
fn outline(der: &[u8]) -> pkcs8::der::Result<()> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|fields| {
        AlgorithmIdentifierRef::decode(fields)?;
        OctetStringRef::decode(fields)?;
        Ok(())
    })?;
    reader.finish(())
}

fn unsupported_encryption() -> PrivateKeyError {
    let what = "encrypted with something other than PBES2 with AES-CBC and PBKDF2 or scrypt";
    PrivateKeyError::Unsupported(what.to_owned())
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
    let (algorithm, key_length) = match cipher {
        "AES-128-CBC" => (&AES_128, 16),
        "AES-192-CBC" => (&AES_192, 24),
        "AES-256-CBC" => (&AES_256, 32),
        other => return Err(PrivateKeyError::Unsupported(format!("encrypted with {other}"))),
    };
    let iv = hexadecimal(iv).ok_or(PrivateKeyError::Damaged("its DEK-Info line is damaged"))?;
    if block.body.is_empty() || !block.body.len().is_multiple_of(iv.len()) {
        return Err(PrivateKeyError::Damaged("its length does not match its cipher"));
    }
    let passphrase = passphrase.ok_or(PrivateKeyError::PassphraseMissing)?;

    let key = bytes_to_key(passphrase, &iv, key_length);
    let key = UnboundCipherKey::new(algorithm, &key)
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .expect("the key has the length of its cipher");
    let mut body = block.body.clone();
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let der = key.decrypt(&mut body, context).map_err(|_| PrivateKeyError::PassphraseWrong)?;
    read(der).map_err(misdecrypted)
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
fn bytes_to_key(passphrase: &[u8], iv: &[u8; 16], length: usize) -> Zeroizing<Vec<u8>> {
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

/// Decodes 16 bytes in hexadecimal.
fn hexadecimal(text: &str) -> Option<[u8; 16]> {
    // from_str_radix alone would accept a sign.
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
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
