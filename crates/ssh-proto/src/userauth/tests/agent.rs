//! Keys of an agent.

use super::certificates::CERTIFICATE;
use super::*;

/// Returns the error after the last key is refused: `none` is refused too.
fn refused_by_none(auth: &mut Auth) -> String {
    assert!(sent(auth.handle(&failure("publickey", false), SESSION)).ends_with(NONE));
    refusal(auth.handle(&failure("publickey", false), SESSION))
}

/// Returns the state machine with these keys of an agent, and its first request.
fn agent(blobs: &[Vec<u8>], sig_algs: Option<&str>) -> (Auth, Vec<u8>) {
    let (mut auth, step) = started(Credentials { agent: true, ..credentials() });
    assert_eq!(asked(step), Question::Identities);
    if let Some(names) = sig_algs {
        auth.set_signature_algorithms(names);
    }
    let probe = sent(auth.identities(Ok(blobs.to_vec()), SESSION));
    (auth, probe)
}

#[test]
fn the_agent_signs_only_with_an_accepted_key() {
    let keys = [blob("ssh-ed25519", b"one"), blob("ssh-dss", b"old"), blob("ssh-ed25519", b"two")];
    let (mut auth, probe) = agent(&keys, None);
    assert!(probe.ends_with(b"one") && holds(&probe, b"publickey\0\0\0\0\x0bssh-ed25519"));
    let probe = sent(auth.handle(&failure("publickey", false), SESSION));
    assert!(probe.ends_with(b"two"));
    let question = asked(auth.handle(&welcome("ssh-ed25519", &keys[2]), SESSION));
    let Question::Sign { key, algorithm, data } = question else { panic!("{question:?}") };
    assert_eq!((&key, algorithm), (&keys[2], "ssh-ed25519"));
    assert!(data.starts_with(b"\0\0\0\x07session\x32\0\0\0\x03ann"));
    let signature = blob("ssh-ed25519", b"signed");
    let request = sent(auth.signature(Ok(signature.clone()), SESSION));
    let mut expected = data[11..].to_vec();
    expected.put_string(&signature);
    assert_eq!(request, expected);
    assert!(matches!(auth.handle(&[USERAUTH_SUCCESS], SESSION), Ok(Step::Success)));
}

