//! The machine alone: what it asks and sends for what it is told.

use super::*;
use crate::key::PrivateKey;
use crate::message::USERAUTH_INFO_RESPONSE;
use crate::wire::message;

const SESSION: &[u8] = b"session";

fn credentials() -> Credentials {
    Credentials { user: "ann".into(), ..Credentials::default() }
}

fn password() -> Credentials {
    Credentials { password: Some(Zeroizing::new("secret".into())), ..credentials() }
}

/// A machine at a server that accepts the service.
fn started(credentials: Credentials) -> (Auth, Result<Step, Error>) {
    let mut auth = Auth::new(credentials);
    let step = auth.begin(SESSION, true);
    let held = auth.service_accepted(SESSION).expect("a step");
    match step {
        Ok(Step::Wait) => (auth, Ok(held)),
        step => {
            assert!(matches!(held, Step::Wait), "one request at a time");
            (auth, step)
        }
    }
}

/// A machine whose first request was sent, and that request.
fn begun(credentials: Credentials) -> (Auth, Vec<u8>) {
    let (auth, step) = started(credentials);
    (auth, sent(step))
}

/// A machine that has asked by `none`, and its first proof at a server that accepts everything.
fn proving(credentials: Credentials) -> (Auth, Vec<u8>) {
    let (mut auth, request) = begun(credentials);
    assert!(request.ends_with(NONE));
    let proof = sent(auth.handle(&failure(EVERYTHING, false), SESSION));
    (auth, proof)
}

const NONE: &[u8] = b"\0\0\0\x04none";
const EVERYTHING: &str = "publickey,password,keyboard-interactive";

