//! Host certificates and authorities.

use super::tests::{ASK, strictly};
use super::*;
use crate::session::fixtures::{
    ED25519, FINGERPRINT, File, HOST, P256, RSA, certificate, key, refusal, trust,
};

#[test]
fn a_certificate_by_a_known_authority_is_trusted() {
    let file = File::new("");
    let good = File::new(&format!("{HOST} {RSA}\n@cert-authority *.example.org {P256}\n"));
    for port in [22, 2222] {
        let trust = trust(&[], &[&file, &good], false);
        let verify = |shown: HostKey| trust.verify(HOST, port, &shown).unwrap();
        assert_eq!(verify(certificate("good")), HostKeyDecision::Trusted);
        assert_eq!(verify(certificate("pattern")), HostKeyDecision::Trusted);
        // Neither the key alone nor the key of the authority is trusted.
        refusal(verify(key(ED25519)));
        refusal(verify(key(P256)));
    }
    // Names in certificates have no ports, and an alias replaces the name.
    let file = File::new(&format!("@cert-authority [10.0.0.1]:2222 {P256}\n"));
    let by_port = trust(&[], &[&file], false);
    let decision = by_port.verify("10.0.0.1", 2222, &certificate("elsewhere")).unwrap();
    assert_eq!(decision, HostKeyDecision::Trusted);
    let file = File::new(&format!("@cert-authority {HOST} {P256}\n"));
    let alias = Some("Gateway.example.org".to_owned());
    let by_alias = Trust { alias, ..trust(&[], &[&file], false) };
    assert_eq!(
        by_alias.verify("10.0.0.1", 2222, &certificate("good")).unwrap(),
        HostKeyDecision::Trusted
    );
}

#[test]
fn an_invalid_certificate_is_refused_with_the_reason() {
    let file = File::new(&format!("\n@cert-authority * {P256}\n"));
    for (id, reason) in [
        ("elsewhere", "it is for example.org, 10.0.0.1, not for gateway.example.org"),
        ("nowhere", "it names no host"),
        ("expired", "it expired "),
        ("early", "it is valid only in "),
        ("user", "it is one for a user"),
        ("critical", "it has the critical option something"),
    ] {
        let shown = certificate(id);
        for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No] {
            let strict = Trust { strictness, ..trust(&[], &[&file], true) };
            let text = refusal(strict.verify(HOST, 22, &shown).unwrap());
            for part in [reason, id, HOST, FINGERPRINT, "SHA256:0NZal", ":2"] {
                assert!(text.contains(part), "{id}: {text}");
            }
        }
        // As with OpenSSH, the key in the certificate may be known by itself.
        let plain = File::new(&format!("{HOST} {ED25519}\n"));
        let known = trust(&[], &[&file, &plain], false);
        assert_eq!(known.verify(HOST, 22, &shown).unwrap(), HostKeyDecision::Trusted, "{id}");
        let pinned = trust(&[FINGERPRINT], &[&file], false);
        assert_eq!(pinned.verify(HOST, 22, &shown).unwrap(), HostKeyDecision::Trusted, "{id}");
    }
    let extension = trust(&[], &[&file], false).verify(HOST, 22, &certificate("extension"));
    assert_eq!(extension.unwrap(), HostKeyDecision::Trusted, "extensions may be ignored");
}

#[test]
fn a_certificate_by_an_unknown_authority_counts_as_its_key() {
    let shown = certificate("good");
    // Another authority; an authority for other hosts; none.
    for lines in [
        format!("@cert-authority * {RSA}\n"),
        format!("@cert-authority elsewhere {P256}\n"),
        String::new(),
    ] {
        let [refused, asked] = strictly(Strictness::Yes, &lines, &shown);
        let text = refusal(refused);
        assert!(text.contains("not known") && text.contains("SHA256:0NZal"), "{text}");
        assert_eq!(asked, ASK);
        let [accepted, _] = strictly(Strictness::AcceptNew, &lines, &shown);
        assert_eq!(accepted, HostKeyDecision::Accepted { remember: true });
        let [trusted, _] = strictly(Strictness::Yes, &format!("{lines}{HOST} {ED25519}\n"), &shown);
        assert_eq!(trusted, HostKeyDecision::Trusted);
    }
    let [as_host, _] = strictly(Strictness::Yes, &format!("{HOST} {P256}\n"), &shown);
    assert!(refusal(as_host).contains("has changed"));
    // Signed with SHA-1.
    let [sha1, _] = strictly(
        Strictness::AcceptNew,
        &format!("@cert-authority * {RSA}\n"),
        &certificate("sha1"),
    );
    assert!(refusal(sha1).contains("ssh-rsa"));
}

#[test]
fn a_certificate_by_a_revoked_authority_is_refused() {
    let shown = certificate("good");
    for revoked in [P256, ED25519] {
        let lines = format!("@cert-authority * {P256}\n{HOST} {ED25519}\n@revoked * {revoked}\n");
        for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No, Strictness::Off]
        {
            for decision in strictly(strictness, &lines, &shown) {
                let text = refusal(decision);
                let subject =
                    if revoked == P256 { "the authority SHA256:0NZal" } else { "the host key" };
                assert!(text.starts_with(subject) && text.contains("revoked by"), "{text}");
            }
        }
        // A revoked authority does not affect the key alone.
        let [plain, _] = strictly(Strictness::Yes, &lines, &key(ED25519));
        assert_eq!(plain == HostKeyDecision::Trusted, revoked == P256);
    }
}
