//! Authentication at a server that sends arbitrary messages.

use zeroize::Zeroizing;

use super::{Input, is_harmless};
use crate::Error;
use crate::key::PrivateKey;
use crate::message::{
    USERAUTH_BANNER, USERAUTH_FAILURE, USERAUTH_METHOD_SPECIFIC, USERAUTH_REQUEST, USERAUTH_SUCCESS,
};
use crate::userauth::{Auth, AuthMethod, Credentials, Identity, Question, Step};
use crate::wire::{Reader, Writer, message};

const SESSION: &[u8] = b"session";
const PASSWORD: &str = "this is the password";
/// Keys of an agent, with only a type.
const AGENT_KEYS: [&[u8]; 4] = [
    b"\0\0\0\x0bssh-ed25519 first",
    b"\0\0\0\x0bssh-ed25519 second",
    b"\0\0\0\x07ssh-rsa third",
    b"\0\0\0\x1cssh-rsa-cert-v01@openssh.com fourth",
];
/// Lists of methods that make a difference.
const METHODS: [&str; 6] = [
    "publickey,password,keyboard-interactive",
    "publickey",
    "password",
    "keyboard-interactive",
    "",
    "hostbased,,none,publickey",
];

/// Messages of the server, and answers of the agent and the application, in any order.
pub fn authentication(data: &[u8]) {
    let mut input = Input::new(data);
    let mut auth = Auth::new(credentials(&mut input));
    let mut step = auth.begin(SESSION, true);
    let held = auth.service_accepted(SESSION);
    if matches!(step, Ok(Step::Wait)) {
        step = held;
    }
    let mut question = None;
    let mut requests = 0;
    loop {
        match step {
            Ok(Step::Send(payload)) => {
                requests += usize::from(payload[0] == USERAUTH_REQUEST);
                assert!((USERAUTH_REQUEST..80).contains(&payload[0]));
                question = None;
            }
            Ok(Step::Ask(asked)) => {
                look_at(&asked);
                question = Some(asked);
            }
            Ok(Step::Show(banner)) => assert!(is_harmless(&banner.message)),
            Ok(Step::Success) => return,
            Ok(Step::Wait) => {}
            Err(Error::Auth(failure)) => {
                let text = format!("{failure:?}");
                assert!(!text.contains(PASSWORD) && text.len() < 100_000);
                return;
            }
            Err(Error::Protocol(_)) => return,
            Err(error) => panic!("{error}"),
        }
        // Each method and each key at most once, unless it came too early or is asked for again.
        assert!(requests <= 200, "requests without end");
        assert!(!auth.waiting_for().is_empty());
        if input.is_empty() {
            return;
        }
        step = go_on(&mut auth, question.as_ref(), &mut input);
    }
}

fn credentials(input: &mut Input<'_>) -> Credentials {
    let choices = input.byte();
    let key = || PrivateKey::parse(include_bytes!("../key/fixtures/ed25519"), None).unwrap();
    let mut keys = Vec::new();
    if choices & 32 != 0 {
        let certificate = include_bytes!("../key/fixtures/ed25519-cert.pub");
        keys.push(Identity::with_certificate(key(), certificate).unwrap());
    }
    if choices & 1 != 0 {
        keys.push(key().into());
    }
    let methods = (choices & 16 != 0).then(|| {
        let all = [
            AuthMethod::None,
            AuthMethod::PublicKey,
            AuthMethod::Agent,
            AuthMethod::KeyboardInteractive,
            AuthMethod::Password,
        ];
        let count = input.below(all.len() + 1);
        (0..count).map(|_| input.pick(&all)).collect()
    });
    Credentials {
        user: "ann".into(),
        keys,
        agent: choices & 2 != 0,
        agent_keys: (choices & 64 != 0).then(|| vec![AGENT_KEYS[1].to_vec()]),
        agent_first: vec![AGENT_KEYS[1].to_vec()],
        interactive: choices & 4 != 0,
        password: (choices & 8 != 0).then(|| Zeroizing::new(PASSWORD.into())),
        asks_password: choices & 128 != 0,
        repetitions: 2,
        methods,
        ..Credentials::default()
    }
}

