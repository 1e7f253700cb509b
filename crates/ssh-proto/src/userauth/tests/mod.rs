//! The state machine of authentication alone: its steps for the messages of a server.

mod agent;
mod certificates;
mod prompts;

use zeroize::Zeroizing;

use super::auth::{MAX_BANNER_BYTES, MAX_BANNERS};
use super::*;
use crate::Error;
use crate::key::PrivateKey;
use crate::message::{
    USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_METHOD_SPECIFIC, USERAUTH_SUCCESS,
};
use crate::wire::{MAX_NAME, MAX_SECRET, Writer, message};

const SESSION: &[u8] = b"session";

fn credentials() -> Credentials {
    Credentials { user: "ann".into(), ..Credentials::default() }
}

fn password() -> Credentials {
    Credentials { password: Some(Zeroizing::new("secret".into())), ..credentials() }
}

/// Returns the first step at a server that accepts the service.
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

/// Returns the first request.
fn begun(credentials: Credentials) -> (Auth, Vec<u8>) {
    let (auth, step) = started(credentials);
    (auth, sent(step))
}

/// Returns the first request after `none`, at a server that accepts every method.
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
        Err(Error::Auth(failure)) => failure.text,
        other => panic!("{other:?}"),
    }
}

fn failure(accepted: &str, partial: bool) -> Vec<u8> {
    let mut payload = message(USERAUTH_FAILURE);
    payload.put_string(accepted.as_bytes());
    payload.put_boolean(partial);
    payload
}

/// Returns prompts without echo.
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

/// Returns an agent's key of this type, or its signature.
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

/// Returns whether `bytes` contains `part`.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn none_is_requested_without_credentials() {
    let (mut auth, request) = begun(credentials());
    assert!(request.ends_with(NONE));
    let text = refusal(auth.handle(&failure("publickey", false), SESSION));
    assert!(text.ends_with("tried none; the server accepts publickey"), "{text}");
}

/// A request without a secret is sent with the service request, and learns which methods are
/// accepted.
#[test]
fn none_is_requested_before_a_secret() {
    for credentials in [password(), Credentials { interactive: true, ..password() }] {
        let mut auth = Auth::new(credentials);
        assert!(sent(auth.begin(SESSION, true)).ends_with(NONE));
        assert!(matches!(auth.service_accepted(SESSION), Ok(Step::Wait)));
        assert!(matches!(auth.handle(&[USERAUTH_SUCCESS], SESSION), Ok(Step::Success)));
    }
    // A method that the server does not list is not tried.
    let (mut auth, _) = begun(password());
    let text = refusal(auth.handle(&failure("publickey", false), SESSION));
    assert!(text.ends_with("tried none; the server accepts publickey"), "{text}");
}

/// Some servers list no methods before the first success.
#[test]
fn an_empty_list_in_reply_to_none_excludes_no_method() {
    let (mut auth, _) = begun(password());
    assert!(sent(auth.handle(&failure("", false), SESSION)).ends_with(b"secret"));
    let text = refusal(auth.handle(&failure("", false), SESSION));
    assert!(text.contains("tried none, password"), "{text}");
}

