//! Signatures that were made outside of this process, by key management services and hardware.

use pkcs8::der::asn1::UintRef;
use pkcs8::der::{Decode, Reader as _, SliceReader};

use super::curve::Curve;
use super::pad::pad_into;
use super::{ED25519, RSA_SHA2_256, RSA_SHA2_512};
use crate::wire::{Reader, Writer};

/// Returns a signature in the encoding of RFC 4253 section 6.6. `signature` is in that encoding already,
/// or as cryptographic libraries and key management services return it: 64 bytes of Ed25519 (RFC 8032),
/// the number of RSA (PKCS#1), or for ECDSA either a DER structure or two numbers as wide as the curve
/// (IEEE P1363). `None` if it is none of them.
pub fn encode_signature(algorithm: &str, signature: &[u8]) -> Option<Vec<u8>> {
    if Reader::new(signature).text() == Ok(algorithm) {
        return Some(signature.to_vec());
    }
    let bytes = match Curve::by_algorithm(algorithm) {
        Some(curve) => curve.wire_signature(&fixed(curve, signature)?),
        None => match algorithm {
            ED25519 if signature.len() == 64 => signature.to_vec(),
            RSA_SHA2_256 | RSA_SHA2_512 if !signature.is_empty() => signature.to_vec(),
            _ => return None,
        },
    };
    let mut blob = Vec::with_capacity(8 + algorithm.len() + bytes.len());
    blob.put_string(algorithm.as_bytes());
    blob.put_string(&bytes);
    Some(blob)
}

/// Returns a signature of ECDSA as two numbers as wide as the curve.
fn fixed(curve: Curve, signature: &[u8]) -> Option<Vec<u8>> {
    if signature.len() == 2 * curve.width() {
        return Some(signature.to_vec());
    }
    let mut reader = SliceReader::new(signature).ok()?;
    let numbers =
        reader.sequence(|fields| Ok([UintRef::decode(fields)?, UintRef::decode(fields)?]));
    let [r, s] = reader.finish(numbers.ok()?).ok()?;
    let mut fixed = vec![0; 2 * curve.width()];
    let (left, right) = fixed.split_at_mut(curve.width());
    pad_into(left, r.as_bytes()).and_then(|()| pad_into(right, s.as_bytes()))?;
    Some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::PrivateKey;

    const P256: &str = "ecdsa-sha2-nistp256";

    fn parts(blob: &[u8]) -> (&str, &[u8]) {
        let mut fields = Reader::new(blob);
        let parts = (fields.text().expect("a name"), fields.string().expect("a signature"));
        fields.end().expect("nothing follows");
        parts
    }

    #[test]
    fn a_signature_in_the_encoding_of_ssh_stays_as_it_is() {
        let key = PrivateKey::parse(include_bytes!("fixtures/ed25519"), None).expect("a key");
        let made = key.sign(ED25519, b"data").expect("a signature");
        assert_eq!(encode_signature(ED25519, &made), Some(made.clone()));
        assert_eq!(encode_signature(RSA_SHA2_512, b"").as_deref(), None);
        let (_, bare) = parts(&made);
        assert_eq!(encode_signature(ED25519, bare), Some(made.clone()));
        assert_eq!(encode_signature(ED25519, &bare[1..]), None);
        assert_eq!(encode_signature(P256, &made), None, "of another key");
        let mut security_key = Vec::new();
        security_key.put_string(b"sk-ssh-ed25519@openssh.com");
        assert!(encode_signature("sk-ssh-ed25519@openssh.com", &security_key).is_some());
        assert_eq!(encode_signature("sk-ssh-ed25519@openssh.com", bare), None);
    }

    #[test]
    fn the_numbers_of_ecdsa_are_encoded_whichever_form_they_have() {
        let mut fixed = [0; 64];
        (fixed[0], fixed[31], fixed[63]) = (0x80, 1, 7);
        let mut der = vec![0x30, 0x26, 2, 33, 0];
        der.extend_from_slice(&fixed[..32]);
        der.extend_from_slice(&[2, 1, 7]);
        let mut expected = Vec::new();
        expected.put_mpint(&fixed[..32]);
        expected.put_mpint(&[7]);
        for form in [&fixed[..], &der] {
            let encoded = encode_signature(P256, form).expect("it is one");
            assert_eq!(parts(&encoded), (P256, &expected[..]));
        }
        let mut wide = der.clone();
        wide[1] = 0x27;
        wide.push(0);
        let mut negative = der.clone();
        negative[37..].copy_from_slice(&[2, 1, 0x87]);
        for wrong in [&der[1..], &wide, &negative, b"", &fixed[1..], &[0x30, 0]] {
            assert_eq!(encode_signature(P256, wrong), None, "{wrong:?}");
        }
        let mut of_wider_curve = vec![0x30, 38, 2, 33, 1];
        of_wider_curve.extend_from_slice(&der[5..]);
        assert_eq!(encode_signature(P256, &of_wider_curve), None);
        assert!(encode_signature("ecdsa-sha2-nistp384", &of_wider_curve).is_some());
    }
}
