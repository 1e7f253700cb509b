//! Diffie-Hellman in a finite field (RFC 4253 section 8): in the groups of RFC 8268, or in one that
//! the server has chosen.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::modular::{Exponent, digits, is_element, power};
use super::primes::{GENERATOR, GROUP_14, GROUP_16, GROUP_18};
use super::{Shared, invalid};
use crate::Error;
use crate::wire::Writer;

/// A numbered group.
#[derive(Clone, Copy, Debug)]
pub(super) enum Group {
    Fourteen,
    Sixteen,
    Eighteen,
}

/// Our half of the exchange.
pub(super) struct Half {
    /// The prime.
    modulus: Cow<'static, [u8]>,
    exponent: Exponent,
    /// Our power, as the contents of an mpint.
    public: Vec<u8>,
}

impl Half {
    pub(super) fn new(group: Group, exponent: Exponent) -> Self {
        let modulus: &[u8] = match group {
            Group::Fourteen => &GROUP_14,
            Group::Sixteen => &GROUP_16,
            Group::Eighteen => &GROUP_18,
        };
        Self::within(Cow::Borrowed(modulus), GENERATOR, exponent)
            .expect("an exponent of a good source generates more than one element")
    }

    /// Makes our half in the group of `modulus`, which is odd and of an accepted size.
    pub(super) fn within(
        modulus: Cow<'static, [u8]>,
        generator: &[u8],
        exponent: Exponent,
    ) -> Result<Self, Error> {
        let power = power(generator, &exponent, &modulus).ok_or_else(invalid)?;
        let mut public = Vec::new();
        public.put_mpint(&power);
        // Without the length, which is added where it is sent.
        public.drain(..4);
        Ok(Self { modulus, exponent, public })
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Returns the secret as an mpint; `theirs` is the contents of the server's mpint.
    pub(super) fn agree(&self, theirs: &[u8]) -> Result<Shared, Error> {
        let element = digits(theirs).filter(|digits| is_element(digits, &self.modulus));
        let element = element.ok_or_else(invalid)?;
        let secret = power(element, &self.exponent, &self.modulus).ok_or_else(invalid)?;
        let mut shared = Zeroizing::new(Vec::with_capacity(secret.len() + 5));
        shared.put_mpint(&secret);
        Ok(shared)
    }
}
