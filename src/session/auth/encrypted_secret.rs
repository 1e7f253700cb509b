//! Secrets that a later authentication needs, encrypted in memory.

use std::fmt;
use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::net::sys;
use crate::random::random;

/// Bytes of the key of AES-256.
pub(crate) const KEY: usize = 32;

/// Key for all secrets of the process, left out of core dumps where the system supports that.
static MEMORY_KEY: LazyLock<&'static [u8; KEY]> = LazyLock::new(|| {
    let key = sys::undumped_page().unwrap_or_else(|| Box::leak(Box::new([0; KEY])));
    random(key);
    key
});

/// A secret at rest, encrypted under a random key of this process.
///
/// Core dumps and swapped memory contain the ciphertext only; the key is in a page that goes to
/// neither. A program that can read all memory of the running process can read the secret.
pub struct EncryptedSecret {
    nonce: [u8; NONCE_LEN],
    sealed: Vec<u8>,
}

impl EncryptedSecret {
    /// Encrypts a copy of `secret`.
    pub fn new(secret: &[u8]) -> Self {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce);
        // Has room for the tag: growing would leave a copy behind that is not wiped.
        let mut sealed = Vec::with_capacity(secret.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(secret);
        let unique = Nonce::assume_unique_for_key(nonce);
        cipher()
            .seal_in_place_append_tag(unique, Aad::empty(), &mut sealed)
            .expect("no secret is too long for the cipher");
        Self { nonce, sealed }
    }

    /// Returns a decrypted copy.
    pub fn open(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new(self.sealed.clone());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = cipher().open_in_place(nonce, Aad::empty(), &mut secret);
        let length = opened.expect("it was sealed with the same key").len();
        secret.truncate(length);
        secret
    }
}

/// Returns the cipher; its key schedule is wiped when it is dropped.
fn cipher() -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, MEMORY_KEY.as_slice());
    LessSafeKey::new(key.expect("the key is as long as its cipher's"))
}

impl fmt::Debug for EncryptedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedSecret").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_decrypted_as_it_was() {
        for secret in [&b""[..], b"x", &[7; 100_000]] {
            let encrypted = EncryptedSecret::new(secret);
            assert_eq!(*encrypted.open(), secret);
            assert_eq!(*encrypted.open(), secret, "a second time");
            assert!(secret.len() < 2 || !encrypted.sealed.windows(2).any(|part| part == secret));
            assert_eq!(encrypted.sealed.len(), encrypted.sealed.capacity(), "it has grown");
        }
        assert_eq!(format!("{:?}", EncryptedSecret::new(b"secret")), "EncryptedSecret { .. }");
    }

    /// The page with the key is locked, and marked `dd` (`VM_DONTDUMP`).
    #[cfg(target_os = "linux")]
    #[test]
    fn a_core_dump_omits_the_key() {
        let address = MEMORY_KEY.as_ptr().addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
        let mut here = false;
        for line in maps.lines() {
            if let Some((start, end)) =
                line.split(' ').next().and_then(|range| range.split_once('-'))
                && let (Ok(start), Ok(end)) =
                    (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
            {
                here = (start..end).contains(&address);
            } else if here && let Some(flags) = line.strip_prefix("VmFlags:") {
                assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
                return;
            }
        }
        panic!("the page is in no mapping");
    }
}