fn sent(step: Result<Step, Error>) -> Vec<u8> {
    match step.expect("a step") {
        Step::Send(payload) => payload.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn asked(step: Result<Step, Error>) -> Question {
    match step.expect("a step") {
        Step::Ask(question) => question,
        other => panic!("{other:?}"),
    }
}

fn refusal(step: Result<Step, Error>) -> String {
    match step {
        Err(Error::Auth(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn failure(accepted: &str, partial: bool) -> Vec<u8> {
    let mut payload = message(USERAUTH_FAILURE);
    payload.put_string(accepted.as_bytes());
    payload.put_boolean(partial);
    payload
}

/// A round of questions, none of which may be seen.
fn questions(count: u32, text: &str) -> Vec<u8> {
    let mut payload = message(USERAUTH_METHOD_SPECIFIC);
    for text in ["", text, ""] {
        payload.put_string(text.as_bytes());
    }
    payload.put_uint32(count);
    for _ in 0..count {
        payload.put_string(text.as_bytes());
        payload.put_boolean(false);
    }
    payload
}

/// What an agent lists for a key of this type, or answers as its signature.
fn blob(name: &str, rest: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(name.as_bytes());
    blob.put_string(rest);
    blob
}

fn welcome(algorithm: &str, key: &[u8]) -> Vec<u8> {
    let mut payload = message(USERAUTH_METHOD_SPECIFIC);
    payload.put_string(algorithm.as_bytes());
    payload.put_string(key);
    payload
}

/// Whether bytes hold others.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn without_any_credentials_none_is_asked() {
    let (mut auth, request) = begun(credentials());
    assert!(request.ends_with(NONE));
    let text = refusal(auth.handle(&failure("publickey", false), SESSION));
    assert!(text.ends_with("tried none; the server accepts publickey"), "{text}");
}

/// What is no secret is sent together with the wish to begin, and asks for what is secret.
#[test]
fn before_a_secret_none_is_asked() {
    for credentials in [password(), Credentials { interactive: true, ..password() }] {
        let mut auth = Auth::new(credentials);
        assert!(sent(auth.begin(SESSION, true)).ends_with(NONE));
        assert!(matches!(auth.service_accepted(SESSION), Ok(Step::Wait)));
        assert!(matches!(auth.handle(&[USERAUTH_SUCCESS], SESSION), Ok(Step::Success)));
    }
    // A method that the server does not list then gets nothing.
    let (mut auth, _) = begun(password());
    let text = refusal(auth.handle(&failure("publickey", false), SESSION));
    assert!(text.ends_with("tried none; the server accepts publickey"), "{text}");
}

/// Some servers name no methods until something was proved.
#[test]
fn an_empty_list_in_answer_to_none_rules_nothing_out() {
    let (mut auth, _) = begun(password());
    assert!(sent(auth.handle(&failure("", false), SESSION)).ends_with(b"secret"));
    let text = refusal(auth.handle(&failure("", false), SESSION));
    assert!(text.contains("tried none, password"), "{text}");
}

#[test]
fn a_password_waits_for_the_service() {
    let methods = Some(vec![AuthMethod::Password]);
    let mut auth = Auth::new(Credentials { methods, ..password() });
    assert!(matches!(auth.begin(SESSION, true), Ok(Step::Wait)));
    assert_eq!(auth.waiting_for(), "the start of the authentication");
    assert!(sent(auth.service_accepted(SESSION)).ends_with(b"secret"));
    assert!(matches!(auth.service_accepted(SESSION), Ok(Step::Wait)), "once");
    // Also where an agent that has no keys was asked before.
    let methods = Some(vec![AuthMethod::Agent, AuthMethod::Password]);
    let mut auth = Auth::new(Credentials { methods, agent: true, ..password() });
    asked(auth.begin(SESSION, true));
    assert!(matches!(auth.identities(Ok(Vec::new()), SESSION), Ok(Step::Wait)));
    assert!(sent(auth.service_accepted(SESSION)).ends_with(b"secret"));
}

/// However a server comes to answer before that: nothing follows from it.
#[test]
fn an_answer_before_the_service_is_refused() {
    for answer in [vec![USERAUTH_SUCCESS], failure("password", false), questions(1, "Password: ")] {
        let mut auth = Auth::new(password());
        sent(auth.begin(SESSION, true));
        assert!(matches!(auth.handle(&answer, SESSION), Err(Error::Protocol(_))));
    }
}

fn with_key(more: Credentials) -> Credentials {
    Credentials { keys: vec![user_key("ed25519").into()], ..more }
}

/// Where the server lists it, `none` comes before anything secret; else it is the last resort of
/// those who have no secret to try.
#[test]
fn none_is_asked_once_after_the_keys() {
    for (list, more, expected) in [
        ("none", password(), &["none"][..]),
        ("", password(), &["none"]),
        ("none,password", password(), &["none", "secret"]),
        ("publickey,none,keyboard-interactive", password(), &["none", "keyboard-interactive"]),
        ("password", password(), &["secret"]),
        ("publickey", password(), &["none"]),
        ("publickey,password", credentials(), &["none"]),
        ("hostbased", credentials(), &["none"]),
    ] {
        let (mut auth, request) = begun(with_key(more));
        assert!(holds(&request, b"publickey"), "{list}");
        for method in expected {
            let request = sent(auth.handle(&failure(list, false), SESSION));
            assert!(holds(&request, method.as_bytes()), "{list}: {method}");
        }
        refusal(auth.handle(&failure(list, false), SESSION));
    }
}

#[test]
fn after_one_step_of_several_none_is_not_asked() {
    let (mut auth, _) = begun(with_key(credentials()));
    let text = refusal(auth.handle(&failure("password", true), SESSION));
    assert!(text.contains("one step of several") && !text.contains("none"), "{text}");
}

/// The user's own list says whether `none` is asked.
#[test]
fn a_list_without_none_never_asks_it() {
    let methods = Some(vec![AuthMethod::PublicKey]);
    let (mut auth, _) = begun(with_key(Credentials { methods, ..password() }));
    refusal(auth.handle(&failure("none", false), SESSION));
}

#[test]
fn a_choice_for_which_there_is_nothing_sends_nothing() {
    for methods in [vec![], vec![AuthMethod::Agent, AuthMethod::PublicKey]] {
        let mut auth = Auth::new(Credentials { methods: Some(methods), ..password() });
        assert!(refusal(auth.begin(SESSION, true)).contains("tried nothing"));
    }
}

#[test]
fn a_method_is_tried_once_and_the_password_is_gone_then() {
    let (mut auth, request) = proving(password());
    assert!(request.ends_with(b"\0\0\0\0\x06secret"));
    let text = refusal(auth.handle(&failure("password,keyboard-interactive", false), SESSION));
    assert!(
        text.contains("tried none, password;") && text.contains("accepts password,keyboard"),
        "{text}"
    );
    assert!(!text.contains("secret"));
    assert!(auth.credentials.password.is_none());
}

#[test]
fn nothing_that_could_be_printed_tells_the_password() {
    assert!(!format!("{:?}", password()).contains("secret"));
}

#[test]
fn banners_have_an_end() {
    let (mut auth, _) = begun(password());
    let mut banner = message(USERAUTH_BANNER);
    banner.put_string(b"hello\r\n\x1b[2J");
    banner.put_string(b"en");
    let shown = Banner { message: "hello\n?[2J".into(), language: "en".into() };
    for _ in 0..MAX_BANNERS {
        assert!(matches!(auth.handle(&banner, SESSION), Ok(Step::Show(banner)) if banner == shown));
    }
    assert!(matches!(auth.handle(&banner, SESSION), Err(Error::Protocol(_))));

    let (mut auth, _) = begun(password());
    let mut banner = message(USERAUTH_BANNER);
    banner.put_string(&[b'x'; 250_000]);
    for _ in 0..MAX_BANNER_BYTES / 250_000 {
        assert!(matches!(auth.handle(&banner, SESSION), Ok(Step::Show(_))));
    }
    assert!(matches!(auth.handle(&banner, SESSION), Err(Error::Protocol(_))));
}

#[test]
fn a_demand_for_a_new_password_ends_it() {
    let (mut auth, _) = proving(password());
    let demand = questions(0, "change it");
    assert!(refusal(auth.handle(&demand, SESSION)).contains("changed"));
}

/// What answers nothing is no answer, whatever it says.
#[test]
fn a_verdict_without_a_request_is_refused() {
    for verdict in [vec![USERAUTH_SUCCESS], failure("publickey", false), welcome("a", b"b")] {
        let (mut auth, step) = started(Credentials { agent: true, ..credentials() });
        assert_eq!(asked(step), Question::Identities);
        assert!(matches!(auth.handle(&verdict, SESSION), Err(Error::Protocol(_))));
    }
}

#[test]
fn a_password_answers_a_question_for_one() {
    let (mut auth, _) = begun(password());
    let request = sent(auth.handle(&failure("publickey,keyboard-interactive", false), SESSION));
    assert!(holds(&request, b"keyboard-interactive"));
    let answer = sent(auth.handle(&questions(1, "Password: "), SESSION));
    assert_eq!(answer[0], USERAUTH_INFO_RESPONSE);
    assert!(answer.ends_with(b"\0\0\0\x01\0\0\0\x06secret"));
    // Once: a second round is for something else.
    let text = refusal(auth.handle(&questions(1, "Code: "), SESSION));
    assert!(text.contains("more than a password"), "{text}");
}

#[test]
fn a_password_answers_nothing_else() {
    let mut visible = questions(1, "Name: ");
    *visible.last_mut().expect("not empty") = 1;
    for round in [questions(2, "Password: "), visible] {
        let (mut auth, _) = begun(password());
        sent(auth.handle(&failure("keyboard-interactive", false), SESSION));
        refusal(auth.handle(&round, SESSION));
    }
}

fn interactive() -> Auth {
    let (auth, request) = proving(Credentials { interactive: true, ..credentials() });
    assert!(request.ends_with(b"keyboard-interactive\0\0\0\0\0\0\0\0"));
    auth
}

#[test]
fn questions_have_an_end() {
    let mut auth = interactive();
    for _ in 0..prompts::MOST_ROUNDS {
        let answer = sent(auth.handle(&questions(0, "wait"), SESSION));
        assert_eq!(answer, [USERAUTH_INFO_RESPONSE, 0, 0, 0, 0]);
    }
    let more = auth.handle(&questions(0, "wait"), SESSION);
    assert!(matches!(more, Err(Error::Protocol("questions without end"))));
}

#[test]
fn questions_are_bounded() {
    for round in [questions(257, ""), questions(u32::MAX >> 20, "")] {
        assert!(matches!(interactive().handle(&round, SESSION), Err(Error::Protocol(_))));
    }
    // A number without the questions.
    let mut claimed = questions(0, "");
    let at = claimed.len() - 1;
    claimed[at] = 9;
    assert!(matches!(interactive().handle(&claimed, SESSION), Err(Error::Protocol(_))));
    for round in [questions(256, ""), questions(1, &"x".repeat(100_000))] {
        asked(interactive().handle(&round, SESSION));
    }
}

#[test]
fn questions_are_fit_to_be_shown() {
    let question = asked(interactive().handle(&questions(1, "a\x1b[2J\tb\u{9b}1m\n"), SESSION));
    let Question::Prompts(prompts) = question else { panic!("{question:?}") };
    assert_eq!(prompts.instruction, "a?[2J\tb?1m\n");
    assert_eq!(prompts.prompts, [Prompt { text: "a?[2J\tb?1m\n".into(), echo: false }]);
}

#[test]
fn a_second_round_before_the_answer_is_refused() {
    let mut auth = interactive();
    asked(auth.handle(&questions(1, ""), SESSION));
    assert!(matches!(auth.handle(&questions(1, ""), SESSION), Err(Error::Protocol(_))));
}

#[test]
fn no_answer_or_too_few_give_up() {
    for given in
        [None, Some(&[][..]), Some(&[Zeroizing::new("a".into()), Zeroizing::new("b".into())])]
    {
        let mut auth = interactive();
        asked(auth.handle(&questions(1, ""), SESSION));
        assert!(refusal(auth.responses(given, SESSION)).contains("not answered"));
    }
}

/// The server has given up waiting for the user and refused; his answer is not sent to whatever
/// comes next.
#[test]
fn an_answer_that_comes_too_late_is_dropped() {
    let (mut auth, _) = proving(Credentials { interactive: true, ..password() });
    asked(auth.handle(&questions(1, ""), SESSION));
    let next = sent(auth.handle(&failure("password", false), SESSION));
    assert!(next.ends_with(b"secret"));
    let late = auth.responses(Some(&[Zeroizing::new("a".into())]), SESSION);
    assert!(matches!(late, Ok(Step::Wait)));
    assert!(matches!(auth.signature(Ok(Vec::new()), SESSION), Ok(Step::Wait)));
    assert!(matches!(auth.identities(Ok(Vec::new()), SESSION), Ok(Step::Wait)));
}

/// What was looked at and refused is over, also when the list that came with it lacks the method.
#[test]
fn answers_that_were_refused_are_not_asked_for_again() {
    let (mut auth, _) = proving(Credentials { interactive: true, ..password() });
    asked(auth.handle(&questions(1, ""), SESSION));
    sent(auth.responses(Some(&[Zeroizing::new("a".into())]), SESSION));
    let next = sent(auth.handle(&failure("password", false), SESSION));
    assert!(next.ends_with(b"secret"));
    let text = refusal(auth.handle(&failure("keyboard-interactive", true), SESSION));
    assert!(
        text.contains("tried none, keyboard-interactive, password: one step of several"),
        "{text}"
    );
}

/// The end of a machine whose last key is refused: `none` is refused, too.
fn refused_by_none(auth: &mut Auth) -> String {
    assert!(sent(auth.handle(&failure("publickey", false), SESSION)).ends_with(NONE));
    refusal(auth.handle(&failure("publickey", false), SESSION))
}

/// A machine that was told of these keys of an agent, and its first probe.
fn agent(blobs: &[Vec<u8>], sig_algs: Option<&str>) -> (Auth, Vec<u8>) {
    let (mut auth, step) = started(Credentials { agent: true, ..credentials() });
    assert_eq!(asked(step), Question::Identities);
    if let Some(names) = sig_algs {
        auth.takes_signatures(names);
    }
    let probe = sent(auth.identities(Ok(blobs.to_vec()), SESSION));
    (auth, probe)
}

#[test]
fn the_agent_is_asked_to_sign_only_with_a_key_that_is_welcome() {
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
fn another_key_than_the_offered_is_not_signed_with() {
    let keys = [blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two")];
    let (mut auth, _) = agent(&keys, None);
    let answer = auth.handle(&welcome("ssh-ed25519", &keys[1]), SESSION);
    assert!(matches!(answer, Err(Error::Protocol(_))));
}

#[test]
fn a_signature_that_fails_leads_to_the_next_key() {
    let keys = [blob("ssh-ed25519", b"one"), blob("ssh-ed25519", b"two")];
    for made in [Err("it said no".to_owned()), Ok(blob("ssh-rsa", b"sha1")), Ok(vec![0xff; 9])] {
        let (mut auth, _) = agent(&keys, None);
        asked(auth.handle(&welcome("ssh-ed25519", &keys[0]), SESSION));
        let probe = sent(auth.signature(made, SESSION));
        assert!(probe.ends_with(b"two"));
    }
}

#[test]
fn an_rsa_key_is_used_with_the_best_signature_that_the_server_takes() {
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
fn an_agent_that_has_nothing_is_named_in_the_error() {
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
fn an_error_names_a_bounded_number_of_keys() {
    let keys: Vec<_> = (0..100_u8).map(|number| blob("ssh-ed25519", &[number])).collect();
    let (mut auth, _) = agent(&keys, None);
    for _ in 1..keys.len() {
        sent(auth.handle(&failure("publickey", false), SESSION));
    }
    let text = refused_by_none(&mut auth);
    assert!(text.contains("and 85 more") && text.len() < 1000, "{text}");
}

/// A server that alternates what it wants, and never is content, gets each thing once or, after
/// what it calls a success, once more.
#[test]
fn partial_success_without_end_has_an_end() {
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

fn user_key(name: &str) -> PrivateKey {
    let text: &[u8] = match name {
        "ed25519" => include_bytes!("../key/fixtures/ed25519"),
        "rsa2048" => include_bytes!("../key/fixtures/rsa2048"),
        other => panic!("{other}"),
    };
    PrivateKey::parse(text, None).expect("a key")
}

/// By ssh-keygen -s.
const CERTIFICATE: &[u8] = include_bytes!("../key/fixtures/ed25519-cert.pub");
const RSA_CERTIFICATE: &[u8] = include_bytes!("../key/fixtures/rsa2048-cert.pub");
const HOST_CERTIFICATE: &[u8] = include_bytes!("../key/fixtures/ed25519-host-cert.pub");

#[test]
fn each_key_is_tried_after_its_certificate() {
    let certified =
        |key, certificate| Identity::certified(user_key(key), certificate).expect("it fits");
    let keys = vec![
        certified("rsa2048", RSA_CERTIFICATE),
        user_key("rsa2048").into(), // once more, without: it is not tried again
        certified("ed25519", CERTIFICATE),
    ];
    let (mut auth, mut request) = begun(Credentials { keys, ..credentials() });
    auth.takes_signatures("ssh-ed25519,rsa-sha2-256,rsa-sha2-512");
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
fn a_certificate_of_something_else_is_refused() {
    let of = |certificate| Identity::certified(user_key("ed25519"), certificate).map(|_| ());
    assert_eq!(of(RSA_CERTIFICATE), Err(IdentityError::OtherKey));
    assert_eq!(of(HOST_CERTIFICATE), Err(IdentityError::OfAHost));
    for line in [include_bytes!("../key/fixtures/ed25519.pub").as_slice(), &CERTIFICATE[..433]] {
        assert!(matches!(of(line), Err(IdentityError::Unusable(_))));
    }
    for text in [include_bytes!("../key/fixtures/ed25519").as_slice(), b"", b"\xff", b"ssh-rsa !"] {
        assert_eq!(of(text), Err(IdentityError::NotACertificate));
    }
}

#[test]
fn the_key_in_a_line() {
    let line = |bytes: &'static [u8]| public_blob(str::from_utf8(bytes).expect("text"));
    let key = user_key("ed25519").public_blob().to_vec();
    for text in [include_bytes!("../key/fixtures/ed25519.pub").as_slice(), CERTIFICATE] {
        assert_eq!(line(text), Some(key.clone()));
    }
    for text in [include_bytes!("../key/fixtures/ed25519").as_slice(), b"", b"ssh-ed25519 AAAA"] {
        assert_eq!(line(text), None);
    }
}

#[test]
fn of_the_agents_keys_only_the_named_ones_are_used() {
    let named = user_key("ed25519").public_blob().to_vec();
    let identity = Identity::certified(user_key("ed25519"), CERTIFICATE).expect("it fits");
    let held: Vec<_> = identity.blobs().map(<[u8]>::to_vec).collect();
    let others = [blob("ssh-ed25519", b"one"), user_key("rsa2048").public_blob().to_vec()];
    let agent_keys = Some(vec![named]);
    let (mut auth, step) = started(Credentials { agent: true, agent_keys, ..credentials() });
    asked(step);
    // With its certificate, which names the key.
    let probe = sent(auth.identities(Ok([&others[..], &held].concat()), SESSION));
    assert!(probe.ends_with(&held[0]));
    let probe = sent(auth.handle(&failure("publickey", false), SESSION));
    assert!(probe.ends_with(&held[1]));
    refused_by_none(&mut auth);
}

#[test]
fn what_is_too_long_for_a_message_is_not_sent() {
    let mut auth = Auth::new(Credentials { user: "x".repeat(MAX_NAME + 1), ..password() });
    assert_eq!(refusal(auth.begin(SESSION, true)), "the user name is too long to be sent");
    let long = Zeroizing::new(vec![7; MAX_SECRET + 1]);
    let mut auth = Auth::new(Credentials { password: Some(long.clone()), ..credentials() });
    assert_eq!(refusal(auth.begin(SESSION, true)), "the password is too long to be sent");
    let mut auth = interactive();
    asked(auth.handle(&questions(1, "?"), SESSION));
    assert_eq!(
        refusal(auth.responses(Some(&[long]), SESSION)),
        "the answer is too long to be sent"
    );
}