/// Checks that texts for the user are bounded and printable.
fn look_at(question: &Question) {
    match question {
        Question::Identities | Question::Password => {}
        Question::Sign { key, data, .. } => {
            assert!(data.windows(key.len()).any(|part| part == key), "it is signed what for");
        }
        Question::Prompts(prompts) => {
            assert!((1..=256).contains(&prompts.prompts.len()));
            let texts = prompts.prompts.iter().map(|prompt| &prompt.text);
            for text in texts.chain([&prompts.name, &prompts.instruction, &prompts.language]) {
                assert!(text.len() <= 3 * 8 * 1024);
                assert!(text.chars().all(|c| !c.is_control() || "\r\n\t".contains(c)));
            }
        }
    }
}

fn go_on(
    auth: &mut Auth,
    question: Option<&Question>,
    input: &mut Input<'_>,
) -> Result<Step, Error> {
    match input.below(16) {
        0 => auth.handle(input.chunk(), SESSION),
        1..=3 => {
            let mut failure = message(USERAUTH_FAILURE);
            failure.put_string(input.pick(&METHODS).as_bytes());
            failure.put_boolean(input.flag());
            auth.handle(&failure, SESSION)
        }
        4 => auth.handle(&[USERAUTH_SUCCESS], SESSION),
        5 => {
            let mut banner = message(USERAUTH_BANNER);
            banner.put_string(input.chunk());
            banner.put_string(b"");
            auth.handle(&banner, SESSION)
        }
        6 | 7 => {
            let mut welcome = message(USERAUTH_METHOD_SPECIFIC);
            welcome.put_string(b"ssh-ed25519");
            welcome.put_string(input.pick(&AGENT_KEYS));
            auth.handle(&welcome, SESSION)
        }
        8..=10 => {
            let mut questions = message(USERAUTH_METHOD_SPECIFIC);
            let texts = input.chunk();
            for _ in 0..3 {
                questions.put_string(&texts[..texts.len().min(input.below(10_000))]);
            }
            let count = input.below(40);
            questions.put_uint32(count as u32);
            for _ in 0..count {
                questions.put_string(texts);
                questions.put_boolean(input.flag());
            }
            auth.handle(&questions, SESSION)
        }
        11 => {
            auth.set_signature_algorithms(&input.text());
            Ok(Step::Wait)
        }
        12 => auth.identities(Err("it is not there".into()), SESSION),
        13 => {
            let mut keys = AGENT_KEYS.map(<[u8]>::to_vec).to_vec();
            keys.push(input.chunk().to_vec());
            auth.identities(Ok(keys), SESSION)
        }
        14 => auth.signature(signature(question, input), SESSION),
        _ if question == Some(&Question::Password) => auth.password(Some(input.chunk()), SESSION),
        _ => auth.responses(responses(question, input).as_deref(), SESSION),
    }
}

fn signature(question: Option<&Question>, input: &mut Input<'_>) -> Result<Vec<u8>, String> {
    let name = match question {
        Some(Question::Sign { key, .. }) if input.flag() => Reader::new(key).string().unwrap(),
        _ => input.chunk(),
    };
    if name.is_empty() {
        return Err("its user said no".into());
    }
    let mut signature = Vec::new();
    signature.put_string(name);
    signature.put_string(input.chunk());
    Ok(signature)
}

fn responses(
    question: Option<&Question>,
    input: &mut Input<'_>,
) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    let count = match question {
        Some(Question::Prompts(prompts)) if input.flag() => prompts.prompts.len(),
        _ => input.below(40),
    };
    let answer = input.text().into_bytes();
    (count < 39).then(|| (0..count).map(|_| Zeroizing::new(answer.clone())).collect())
}
