//! Keyboard-interactive.

use super::*;
use crate::message::USERAUTH_INFO_RESPONSE;

#[test]
fn the_password_responds_to_a_prompt_for_it() {
    let (mut auth, _) = begun(password());
    let request = sent(auth.handle(&failure("publickey,keyboard-interactive", false), SESSION));
    assert!(holds(&request, b"keyboard-interactive"));
    let answer = sent(auth.handle(&questions(1, "Password: "), SESSION));
    assert_eq!(answer[0], USERAUTH_INFO_RESPONSE);
    assert!(answer.ends_with(b"\0\0\0\x01\0\0\0\x06secret"));
    // Once: a second round asks for something else.
    let text = refusal(auth.handle(&questions(1, "Code: "), SESSION));
    assert!(text.contains("more than a password"), "{text}");
}

#[test]
fn a_password_is_asked_for_when_a_prompt_asks_for_it_and_once() {
    let asking = || {
        let (mut auth, _) = begun(Credentials { asks_password: true, ..credentials() });
        sent(auth.handle(&failure("keyboard-interactive", false), SESSION));
        assert_eq!(asked(auth.handle(&questions(1, "Password: "), SESSION)), Question::Password);
        auth
    };
    let mut auth = asking();
    let response = sent(auth.password(Some(b"secret"), SESSION));
    assert_eq!(response[0], USERAUTH_INFO_RESPONSE);
    assert!(response.ends_with(b"\0\0\0\x01\0\0\0\x06secret"));
    assert!(matches!(auth.password(Some(b"secret"), SESSION), Ok(Step::Wait)), "a late one");
    // A second prompt is for something else.
    let text = refusal(auth.handle(&questions(1, "Code: "), SESSION));
    assert!(text.contains("more than a password"), "{text}");

    let text = refusal(asking().password(None, SESSION));
    assert!(text.contains("keyboard-interactive: not answered"), "{text}");
    let long = vec![0; MAX_SECRET + 1];
    assert!(refusal(asking().password(Some(&long), SESSION)).contains("password is too long"));
    // The server does not wait for it.
    let mut auth = asking();
    let text = refusal(auth.handle(&failure("keyboard-interactive", false), SESSION));
    assert!(text.contains("tried none, keyboard-interactive;"), "{text}");
    assert!(matches!(auth.password(Some(b"secret"), SESSION), Ok(Step::Wait)));
}

#[test]
fn a_password_that_was_asked_for_and_refused_does_not_respond_to_a_prompt() {
    let (mut auth, _) = begun(Credentials { asks_password: true, ..credentials() });
    assert_eq!(asked(auth.handle(&failure(EVERYTHING, false), SESSION)), Question::Password);
    sent(auth.password(Some(b"secret"), SESSION));
    let text = refusal(auth.handle(&failure(EVERYTHING, false), SESSION));
    assert!(text.contains("tried none, password;"), "{text}");
}

#[test]
fn the_password_responds_to_no_other_prompt() {
    let mut visible = questions(1, "Name: ");
    *visible.last_mut().expect("not empty") = 1;
    for round in [questions(2, "Password: "), visible] {
        let (mut auth, _) = begun(password());
        sent(auth.handle(&failure("keyboard-interactive", false), SESSION));
        refusal(auth.handle(&round, SESSION));
    }
}

pub(super) fn interactive() -> Auth {
    let (auth, request) = proving(Credentials { interactive: true, ..credentials() });
    assert!(request.ends_with(b"keyboard-interactive\0\0\0\0\0\0\0\0"));
    auth
}

#[test]
fn rounds_of_prompts_are_bounded() {
    let mut auth = interactive();
    for _ in 0..crate::userauth::prompts::MAX_ROUNDS {
        let answer = sent(auth.handle(&questions(0, "wait"), SESSION));
        assert_eq!(answer, [USERAUTH_INFO_RESPONSE, 0, 0, 0, 0]);
    }
    let more = auth.handle(&questions(0, "wait"), SESSION);
    assert!(matches!(more, Err(Error::Protocol("too many rounds of prompts"))));
}

#[test]
fn prompts_are_bounded() {
    for round in [questions(257, ""), questions(u32::MAX >> 20, "")] {
        assert!(matches!(interactive().handle(&round, SESSION), Err(Error::Protocol(_))));
    }
    // A count without prompts.
    let mut claimed = questions(0, "");
    let at = claimed.len() - 1;
    claimed[at] = 9;
    assert!(matches!(interactive().handle(&claimed, SESSION), Err(Error::Protocol(_))));
    for round in [questions(256, ""), questions(1, &"x".repeat(100_000))] {
        asked(interactive().handle(&round, SESSION));
    }
}

#[test]
fn prompts_are_printable() {
    let question = asked(interactive().handle(&questions(1, "a\x1b[2J\tb\u{9b}1m\n"), SESSION));
    let Question::Prompts(prompts) = question else { panic!("{question:?}") };
    assert_eq!(prompts.instruction, "a?[2J\tb?1m\n");
    assert_eq!(prompts.prompts, [Prompt { text: "a?[2J\tb?1m\n".into(), echo: false }]);
}

#[test]
fn a_second_round_before_the_response_is_refused() {
    let mut auth = interactive();
    asked(auth.handle(&questions(1, ""), SESSION));
    assert!(matches!(auth.handle(&questions(1, ""), SESSION), Err(Error::Protocol(_))));
}

#[test]
fn no_response_or_too_few_give_up() {
    for given in
        [None, Some(&[][..]), Some(&[Zeroizing::new("a".into()), Zeroizing::new("b".into())])]
    {
        let mut auth = interactive();
        asked(auth.handle(&questions(1, ""), SESSION));
        assert!(refusal(auth.responses(given, SESSION)).contains("not answered"));
    }
}

/// The server has stopped waiting for the response and refused: a late response is not sent for the
/// next request.
#[test]
fn a_late_response_is_ignored() {
    let (mut auth, _) = proving(Credentials { interactive: true, ..password() });
    asked(auth.handle(&questions(1, ""), SESSION));
    let next = sent(auth.handle(&failure("password", false), SESSION));
    assert!(next.ends_with(b"secret"));
    let late = auth.responses(Some(&[Zeroizing::new("a".into())]), SESSION);
    assert!(matches!(late, Ok(Step::Wait)));
    assert!(matches!(auth.signature(Ok(Vec::new()), SESSION), Ok(Step::Wait)));
    assert!(matches!(auth.identities(Ok(Vec::new()), SESSION), Ok(Step::Wait)));
}

/// An attempt that was tried and refused is over, also when the list lacks its method.
#[test]
fn prompts_are_not_repeated_after_a_failure() {
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
