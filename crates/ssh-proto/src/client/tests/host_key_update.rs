//! A server that announces its other host keys.

use std::time::Duration;

use super::harness::messages::Part::{Flag, Text};
use super::harness::messages::{build, global};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::{Script, fixture};
use super::host_certificates::blob;
use crate::key::PrivateKey;
use crate::message::{GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS};
use crate::wire::Writer;

const NAME: &[u8] = b"hostkeys-00@openssh.com";
const PROOF: &[u8] = b"hostkeys-prove-00@openssh.com";

/// A connected session that has requested the other keys.
fn curious() -> Pair {
    let mut setup = setup();
    setup.reply_timeout = Duration::from_secs(60);
    let mut pair = Pair::new(setup, Script::default());
    pair.client.request_host_keys(vec![fixture!("ed25519").public_blob().to_vec()]);
    pair.run();
    assert!(pair.client.is_connected());
    // The reply to the first request of every session.
    pair.deliver(&[REQUEST_FAILURE]);
    pair.seen.clear();
    pair.server.take();
    pair
}

/// Returns a reply with two signatures.
type Forge = fn(&Pair, &PrivateKey, &PrivateKey) -> Vec<u8>;

fn announcement(blobs: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<_> = blobs.iter().map(|blob| Text(blob)).collect();
    [global(NAME, false), build(0, &parts)[1..].to_vec()].concat()
}

/// Returns the request for proofs of these keys.
fn request(keys: &[&PrivateKey]) -> Vec<u8> {
    let blobs = keys.iter().map(|key| Text(key.public_blob()));
    let parts: Vec<_> = [Text(PROOF), Flag(true)].into_iter().chain(blobs).collect();
    build(GLOBAL_REQUEST, &parts)
}

/// Returns the data that is signed for a key.
fn signed(pair: &Pair, key: &PrivateKey) -> Vec<u8> {
    let mut signed = Vec::new();
    signed.put_string(PROOF);
    signed.put_string(pair.server.session.as_ref().unwrap());
    signed.put_string(key.public_blob());
    signed
}

fn proof(pair: &Pair, key: &PrivateKey) -> Vec<u8> {
    key.sign(key.algorithms()[0], &signed(pair, key)).unwrap()
}

fn success(signatures: &[Vec<u8>]) -> Vec<u8> {
    let parts: Vec<_> = signatures.iter().map(|signature| Text(signature)).collect();
    build(REQUEST_SUCCESS, &parts)
}

#[test]
fn new_keys_are_returned_once_they_are_proved() {
    let mut pair = curious();
    let (known, p521, rsa) = (fixture!("ed25519"), fixture!("p521"), fixture!("rsa2048"));
    let security_key = build(0, &[Text(b"sk-ssh-ed25519@openssh.com"), Text(&[1; 32])]);
    let small = blob(include_str!("../../key/fixtures/rsa1024.pub"));
    let blobs =
        [p521.public_blob(), &security_key[1..], known.public_blob(), &small, rsa.public_blob()];
    pair.deliver(&announcement(&blobs));
    assert_eq!(pair.server.take(), [request(&[&p521, &rsa])]);
    assert_eq!(pair.take(), []);
    let answer = success(&[proof(&pair, &p521), proof(&pair, &rsa)]);
    pair.deliver(&answer);
    let learned = vec![p521.public_blob().to_vec(), rsa.public_blob().to_vec()];
    assert_eq!(pair.take(), [Seen::HostKeys(learned)]);
    // Only once.
    pair.deliver(&answer);
    pair.deliver(&announcement(&[fixture!("p256").public_blob()]));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![]));
}

#[test]
fn no_proof_is_requested_unless_the_application_asks() {
    let mut pair = Pair::connected(Script::default());
    pair.deliver(&announcement(&[fixture!("p521").public_blob()]));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![]));
    // The request gets a reply if it wants one.
    let mut pair = curious();
    let blob = build(0, &[Text(fixture!("ed25519").public_blob())]);
    pair.deliver(&[&global(NAME, true), &blob[1..]].concat());
    assert_eq!(pair.server.take(), [[REQUEST_FAILURE]]);
}

