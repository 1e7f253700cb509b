//! Servers with certificates of their keys.

use base64ct::{Base64, Encoding};

use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Script, fixture};
use super::kex_reply::{forged, refused};
use crate::Error;

/// The blob of a certificate of ssh-keygen.
macro_rules! certificate {
    ($name:literal) => {
        blob(include_str!(concat!("../../key/fixtures/", $name)))
    };
}

pub(super) fn blob(line: &str) -> Vec<u8> {
    Base64::decode_vec(line.split(' ').nth(1).unwrap()).unwrap()
}

#[test]
fn certificates_of_every_type_are_verified() {
    for (host_key, certificate, algorithm) in [
        (fixture!("ed25519"), certificate!("ed25519.cert"), "ssh-ed25519-cert-v01@openssh.com"),
        (fixture!("p256"), certificate!("p256.cert"), "ecdsa-sha2-nistp256-cert-v01@openssh.com"),
        (fixture!("p384"), certificate!("p384.cert"), "ecdsa-sha2-nistp384-cert-v01@openssh.com"),
        (fixture!("p521"), certificate!("p521.cert"), "ecdsa-sha2-nistp521-cert-v01@openssh.com"),
        (fixture!("rsa2048"), certificate!("rsa2048.cert"), "rsa-sha2-512-cert-v01@openssh.com"),
        (fixture!("rsa2048"), certificate!("rsa2048.cert"), "rsa-sha2-256-cert-v01@openssh.com"),
    ] {
        let shown = Seen::HostKey(certificate.clone());
        let certificate = Some(certificate);
        let script = Script { host_key, certificate, algorithm, ..Script::default() };
        let mut pair = Pair::new(setup(), script);
        pair.run();
        assert_eq!(pair.take(), [shown, Seen::Ready], "{algorithm}");
        // ... and is the same in later exchanges.
        pair.server.start_kex();
        pair.run();
        assert_eq!(pair.take(), [Seen::Rekeyed], "{algorithm}");
    }
}

/// Certificates are public: without the private key they prove nothing.
#[test]
fn a_signature_by_another_key_than_the_certificates_is_refused() {
    let error = refused(Script {
        host_key: fixture!("ed25519b.pkcs8"),
        certificate: Some(certificate!("ed25519.cert")),
        algorithm: "ssh-ed25519-cert-v01@openssh.com",
        ..Script::default()
    });
    assert!(matches!(error, Error::HostKey(_)), "{error}");
}

#[test]
fn keys_and_certificates_have_to_match_the_algorithm() {
    let plain = fixture!("ed25519").public_blob().to_vec();
    for (certificate, algorithm) in [
        (plain, "ssh-ed25519-cert-v01@openssh.com"),
        (certificate!("ed25519.cert"), "ssh-ed25519"),
        (certificate!("ed25519.cert"), "ecdsa-sha2-nistp256"),
        (certificate!("p256.cert"), "ssh-ed25519-cert-v01@openssh.com"),
    ] {
        let mut script = forged(move |reply| reply.host_key.clone_from(&certificate));
        script.algorithm = algorithm;
        if algorithm.starts_with("ecdsa") {
            script.host_key = fixture!("p256");
        }
        let error = refused(script);
        assert!(matches!(error, Error::HostKey(_)), "{algorithm}: {error}");
    }
}

#[test]
fn another_certificate_of_the_key_is_another_host_key() {
    let mut pair = Pair::connected(Script {
        certificate: Some(certificate!("ed25519.cert")),
        algorithm: "ssh-ed25519-cert-v01@openssh.com",
        ..Script::default()
    });
    pair.server.script.certificate = None;
    pair.server.script.algorithm = "ssh-ed25519";
    pair.server.start_kex();
    pair.run();
    assert!(matches!(pair.failure(), Error::HostKey(text) if text.contains("changed")));
}
