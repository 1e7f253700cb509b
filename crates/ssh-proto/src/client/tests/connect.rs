//! Connecting and authenticating.

use zeroize::Zeroizing;

use super::harness::pair::{Cut, Pair, Seen, setup};
use super::harness::random::Random;
use super::harness::server::{Script, fixture};
use crate::key::PrivateKey;
use crate::message::{
    DISCONNECT, GLOBAL_REQUEST, KEX_ECDH_INIT, KEXINIT, NEWKEYS, SERVICE_REQUEST, USERAUTH_BANNER,
    USERAUTH_REQUEST,
};
use crate::transport::Protection;
use crate::{AuthMethod, Client, Error, Setup};

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{build, global};
use crate::message::USERAUTH_FAILURE;

fn with_key(key: PrivateKey) -> (Setup, Script) {
    let script = Script { user: Some(key.public_blob().to_vec()), ..Script::default() };
    let mut setup = setup();
    setup.credentials.keys = vec![key.into()];
    setup.credentials.password = None;
    (setup, script)
}

fn ready(setup: Setup, script: Script) -> Pair {
    let host_key = script.host_key.public_blob().to_vec();
    let mut pair = Pair::new(setup, script);
    pair.run();
    assert_eq!(pair.error, None);
    assert_eq!(pair.take(), [Seen::HostKey(host_key), Seen::Ready]);
    assert!(pair.client.is_connected() && pair.client.has_room() && pair.client.is_idle());
    pair
}

/// Returns the number of requests.
fn requests(pair: &mut Pair) -> usize {
    pair.server.numbers().iter().filter(|number| **number == USERAUTH_REQUEST).count()
}

#[test]
fn with_every_cipher() {
    for (cipher, mac, _) in Protection::all() {
        for strict in [false, true] {
            ready(setup(), Script { cipher, mac, strict, ..Script::default() });
        }
    }
}

#[test]
fn with_every_host_key() {
    for (host_key, algorithm) in [
        (fixture!("ed25519"), "ssh-ed25519"),
        (fixture!("p256"), "ecdsa-sha2-nistp256"),
        (fixture!("rsa2048"), "rsa-sha2-512"),
        (fixture!("rsa3072"), "rsa-sha2-256"),
    ] {
        ready(setup(), Script { host_key, algorithm, ..Script::default() });
    }
}

#[test]
fn with_every_user_key() {
    for key in [fixture!("ed25519"), fixture!("p256"), fixture!("rsa2048")] {
        let (setup, script) = with_key(key);
        assert_eq!(requests(&mut ready(setup, script)), 1);
    }
    for key in [fixture!("p384"), fixture!("p521")] {
        let (setup, mut script) = with_key(key);
        script.sig_algs = None;
        assert_eq!(requests(&mut ready(setup, script)), 1);
    }
}

#[test]
fn with_a_password_alone() {
    let mut setup = setup();
    setup.credentials.keys.clear();
    let mut pair = ready(setup, Script::default());
    // The service request, and `none` with it, which is refused before the password is sent.
    let expected = [KEXINIT, KEX_ECDH_INIT, NEWKEYS, SERVICE_REQUEST];
    let expected = [&expected[..], &[USERAUTH_REQUEST; 2], &[GLOBAL_REQUEST]].concat();
    assert_eq!(pair.server.numbers(), expected);
}

/// A password is not sent in the flight of NEWKEYS; it waits for the reply.
#[test]
fn a_password_takes_one_more_flight() {
    for (methods, first) in [
        (None, &[NEWKEYS, SERVICE_REQUEST, USERAUTH_REQUEST][..]),
        (Some(vec![AuthMethod::Password]), &[NEWKEYS, SERVICE_REQUEST]),
    ] {
        let mut setup = setup();
        setup.credentials.keys.clear();
        setup.credentials.methods = methods;
        let mut pair = Pair::new(setup, Script::default());
        for _ in 0..2 {
            pair.feed_server();
            pair.feed_client();
        }
        pair.server.take();
        pair.feed_server();
        assert_eq!(pair.server.numbers(), first);
        pair.feed_client();
        assert!(!pair.client.is_connected());
        pair.feed_server();
        assert_eq!(pair.server.numbers(), [USERAUTH_REQUEST]);
        pair.feed_client();
        assert!(pair.client.is_connected());
    }
}

/// libssh's server waits for ever after a success before its key exchange is over.
#[test]
fn a_server_that_cannot_handle_early_requests_gets_none() {
    let (mut setup, mut script) = with_key(fixture!("ed25519"));
    setup.credentials.agent = true;
    script.version = "SSH-2.0-libssh_0.10.6";
    let mut pair = Pair::new(setup, script);
    for _ in 0..2 {
        pair.feed_server();
        pair.feed_client();
    }
    pair.server.take();
    pair.feed_server();
    assert_eq!(pair.server.numbers(), [NEWKEYS, SERVICE_REQUEST]);
    pair.feed_client();
    pair.feed_server();
    assert_eq!(pair.server.numbers(), [USERAUTH_REQUEST]);
    pair.feed_client();
    assert!(pair.client.is_connected());
}

