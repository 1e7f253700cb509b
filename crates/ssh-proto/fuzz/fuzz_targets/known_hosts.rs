//! Files of known hosts, in the crate above: what they say about a key, and which types they name.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use libfuzzer_sys::fuzz_target;
use ssh_proto::key::{PrivateKey, PublicKey};
use sshtunnel_native::session::{Pin, Trust, Verdict};

/// Keys of servers, as the seeds know them.
static KEYS: LazyLock<[PublicKey; 3]> = LazyLock::new(|| {
    [
        include_bytes!("../../src/key/fixtures/ed25519").as_slice(),
        include_bytes!("../../src/key/fixtures/p256"),
        include_bytes!("../../src/key/fixtures/rsa2048"),
    ]
    .map(|text| {
        let key = PrivateKey::parse(text, None).expect("a key");
        PublicKey::parse(key.public_blob()).expect("its public half")
    })
});

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| env::temp_dir().join(format!("known_hosts-{}", process::id())));

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("a file can be written");
    let known_hosts = vec![FILE.clone()];
    for verifier in [true, false] {
        let trust = Trust { pins: Vec::new(), known_hosts: known_hosts.clone(), verifier };
        for (host, port) in [("gateway.example.org", 22), ("::1", 2222), ("", 65535)] {
            let types = trust.known_types(host, port).expect("the file is there");
            for key in &*KEYS {
                match trust.judge(host, port, key).expect("the file is there") {
                    Verdict::Trusted => assert!(types.iter().any(|name| name == key.key_type())),
                    Verdict::Ask => assert!(verifier),
                    Verdict::Refused(why) => assert!(why.contains(&key.fingerprint())),
                }
            }
        }
    }
    let _ = String::from_utf8_lossy(data).parse::<Pin>();
});
