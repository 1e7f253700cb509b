//! Agents, prompts, and several methods in a row.

use zeroize::Zeroizing;

use super::harness::messages::Part::Text;
use super::harness::messages::build;
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Script, fixture};
use super::harness::userauth_server::method;
use crate::key::PrivateKey;
use crate::message::{USERAUTH_METHOD_SPECIFIC, USERAUTH_REQUEST};
use crate::{AuthMethod, Credentials, Error, Question, Setup};

fn with(credentials: Credentials) -> Setup {
    Setup { credentials: Credentials { user: "ann".into(), ..credentials }, ..setup() }
}

fn secret(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    Some(Zeroizing::new(text.into()))
}

/// Answers every question: the agent's with `keys`, the prompts with `answers` in turn.
fn play(pair: &mut Pair, keys: &[PrivateKey], answers: &[&str]) -> usize {
    let mut answers = answers.iter();
    let mut signatures = 0;
    pair.run();
    while let Some(question) = pair.take().into_iter().find_map(|seen| match seen {
        Seen::Question(question) => Some(question),
        _ => None,
    }) {
        let answered = match question {
            Question::Identities => {
                let blobs = keys.iter().map(|key| key.public_blob().to_vec()).collect();
                pair.client.identities(Ok(blobs))
            }
            Question::Sign { key, algorithm, data } => {
                signatures += 1;
                let signer = keys.iter().find(|held| held.public_blob() == key).unwrap();
                pair.client.signature(Ok(signer.sign(algorithm, &data).unwrap()))
            }
            Question::Prompts(prompts) => {
                let given: Vec<_> = answers
                    .by_ref()
                    .take(prompts.prompts.len())
                    .map(|answer| Zeroizing::new((*answer).into()))
                    .collect();
                pair.client.responses(Some(&given))
            }
            Question::Password => {
                pair.client.password(answers.next().map(|answer| answer.as_bytes()))
            }
        };
        if let Err(error) = answered {
            pair.error = Some(error);
        }
        pair.drain();
        pair.run();
    }
    signatures
}

/// Returns the methods of all requests, with `?` after one without a signature.
fn requests(pair: &mut Pair) -> Vec<String> {
    let received = pair.server.take();
    let requests = received.iter().filter(|payload| payload[0] == USERAUTH_REQUEST);
    requests
        .map(|payload| match method(payload) {
            ("publickey", false) => "publickey?".to_owned(),
            (method, _) => method.to_owned(),
        })
        .collect()
}

#[test]
fn authenticates_with_every_kind_of_agent_key() {
    for key in [fixture!("ed25519"), fixture!("p256"), fixture!("rsa2048")] {
        let user = Some(key.public_blob().to_vec());
        let setup = with(Credentials { agent: true, ..Credentials::default() });
        let mut pair = Pair::new(setup, Script { user, ..Script::default() });
        let keys = [fixture!("ed25519b.pkcs8"), fixture!("p521"), key];
        assert_eq!(play(&mut pair, &keys, &[]), 1);
        assert!(pair.client.is_connected());
        assert_eq!(requests(&mut pair), ["publickey?", "publickey?", "publickey?", "publickey"]);
    }
}

#[test]
fn a_refused_key_is_not_tried_again_from_the_agent() {
    let keys = vec![fixture!("ed25519").into()];
    let setup = with(Credentials { keys, agent: true, ..Credentials::default() });
    let mut pair = Pair::new(setup, Script::default());
    assert_eq!(play(&mut pair, &[fixture!("ed25519")], &[]), 0);
    assert!(
        matches!(pair.failure(), Error::Auth(failure) if failure.text.contains("no other key"))
    );
    assert_eq!(requests(&mut pair), ["publickey", "none"]);
}

#[test]
fn prompts_over_several_rounds() {
    let rounds = vec![vec![("Name: ", "ann"), ("Password: ", "x")], vec![], vec![("Code: ", "7")]];
    for (answers, good) in [(["ann", "x", "7"], true), (["ann", "x", "8"], false)] {
        let setup = with(Credentials { interactive: true, ..Credentials::default() });
        let methods = "keyboard-interactive";
        let script = Script { rounds: rounds.clone(), methods, ..Script::default() };
        let mut pair = Pair::new(setup, script);
        play(&mut pair, &[], &answers);
        assert_eq!(pair.client.is_connected(), good);
        assert_eq!(pair.error.is_none(), good);
        assert_eq!(requests(&mut pair), ["none", "keyboard-interactive"]);
    }
}