/// A server that counts requests may disconnect on the last one.
#[test]
fn a_disconnect_for_none_reports_the_refused_keys() {
    let mut pair =
        Pair::new(setup(), Script { user: None, methods: "publickey", ..Script::default() });
    for _ in 0..3 {
        pair.feed_server();
        pair.feed_client();
    }
    let reason = Text(b"Too many authentication failures");
    pair.deliver(&build(DISCONNECT, &[Number(2), reason, Text(b"")]));
    let Error::Auth(failure) = pair.failure() else { panic!("no method is left") };
    let text = failure.text;
    assert!(text.ends_with("none; the server accepts publickey"), "{text}");
}

#[test]
fn the_session_connects_whatever_the_pieces() {
    for cut in [Cut::Every(1), Cut::Every(7), Cut::Randomly(Random(3), 100)] {
        let mut pair = Pair::new(setup(), Script::default());
        pair.cut = cut;
        pair.run();
        assert!(pair.client.is_connected());
    }
}

/// The first request guesses SHA-512; when it is refused, the accepted algorithms are known.
#[test]
fn with_the_only_rsa_signature_that_the_server_accepts() {
    let (setup, mut script) = with_key(fixture!("rsa2048"));
    script.sig_algs = Some("rsa-sha2-256");
    assert_eq!(requests(&mut ready(setup, script)), 2);
}

#[test]
fn signatures_that_the_server_does_not_accept_are_not_tried() {
    let (setup, mut script) = with_key(fixture!("rsa2048"));
    script.sig_algs = Some("ssh-ed25519");
    let mut pair = Pair::new(setup, script);
    pair.run();
    assert!(
        matches!(pair.failure(), Error::Auth(failure) if failure.text.contains("rsa-sha2-512"))
    );
    assert_eq!(requests(&mut pair), 2, "with none");
}

#[test]
fn after_a_failure_the_next_method_is_tried() {
    let script = Script { user: None, ..Script::default() };
    assert_eq!(requests(&mut ready(setup(), script)), 2);
}

#[test]
fn a_method_that_the_server_does_not_list_is_not_tried() {
    let script = Script { user: None, methods: "publickey", ..Script::default() };
    let mut pair = Pair::new(setup(), script);
    pair.run();
    let Error::Auth(failure) = pair.failure() else { panic!("no method is left") };
    let text = failure.text;
    assert!(text.contains("user ann") && text.contains("accepts publickey"), "{text}");
    assert_eq!(requests(&mut pair), 2, "with none");
}

#[test]
fn the_session_ends_when_no_attempt_is_left() {
    let script = Script { user: None, password: Some("other"), ..Script::default() };
    let mut pair = Pair::new(setup(), script);
    pair.run();
    let Error::Auth(failure) = pair.failure() else { panic!("no method is left") };
    let text = failure.text;
    assert!(!text.contains("secret"));
    assert_eq!(pair.disconnect_reason(), Some(14));
    assert_eq!(requests(&mut pair), 2);
}

/// Version and KEXINIT; our public value; NEWKEYS with everything up to the signed request: the
/// session waits for the reply to the third flight only. The measurement of the round trip delays
/// nothing.
#[test]
fn connecting_takes_three_flights() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.feed_server();
    assert_eq!(pair.server.numbers(), [KEXINIT]);
    pair.feed_client();
    pair.feed_server();
    assert_eq!(pair.server.numbers(), [KEX_ECDH_INIT]);
    pair.feed_client();
    pair.feed_server();
    assert_eq!(pair.server.numbers(), [NEWKEYS, SERVICE_REQUEST, USERAUTH_REQUEST]);
    assert!(!pair.client.is_connected());
    pair.feed_client();
    assert!(pair.client.is_connected());
    pair.feed_server();
    assert_eq!(pair.server.take(), [global(b"keepalive@openssh.com", true)]);
}

/// A server that is not trusted gets nothing about the user, not even the name.
#[test]
fn a_server_that_is_not_trusted_learns_nothing_about_the_user() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.trusts = false;
    pair.run();
    assert!(matches!(pair.take()[..], [Seen::HostKey(_)]));
    assert_eq!(pair.server.numbers(), [KEXINIT, KEX_ECDH_INIT]);
    assert_eq!(pair.client.trust(false), Err(Error::HostKeyRejected));
    pair.run();
    assert_eq!(pair.disconnect_reason(), Some(9));
    assert_eq!(pair.server.numbers(), [DISCONNECT]);
    assert_eq!((pair.take(), pair.error), (Vec::new(), None));
}

