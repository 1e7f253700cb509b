//! Pins, lines, strictness and revoked keys.

use std::env;

use super::*;
use crate::session::fixtures::{
    ED25519, FINGERPRINT, File, HOST, OTHER, OTHER_FINGERPRINT, P256, RSA, certificate, key,
    refusal, trust,
};

pub(super) const ASK: HostKeyDecision = HostKeyDecision::Ask { remember: false };

/// Returns the decision about the Ed25519 key for a file with these lines.
fn with_lines(text: &str, host: &str, port: u16) -> HostKeyDecision {
    let file = File::new(text);
    trust(&[], &[&file], true).verify(host, port, &key(ED25519)).unwrap()
}

#[test]
fn pins_trust_their_key_only() {
    let padded = format!("{FINGERPRINT}=");
    let with_comment = format!("  {ED25519} someone@somewhere\n");
    for pin in [FINGERPRINT, &padded, ED25519, &with_comment] {
        let trust = trust(&[P256, pin], &[], false);
        assert_eq!(trust.verify(HOST, 22, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
        assert!(refusal(trust.verify(HOST, 22, &key(OTHER)).unwrap()).contains("not known"));
    }
}

#[test]
fn lines_name_hosts_in_many_ways() {
    // ssh-keygen -H made these of the name alone and of [gateway.example.org]:2222.
    let hashed = "|1|RL4vQ8ORvQQUERY0sfTpWbsoTOE=|DCjp3vBZQctKemeI/rvFA6aYu1s=";
    let hashed_with_port = "|1|/yWSmF8UMOQNvWtVoKjy92TnUGM=|xk7BbuzLcxQQlNjbc4kurmu/m8g=";
    for (hosts, host, port, trusted) in [
        (HOST, HOST, 22, true),
        (HOST, "GATEWAY.Example.org", 22, true),
        ("Gateway.EXAMPLE.org", HOST, 22, true),
        (HOST, "example.org", 22, false),
        ("a,gateway.example.org,b", HOST, 22, true),
        ("*.example.org", HOST, 22, true),
        ("gateway.example.???", HOST, 22, true),
        ("*.example.org,!gateway.*", HOST, 22, false),
        ("!gateway.*,*.example.org", HOST, 22, false),
        ("!other.*,*.example.org", HOST, 22, true),
        ("!other.*", HOST, 22, false),
        ("[gateway.example.org]:2222", HOST, 2222, true),
        ("[gateway.example.org]:2222", HOST, 2223, false),
        ("[gateway.example.org]:2222", HOST, 22, false),
        ("[*.example.org]:2222", HOST, 2222, true),
        ("[::1]:2222", "::1", 2222, true),
        // The name without a port accepts the key.
        (HOST, HOST, 2222, true),
        (hashed, HOST, 22, true),
        (hashed, "Gateway.example.org", 22, true),
        (hashed, "example.org", 22, false),
        (hashed_with_port, HOST, 2222, true),
        (hashed_with_port, HOST, 22, false),
    ] {
        let decision = with_lines(&format!("{hosts} {ED25519}\n"), host, port);
        let expected = if trusted { HostKeyDecision::Trusted } else { ASK };
        assert_eq!(decision, expected, "{hosts} {host} {port}");
    }
}

#[test]
fn a_changed_key_is_refused_with_both_keys_and_the_line() {
    let file = File::new(&format!("# comment\n{HOST} {P256}\n{HOST} {OTHER}\n"));
    // The application is not asked about a changed key.
    let decision = trust(&[], &[&file], true).verify(HOST, 22, &key(ED25519)).unwrap();
    let text = refusal(decision);
    assert!(text.contains("has changed"), "{text}");
    assert!(text.contains(HOST) && text.contains(FINGERPRINT), "{text}");
    assert!(text.contains(OTHER_FINGERPRINT), "{text}");
    assert!(text.contains(&format!("{}:3", file.path().display())), "{text}");

    // A key of another type too: an attacker can choose the type.
    let decision = with_lines(&format!("{HOST} {P256}\n"), HOST, 22);
    assert!(refusal(decision).contains("knows ecdsa-sha2-nistp256 SHA256:0NZal"));

    // Not changed with a pin, or with the key in a later file.
    let later = File::new(&format!("{HOST} {ED25519}\n"));
    let verify = |trust: Trust| trust.verify(HOST, 22, &key(ED25519)).unwrap();
    assert_eq!(verify(trust(&[FINGERPRINT], &[&file], false)), HostKeyDecision::Trusted);
    assert_eq!(verify(trust(&[], &[&file, &later], false)), HostKeyDecision::Trusted);
    let both = format!("{HOST} {OTHER}\n{HOST} {ED25519}\n");
    assert_eq!(with_lines(&both, HOST, 22), HostKeyDecision::Trusted);
    // Another server on the same host may have another key.
    assert_eq!(with_lines(&format!("{HOST} {OTHER}\n"), HOST, 2222), ASK);
    // Its key is refused for a server whose own key is known.
    let two = format!("{HOST} {ED25519}\n[{HOST}]:2222 {OTHER}\n");
    assert!(refusal(with_lines(&two, HOST, 2222)).contains("has changed"));
}

#[test]
fn a_revoked_key_is_refused_in_every_case() {
    let good = File::new(&format!("{HOST} {ED25519}\n"));
    let revoked = File::new(&format!("@revoked * {ED25519}\n"));
    let trust = trust(&[FINGERPRINT], &[&good, &revoked], true);
    for port in [22, 2222] {
        let text = refusal(trust.verify(HOST, port, &key(ED25519)).unwrap());
        assert!(text.contains("revoked") && text.contains(FINGERPRINT), "{text}");
        assert!(text.contains(&format!("{}:1", revoked.path().display())), "{text}");
    }
    // Neither another revoked key nor a certificate authority makes it a changed one.
    for marker in ["@revoked", "@cert-authority"] {
        let decision = with_lines(&format!("{marker} {HOST} {OTHER}\n"), HOST, 22);
        assert_eq!(decision, ASK);
    }
    let authority = format!("@cert-authority {HOST} {ED25519}\n");
    assert_eq!(with_lines(&authority, HOST, 22), ASK);
}

#[test]
fn a_refusal_carries_the_facts_of_its_text() {
    let facts = |trust: &Trust, shown: &HostKey| match trust.verify(HOST, 22, shown).unwrap() {
        HostKeyDecision::Refused(refusal) => *refusal,
        other => panic!("{other:?}"),
    };
    let at = |file: &File, number| Some(FileLine { path: file.path().to_owned(), number });
    let fingerprint = || Some(FINGERPRINT.to_owned());

    let unknown = facts(&trust(&[OTHER], &[], false), &key(P256));
    assert_eq!((unknown.reason, unknown.known, unknown.line), (HostKeyReason::Unknown, None, None));
    assert_eq!(unknown.fingerprint, Some(key(P256).key().fingerprint()));

    let file = File::new(&format!("# old\n{HOST} {OTHER}\n"));
    let changed = facts(&trust(&[], &[&file], true), &key(ED25519));
    assert_eq!((changed.reason, changed.line), (HostKeyReason::Changed, at(&file, 2)));
    assert_eq!(
        (changed.fingerprint, changed.known),
        (fingerprint(), Some(OTHER_FINGERPRINT.into()))
    );

    let file = File::new(&format!("\n\n@revoked * {ED25519}\n"));
    let revoked = facts(&trust(&[], &[&file], true), &key(ED25519));
    assert_eq!((revoked.reason, revoked.line), (HostKeyReason::Revoked, at(&file, 3)));
    assert_eq!((revoked.fingerprint, revoked.known), (fingerprint(), None));

    let file = File::new(&format!("@cert-authority * {P256}\n"));
    let expired = facts(&trust(&[], &[&file], true), &certificate("expired"));
    assert_eq!((expired.reason, expired.line), (HostKeyReason::Invalid, at(&file, 1)));
}

#[test]
fn a_missing_file_counts_as_empty_and_an_unreadable_one_is_an_error() {
    let file = File::new("");
    let missing = file.path().with_extension("missing");
    let below = file.path().join("below");
    let trust = |path: &Path| Trust { known_hosts: vec![path.to_owned()], ..Trust::default() };
    for path in [missing, below] {
        let text = refusal(trust(&path).verify(HOST, 2222, &key(ED25519)).unwrap());
        for part in ["[gateway.example.org]:2222", "ssh-ed25519", FINGERPRINT, "hostVerifier"] {
            assert!(text.contains(part), "{text}");
        }
    }
    let folder = env::temp_dir();
    let error = trust(&folder).verify(HOST, 22, &key(ED25519)).unwrap_err();
    assert!(error.to_string().contains(&*folder.to_string_lossy()), "{error}");
}

#[test]
fn known_keys_are_preferred() {
    let text = format!("@revoked {HOST} {OTHER}\n{HOST} {P256}\nelsewhere {ED25519}\n");
    let file = File::new(&text);
    let plain = trust(&[FINGERPRINT, ED25519], &[&file], false);
    let types = vec!["ssh-ed25519".to_owned(), "ecdsa-sha2-nistp256".to_owned()];
    let all = KnownKeys { types: types.clone(), authority: false };
    assert_eq!(plain.known_keys(HOST, 22).unwrap(), all);
    assert_eq!(plain.known_keys(HOST, 2222).unwrap(), all);
    assert_eq!(plain.known_keys("nowhere", 22).unwrap().types, types[..1]);
    let file = File::new(&format!("@cert-authority *.org {P256}\n"));
    let signed = trust(&[], &[&file], false);
    let known = KnownKeys { types: vec![], authority: true };
    assert_eq!(signed.known_keys(HOST, 22).unwrap(), known);
    // A revoked key is not known, even with a pin or a line.
    let text = format!(
        "{HOST} {ED25519}\n{HOST} {OTHER}\n{HOST} {RSA}\n@cert-authority * {P256}\n\
         @revoked * {ED25519}\n@revoked * {OTHER}\n@revoked * {P256}\n"
    );
    let file = File::new(&text);
    let replaced = trust(&[ED25519], &[&file], false);
    let known = KnownKeys { types: vec!["ssh-rsa".to_owned()], authority: true };
    assert_eq!(replaced.known_keys(HOST, 22).unwrap(), known);
    let file = File::new(&format!("@cert-authority *.org {P256}\n"));
    let signed = trust(&[], &[&file], false);
    assert_eq!(signed.known_keys("gateway.example.com", 22).unwrap(), KnownKeys::default());
}

#[test]
fn an_alias_replaces_host_and_port() {
    let file = File::new(&format!("The-Gateway {ED25519}\n[10.0.0.1]:2222 {OTHER}\n"));
    let alias = Some("the-GATEWAY".to_owned());
    let trust = Trust { alias, ..trust(&[], &[&file], false) };
    assert_eq!(trust.verify("10.0.0.1", 2222, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
    let text = refusal(trust.verify("10.0.0.1", 2222, &key(OTHER)).unwrap());
    assert!(text.contains("the host key of the-gateway has changed"), "{text}");
}

/// Returns the decisions about a key without a verifier and with one.
pub(super) fn strictly(
    strictness: Strictness,
    lines: &str,
    shown: &HostKey,
) -> [HostKeyDecision; 2] {
    let file = File::new(lines);
    [false, true].map(|verifier| {
        let trust = Trust { strictness, ..trust(&[], &[&file], verifier) };
        trust.verify(HOST, 22, shown).unwrap()
    })
}

#[test]
fn the_strictness_decides_about_a_key() {
    use Strictness::{AcceptNew, No, Off, Yes};
    let (accepted, ask) = (
        |remember| HostKeyDecision::Accepted { remember },
        |remember| HostKeyDecision::Ask { remember },
    );
    let shown = key(ED25519);

    let [refused, asked] = strictly(Yes, "", &shown);
    assert!(refusal(refused).contains("not known"));
    assert_eq!(asked, ask(false));
    assert_eq!(strictly(AcceptNew, "", &shown), [accepted(true), ask(true)]);
    for any in [No, Off] {
        assert_eq!(strictly(any, "", &shown), [accepted(true), ask(true)]);
    }

    for other in [OTHER, P256] {
        let changed = format!("{HOST} {other}\n");
        for strictness in [Yes, AcceptNew] {
            for decision in strictly(strictness, &changed, &shown) {
                assert!(refusal(decision).contains("has changed"));
            }
        }
        for decision in strictly(No, &changed, &shown) {
            let text = refusal(decision);
            assert!(
                text.contains("has changed") && text.contains("forwarding is disabled"),
                "{text}"
            );
        }
        assert_eq!(strictly(Off, &changed, &shown), [accepted(false), ask(false)]);
    }
    for strictness in [Yes, AcceptNew, No, Off] {
        let known = format!("{HOST} {OTHER}\n{HOST} {ED25519}\n");
        assert_eq!(
            strictly(strictness, &known, &shown),
            [HostKeyDecision::Trusted, HostKeyDecision::Trusted]
        );
        for decision in strictly(strictness, &format!("@revoked * {ED25519}\n{known}"), &shown) {
            assert!(refusal(decision).contains("revoked"));
        }
    }
}

#[test]
fn with_pins_no_strictness_accepts_another_key() {
    let file = File::new("");
    for strictness in [Strictness::AcceptNew, Strictness::No, Strictness::Off] {
        let verify = |pins: &[&str], verifier| {
            let trust = Trust { strictness, ..trust(pins, &[&file], verifier) };
            trust.verify(HOST, 22, &key(ED25519)).unwrap()
        };
        assert!(refusal(verify(&[OTHER], false)).contains("not known"));
        assert_eq!(verify(&[OTHER], true), ASK);
        assert_eq!(verify(&[OTHER, FINGERPRINT], false), HostKeyDecision::Trusted);
    }
}

#[test]
fn accept_new_needs_a_file() {
    let verify = |strictness| {
        let trust = Trust { strictness, ..Trust::default() };
        trust.verify(HOST, 22, &key(ED25519)).unwrap()
    };
    assert!(refusal(verify(Strictness::AcceptNew)).contains("not known"));
    for any in [Strictness::No, Strictness::Off] {
        assert_eq!(verify(any), HostKeyDecision::Accepted { remember: false });
    }
}

#[test]
fn an_unreadable_line_that_may_be_about_the_host_is_an_error() {
    let damaged = &ED25519[..60];
    for line in [
        format!("* {damaged}"),
        format!("[{HOST}]:2222 {damaged}"),
        format!("@revoked * {damaged}"),
        format!("@cert-authority *.org {damaged}"),
        format!("@other {HOST} {OTHER}"),
    ] {
        let file = File::new(&format!("\n{HOST} {ED25519}\n{line}\n"));
        for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No, Strictness::Off]
        {
            let trust = Trust { strictness, ..trust(&[FINGERPRINT], &[&file], true) };
            let text = trust.verify(HOST, 2222, &key(ED25519)).unwrap_err().to_string();
            let place = format!("{}, line 3: ", file.path().display());
            assert!(text.contains(&place) && text.contains(HOST), "{line}: {text}");
            assert!(trust.known_keys(HOST, 2222).is_err(), "{line}");
        }
        let elsewhere =
            line.replace(HOST, "other.example").replace('*', "other.*").replace(".org", "");
        let file = File::new(&format!("{elsewhere}\n{HOST} {ED25519}\n"));
        let decision = trust(&[], &[&file], false).verify(HOST, 22, &key(ED25519)).unwrap();
        assert_eq!(decision, HostKeyDecision::Trusted, "{elsewhere}");
    }
    // A line without the port cannot refuse a key, so it is ignored.
    let bare = File::new(&format!("[{HOST}]:2222 {ED25519}\n{HOST} {damaged}\n"));
    let trust = trust(&[], &[&bare], false);
    assert_eq!(trust.verify(HOST, 2222, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
    assert!(trust.verify(HOST, 22, &key(ED25519)).is_err());
}

#[test]
fn a_key_of_another_type_is_a_changed_key() {
    let certificates = include_str!("../../fixtures/certificates");
    let listed = certificates.lines().find(|line| line.contains(" good")).unwrap();
    for other in [
        "ssh-dss AAAAB3NzaC1kc3MAAAABBQAAAAEDAAAAAQIAAAABBw==",
        "ssh-mldsa44 AAAAC3NzaC1tbGRzYTQ0AAAAAQ==",
        include_str!("../../../../crates/ssh-proto/src/key/fixtures/rsa1024.pub").trim(),
        // A certificate of the key is not the key.
        listed,
    ] {
        for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No] {
            for decision in strictly(strictness, &format!("{HOST} {other}\n"), &key(ED25519)) {
                assert!(refusal(decision).contains("has changed"), "{other}");
            }
        }
        let both = format!("{HOST} {other}\n{HOST} {ED25519}\n");
        assert_eq!(with_lines(&both, HOST, 22), HostKeyDecision::Trusted, "{other}");
    }
    // As with OpenSSH, the line revokes the key.
    let revoked = with_lines(&format!("{HOST} {ED25519}\n@revoked * {listed}\n"), HOST, 22);
    assert!(refusal(revoked).contains("is revoked by"));
}

#[test]
fn a_key_in_a_file_of_revoked_keys_is_refused_in_every_case() {
    let known = File::new(&format!("{HOST} {ED25519}\n@cert-authority * {P256}\n"));
    let revoking = |text: &str| File::new(text);
    let verify = |list: &File, strictness, shown: &HostKey| {
        let revoked = vec![list.path().to_owned()];
        let trust = Trust { strictness, revoked, ..trust(&[FINGERPRINT], &[&known], true) };
        trust.verify(HOST, 22, shown)
    };
    for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No, Strictness::Off] {
        let list = revoking(&format!("# old\n{OTHER}\n{ED25519} Jos\u{e9}\n"));
        for shown in [key(ED25519), certificate("good")] {
            let text = refusal(verify(&list, strictness, &shown).unwrap());
            let place = format!("is revoked by {}:3", list.path().display());
            assert!(text.starts_with("the host key") && text.contains(&place), "{text}");
        }
        let list = revoking(P256);
        let text = refusal(verify(&list, strictness, &certificate("good")).unwrap());
        assert!(text.starts_with("the authority SHA256:0NZal"), "{text}");
        assert_eq!(verify(&list, strictness, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
        let missing = File(list.path().with_extension("missing"));
        for bad in [&missing, &revoking("damaged"), &revoking("SSHKRL\n\0")] {
            assert!(verify(bad, strictness, &key(ED25519)).is_err());
        }
    }
    assert_eq!(
        verify(&revoking(""), Strictness::Yes, &key(ED25519)).unwrap(),
        HostKeyDecision::Trusted
    );
}

#[test]
fn an_rsa_key_below_the_required_size_is_refused() {
    let file = File::new(&format!("{HOST} {RSA}\n"));
    let verify = |rsa_bits, line| {
        let trust =
            Trust { rsa_bits, strictness: Strictness::Off, ..trust(&[RSA], &[&file], true) };
        trust.verify(HOST, 22, &key(line)).unwrap()
    };
    for (bits, trusted) in [(0, true), (2048, true), (2049, false), (4096, false)] {
        match verify(bits, RSA) {
            HostKeyDecision::Trusted => assert!(trusted, "{bits}"),
            other => {
                let text = refusal(other);
                assert!(
                    !trusted && text.contains("2048 bits") && text.contains("requiredRSASize"),
                    "{text}"
                );
            }
        }
    }
}
