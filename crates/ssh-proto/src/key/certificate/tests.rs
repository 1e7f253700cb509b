//! Certificates, valid and not.

use super::*;
use crate::key::{PrivateKey, RSA_SHA2_256, RSA_SHA2_512};
use crate::wire::Writer;

/// Made by ssh-keygen -s, each signed by the key before it, in a ring.
const RING: [(&[u8], &str); 5] = [
    (include_bytes!("../fixtures/ed25519"), include_str!("../fixtures/ed25519.cert")),
    (include_bytes!("../fixtures/p256"), include_str!("../fixtures/p256.cert")),
    (include_bytes!("../fixtures/p384"), include_str!("../fixtures/p384.cert")),
    (include_bytes!("../fixtures/p521"), include_str!("../fixtures/p521.cert")),
    (include_bytes!("../fixtures/rsa2048"), include_str!("../fixtures/rsa2048.cert")),
];

/// The blob of a line of ssh-keygen.
fn blob(line: &str) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    Base64::decode_vec(line.split(' ').nth(1).unwrap()).unwrap()
}

fn private(file: &[u8]) -> PrivateKey {
    PrivateKey::parse(file, None).unwrap()
}

/// The fields of a certificate.
struct Draft {
    suffix: &'static [u8],
    kind: u32,
    principals: usize,
    critical: Vec<u8>,
    extensions: Vec<u8>,
    authority: Option<Vec<u8>>,
    algorithm: Option<&'static str>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            suffix: SUFFIX.as_bytes(),
            kind: HOST,
            principals: 1,
            critical: Vec::new(),
            extensions: Vec::new(),
            authority: None,
            algorithm: None,
        }
    }
}

impl Draft {
    fn sign(&self, key: &PrivateKey, authority: &PrivateKey) -> Vec<u8> {
        let mut fields = Reader::new(key.public_blob());
        let key_type = fields.string().unwrap();
        let mut out = Vec::new();
        out.put_string(&[key_type, self.suffix].concat());
        out.put_string(b"nonce");
        out.extend(fields.rest());
        out.extend([0; 8]);
        out.put_uint32(self.kind);
        out.put_string(b"id");
        let mut principals = Vec::new();
        for _ in 0..self.principals {
            principals.put_string(b"gateway.example.org");
        }
        out.put_string(&principals);
        out.extend(5_u64.to_be_bytes());
        out.extend(u64::MAX.to_be_bytes());
        out.put_string(&self.critical);
        out.put_string(&self.extensions);
        out.put_string(b"reserved");
        out.put_string(self.authority.as_deref().unwrap_or(authority.public_blob()));
        let own = authority.algorithms()[0];
        let mut signature = authority.sign(own, &out).unwrap();
        if let Some(name) = self.algorithm {
            let inner = signature.split_off(4 + own.len());
            signature.clear();
            signature.put_string(name.as_bytes());
            signature.extend(inner);
        }
        out.put_string(&signature);
        out
    }

    fn read(&self) -> Result<Certificate, CertificateError> {
        Certificate::parse(&self.sign(&private(RING[0].0), &private(RING[1].0)))
    }
}

fn option(name: &[u8]) -> Vec<u8> {
    let mut option = Vec::new();
    option.put_string(name);
    option.put_string(b"");
    option
}

#[test]
fn certificates_of_ssh_keygen_are_read() {
    for (at, (key, line)) in RING.into_iter().enumerate() {
        let certificate = Certificate::parse(&blob(line)).unwrap();
        let authority = private(RING[(at + 4) % 5].0);
        assert_eq!(certificate.blob(), blob(line));
        assert_eq!(certificate.key().blob(), private(key).public_blob());
        assert_eq!(certificate.authority(), authority.public_blob());
        assert_eq!(certificate.signature(), Ok(()));
        assert_eq!(certificate.kind(), CertificateKind::Host);
        assert_eq!(certificate.validity(), 0..u64::MAX);
        assert_eq!(certificate.critical_options().len(), 0);
    }
    let certificate = Certificate::parse(&blob(RING[0].1)).unwrap();
    assert_eq!(certificate.id(), "a gateway");
    let expected = [&b"gateway.example.org"[..], b"10.0.0.1"];
    assert!(certificate.principals().eq(expected));
}