#[test]
fn a_key_that_was_not_offered_is_not_signed_with() {
    let keys = [blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two")];
    let (mut auth, _) = agent(&keys, None);
    let answer = auth.handle(&welcome("ssh-ed25519", &keys[1]), SESSION);
    assert!(matches!(answer, Err(Error::Protocol(_))));
}

#[test]
fn a_failed_signature_leads_to_the_next_key() {
    let keys = [blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two")];
    for made in [Err("it said no".to_owned()), Ok(blob("ssh-rsa", b"sha1")), Ok(vec![0xff; 9])] {
        let (mut auth, _) = agent(&keys, None);
        asked(auth.handle(&welcome("ssh-ed25519", &keys[0]), SESSION));
        let probe = sent(auth.signature(made, SESSION));
        assert!(probe.ends_with(b"two"));
    }
}

#[test]
fn an_rsa_key_is_used_with_the_best_accepted_signature() {
    for (sig_algs, algorithms) in [
        (None, &["rsa-sha2-512", "rsa-sha2-256"][..]),
        (Some("rsa-sha2-256,rsa-sha2-512"), &["rsa-sha2-512"]),
        (Some("ssh-rsa,rsa-sha2-256"), &["rsa-sha2-256"]),
    ] {
        for suffix in ["", "-cert-v01@openssh.com"] {
            let key = blob(&format!("ssh-rsa{suffix}"), b"key");
            let (mut auth, mut probe) = agent(std::slice::from_ref(&key), sig_algs);
            let (last, first) = algorithms.split_last().expect("not empty");
            for algorithm in first {
                assert!(holds(&probe, format!("{algorithm}{suffix}").as_bytes()));
                probe = sent(auth.handle(&failure("publickey", false), SESSION));
            }
            assert!(holds(&probe, format!("{last}{suffix}").as_bytes()));
            asked(auth.handle(&welcome("ssh-rsa", &key), SESSION));
            let name = last.to_owned();
            sent(auth.signature(Ok(blob(name, b"signed")), SESSION));
            let text = refused_by_none(&mut auth);
            assert!(text.contains(&format!("{last}{suffix} of the agent")), "{text}");
        }
    }
}

#[test]
fn an_agent_without_keys_is_reported_in_the_error() {
    let fails = |found| {
        let (mut auth, step) = started(Credentials { agent: true, ..credentials() });
        asked(step);
        assert!(sent(auth.identities(found, SESSION)).ends_with(NONE));
        refusal(auth.handle(&failure("publickey", false), SESSION))
    };
    assert!(fails(Ok(Vec::new())).contains("agent (it has no other key)"));
    assert!(fails(Ok(vec![blob("ssh-dss", b"old")])).contains("agent (it has no other key)"));
    assert!(fails(Err("connect ENOENT".into())).contains("agent (connect ENOENT)"));
}

#[test]
fn an_error_lists_a_bounded_number_of_keys() {
    let keys: Vec<_> = (0..100_u8).map(|number| blob("ssh-ed25519", &[number])).collect();
    let (mut auth, _) = agent(&keys, None);
    for _ in 1..keys.len() {
        sent(auth.handle(&failure("publickey", false), SESSION));
    }
    let text = refused_by_none(&mut auth);
    assert!(text.contains("and 85 more") && text.len() < 1000, "{text}");
}

/// A server that alternates its list for ever gets each attempt once or, after partial success,
/// once more.
#[test]
fn partial_successes_are_bounded() {
    for partial in [false, true] {
        let keys: Vec<_> = (0..5_u8).map(|number| blob("ssh-ed25519", &[number])).collect();
        let everything = Credentials { agent: true, interactive: true, ..password() };
        let (mut auth, step) = started(everything);
        asked(step);
        let mut step = auth.identities(Ok(keys), SESSION);
        let mut requests = 0;
        while let Ok(Step::Send(_)) = step {
            requests += 1;
            assert!(requests < 100);
            let accepted = ["password", "publickey", "keyboard-interactive"][requests % 3];
            step = auth.handle(&failure(accepted, partial), SESSION);
        }
        refusal(step);
    }
}

#[test]
fn only_the_listed_keys_of_the_agent_are_used() {
    let named = user_key("ed25519").public_blob().to_vec();
    let identity = Identity::with_certificate(user_key("ed25519"), CERTIFICATE).expect("it fits");
    let held: Vec<_> = identity.blobs().map(<[u8]>::to_vec).collect();
    let others = [blob("ssh-ed25519", b"one"), user_key("rsa2048").public_blob().to_vec()];
    let agent_keys = Some(vec![named]);
    let (mut auth, step) = started(Credentials { agent: true, agent_keys, ..credentials() });
    asked(step);
    // With its certificate.
    let probe = sent(auth.identities(Ok([&others[..], &held].concat()), SESSION));
    assert!(probe.ends_with(&held[0]));
    let probe = sent(auth.handle(&failure("publickey", false), SESSION));
    assert!(probe.ends_with(&held[1]));
    refused_by_none(&mut auth);
}

#[test]
fn chosen_keys_of_the_agent_come_first_in_its_order() {
    let keys: Vec<_> =
        [b"one", b"two", b"six", b"ten"].map(|name| blob("ssh-ed25519", name)).into();
    let agent_first = vec![keys[3].clone(), keys[1].clone()];
    let (mut auth, step) = started(Credentials { agent: true, agent_first, ..credentials() });
    asked(step);
    let mut probe = sent(auth.identities(Ok(keys), SESSION));
    for name in [b"two", b"ten", b"one", b"six"] {
        assert!(probe.ends_with(name), "{}", probe.escape_ascii());
        probe = sent(auth.handle(&failure("publickey", false), SESSION));
    }
}

/// As OpenSSH: certificates that are named, the agent's keys among the files', its others, then files.
#[test]
fn an_agent_before_the_private_keys_decides_their_order() {
    let certified = Identity::with_certificate(user_key("ed25519"), CERTIFICATE).expect("it fits");
    let [certificate, key] =
        certified.blobs().map(<[u8]>::to_vec).collect::<Vec<_>>().try_into().expect("two");
    let (rsa, point) = (user_key("rsa2048"), user_key("p256"));
    let (both, file) = (rsa.public_blob().to_vec(), point.public_blob().to_vec());
    let methods = vec![AuthMethod::Agent, AuthMethod::PublicKey];
    let (mut auth, step) = started(Credentials {
        keys: vec![point.into(), certified, rsa.into()],
        agent: true,
        agent_first: vec![file.clone(), both.clone(), key.clone()],
        agent_certificates: vec![certificate.clone()],
        methods: Some(methods),
        ..credentials()
    });
    asked(step);
    auth.set_signature_algorithms("rsa-sha2-256");
    let held = vec![blob("ssh-ed25519", b"one"), both.clone(), blob("ssh-ed25519", b"two")];
    let mut request = sent(auth.identities(Ok(held), SESSION));
    for (name, offer, signs) in [
        ("the named certificate", &certificate[..], true),
        ("the key of both, by the private key", &both, true),
        ("a key of the agent", b"one", false),
        ("another one", b"two", false),
        ("the first file", &file, true),
        ("the last file", &key, true),
    ] {
        assert!(holds(&request, offer), "{name}: {}", request.escape_ascii());
        assert_eq!(request.ends_with(offer), !signs, "{name}");
        if name != "the last file" {
            request = sent(auth.handle(&failure("publickey", false), SESSION));
        }
    }
    refusal(auth.handle(&failure("publickey", false), SESSION));
}

#[test]
fn private_keys_before_an_agent_are_not_offered_by_it() {
    let key = user_key("ed25519");
    let held = vec![key.public_blob().to_vec(), blob("ssh-ed25519", b"one")];
    let (mut auth, request) =
        begun(Credentials { keys: vec![key.into()], agent: true, ..credentials() });
    assert!(holds(&request, &held[0]));
    asked(auth.handle(&failure("publickey", false), SESSION));
    assert!(sent(auth.identities(Ok(held), SESSION)).ends_with(b"one"));
    refused_by_none(&mut auth);
}

#[test]
fn a_certificate_is_offered_with_the_key_of_the_agent() {
    let identity = Identity::with_certificate(user_key("ed25519"), CERTIFICATE).expect("it fits");
    let [certificate, key] =
        identity.blobs().map(<[u8]>::to_vec).collect::<Vec<_>>().try_into().expect("two");
    let other = blob("ssh-ed25519", b"one");
    let credentials = || Credentials {
        agent: true,
        agent_certificates: vec![certificate.clone()],
        ..credentials()
    };
    let (mut auth, step) = started(credentials());
    asked(step);
    let probe = sent(auth.identities(Ok(vec![other.clone(), key.clone()]), SESSION));
    assert!(probe.ends_with(&certificate));
    // The agent has the key only, and signs a request with the certificate.
    let accepted = welcome("ssh-ed25519-cert-v01@openssh.com", &certificate);
    let Question::Sign { key: held, algorithm, data } = asked(auth.handle(&accepted, SESSION))
    else {
        panic!("no signature is asked for")
    };
    assert_eq!((held, algorithm), (key.clone(), "ssh-ed25519-cert-v01@openssh.com"));
    assert!(data.ends_with(&certificate));
    sent(auth.signature(Ok(blob("ssh-ed25519", b"signed")), SESSION));
    // Then the key itself. As one step of several, both are one key.
    let (mut partial, step) = started(credentials());
    asked(step);
    sent(partial.identities(Ok(vec![other.clone(), key.clone()]), SESSION));
    assert!(sent(auth.handle(&failure("publickey", false), SESSION)).ends_with(&key));
    assert!(sent(partial.handle(&failure("publickey", true), SESSION)).ends_with(b"one"));
    // Without the key, a certificate is of no use.
    let (mut auth, step) = started(credentials());
    asked(step);
    assert!(sent(auth.identities(Ok(vec![other]), SESSION)).ends_with(b"one"));
    refused_by_none(&mut auth);
}
