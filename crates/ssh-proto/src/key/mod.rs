//! Private keys of users, public keys and certificates of servers.
//!
//! aws-lc-rs signs and verifies, and decides which keys are valid. These files read keys and convert
//! signatures:
//!
//! - `private`: [`PrivateKey`], read from the formats in `openssh` and `der`, whose envelope is `pem`, and
//!   `ppk`; `encoding`: what else surrounds a key.
//! - `public`: [`PublicKey`]; `certificate`: [`Certificate`]; `host`: [`HostKey`] is either of them.
//! - `listed`: [`ListedKey`], a key in a known_hosts file.
//! - `fields`: a private key for an agent; `signature`: signatures that were made outside of this process.
//! - `curve`, `rsa`: the types of keys; `pad`, `sha1`, `stack`: helpers.

mod certificate;
mod curve;
mod der;
mod encoding;
mod fields;
mod host;
mod listed;
#[cfg(test)]
mod nonces;
mod openssh;
mod pad;
mod pem;
mod ppk;
mod private;
mod public;
mod rsa;
mod sha1;
mod signature;
mod stack;

pub(crate) use certificate::SUFFIX as CERTIFICATE_SUFFIX;
pub use certificate::{Certificate, CertificateError, CertificateKind};
pub(crate) use encoding::utf8;
pub(crate) use host::plain_type;
pub use host::{HostKey, HostKeyError};
pub(crate) use listed::certifies_user;
pub use listed::{ListedKey, ListedKeyError};
pub use private::{PrivateKey, PrivateKeyError, SignError};
pub use public::{PublicKey, PublicKeyError, VerifyError};
pub(crate) use rsa::blob_bits as rsa_bits;
pub use signature::encode_signature;

/// Name of Ed25519 keys and of their signatures (RFC 8709).
const ED25519: &str = "ssh-ed25519";
/// Name of RSA keys (RFC 4253). It is also that of SHA-1 signatures, which are not supported.
const RSA: &str = "ssh-rsa";
/// Name of RSA signatures with SHA-256 (RFC 8332).
const RSA_SHA2_256: &str = "rsa-sha2-256";
/// Name of RSA signatures with SHA-512 (RFC 8332), which are preferred.
const RSA_SHA2_512: &str = "rsa-sha2-512";
