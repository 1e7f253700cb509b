//! Private keys in the fields that an agent takes (draft-miller-ssh-agent, section 3.2).
//!
//! They are those of OpenSSH's files. The crate ssh-key has no way to make an ECDSA key of its number,
//! and writes the number with leading zeros.

use aws_lc_rs::signature::KeyPair;
use pkcs8::PrivateKeyInfo;
use pkcs8::der::asn1::{OctetStringRef, UintRef};
use pkcs8::der::{self, Decode, Reader, SliceReader};

use super::private::Signer;
use super::{ED25519, RSA};
use crate::wire::Writer;

/// Appends the type of a key and its fields. `pkcs8` is the same key, without encryption.
pub(super) fn put(out: &mut Vec<u8>, signer: &Signer, pkcs8: &[u8]) -> der::Result<()> {
    let body = PrivateKeyInfo::from_der(pkcs8)?.private_key;
    match signer {
        Signer::Ed25519(key) => {
            let (seed, public) = (OctetStringRef::from_der(body)?, key.public_key().as_ref());
            out.put_string(ED25519.as_bytes());
            out.put_string(public);
            out.put_uint32((seed.as_bytes().len() + public.len()) as u32);
            out.extend_from_slice(seed.as_bytes());
            out.extend_from_slice(public);
        }
        Signer::Ecdsa(curve, key) => {
            let number = sec1_number(body)?;
            out.put_string(curve.algorithm().as_bytes());
            out.put_string(curve.name().as_bytes());
            out.put_string(key.public_key().as_ref());
            out.put_mpint(number);
        }
        Signer::Rsa(_) => {
            let [n, e, d, p, q, _, _, iqmp] = pkcs1_numbers(body)?;
            out.put_string(RSA.as_bytes());
            for number in [n, e, d, iqmp, p, q] {
                out.put_mpint(number);
            }
        }
    }
    Ok(())
}

/// Returns the private number of a SEC1 structure (RFC 5915).
fn sec1_number(der: &[u8]) -> der::Result<&[u8]> {
    SliceReader::new(der)?.sequence(|fields| {
        u8::decode(fields)?;
        let number = OctetStringRef::decode(fields)?;
        fields.read_slice(fields.remaining_len())?;
        Ok(number.as_bytes())
    })
}

/// Returns the numbers of a PKCS#1 structure in their order (RFC 8017).
fn pkcs1_numbers(der: &[u8]) -> der::Result<[&[u8]; 8]> {
    SliceReader::new(der)?.sequence(|fields| {
        u8::decode(fields)?;
        let mut numbers = [&[][..]; 8];
        for number in &mut numbers {
            *number = UintRef::decode(fields)?.as_bytes();
        }
        Ok(numbers)
    })
}
