//! Keys: private ones that log the user on, public ones that a server identifies itself with.
//!
//! What a key computes comes from aws-lc-rs, and so do its rules about which keys are sound. What
//! is here is the way there: from a file to a key ([`PrivateKey`]), from a server's bytes to a key
//! ([`PublicKey`]) or a key and the word of an authority for it ([`HostKey`]), and between the forms of a signature that SSH and aws-lc-rs have.

mod certificate;
mod curve;
mod der;
mod host;
mod listed;
#[cfg(test)]
mod nonces;
mod openssh;
mod pad;
mod pem;
mod private;
mod public;
mod rsa;
mod stack;

pub(crate) use certificate::SUFFIX as CERTIFICATE_SUFFIX;
pub use certificate::{Certificate, CertificateError, CertificateKind};
pub(crate) use host::plain_type;
pub use host::{HostKey, HostKeyError};
pub use listed::{ListedKey, ListedKeyError};
pub use private::{PrivateKey, PrivateKeyError, SignError};
pub use public::{PublicKey, PublicKeyError, VerifyError};
pub(crate) use rsa::blob_bits as rsa_bits;

/// The name of Ed25519 keys and of their signatures (RFC 8709).
const ED25519: &str = "ssh-ed25519";
/// The name of RSA keys (RFC 4253). It also names SHA-1 signatures, which are not made or accepted.
const RSA: &str = "ssh-rsa";
/// The names of the signatures that RSA keys make (RFC 8332).
const RSA_SHA2_256: &str = "rsa-sha2-256";
/// The better one of them.
const RSA_SHA2_512: &str = "rsa-sha2-512";
