//! ML-KEM-768 and Curve25519 together (draft-ietf-sshm-mlkem-hybrid-kex): an attacker
//! has to break both.

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use zeroize::Zeroizing;

use super::{Shared, curve25519, invalid};
use crate::Error;
use crate::wire::Writer;

/// Bytes of an encapsulated secret (FIPS 203 section 8).
const CIPHERTEXT: usize = 1088;

/// Our half of the exchange.
pub(super) struct Half {
    kem: DecapsulationKey,
    curve: curve25519::Half,
    /// The encapsulation key, then the point.
    public: Vec<u8>,
}

impl Half {
    /// Makes our half from random bytes for the curve, and the library's own randomness.
    pub(super) fn new(seed: &[u8; curve25519::KEY]) -> Self {
        let kem = DecapsulationKey::generate(&ML_KEM_768)
            .expect("the library's random source does not fail once it is seeded");
        let curve = curve25519::Half::new(seed);
        let encapsulation = kem.encapsulation_key().and_then(|key| {
            let bytes = key.key_bytes()?;
            Ok(bytes.as_ref().to_vec())
        });
        let mut public = encapsulation.expect("a private key has its public one");
        public.extend_from_slice(curve.public());
        Self { kem, curve, public }
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Returns the hash of both secrets as a string, not as an mpint. `theirs` is the ciphertext, then
    /// the server's point. A ciphertext for another key yields a secret that nobody knows, and so the
    /// server's signature does not match.
    pub(super) fn agree(&self, theirs: &[u8]) -> Result<Shared, Error> {
        let (ciphertext, point) = theirs.split_at_checked(CIPHERTEXT).ok_or_else(invalid)?;
        let classical = self.curve.secret(point)?;
        let quantum = self.kem.decapsulate(ciphertext.into()).map_err(|_| invalid())?;
        let mut context = digest::Context::new(&SHA256);
        context.update(quantum.as_ref());
        context.update(&*classical);
        let mut shared = Zeroizing::new(Vec::with_capacity(4 + digest::SHA256_OUTPUT_LEN));
        shared.put_string(context.finish().as_ref());
        Ok(shared)
    }
}
