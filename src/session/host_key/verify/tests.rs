//! What decides about a host key.

use std::env;

use super::*;
use crate::session::fixtures::{
    ED25519, FINGERPRINT, File, HOST, OTHER, OTHER_FINGERPRINT, P256, RSA, certificate, key,
    refusal, trust,
};

const ASK: HostKeyDecision = HostKeyDecision::Ask { remember: false };

/// The verdict about the Ed25519 key when a file has these lines.
fn with_lines(text: &str, host: &str, port: u16) -> HostKeyDecision {
    let file = File::new(text);
    trust(&[], &[&file], true).judge(host, port, &key(ED25519)).unwrap()
}

#[test]
fn pins_trust_their_key_only() {
    let padded = format!("{FINGERPRINT}=");
    let with_comment = format!("  {ED25519} someone@somewhere\n");
    for pin in [FINGERPRINT, &padded, ED25519, &with_comment] {
        let trust = trust(&[P256, pin], &[], false);
        assert_eq!(trust.judge(HOST, 22, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
        assert!(refusal(trust.judge(HOST, 22, &key(OTHER)).unwrap()).contains("not known"));
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
        // The name without a port speaks for the key.
        (HOST, HOST, 2222, true),
        (hashed, HOST, 22, true),
        (hashed, "Gateway.example.org", 22, true),
        (hashed, "example.org", 22, false),
        (hashed_with_port, HOST, 2222, true),
        (hashed_with_port, HOST, 22, false),
    ] {
        let verdict = with_lines(&format!("{hosts} {ED25519}\n"), host, port);
        let expected = if trusted { HostKeyDecision::Trusted } else { ASK };
        assert_eq!(verdict, expected, "{hosts} {host} {port}");
    }
}

#[test]
fn a_changed_key_is_refused_with_all_there_is_to_know() {
    let file = File::new(&format!("# comment\n{HOST} {P256}\n{HOST} {OTHER}\n"));
    // Asking would offer to accept what should not be.
    let verdict = trust(&[], &[&file], true).judge(HOST, 22, &key(ED25519)).unwrap();
    let why = refusal(verdict);
    assert!(why.contains("has changed"), "{why}");
    assert!(why.contains(HOST) && why.contains(FINGERPRINT), "{why}");
    assert!(why.contains(OTHER_FINGERPRINT), "{why}");
    assert!(why.contains(&format!("{}:3", file.path().display())), "{why}");

    // One of another type, too: whoever poses as the host can choose.
    let verdict = with_lines(&format!("{HOST} {P256}\n"), HOST, 22);
    assert!(refusal(verdict).contains("knows ecdsa-sha2-nistp256 SHA256:0NZal"));

    // A pin, the right key on a later line or in a later file: not changed.
    let later = File::new(&format!("{HOST} {ED25519}\n"));
    let judge = |trust: Trust| trust.judge(HOST, 22, &key(ED25519)).unwrap();
    assert_eq!(judge(trust(&[FINGERPRINT], &[&file], false)), HostKeyDecision::Trusted);
    assert_eq!(judge(trust(&[], &[&file, &later], false)), HostKeyDecision::Trusted);
    let both = format!("{HOST} {OTHER}\n{HOST} {ED25519}\n");
    assert_eq!(with_lines(&both, HOST, 22), HostKeyDecision::Trusted);
    // Another server on the same host may well have another key.
    assert_eq!(with_lines(&format!("{HOST} {OTHER}\n"), HOST, 2222), ASK);
    // ... and its key is no other server's, if that one is known.
    let two = format!("{HOST} {ED25519}\n[{HOST}]:2222 {OTHER}\n");
    assert!(refusal(with_lines(&two, HOST, 2222)).contains("has changed"));
}

#[test]
fn a_revoked_key_is_refused_whatever_else_says() {
    let good = File::new(&format!("{HOST} {ED25519}\n"));
    let revoked = File::new(&format!("@revoked * {ED25519}\n"));
    let trust = trust(&[FINGERPRINT], &[&good, &revoked], true);
    for port in [22, 2222] {
        let why = refusal(trust.judge(HOST, port, &key(ED25519)).unwrap());
        assert!(why.contains("revoked") && why.contains(FINGERPRINT), "{why}");
        assert!(why.contains(&format!("{}:1", revoked.path().display())), "{why}");
    }
    // Neither another revoked key nor a certificate authority makes it a changed one.
    for marker in ["@revoked", "@cert-authority"] {
        let verdict = with_lines(&format!("{marker} {HOST} {OTHER}\n"), HOST, 22);
        assert_eq!(verdict, ASK);
    }
    let authority = format!("@cert-authority {HOST} {ED25519}\n");
    assert_eq!(with_lines(&authority, HOST, 22), ASK);
}

#[test]
fn a_refusal_carries_the_facts_of_its_text() {
    let facts = |trust: &Trust, shown: &HostKey| match trust.judge(HOST, 22, shown).unwrap() {
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
fn no_file_is_an_empty_one_and_an_unreadable_one_is_an_error() {
    let file = File::new("");
    let missing = file.path().with_extension("missing");
    let below = file.path().join("below");
    let trust = |path: &Path| Trust { known_hosts: vec![path.to_owned()], ..Trust::default() };
    for path in [missing, below] {
        let why = refusal(trust(&path).judge(HOST, 2222, &key(ED25519)).unwrap());
        for part in ["[gateway.example.org]:2222", "ssh-ed25519", FINGERPRINT, "hostVerifier"] {
            assert!(why.contains(part), "{why}");
        }
    }
    let folder = env::temp_dir();
    let error = trust(&folder).judge(HOST, 22, &key(ED25519)).unwrap_err();
    assert!(error.to_string().contains(&*folder.to_string_lossy()), "{error}");
}

#[test]
fn what_is_known_is_asked_for() {
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
    // What is revoked is not, whatever vouches for it.
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
fn an_alias_stands_for_host_and_port() {
    let file = File::new(&format!("The-Gateway {ED25519}\n[10.0.0.1]:2222 {OTHER}\n"));
    let alias = Some("the-GATEWAY".to_owned());
    let trust = Trust { alias, ..trust(&[], &[&file], false) };
    assert_eq!(trust.judge("10.0.0.1", 2222, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
    let why = refusal(trust.judge("10.0.0.1", 2222, &key(OTHER)).unwrap());
    assert!(why.contains("the host key of the-gateway has changed"), "{why}");
}

/// The verdict about the Ed25519 key, or what is shown for it, without a verifier and with one.
fn strictly(strictness: Strictness, lines: &str, shown: &HostKey) -> [HostKeyDecision; 2] {
    let file = File::new(lines);
    [false, true].map(|verifier| {
        let trust = Trust { strictness, ..trust(&[], &[&file], verifier) };
        trust.judge(HOST, 22, shown).unwrap()
    })
}

#[test]
fn what_becomes_of_a_key_is_as_strict_as_was_asked_for() {
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
            for verdict in strictly(strictness, &changed, &shown) {
                assert!(refusal(verdict).contains("has changed"));
            }
        }
        for verdict in strictly(No, &changed, &shown) {
            let why = refusal(verdict);
            assert!(why.contains("has changed") && why.contains("forwarding is disabled"), "{why}");
        }
        assert_eq!(strictly(Off, &changed, &shown), [accepted(false), ask(false)]);
    }
    for strictness in [Yes, AcceptNew, No, Off] {
        let known = format!("{HOST} {OTHER}\n{HOST} {ED25519}\n");
        assert_eq!(
            strictly(strictness, &known, &shown),
            [HostKeyDecision::Trusted, HostKeyDecision::Trusted]
        );
        for verdict in strictly(strictness, &format!("@revoked * {ED25519}\n{known}"), &shown) {
            assert!(refusal(verdict).contains("revoked"));
        }
    }
}

#[test]
fn no_strictness_takes_a_key_that_is_not_pinned() {
    let file = File::new("");
    for strictness in [Strictness::AcceptNew, Strictness::No, Strictness::Off] {
        let judge = |pins: &[&str], verifier| {
            let trust = Trust { strictness, ..trust(pins, &[&file], verifier) };
            trust.judge(HOST, 22, &key(ED25519)).unwrap()
        };
        assert!(refusal(judge(&[OTHER], false)).contains("not known"));
        assert_eq!(judge(&[OTHER], true), ASK);
        assert_eq!(judge(&[OTHER, FINGERPRINT], false), HostKeyDecision::Trusted);
    }
}

#[test]
fn without_a_file_nothing_is_new() {
    let judge = |strictness| {
        let trust = Trust { strictness, ..Trust::default() };
        trust.judge(HOST, 22, &key(ED25519)).unwrap()
    };
    assert!(refusal(judge(Strictness::AcceptNew)).contains("not known"));
    for any in [Strictness::No, Strictness::Off] {
        assert_eq!(judge(any), HostKeyDecision::Accepted { remember: false });
    }
}

#[test]
fn an_authority_of_the_files_vouches_for_a_key() {
    let file = File::new("");
    let good = File::new(&format!("{HOST} {RSA}\n@cert-authority *.example.org {P256}\n"));
    for port in [22, 2222] {
        let trust = trust(&[], &[&file, &good], false);
        let judge = |shown: HostKey| trust.judge(HOST, port, &shown).unwrap();
        assert_eq!(judge(certificate("good")), HostKeyDecision::Trusted);
        assert_eq!(judge(certificate("pattern")), HostKeyDecision::Trusted);
        // The key alone is not vouched for, nor is what the authority's key itself would be.
        refusal(judge(key(ED25519)));
        refusal(judge(key(P256)));
    }
    // Names in certificates have no ports, and an alias stands for the name.
    let file = File::new(&format!("@cert-authority [10.0.0.1]:2222 {P256}\n"));
    let by_port = trust(&[], &[&file], false);
    let verdict = by_port.judge("10.0.0.1", 2222, &certificate("elsewhere")).unwrap();
    assert_eq!(verdict, HostKeyDecision::Trusted);
    let file = File::new(&format!("@cert-authority {HOST} {P256}\n"));
    let alias = Some("Gateway.example.org".to_owned());
    let by_alias = Trust { alias, ..trust(&[], &[&file], false) };
    assert_eq!(
        by_alias.judge("10.0.0.1", 2222, &certificate("good")).unwrap(),
        HostKeyDecision::Trusted
    );
}

#[test]
fn a_certificate_that_is_not_good_is_refused_and_says_why() {
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
            let why = refusal(strict.judge(HOST, 22, &shown).unwrap());
            for part in [reason, id, HOST, FINGERPRINT, "SHA256:0NZal", ":2"] {
                assert!(why.contains(part), "{id}: {why}");
            }
        }
        // The key in it may be known by itself, as with OpenSSH.
        let plain = File::new(&format!("{HOST} {ED25519}\n"));
        let known = trust(&[], &[&file, &plain], false);
        assert_eq!(known.judge(HOST, 22, &shown).unwrap(), HostKeyDecision::Trusted, "{id}");
        let pinned = trust(&[FINGERPRINT], &[&file], false);
        assert_eq!(pinned.judge(HOST, 22, &shown).unwrap(), HostKeyDecision::Trusted, "{id}");
    }
    let extension = trust(&[], &[&file], false).judge(HOST, 22, &certificate("extension"));
    assert_eq!(extension.unwrap(), HostKeyDecision::Trusted, "extensions may be ignored");
}

#[test]
fn a_certificate_by_nobody_is_worth_what_its_key_is() {
    let shown = certificate("good");
    // Another authority; the right one for another host; its key as that of a host.
    for lines in [
        format!("@cert-authority * {RSA}\n"),
        format!("@cert-authority elsewhere {P256}\n"),
        String::new(),
    ] {
        let [refused, asked] = strictly(Strictness::Yes, &lines, &shown);
        let why = refusal(refused);
        assert!(why.contains("not known") && why.contains("SHA256:0NZal"), "{why}");
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
fn a_revoked_authority_vouches_for_nobody() {
    let shown = certificate("good");
    for revoked in [P256, ED25519] {
        let lines = format!("@cert-authority * {P256}\n{HOST} {ED25519}\n@revoked * {revoked}\n");
        for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No, Strictness::Off]
        {
            for verdict in strictly(strictness, &lines, &shown) {
                let why = refusal(verdict);
                let subject =
                    if revoked == P256 { "the authority SHA256:0NZal" } else { "the host key" };
                assert!(why.starts_with(subject) && why.contains("revoked by"), "{why}");
            }
        }
        // The authority is nothing to the key alone.
        let [plain, _] = strictly(Strictness::Yes, &lines, &key(ED25519));
        assert_eq!(plain == HostKeyDecision::Trusted, revoked == P256);
    }
}

#[test]
fn a_line_that_cannot_be_read_refuses_where_it_may_be_about_the_host() {
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
            let why = trust.judge(HOST, 2222, &key(ED25519)).unwrap_err().to_string();
            let place = format!("{}, line 3: ", file.path().display());
            assert!(why.contains(&place) && why.contains(HOST), "{line}: {why}");
            assert!(trust.known_keys(HOST, 2222).is_err(), "{line}");
        }
        let elsewhere =
            line.replace(HOST, "other.example").replace('*', "other.*").replace(".org", "");
        let file = File::new(&format!("{elsewhere}\n{HOST} {ED25519}\n"));
        let verdict = trust(&[], &[&file], false).judge(HOST, 22, &key(ED25519)).unwrap();
        assert_eq!(verdict, HostKeyDecision::Trusted, "{elsewhere}");
    }
    // Without the port it could only vouch for a key, and says nothing against one.
    let bare = File::new(&format!("[{HOST}]:2222 {ED25519}\n{HOST} {damaged}\n"));
    let trust = trust(&[], &[&bare], false);
    assert_eq!(trust.judge(HOST, 2222, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
    assert!(trust.judge(HOST, 22, &key(ED25519)).is_err());
}

#[test]
fn a_key_of_any_other_type_is_a_changed_one() {
    let certificates = include_str!("../../fixtures/certificates");
    let listed = certificates.lines().find(|line| line.contains(" good")).unwrap();
    for other in [
        "ssh-dss AAAAB3NzaC1kc3MAAAABBQAAAAEDAAAAAQIAAAABBw==",
        "ssh-mldsa44 AAAAC3NzaC1tbGRzYTQ0AAAAAQ==",
        include_str!("../../../../crates/ssh-proto/src/key/fixtures/rsa1024.pub").trim(),
        // A certificate of the key, which is not the key.
        listed,
    ] {
        for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No] {
            for verdict in strictly(strictness, &format!("{HOST} {other}\n"), &key(ED25519)) {
                assert!(refusal(verdict).contains("has changed"), "{other}");
            }
        }
        let both = format!("{HOST} {other}\n{HOST} {ED25519}\n");
        assert_eq!(with_lines(&both, HOST, 22), HostKeyDecision::Trusted, "{other}");
    }
    // It revokes the key, as with OpenSSH.
    let revoked = with_lines(&format!("{HOST} {ED25519}\n@revoked * {listed}\n"), HOST, 22);
    assert!(refusal(revoked).contains("is revoked by"));
}

#[test]
fn a_file_of_revoked_keys_refuses_whatever_else_says() {
    let known = File::new(&format!("{HOST} {ED25519}\n@cert-authority * {P256}\n"));
    let revoking = |text: &str| File::new(text);
    let judge = |list: &File, strictness, shown: &HostKey| {
        let revoked = vec![list.path().to_owned()];
        let trust = Trust { strictness, revoked, ..trust(&[FINGERPRINT], &[&known], true) };
        trust.judge(HOST, 22, shown)
    };
    for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No, Strictness::Off] {
        let list = revoking(&format!("# old\n{OTHER}\n{ED25519} Jos\u{e9}\n"));
        for shown in [key(ED25519), certificate("good")] {
            let why = refusal(judge(&list, strictness, &shown).unwrap());
            let place = format!("is revoked by {}:3", list.path().display());
            assert!(why.starts_with("the host key") && why.contains(&place), "{why}");
        }
        let list = revoking(P256);
        let why = refusal(judge(&list, strictness, &certificate("good")).unwrap());
        assert!(why.starts_with("the authority SHA256:0NZal"), "{why}");
        assert_eq!(judge(&list, strictness, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
        let missing = File(list.path().with_extension("missing"));
        for bad in [&missing, &revoking("damaged"), &revoking("SSHKRL\n\0")] {
            assert!(judge(bad, strictness, &key(ED25519)).is_err());
        }
    }
    assert_eq!(
        judge(&revoking(""), Strictness::Yes, &key(ED25519)).unwrap(),
        HostKeyDecision::Trusted
    );
}

#[test]
fn rsa_keys_have_the_size_that_was_asked_for() {
    let file = File::new(&format!("{HOST} {RSA}\n"));
    let judge = |rsa_bits, line| {
        let trust =
            Trust { rsa_bits, strictness: Strictness::Off, ..trust(&[RSA], &[&file], true) };
        trust.judge(HOST, 22, &key(line)).unwrap()
    };
    for (bits, trusted) in [(0, true), (2048, true), (2049, false), (4096, false)] {
        match judge(bits, RSA) {
            HostKeyDecision::Trusted => assert!(trusted, "{bits}"),
            other => {
                let why = refusal(other);
                assert!(
                    !trusted && why.contains("2048 bits") && why.contains("requiredRSASize"),
                    "{why}"
                );
            }
        }
    }
}
