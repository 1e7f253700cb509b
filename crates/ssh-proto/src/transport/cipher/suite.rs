//! The names of the ciphers, their order, and their keys.

use std::fmt;

use aws_lc_rs::aead::chacha20_poly1305_openssh as openssh;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM};
use aws_lc_rs::cipher::{AES_128, AES_192, AES_256};

use super::ctr::Ctr;
use super::gcm::Gcm;
use super::{Mac, Opener, Sealer, chacha};
use crate::transport::{Direction, Secrets};

/// A cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// Authenticates packets itself, without a MAC.
    Authenticating(Authenticating),
    /// Needs a MAC.
    Counter(Counter),
}

/// A cipher that authenticates packets itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authenticating {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

/// AES in counter mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Aes128,
    Aes192,
    Aes256,
}

/// Returns every cipher and its name, best first. AES-GCM is by far the fastest on a processor with
/// instructions for it, and ChaCha20 on others. A longer key comes before a shorter one.
pub(crate) fn ciphers(has_aes: bool) -> [(&'static str, Cipher); 6] {
    let aes256 = ("aes256-gcm@openssh.com", Cipher::Authenticating(Authenticating::Aes256Gcm));
    let aes128 = ("aes128-gcm@openssh.com", Cipher::Authenticating(Authenticating::Aes128Gcm));
    let chacha =
        ("chacha20-poly1305@openssh.com", Cipher::Authenticating(Authenticating::ChaCha20Poly1305));
    let [first, second, third] =
        if has_aes { [aes256, aes128, chacha] } else { [chacha, aes256, aes128] };
    [
        first,
        second,
        third,
        ("aes256-ctr", Cipher::Counter(Counter::Aes256)),
        ("aes192-ctr", Cipher::Counter(Counter::Aes192)),
        ("aes128-ctr", Cipher::Counter(Counter::Aes128)),
    ]
}

impl Cipher {
    /// Returns every cipher and its name, best first on this processor.
    pub(crate) fn all() -> [(&'static str, Cipher); 6] {
        ciphers(processor_has_aes())
    }
}

/// Returns whether the processor has instructions for AES and carry-less multiplication.
fn processor_has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has = std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    // Stands for both there.
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
}

/// The cipher and MAC of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    Authenticating(Authenticating),
    Counter(Counter, Mac),
}

/// Returns the name of an algorithm in a list.
pub(crate) fn name_of<T: Copy + PartialEq>(
    algorithm: T,
    table: &[(&'static str, T)],
) -> &'static str {
    let found = table.iter().find(|(_, known)| *known == algorithm);
    found.map_or("unknown", |(name, _)| name)
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Protection::Authenticating(cipher) => {
                f.write_str(name_of(Cipher::Authenticating(cipher), &Cipher::all()))
            }
            Protection::Counter(cipher, mac) => {
                let cipher = name_of(Cipher::Counter(cipher), &Cipher::all());
                write!(f, "{cipher}, MAC {}", name_of(mac, &Mac::ALL))
            }
        }
    }
}

impl Protection {
    pub(crate) fn sealer(self, secrets: &Secrets, direction: Direction) -> Sealer {
        match self {
            Protection::Authenticating(Authenticating::Aes128Gcm) => {
                Sealer::Gcm(Gcm::new(&AES_128_GCM, secrets, direction))
            }
            Protection::Authenticating(Authenticating::Aes256Gcm) => {
                Sealer::Gcm(Gcm::new(&AES_256_GCM, secrets, direction))
            }
            Protection::Authenticating(Authenticating::ChaCha20Poly1305) => {
                Sealer::ChaCha(openssh::SealingKey::new(&chacha::key(secrets, direction)))
            }
            Protection::Counter(counter, mac) => {
                Sealer::Ctr(Box::new(counter.keyed(mac, secrets, direction)))
            }
        }
    }

    pub(crate) fn opener(self, secrets: &Secrets, direction: Direction) -> Opener {
        match self {
            Protection::Authenticating(Authenticating::Aes128Gcm) => {
                Opener::Gcm(Gcm::new(&AES_128_GCM, secrets, direction))
            }
            Protection::Authenticating(Authenticating::Aes256Gcm) => {
                Opener::Gcm(Gcm::new(&AES_256_GCM, secrets, direction))
            }
            Protection::Authenticating(Authenticating::ChaCha20Poly1305) => {
                Opener::ChaCha(openssh::OpeningKey::new(&chacha::key(secrets, direction)))
            }
            Protection::Counter(counter, mac) => {
                Opener::Ctr(Box::new(counter.keyed(mac, secrets, direction)))
            }
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Protection {
    /// Returns every protection with the names of its cipher and its MAC.
    pub(crate) fn all() -> Vec<(&'static str, &'static str, Protection)> {
        let mut all = Vec::new();
        for (cipher, kind) in ciphers(true) {
            match kind {
                Cipher::Authenticating(kind) => {
                    all.push((cipher, "", Protection::Authenticating(kind)));
                }
                Cipher::Counter(kind) => all.extend(
                    Mac::ALL.map(|(name, mac)| (cipher, name, Protection::Counter(kind, mac))),
                ),
            }
        }
        all
    }

    /// Returns the protection with these names.
    pub(crate) fn named(cipher: &str, mac: &str) -> Protection {
        let all = Protection::all().into_iter();
        let mut fitting = all.filter(|(a, b, _)| *a == cipher && (b.is_empty() || *b == mac));
        fitting.next().expect("both are known").2
    }
}

impl Protection {
    /// Returns the bits of the longest key, to which the group of a key exchange is adapted.
    pub(crate) fn key_bits(self) -> usize {
        8 * match self {
            Protection::Authenticating(Authenticating::Aes128Gcm) => 16,
            Protection::Authenticating(Authenticating::Aes256Gcm) => 32,
            Protection::Authenticating(Authenticating::ChaCha20Poly1305) => chacha::KEY,
            Protection::Counter(counter, mac) => counter.key_length().max(mac.key_length()),
        }
    }
}

impl Counter {
    fn key_length(self) -> usize {
        match self {
            Counter::Aes128 => 16,
            Counter::Aes192 => 24,
            Counter::Aes256 => 32,
        }
    }

    fn keyed(self, mac: Mac, secrets: &Secrets, direction: Direction) -> Ctr {
        let algorithm = match self {
            Counter::Aes128 => &AES_128,
            Counter::Aes192 => &AES_192,
            Counter::Aes256 => &AES_256,
        };
        Ctr::new(algorithm, self.key_length(), mac, secrets, direction)
    }
}
