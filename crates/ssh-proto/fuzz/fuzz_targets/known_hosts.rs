//! Files of known hosts, in the crate above: decisions about keys, and the keys of a host.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use base64ct::{Base64, Encoding};
use libfuzzer_sys::fuzz_target;
use ssh_proto::key::{HostKey, PrivateKey};
use sshtunnel_native::session::{HostKeyDecision, Pin, Strictness, Trust};

/// Keys of a server, which the seeds list.
static KEYS: LazyLock<[HostKey; 4]> = LazyLock::new(|| {
    let key = |text: &[u8]| {
        let key = PrivateKey::parse(text, None).expect("a key");
        HostKey::parse("ssh-ed25519", key.public_blob()).expect("its public half")
    };
    let line = include_str!("../../src/key/fixtures/ed25519-host-cert.pub");
    let mut fields = line.split(' ');
    let (name, blob) = (fields.next().expect("a type"), fields.next().expect("a certificate"));
    let blob = Base64::decode_vec(blob).expect("base64");
    [
        key(include_bytes!("../../src/key/fixtures/ed25519")),
        key(include_bytes!("../../src/key/fixtures/p256")),
        key(include_bytes!("../../src/key/fixtures/rsa2048")),
        HostKey::parse(name, &blob).expect("a certificate"),
    ]
});

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| env::temp_dir().join(format!("known_hosts-{}", process::id())));

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("a file can be written");
    let mut trust = Trust { known_hosts: vec![FILE.clone()], ..Trust::default() };
    for strictness in [Strictness::Yes, Strictness::AcceptNew, Strictness::No, Strictness::Off] {
        trust.strictness = strictness;
        for (host, port) in [("gateway.example.org", 22), ("::1", 2222), ("", 65535)] {
            check(&trust, host, port);
        }
    }

    // As a list of revoked keys, the file refuses the key or cannot be read.
    let revoked = Trust { revoked: vec![FILE.clone()], ..Trust::default() };
    if let Ok(decision) = revoked.verify("host", 22, &KEYS[0]) {
        assert!(matches!(decision, HostKeyDecision::Refused(_)));
    }

    // A written key is known, unless it is revoked, or a line cannot be read.
    let (host, key) = ("::1", KEYS[0].key());
    let written_key = trust.write(host, 2222, key).is_ok();
    match trust.verify(host, 2222, &KEYS[0]) {
        Ok(HostKeyDecision::Trusted) | Err(_) => {}
        Ok(HostKeyDecision::Refused(refusal)) => {
            assert!(!written_key || refusal.text.contains("is revoked"));
        }
        Ok(other) => assert!(!written_key, "{other:?}"),
    }
    let written = fs::read(&*FILE).expect("the file is there");
    assert!(written.starts_with(data), "earlier lines stay");
    assert_eq!(written_key, written.len() > data.len());

    let _ = String::from_utf8_lossy(data).parse::<Pin>();
});

fn check(trust: &Trust, host: &str, port: u16) {
    let Ok(known) = trust.known_keys(host, port) else {
        // A line about the host cannot be read.
        assert!(KEYS.iter().all(|key| trust.verify(host, port, key).is_err()));
        return;
    };
    for offered in &*KEYS {
        let key = offered.key();
        match trust.verify(host, port, offered).expect("every line can be read") {
            HostKeyDecision::Trusted => {
                let by_itself = known.types.iter().any(|name| name == key.key_type());
                assert!(by_itself || known.authority && offered.certificate().is_some());
            }
            HostKeyDecision::Accepted { .. } => assert_ne!(trust.strictness, Strictness::Yes),
            HostKeyDecision::Refused(refusal) => assert!(refusal.text.contains(&key.fingerprint())),
            HostKeyDecision::Ask { .. } => panic!("no application decides"),
        }
    }
}