#[test]
fn a_failure_carries_the_methods_that_were_tried_and_those_that_the_server_accepts() {
    let (mut auth, _) = proving(Credentials { interactive: true, ..password() });
    let step = auth.handle(&failure("publickey,password", false), SESSION);
    assert!(sent(step).ends_with(b"secret"));
    match auth.handle(&failure("publickey,host\x07based", false), SESSION) {
        Err(Error::Auth(failure)) => {
            assert_eq!(failure.tried, ["none", "keyboard-interactive", "password"]);
            assert_eq!(failure.accepted, ["publickey", "host?based"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_password_waits_for_the_service() {
    let methods = Some(vec![AuthMethod::Password]);
    let mut auth = Auth::new(Credentials { methods, ..password() });
    assert!(matches!(auth.begin(SESSION, true), Ok(Step::Wait)));
    assert_eq!(auth.waiting_for(), "the start of the authentication");
    assert!(sent(auth.service_accepted(SESSION)).ends_with(b"secret"));
    assert!(matches!(auth.service_accepted(SESSION), Ok(Step::Wait)), "once");
    // Also after an agent without keys.
    let methods = Some(vec![AuthMethod::Agent, AuthMethod::Password]);
    let mut auth = Auth::new(Credentials { methods, agent: true, ..password() });
    asked(auth.begin(SESSION, true));
    assert!(matches!(auth.identities(Ok(Vec::new()), SESSION), Ok(Step::Wait)));
    assert!(sent(auth.service_accepted(SESSION)).ends_with(b"secret"));
}

/// An early reply has no effect.
#[test]
fn a_reply_before_the_service_is_refused() {
    for answer in [vec![USERAUTH_SUCCESS], failure("password", false), questions(1, "Password: ")] {
        let mut auth = Auth::new(password());
        sent(auth.begin(SESSION, true));
        assert!(matches!(auth.handle(&answer, SESSION), Err(Error::Protocol(_))));
    }
}

fn with_key(more: Credentials) -> Credentials {
    Credentials { keys: vec![user_key("ed25519").into()], ..more }
}

/// Where the server lists it, `none` comes before secrets; otherwise it is the last resort, if no
/// secret was tried.
#[test]
fn none_is_requested_once_after_the_keys() {
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
fn none_is_not_requested_after_partial_success() {
    let (mut auth, _) = begun(with_key(credentials()));
    let text = refusal(auth.handle(&failure("password", true), SESSION));
    assert!(text.contains("one step of several") && !text.contains("none"), "{text}");
}

/// The application's list decides whether `none` is tried.
#[test]
fn none_is_not_requested_unless_it_is_chosen() {
    let methods = Some(vec![AuthMethod::PublicKey]);
    let (mut auth, _) = begun(with_key(Credentials { methods, ..password() }));
    refusal(auth.handle(&failure("none", false), SESSION));
}

#[test]
fn methods_without_credentials_send_nothing() {
    for methods in [vec![], vec![AuthMethod::Agent, AuthMethod::PublicKey]] {
        let mut auth = Auth::new(Credentials { methods: Some(methods), ..password() });
        assert!(refusal(auth.begin(SESSION, true)).contains("tried nothing"));
    }
}

#[test]
fn a_method_is_tried_once_and_the_password_is_wiped() {
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
fn debug_output_does_not_hold_the_password() {
    assert!(!format!("{:?}", password()).contains("secret"));
}

#[test]
fn banners_are_bounded() {
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
fn a_password_change_request_ends_the_session() {
    let (mut auth, _) = proving(password());
    let demand = questions(0, "change it");
    assert!(refusal(auth.handle(&demand, SESSION)).contains("changed"));
}

/// A reply without a request is refused.
#[test]
fn success_and_failure_without_a_request_are_refused() {
    for verdict in [vec![USERAUTH_SUCCESS], failure("publickey", false), welcome("a", b"b")] {
        let (mut auth, step) = started(Credentials { agent: true, ..credentials() });
        assert_eq!(asked(step), Question::Identities);
        assert!(matches!(auth.handle(&verdict, SESSION), Err(Error::Protocol(_))));
    }
}

fn user_key(name: &str) -> PrivateKey {
    let text: &[u8] = match name {
        "ed25519" => include_bytes!("../../key/fixtures/ed25519"),
        "p256" => include_bytes!("../../key/fixtures/p256"),
        "rsa2048" => include_bytes!("../../key/fixtures/rsa2048"),
        other => panic!("{other}"),
    };
    PrivateKey::parse(text, None).expect("a key")
}

/// Made by ssh-keygen -s.

#[test]
fn secrets_too_long_for_a_message_are_not_sent() {
    let mut auth = Auth::new(Credentials { user: "x".repeat(MAX_NAME + 1), ..password() });
    assert_eq!(refusal(auth.begin(SESSION, true)), "the user name is too long to be sent");
    let long = Zeroizing::new(vec![7; MAX_SECRET + 1]);
    let mut auth = Auth::new(Credentials { password: Some(long.clone()), ..credentials() });
    assert_eq!(refusal(auth.begin(SESSION, true)), "the password is too long to be sent");
    let mut auth = prompts::interactive();
    asked(auth.handle(&questions(1, "?"), SESSION));
    assert_eq!(
        refusal(auth.responses(Some(&[long]), SESSION)),
        "the answer is too long to be sent"
    );
}