#[test]
fn invalid_proofs_are_ignored() {
    let (p256, rsa) = (fixture!("p256"), fixture!("rsa2048"));
    let forgeries: [Forge; 10] = [
        |_, _, _| vec![REQUEST_FAILURE],
        // Each signed by the other key.
        |pair, p256, rsa| success(&[proof(pair, rsa), proof(pair, p256)]),
        // One is valid.
        |pair, p256, rsa| success(&[proof(pair, p256), rsa.sign("rsa-sha2-512", b"data").unwrap()]),
        // A signature over a hash, as in the key exchange.
        |pair, p256, rsa| {
            let hash = pair.server.session.clone().unwrap();
            let sign = |key: &PrivateKey| key.sign(key.algorithms()[0], &hash).unwrap();
            success(&[sign(p256), sign(rsa)])
        },
        // For another session.
        |pair, p256, rsa| {
            let mut data = signed(pair, rsa);
            let at = 4 + PROOF.len() + 4;
            data[at] ^= 1;
            success(&[proof(pair, p256), rsa.sign("rsa-sha2-512", &data).unwrap()])
        },
        // Too few, too many, none, empty.
        |pair, p256, _| success(&[proof(pair, p256)]),
        |pair, p256, rsa| success(&[proof(pair, p256), proof(pair, rsa), proof(pair, rsa)]),
        |_, _, _| success(&[]),
        |_, _, _| success(&[vec![], vec![]]),
        // An algorithm with SHA-1.
        |pair, p256, rsa| {
            let mut forged = Vec::new();
            forged.put_string(b"ssh-rsa");
            forged.extend(&proof(pair, rsa)[4 + "rsa-sha2-512".len()..]);
            success(&[proof(pair, p256), forged])
        },
    ];
    for (at, forge) in forgeries.into_iter().enumerate() {
        let mut pair = curious();
        pair.deliver(&announcement(&[p256.public_blob(), rsa.public_blob()]));
        assert_eq!(pair.server.take().len(), 1);
        let answer = forge(&pair, &p256, &rsa);
        pair.deliver(&answer);
        assert_eq!((pair.take(), &pair.error), (vec![], &None), "{at}");
        let answer = success(&[proof(&pair, &p256), proof(&pair, &rsa)]);
        pair.deliver(&answer);
        assert_eq!(pair.take(), [], "{at}: there is no second try");
    }
}

#[test]
fn malformed_announcements_are_ignored() {
    let p256 = fixture!("p256").public_blob().to_vec();
    let crowd = vec![b"unknown".as_slice(); 17];
    let mut cut = announcement(&[&p256]);
    cut.pop();
    for bad in [announcement(&[&p256, &p256]), announcement(&crowd), cut, announcement(&[])] {
        let mut pair = curious();
        pair.deliver(&bad);
        pair.deliver(&announcement(&[&p256]));
        assert_eq!((pair.server.take(), &pair.error), (vec![], &None));
        assert!(pair.client.is_connected());
    }
}

/// Replies come in the order of the requests, and the first is to the keepalive.
#[test]
fn a_reply_to_another_request_is_no_proof() {
    let p256 = fixture!("p256");
    let learned = [Seen::HostKeys(vec![p256.public_blob().to_vec()])];
    for later in [false, true] {
        let mut pair = curious();
        pair.now += Duration::from_secs(10);
        pair.client.handle_timeout(pair.now).unwrap();
        pair.deliver(&announcement(&[p256.public_blob()]));
        if later {
            pair.now += Duration::from_secs(10);
            pair.client.handle_timeout(pair.now).unwrap();
        }
        pair.deliver(&[REQUEST_FAILURE]);
        assert_eq!(pair.take(), []);
        let answer = success(&[proof(&pair, &p256)]);
        pair.deliver(&answer);
        assert_eq!(pair.take(), learned);
        pair.deliver(&[REQUEST_FAILURE]);
        assert_eq!((pair.take(), &pair.error), (vec![], &None));
    }
}
