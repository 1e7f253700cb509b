//! Certificates of users' keys.

use super::*;

pub(super) const CERTIFICATE: &[u8] = include_bytes!("../../key/fixtures/ed25519-cert.pub");
const RSA_CERTIFICATE: &[u8] = include_bytes!("../../key/fixtures/rsa2048-cert.pub");
const HOST_CERTIFICATE: &[u8] = include_bytes!("../../key/fixtures/ed25519-host-cert.pub");

#[test]
fn each_key_is_tried_after_its_certificate() {
    let certified =
        |key, certificate| Identity::with_certificate(user_key(key), certificate).expect("it fits");
    let keys = vec![
        certified("rsa2048", RSA_CERTIFICATE),
        user_key("rsa2048").into(), // once more, without: it is not tried again
        certified("ed25519", CERTIFICATE),
    ];
    let (mut auth, mut request) = begun(Credentials { keys, ..credentials() });
    auth.set_signature_algorithms("ssh-ed25519,rsa-sha2-256,rsa-sha2-512");
    for (algorithm, signature) in [
        ("rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-512"),
        ("rsa-sha2-512", "rsa-sha2-512"),
        ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"),
        ("ssh-ed25519", "ssh-ed25519"),
    ] {
        assert!(holds(&request, &blob("publickey", b"")[..13]), "{algorithm}");
        assert!(holds(&request, &blob(algorithm, b"")[..4 + algorithm.len()]), "{algorithm}");
        let tail = &request[request.len() - 400.min(request.len())..];
        assert!(holds(tail, &blob(signature, b"")[..4 + signature.len()]), "{algorithm}");
        request = sent(auth.handle(&failure("publickey", false), SESSION));
    }
    assert!(request.ends_with(NONE));
    let text = refusal(auth.handle(&failure("publickey", false), SESSION));
    assert!(text.contains("publickey (ssh-ed25519-cert-v01@openssh.com)"), "{text}");
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let of = |certificate| Identity::with_certificate(user_key("ed25519"), certificate).map(|_| ());
    assert_eq!(of(RSA_CERTIFICATE), Err(IdentityError::OtherKey));
    assert_eq!(of(HOST_CERTIFICATE), Err(IdentityError::OfAHost));
    for line in [include_bytes!("../../key/fixtures/ed25519.pub").as_slice(), &CERTIFICATE[..433]] {
        assert!(matches!(of(line), Err(IdentityError::Unusable(_))));
    }
    for text in
        [include_bytes!("../../key/fixtures/ed25519").as_slice(), b"", b"\xff", b"ssh-rsa !"]
    {
        assert_eq!(of(text), Err(IdentityError::NotACertificate));
    }
}

#[test]
fn the_key_in_a_file_is_found() {
    let found = |text: &[u8]| PublicEntry::find(text).map(|entry| (entry.key, entry.certificate));
    let key = user_key("ed25519").public_blob().to_vec();
    let line = include_bytes!("../../key/fixtures/ed25519.pub").as_slice();
    let certificate =
        Identity::with_certificate(user_key("ed25519"), CERTIFICATE).expect("it fits");
    let certificate = certificate.blobs().next().map(<[u8]>::to_vec);
    for (text, certificate) in [(line, None), (CERTIFICATE, certificate), (HOST_CERTIFICATE, None)]
    {
        let expected = Some((key.clone(), certificate));
        assert_eq!(found(text), expected);
        for before in ["# a comment\n", "\n\n", "no key at all\n", "\u{feff}", "  "] {
            assert_eq!(found(&[before.as_bytes(), text].concat()), expected, "{before}");
        }
    }
    let private = include_bytes!("../../key/fixtures/ed25519").as_slice();
    for text in [private, b"", b"ssh-ed25519 AAAA", &[private, line].concat()] {
        assert_eq!(found(text), None);
    }
}
