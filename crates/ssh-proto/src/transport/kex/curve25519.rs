//! Diffie-Hellman on Curve25519 (RFC 8731).

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

use super::{Shared, invalid};
use crate::Error;
use crate::wire::Writer;

/// Bytes of a key and of a secret.
pub(super) const KEY: usize = 32;

/// Our half of the exchange.
pub(super) struct Half {
    key: PrivateKey,
    public: [u8; KEY],
}

impl Half {
    /// Makes our half from random bytes.
    pub(super) fn new(seed: &[u8; KEY]) -> Self {
        let key =
            PrivateKey::from_private_key(&X25519, seed).expect("any 32 bytes are an X25519 key");
        let computed = key.compute_public_key().expect("a private key has its public one");
        let public = computed.as_ref().try_into().expect("an X25519 key has 32 bytes");
        Self { key, public }
    }

    pub(super) fn public(&self) -> &[u8; KEY] {
        &self.public
    }

    /// Returns the secret itself. Fails for points of small order, whose secret is all zero.
    pub(super) fn secret(&self, theirs: &[u8]) -> Result<Zeroizing<[u8; KEY]>, Error> {
        // Other encodings of keys, which the library would accept too, have other lengths.
        let theirs: &[u8; KEY] = theirs.try_into().map_err(|_| invalid())?;
        let mut copy = Zeroizing::new([0; KEY]);
        agree(&self.key, UnparsedPublicKey::new(&X25519, theirs), invalid(), |secret| {
            copy.copy_from_slice(secret);
            Ok(())
        })?;
        Ok(copy)
    }

    /// Returns the secret as an mpint.
    pub(super) fn agree(&self, theirs: &[u8]) -> Result<Shared, Error> {
        let mut shared = Zeroizing::new(Vec::with_capacity(KEY + 5));
        shared.put_mpint(&*self.secret(theirs)?);
        Ok(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::kex::hex;

    /// RFC 7748 section 6.1.
    #[test]
    fn agrees_on_the_known_secret() {
        let seed = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let half = Half::new(&seed[..].try_into().expect("32 bytes"));
        let ours = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(half.public()[..], ours);
        let theirs = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let secret = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(half.secret(&theirs).expect("a point")[..], secret);
    }
}