/// Additional bytes are refused too. The signature covers nearly everything; the rest has one
/// encoding only.
#[test]
fn changed_bytes_are_refused() {
    for (_, line) in RING {
        let blob = blob(line);
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            // An unknown algorithm makes the signature worthless.
            let parsed = Certificate::parse(&bad);
            assert!(!parsed.is_ok_and(|read| read.signature().is_ok()), "{at}");
            assert!(Certificate::parse(&blob[..at]).is_err(), "{at}");
        }
        let longer = [&blob[..], &[0]].concat();
        assert_eq!(Certificate::parse(&longer), Err(CertificateError::Malformed));
    }
}

#[test]
fn the_fields_are_returned() {
    let critical = [option(b"force\x1b"), option(b"other")].concat();
    let extensions = option(b"whatever");
    let draft = Draft { kind: USER, principals: 0, critical, extensions, ..Draft::default() };
    let certificate = draft.read().unwrap();
    assert_eq!(certificate.kind(), CertificateKind::User);
    assert_eq!(certificate.principals().count(), 0);
    assert_eq!(certificate.validity(), 5..u64::MAX);
    assert_eq!(certificate.critical_options(), ["force?", "other"]);
}

#[test]
fn invalid_certificates_are_reported() {
    let refused = |draft: Draft| draft.read().unwrap_err();
    let kind = refused(Draft { kind: 3, ..Draft::default() });
    assert_eq!(kind, CertificateError::UnknownKind(3));
    let old = refused(Draft { suffix: b"-cert-v00@openssh.com", ..Draft::default() });
    assert!(matches!(old, CertificateError::UnknownType(_)), "{old}");
    let key = refused(Draft { suffix: b"x-cert-v01@openssh.com", ..Draft::default() });
    assert!(matches!(key, CertificateError::Key(PublicKeyError::UnknownType(_))), "{key}");
    assert!(Draft { principals: MAX_PRINCIPALS, ..Draft::default() }.read().is_ok());
    let crowd = refused(Draft { principals: MAX_PRINCIPALS + 1, ..Draft::default() });
    assert_eq!(crowd, CertificateError::Malformed);
    let option = option(b"name");
    for length in 1..option.len() {
        let cut = option[..length].to_vec();
        let critical = refused(Draft { critical: cut.clone(), ..Draft::default() });
        assert_eq!(critical, CertificateError::Malformed);
        let extensions = refused(Draft { extensions: cut, ..Draft::default() });
        assert_eq!(extensions, CertificateError::Malformed);
    }
}

#[test]
fn a_signature_of_another_authority_is_refused() {
    let (key, other) = (private(RING[1].0), include_bytes!("../fixtures/ed25519b.pkcs8"));
    let authority = Some(private(other).public_blob().to_vec());
    let draft = Draft { authority, ..Draft::default() };
    let error = Certificate::parse(&draft.sign(&key, &private(RING[0].0))).unwrap_err();
    assert_eq!(error, CertificateError::Forged(VerifyError::Mismatch));
}

/// SHA-1, keys that are too small or of unknown types, certificates as authorities: the key in the
/// certificate may be known all the same.
#[test]
fn unsupported_signatures_do_not_count() {
    let (key, rsa) = (private(RING[0].0), private(RING[4].0));
    for algorithm in [RSA_SHA2_256, RSA_SHA2_512] {
        let draft = Draft { algorithm: Some(algorithm), ..Draft::default() };
        let parsed = Certificate::parse(&draft.sign(&key, &rsa));
        // The first has the name of another hash than was used.
        assert_eq!(parsed.is_ok(), algorithm == RSA_SHA2_512);
    }
    let sha1 = Draft { algorithm: Some("ssh-rsa"), ..Draft::default() };
    let security_key = option(b"sk-ssh-ed25519@openssh.com");
    let chain = blob(RING[2].1);
    let small = Draft {
        authority: Some(blob(include_str!("../fixtures/rsa1024.pub"))),
        ..Draft::default()
    };
    let by = |authority: Vec<u8>| Draft { authority: Some(authority), ..Draft::default() };
    for (draft, why) in [
        (sha1, "ssh-rsa keys do not sign with ssh-rsa"),
        (small, "RSA key of 1024 bits"),
        (by(security_key), "sk-ssh-ed25519@openssh.com is not supported"),
        (by(chain), "ecdsa-sha2-nistp384-cert-v01@openssh.com is not supported"),
    ] {
        let certificate = Certificate::parse(&draft.sign(&key, &rsa)).unwrap();
        let reason = certificate.signature().unwrap_err();
        assert!(reason.contains(why), "{reason}");
        assert_eq!(certificate.key().blob(), key.public_blob());
    }
}
