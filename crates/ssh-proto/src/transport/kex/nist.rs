//! Diffie-Hellman on the NIST curves (RFC 5656 section 4).

use aws_lc_rs::agreement::{
    Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, agree,
};
use zeroize::Zeroizing;

use super::{Shared, invalid};
use crate::Error;
use crate::wire::Writer;

/// First byte of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A curve.
#[derive(Clone, Copy, Debug)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Curve::P256 => &ECDH_P256,
            Curve::P384 => &ECDH_P384,
            Curve::P521 => &ECDH_P521,
        }
    }
}

/// Our half of the exchange.
pub(super) struct Half {
    key: PrivateKey,
    public: Vec<u8>,
}

impl Half {
    /// Makes our half with the library's own randomness: the range of scalars is not a power of two.
    pub(super) fn new(curve: Curve) -> Self {
        let key = PrivateKey::generate(curve.algorithm());
        Self::of(key.expect("the library's random source does not fail once it is seeded"))
    }

    fn of(key: PrivateKey) -> Self {
        let public = key.compute_public_key().expect("a private key has its public one");
        Self { public: public.as_ref().to_vec(), key }
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Returns the secret as an mpint. Fails for points that are not on the curve, and for infinity.
    pub(super) fn agree(&self, theirs: &[u8]) -> Result<Shared, Error> {
        // The library would accept compressed points, and keys of certificates, too.
        if theirs.len() != self.public.len() || theirs[0] != UNCOMPRESSED {
            return Err(invalid());
        }
        let peer = UnparsedPublicKey::new(self.key.algorithm(), theirs);
        agree(&self.key, peer, invalid(), |secret| {
            let mut shared = Zeroizing::new(Vec::with_capacity(secret.len() + 5));
            shared.put_mpint(secret);
            Ok(shared)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::kex::hex;

    /// From NIST's component tests of ECDH (CAVP, KAS_ECC_CDH_PrimitiveTest), the first of each
    /// curve: our private key, the peer's point, the secret.
    #[test]
    fn agrees_on_the_known_secrets() {
        let known = [
            (
                Curve::P256,
                "7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
                "700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287\
                 db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
                "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
            ),
            (
                Curve::P384,
                "3cc3122a68f0d95027ad38c067916ba0eb8c38894d22e1b15618b6818a661774\
                 ad463b205da88cf699ab4d43c9cf98a1",
                "a7c76b970c3b5fe8b05d2838ae04ab47697b9eaf52e764592efda27fe7513272\
                 734466b400091adbf2d68c58e0c50066\
                 ac68f19f2e1cb879aed43a9969b91a0839c4c38a49749b661efedf243451915e\
                 d0905a32b060992b468c64766fc8437a",
                "5f9d29dc5e31a163060356213669c8ce132e22f57c9a04f40ba7fcead493b457\
                 e5621e766c40a2e3d4d6a04b25e533f1",
            ),
            (
                Curve::P521,
                "017eecc07ab4b329068fba65e56a1f8890aa935e57134ae0ffcce802735151f4\
                 eac6564f6ee9974c5e6887a1fefee5743ae2241bfeb95d5ce31ddcb6f9edb4d6\
                 fc47",
                "00685a48e86c79f0f0875f7bc18d25eb5fc8c0b07e5da4f4370f3a9490340854\
                 334b1e1b87fa395464c60626124a4e70d0f785601d37c09870ebf176666877a2\
                 046d\
                 01ba52c56fc8776d9e8f5db4f0cc27636d0b741bbe05400697942e80b739884a\
                 83bde99e0f6716939e632bc8986fa18dccd443a348b6c3e522497955a4f3c302\
                 f676",
                // Its first byte is zero, which an mpint leaves out.
                "005fc70477c3e63bc3954bd0df3ea0d1f41ee21746ed95fc5e1fdf90930d5e13\
                 6672d72cc770742d1711c3c3a4c334a0ad9759436a4d3c5bf6e74b9578fac148\
                 c831",
            ),
        ];
        for (curve, private, theirs, secret) in known {
            let key = PrivateKey::from_private_key(curve.algorithm(), &hex(private));
            let half = Half::of(key.expect("a private key"));
            let theirs = [&[UNCOMPRESSED][..], &hex(theirs)].concat();
            let mut expected = Vec::new();
            expected.put_mpint(&hex(secret));
            assert_eq!(*half.agree(&theirs).expect("a point"), expected, "{curve:?}");
        }
    }
}
