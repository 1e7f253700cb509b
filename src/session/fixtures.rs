//! Keys, certificates and files for tests.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use base64ct::{Base64, Encoding};
use ssh_proto::key::{HostKey, PublicKey};

use crate::session::{HostKeyDecision, Trust};

pub(crate) const HOST: &str = "gateway.example.org";
pub(crate) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkqvR5oGJ88+ILy2bqTRrF/STgQypgyhBZw3/v+mroE";
pub(crate) const FINGERPRINT: &str = "SHA256:8G54s4tGjZxgu+82l7k5dN5cEdFTp+MV+D/1lltknOI";
/// Another key of the same type.
pub(crate) const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXYoSTb7tJ6RI8PBeWMa6x/zjaQFPx7CszuhEyT7b/4";
pub(crate) const OTHER_FINGERPRINT: &str = "SHA256:j7GbFFT3O76stdtLtz32n4J3uvfUzDw+Rxp6Pupy7qM";
pub(crate) const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLmaiHaCkXwvi0kKs6bwGlCZkcWxVM5DC0/LICfB6IcTvQ6wE9rGg9N6BrPx10k83GS4OkUcZosM0JRdXok/+d4=";

/// An authority; most certificates are signed by another one, the P-256 key.
pub(crate) const RSA: &str =
    include_str!("../../crates/ssh-proto/src/key/fixtures/rsa2048.pub").trim_ascii_end();

/// A temporary file of known hosts.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    pub(crate) fn new(text: &str) -> Self {
        Self::bytes(text.as_bytes())
    }

    pub(crate) fn bytes(text: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("known_hosts-{}-{number}", process::id()));
        fs::write(&path, text).unwrap();
        File(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Parses the key of a line.
pub(crate) fn key(line: &str) -> HostKey {
    let key = ssh_key::PublicKey::from_openssh(line).unwrap();
    HostKey::Plain(PublicKey::parse(&key.to_bytes().unwrap()).unwrap())
}

/// Returns a certificate of the Ed25519 key.
pub(crate) fn certificate(id: &str) -> HostKey {
    let lines = include_str!("fixtures/certificates").lines();
    let line = lines.map(|line| line.split(' ').collect::<Vec<_>>()).find(|line| line[2] == id);
    let Some(line) = line else { panic!("there is no {id}") };
    let blob = Base64::decode_vec(line[1]).unwrap();
    HostKey::parse(line[0], &blob).unwrap()
}

pub(crate) fn trust(pins: &[&str], files: &[&File], verifier: bool) -> Trust {
    Trust {
        pins: pins.iter().map(|pin| pin.parse().unwrap()).collect(),
        known_hosts: files.iter().map(|file| file.path().to_owned()).collect(),
        verifier,
        ..Trust::default()
    }
}

/// Returns the message of a refusal.
pub(crate) fn refusal(decision: HostKeyDecision) -> String {
    match decision {
        HostKeyDecision::Refused(refusal) => refusal.text,
        HostKeyDecision::Trusted
        | HostKeyDecision::Accepted { .. }
        | HostKeyDecision::Ask { .. } => panic!("{decision:?}"),
    }
}