#[test]
fn credentials_may_follow_later() {
    let script = Script { sequence: vec!["publickey"], ..Script::default() };
    let mut pair = Pair::new(with(Credentials::default()), script);
    let keys = vec![fixture!("ed25519b.pkcs8").into()];
    let credentials = Credentials { user: "ann".into(), keys, ..Credentials::default() };
    pair.client.set_credentials(credentials);
    play(&mut pair, &[], &[]);
    assert!(pair.client.is_connected());
    assert_eq!(requests(&mut pair), ["publickey"]);
}

#[test]
fn waiting_for_describes_each_state() {
    let rounds = vec![vec![("Code: ", "7")]];
    let setup = with(Credentials { interactive: true, agent: true, ..Credentials::default() });
    let script = Script { rounds, methods: "keyboard-interactive", ..Script::default() };
    let mut pair = Pair::new(setup, script);
    pair.run();
    assert_eq!(pair.client.waiting_for(), "the keys of the agent");
    pair.client.identities(Ok(Vec::new())).unwrap();
    pair.run();
    assert_eq!(pair.client.waiting_for(), "the answers to the server's questions");
    // The server starts a key exchange while the prompt is open.
    pair.server.start_kex();
    pair.feed_client();
    let answer = Zeroizing::new("7".into());
    pair.client.responses(Some(&[answer])).unwrap();
    pair.run();
    assert!(pair.client.is_connected());
}

/// The first request is a guess: refused too early, it is made again when the server lists its
/// method.
#[test]
fn several_methods_in_any_order() {
    let rounds = || vec![vec![("Code: ", "7")]];
    for (sequence, expected) in [
        (vec!["publickey", "password"], &["publickey", "password"][..]),
        (vec!["password", "publickey"], &["publickey", "password", "publickey"]),
        (
            vec!["keyboard-interactive", "publickey"],
            &["publickey", "keyboard-interactive", "publickey"],
        ),
        (
            vec!["password", "keyboard-interactive", "publickey"],
            &["publickey", "password", "keyboard-interactive", "publickey"],
        ),
    ] {
        let keys = vec![fixture!("ed25519b.pkcs8").into()];
        let password = secret("secret");
        let setup =
            with(Credentials { keys, password, interactive: true, ..Credentials::default() });
        let script = Script { sequence, rounds: rounds(), ..Script::default() };
        let mut pair = Pair::new(setup, script);
        play(&mut pair, &[], &["7"]);
        assert_eq!(pair.error, None);
        assert!(pair.client.is_connected());
        assert_eq!(requests(&mut pair), expected);
    }
}

#[test]
fn two_keys_may_be_two_steps() {
    let keys = vec![fixture!("ed25519b.pkcs8").into()];
    let setup = with(Credentials { keys, agent: true, ..Credentials::default() });
    let script = Script { sequence: vec!["publickey", "publickey"], ..Script::default() };
    let mut pair = Pair::new(setup, script);
    pair.run();
    assert_eq!(pair.take().last(), Some(&Seen::Question(Question::Identities)));
    let second = fixture!("p256").public_blob().to_vec();
    pair.server.script.user = Some(second.clone());
    let first = fixture!("ed25519b.pkcs8").public_blob().to_vec();
    pair.client.identities(Ok(vec![first, second])).unwrap();
    play(&mut pair, &[fixture!("p256")], &[]);
    assert!(pair.client.is_connected());
    assert_eq!(requests(&mut pair), ["publickey", "publickey?", "publickey"]);
}

#[test]
fn the_applications_order_decides() {
    use AuthMethod::{KeyboardInteractive, Password, PublicKey};
    for (methods, expected) in [
        (vec![Password], &["password"][..]),
        (vec![Password, PublicKey], &["password", "publickey"]),
        (vec![KeyboardInteractive], &["keyboard-interactive"]),
    ] {
        let (keys, password) = (vec![fixture!("ed25519").into()], secret("wrong"));
        let methods = Some(methods);
        let credentials = Credentials { keys, password, methods, ..Credentials::default() };
        let all = "publickey,password,keyboard-interactive";
        let mut pair = Pair::new(with(credentials), Script { methods: all, ..Script::default() });
        play(&mut pair, &[], &[]);
        assert!(matches!(pair.failure(), Error::Auth(_)));
        assert_eq!(requests(&mut pair), expected);
    }
}