/// The server's NEWKEYS and the messages after it are received already, and wait.
#[test]
fn nothing_happens_while_the_decision_is_open() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.trusts = false;
    pair.run();
    assert!(matches!(pair.take()[..], [Seen::HostKey(_)]));
    for _ in 0..3 {
        assert!(matches!(pair.client.next_event(), Ok(None)));
    }
    assert_eq!(pair.client.pending(), b"");
    assert_eq!(pair.client.waiting_for(), "the key exchange");
    pair.client.trust(true).unwrap();
    pair.drain();
    pair.run();
    assert_eq!(pair.take(), [Seen::Ready]);
}

/// However much a server sends while it waits, the buffer does not grow.
#[test]
fn a_flood_during_the_decision_is_bounded() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.trusts = false;
    pair.run();
    let mut taken = 0;
    loop {
        let space = pair.client.space().len();
        if space == 0 {
            break;
        }
        pair.client.received(space, pair.now);
        pair.drain();
        taken += space;
        assert!(taken < 1024 * 1024);
    }
    pair.client.trust(true).unwrap();
    pair.drain();
    assert!(matches!(pair.error, Some(Error::Protocol(_))), "the flood is no packet");
}

/// A banner of any length that a packet has, before the result; the last banners of a server that
/// refuses the user are kept.
#[test]
fn banners_are_returned_before_the_result() {
    for length in [7, 100_000, 262_000] {
        let script = Script { user: None, ..Script::default() };
        let mut pair = Pair::new(setup(), script);
        pair.feed_server();
        pair.feed_client();
        pair.feed_server();
        let message = "x".repeat(length);
        let parts = [Text(message.as_bytes()), Text(b"en")];
        pair.server.send(&build(USERAUTH_BANNER, &parts));
        pair.feed_client();
        assert!(!pair.client.is_connected());
        let kept = &message[..length.min(4095)];
        assert!(pair.client.server_text().contains(kept), "what it said before is there too");
        pair.run();
        let banner = crate::Banner { message, language: "en".into() };
        assert!(matches!(&pair.take()[..],
            [Seen::HostKey(_), Seen::Banner(shown), Seen::Ready] if *shown == banner));
        assert_eq!(pair.client.server_text(), "");
    }
}

#[test]
fn lines_of_a_server_without_identification_are_reported() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.inject(b"Exceeded MaxStartups\r\nNot \x1b[1mallowed at this time");
    assert_eq!(pair.client.server_text(), "Exceeded MaxStartups\nNot ?[1mallowed at this time");
}

#[test]
fn too_many_banners_end_the_session() {
    let banner = build(USERAUTH_BANNER, &[Text(b"welcome\x1b[2J"), Text(b"")]);
    for (count, survives) in [(1024, true), (1025, false)] {
        let script = Script { user: None, ..Script::default() };
        let mut pair = Pair::new(setup(), script);
        pair.feed_server();
        pair.feed_client();
        pair.feed_server();
        for _ in 0..count {
            pair.server.send(&banner);
        }
        pair.run();
        assert_eq!(pair.client.is_connected(), survives, "{count}");
        if !survives {
            assert!(matches!(pair.failure(), Error::Protocol(_)));
        }
    }
}

/// Each method is tried once, however often the server lists it.
#[test]
fn endless_failures_end_the_session() {
    let mut pair = Pair::new(setup(), Script { user: None, password: None, ..Script::default() });
    for _ in 0..3 {
        pair.feed_server();
        pair.feed_client();
    }
    for _ in 0..100 {
        let parts = [Text(b"publickey,password,none"), Flag(true)];
        pair.server.send(&build(USERAUTH_FAILURE, &parts));
    }
    pair.run();
    assert!(matches!(pair.failure(), Error::Auth(_)));
}

#[test]
fn the_password_is_not_sent_in_the_clear() {
    let mut setup = setup();
    setup.credentials.keys.clear();
    setup.credentials.password = Some(Zeroizing::new("correct horse battery".into()));
    let script = Script { password: Some("correct horse battery"), ..Script::default() };
    let mut pair = Pair::new(setup, script);
    let mut wire = Vec::new();
    loop {
        wire.extend_from_slice(pair.client.pending());
        if pair.feed_server() + pair.feed_client() == 0 {
            break;
        }
    }
    assert!(pair.client.is_connected());
    assert!(!wire.windows(7).any(|bytes| bytes == b"battery"));
}

#[test]
fn other_protocols_get_no_reply() {
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"SSH-1.5-old\r\n", b"\0\0\0\x2c"] {
        let mut pair = Pair::new(setup(), Script::default());
        let offered = pair.client.pending().len();
        for _ in 0..1100 {
            if pair.error.is_none() {
                pair.inject(greeting);
            }
        }
        assert!(matches!(pair.error, Some(Error::NotSsh(_))), "{:?}", pair.error);
        assert_eq!(pair.client.pending().len(), offered, "no DISCONNECT");
    }
}

/// The session depends on the seeds alone.
#[test]
fn the_same_randomness_makes_the_same_session() {
    let first = |seed| {
        let mut random = Random(seed);
        Client::new(setup(), move |bytes| random.fill(bytes)).pending().to_vec()
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}
