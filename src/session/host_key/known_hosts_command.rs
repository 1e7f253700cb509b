//! A program that prints lines of known hosts (KnownHostsCommand of ssh_config).

use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64ct::{Base64, Encoding};
use ssh_proto::key::HostKey;

use crate::session::host_key::known_hosts::{self, Line, Names, ReadError};

/// The purpose of a run, which the program may be told.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// To learn which key types are known, before the key exchange.
    Order,
    /// To verify this key.
    Verify(&'a HostKey),
}

/// A program, and its arguments with tokens: `%H` for the host, `%I` for the purpose, `%t`, `%f` and
/// `%K` for the type, the fingerprint and the blob of the host's key, `%%` for a percent sign.
#[derive(Clone, Debug)]
pub struct KnownHostsCommand {
    program: String,
    arguments: Vec<String>,
}

impl KnownHostsCommand {
    /// Returns `None` if there is no program, or a token is unknown.
    pub fn new(words: Vec<String>) -> Option<Self> {
        let mut words = words.into_iter();
        let program = words.next()?;
        let arguments: Vec<_> = words.collect();
        let known = arguments.iter().all(|text| expand(text, |_| Some(String::new())).is_some());
        known.then_some(Self { program, arguments })
    }

    /// Name of the program in messages, in place of a file's path.
    pub(crate) fn place(&self) -> PathBuf {
        format!("KnownHostsCommand {}", self.program).into()
    }

    /// Runs the program, and returns the lines about the host that it prints. Blocks the thread.
    pub(crate) fn lines(
        &self,
        names: &Names,
        purpose: Purpose<'_>,
    ) -> Result<Vec<Line>, ReadError> {
        let failed = |reason: String| ReadError::Command { program: self.program.clone(), reason };
        let token = |letter| Some(value(letter, names, purpose));
        let arguments: Option<Vec<_>> =
            self.arguments.iter().map(|text| expand(text, token)).collect();
        let output = Command::new(&self.program)
            .args(arguments.unwrap_or_default())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(format!("it ended with {}", output.status)));
        }
        known_hosts::lines_of(&output.stdout, &self.place(), names)
    }
}

fn value(letter: char, names: &Names, purpose: Purpose<'_>) -> String {
    match (letter, purpose) {
        // As OpenSSH, which leaves out the port here.
        ('H', Purpose::Order) => names.bare.clone().unwrap_or_else(|| names.full.clone()),
        ('H', Purpose::Verify(_)) => names.full.clone(),
        ('I', Purpose::Order) => "ORDER".into(),
        ('I', Purpose::Verify(_)) => "HOSTNAME".into(),
        (_, Purpose::Order) => "NONE".into(),
        ('t', Purpose::Verify(key)) => key.key().key_type().into(),
        ('f', Purpose::Verify(key)) => key.key().fingerprint(),
        (_, Purpose::Verify(key)) => Base64::encode_string(key.key().blob()),
    }
}

/// Replaces the tokens; `None` if one is unknown.
fn expand(text: &str, value: impl Fn(char) -> Option<String>) -> Option<String> {
    let mut expanded = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        match rest.next()? {
            '%' => expanded.push('%'),
            letter @ ('H' | 'I' | 'K' | 'f' | 't') => expanded.push_str(&value(letter)?),
            _ => return None,
        }
    }
    Some(expanded)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use super::*;
    use crate::session::fixtures::{ED25519, FINGERPRINT, HOST, OTHER, key, trust};
    use crate::session::{HostKeyDecision, HostKeyReason, Trust};

    fn shell(script: &str) -> Option<KnownHostsCommand> {
        let words = ["/bin/sh", "-c", script, "-", "%H", "%I", "%t", "%f", "%K"];
        KnownHostsCommand::new(words.map(str::to_owned).to_vec())
    }

    fn by(script: &str) -> Trust {
        Trust { command: shell(script), ..trust(&[], &[], false) }
    }

    #[test]
    fn lines_that_a_program_prints_are_those_of_a_file() {
        let known = by(&format!("echo 'elsewhere {OTHER}'; echo \"$1 {ED25519}\""));
        let decision = |trust: &Trust| trust.verify(HOST, 2222, &key(ED25519)).unwrap();
        assert_eq!(decision(&known), HostKeyDecision::Trusted);
        assert_eq!(known.known_keys(HOST, 22).unwrap().types, ["ssh-ed25519"]);
        let HostKeyDecision::Refused(refusal) = decision(&by(&format!("echo \"$1 {OTHER}\"")))
        else {
            panic!("another key is a changed one");
        };
        assert_eq!(refusal.reason, HostKeyReason::Changed);
        assert!(refusal.text.contains("KnownHostsCommand /bin/sh"), "{}", refusal.text);
        let HostKeyDecision::Refused(refusal) =
            decision(&by(&format!("echo '@revoked * {ED25519}'")))
        else {
            panic!("the key is revoked");
        };
        assert_eq!(refusal.reason, HostKeyReason::Revoked);
    }

    #[test]
    fn the_program_is_told_what_it_is_asked_for() {
        let (kind, blob) = ED25519.split_once(' ').unwrap();
        let wanted = format!("[{HOST}]:2222 HOSTNAME {kind} {FINGERPRINT} {blob}");
        let script = format!("test \"$*\" = '{wanted}' && echo \"$1 {ED25519}\"");
        let decision = by(&script).verify(HOST, 2222, &key(ED25519)).unwrap();
        assert_eq!(decision, HostKeyDecision::Trusted);
        let wanted = format!("{HOST} ORDER NONE NONE NONE");
        let script = format!("test \"$*\" = '{wanted}' && echo \"$1 {ED25519}\"");
        assert_eq!(by(&script).known_keys(HOST, 22).unwrap().types.len(), 1);
    }

    #[test]
    fn a_program_that_fails_is_an_error() {
        for (script, reason) in [
            (format!("echo '{HOST} {ED25519}'; exit 3"), "exit status: 3"),
            ("kill -9 $$".to_owned(), "signal: 9"),
            (format!("echo '{HOST} ssh-ed25519 AAAA'"), "line 1"),
        ] {
            let error = by(&script).verify(HOST, 22, &key(ED25519)).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("/bin/sh"), "{error}");
        }
        let missing = KnownHostsCommand::new(vec!["/nowhere/program".into()]);
        let trust = Trust { command: missing, ..trust(&[], &[], false) };
        let error = trust.known_keys(HOST, 22).err().unwrap().to_string();
        assert!(error.contains("/nowhere/program") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_command_without_a_program_or_with_an_unknown_token_is_refused() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for bad in [&[][..], &["/p", "%h"], &["/p", "50%"], &["/p", "%"]] {
            assert!(KnownHostsCommand::new(words(bad)).is_none(), "{bad:?}");
        }
        assert!(KnownHostsCommand::new(words(&["/p%h", "50%%"])).is_some());
    }
}