/// As with NumberOfPasswordPrompts of ssh, on one connection.
#[test]
fn the_application_is_asked_again_for_a_refused_password() {
    let all = "publickey,password,keyboard-interactive";
    let asking = |repetitions| {
        with(Credentials { asks_password: true, repetitions, ..Credentials::default() })
    };
    for (answers, repetitions, requested) in [
        (&["secret"][..], 2, 1),
        (&["no", "", "secret"], 2, 3),
        (&["no", "no", "secret"], 1, 2),
        (&["no", "no", "no", "secret"], 2, 3),
        (&["no"], 2, 1),
        (&[], 2, 0),
    ] {
        let script = Script { password: Some("secret"), methods: all, ..Script::default() };
        let mut pair = Pair::new(asking(repetitions), script);
        play(&mut pair, &[], answers);
        let expected = ["none", "password", "password", "password"];
        assert_eq!(requests(&mut pair), expected[..=requested], "{answers:?}");
        assert_eq!(
            pair.client.is_connected(),
            requested > 0 && answers.get(requested - 1) == Some(&"secret")
        );
    }
    // A server that does not list the method any more is not asked again.
    let script = Script {
        sequence: vec!["password", "publickey"],
        password: Some("secret"),
        ..Script::default()
    };
    let mut pair = Pair::new(asking(2), script);
    play(&mut pair, &[], &["secret", "secret"]);
    assert_eq!(requests(&mut pair), ["none", "password"]);
}

#[test]
fn prompts_are_repeated_after_a_refusal() {
    let rounds = || vec![vec![("Code: ", "7")]];
    for (answers, repetitions, requested) in [
        (&["7"][..], 2, 1),
        (&["1", "2", "7"], 2, 3),
        (&["1", "2", "7"], 1, 2),
        (&["1"], 0, 1),
        // The user gives up.
        (&["1"], 2, 2),
    ] {
        let credentials = Credentials { interactive: true, repetitions, ..Credentials::default() };
        let script =
            Script { methods: "keyboard-interactive", rounds: rounds(), ..Script::default() };
        let mut pair = Pair::new(with(credentials), script);
        play(&mut pair, &[], answers);
        let mut expected = vec!["none"];
        expected.resize(1 + requested, "keyboard-interactive");
        assert_eq!(requests(&mut pair), expected, "{answers:?}");
        assert_eq!(pair.client.is_connected(), answers.get(requested - 1) == Some(&"7"));
    }
    // A server that asks nothing is not asked again.
    let credentials = Credentials { interactive: true, repetitions: 2, ..Credentials::default() };
    let script = Script { methods: "keyboard-interactive", ..Script::default() };
    let mut pair = Pair::new(with(credentials), script);
    play(&mut pair, &[], &[]);
    assert_eq!(requests(&mut pair), ["none", "keyboard-interactive"]);
}

#[test]
fn acceptance_of_a_key_that_was_not_offered_ends_the_session() {
    let setup = with(Credentials { agent: true, ..Credentials::default() });
    let mut pair = Pair::new(setup, Script { user: None, ..Script::default() });
    pair.run();
    pair.client.identities(Ok(vec![fixture!("p256").public_blob().to_vec()])).unwrap();
    let other = fixture!("ed25519");
    let parts = [Text(b"ecdsa-sha2-nistp256"), Text(other.public_blob())];
    pair.deliver(&build(USERAUTH_METHOD_SPECIFIC, &parts));
    assert_eq!(pair.failure(), Error::Protocol("it accepts a key that was not offered"));
}

/// Answers without a question have no effect, whenever they come.
#[test]
fn answers_without_a_question_are_ignored() {
    let answer = |pair: &mut Pair| {
        let before = pair.client.pending().len();
        assert_eq!(pair.client.identities(Err("late".into())), Ok(()));
        assert_eq!(pair.client.signature(Err("late".into())), Ok(()));
        assert_eq!(pair.client.responses(None), Ok(()));
        assert_eq!(pair.client.password(Some(b"late")), Ok(()));
        assert_eq!(pair.client.pending().len(), before);
    };
    let mut pair = Pair::new(setup(), Script::default());
    answer(&mut pair);
    pair.run();
    assert!(pair.client.is_connected());
    answer(&mut pair);
    pair.client.disconnect(crate::DisconnectReason::ByApplication);
    answer(&mut pair);
}
