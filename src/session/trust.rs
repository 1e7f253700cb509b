//! Whether a host key is the one of the host we want.

use std::str::FromStr;

use ssh_key::known_hosts::Marker;
use ssh_proto::key::{PublicKey, PublicKeyError};

use super::Trust;
use super::known_hosts::{self, Names, ReadError};

/// A host key that the user names: by its fingerprint, `SHA256:...`, or in full, as a line of a
/// public key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin(Kind);

/// What there is of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Its fingerprint as [`PublicKey::fingerprint`] writes it.
    Fingerprint(String),
    /// All of it.
    Key(PublicKey),
}

/// Why a text names no host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Neither form.
    #[error("expected 'SHA256:' and 43 characters of base64, or a line of a public key")]
    Form,
    /// A fingerprint by a digest that can be forged, or by one that nobody prints.
    #[error("only SHA256 fingerprints are accepted, such as ssh-keygen -l prints")]
    Digest,
    /// What follows `SHA256:` is not the base64 of 32 bytes.
    #[error("'SHA256:' has to be followed by 43 characters of base64")]
    Fingerprint,
    /// A public key line whose base64 is damaged or of another type than it says.
    #[error("the public key is damaged")]
    Damaged,
    /// A public key that no host key can equal.
    #[error("{0}")]
    Key(#[from] PublicKeyError),
}

/// What there is to say about a host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's.
    Trusted,
    /// Nothing decides; the verifier does.
    Ask,
    /// It is not, or is not known to be. Says why, for the user.
    Refused(String),
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let mut fields = text.split_ascii_whitespace();
        let first = fields.next().ok_or(PinError::Form)?;
        if let Some((digest, base64)) = first.split_once(':') {
            if fields.next().is_some() {
                return Err(PinError::Form);
            }
            // 16 bytes in hexadecimal are MD5, which older tools print without its name.
            let md5 = digest.len() == 2 && first.len() == 47;
            return match digest {
                "SHA256" => format!("SHA256:{}", base64.trim_end_matches('='))
                    .parse::<ssh_key::Fingerprint>()
                    .map(|fingerprint| Pin(Kind::Fingerprint(fingerprint.to_string())))
                    .map_err(|_| PinError::Fingerprint),
                "MD5" | "SHA1" | "SHA512" => Err(PinError::Digest),
                _ if md5 => Err(PinError::Digest),
                _ => Err(PinError::Form),
            };
        }
        let base64 = fields.next().ok_or(PinError::Form)?;
        // Every base64 of a key begins with the length of its type's name.
        if !base64.starts_with("AAAA") {
            return Err(PinError::Form);
        }
        let key = known_hosts::public_key(first, base64).ok_or(PinError::Damaged)?;
        let blob = key.to_bytes().map_err(|_| PinError::Damaged)?;
        Ok(Pin(Kind::Key(PublicKey::parse(&blob)?)))
    }
}

impl Pin {
    /// Whether it names this key.
    fn names(&self, key: &PublicKey) -> bool {
        match &self.0 {
            Kind::Fingerprint(fingerprint) => *fingerprint == key.fingerprint(),
            Kind::Key(pinned) => pinned == key,
        }
    }
}

impl Trust {
    /// Judges the key that a host offers. Reads files: not for an event loop.
    ///
    /// A line that revokes the key decides first, also over a pin. Then a pin or a line with this
    /// key trusts it. A host that is known by other keys of the same type has a changed key, which
    /// is refused. Lines of certificate authorities are passed over.
    pub fn judge(&self, host: &str, port: u16, key: &PublicKey) -> Result<Verdict, ReadError> {
        let names = Names::new(host, port);
        let mut trusted = self.pins.iter().any(|pin| pin.names(key));
        let mut changed = None;
        for path in &self.known_hosts {
            for line in known_hosts::lines(&known_hosts::read(path)?) {
                let full = line.names(&names.full);
                // A line without the port says nothing against a key, as another server may be
                // meant. OpenSSH takes it as a word for one, and so do we.
                if !full && !names.bare.as_ref().is_some_and(|bare| line.names(bare)) {
                    continue;
                }
                let same = line.key.to_bytes().is_ok_and(|blob| blob == key.blob());
                match line.marker {
                    Some(Marker::Revoked) if same => {
                        return Ok(Verdict::Refused(format!(
                            "the host key of {}, {} {}, is revoked by {}:{}",
                            names.full,
                            key.key_type(),
                            key.fingerprint(),
                            path.display(),
                            line.number,
                        )));
                    }
                    Some(Marker::Revoked | Marker::CertAuthority) => {}
                    None if same => trusted = true,
                    None if full && line.key.algorithm().as_str() == key.key_type() => {
                        changed.get_or_insert_with(|| {
                            let known = line.key.fingerprint(ssh_key::HashAlg::Sha256);
                            (known.to_string(), path, line.number)
                        });
                    }
                    None => {}
                }
            }
        }
        if trusted {
            return Ok(Verdict::Trusted);
        }
        let (host, key_type, offered) = (names.full, key.key_type(), key.fingerprint());
        Ok(match changed {
            Some((known, path, number)) => Verdict::Refused(format!(
                "the host key of {host} has changed: it offers {key_type} {offered}, but \
                 {path}:{number} knows {known}. Somebody may be posing as this host. If its key \
                 was replaced, replace that line",
                path = path.display(),
            )),
            None if self.verifier => Verdict::Ask,
            None => Verdict::Refused(format!(
                "the host key of {host} is not known: it offers {key_type} {offered}. When that is \
                 the right key, give it as hostKey, add it to a file of knownHosts, or decide in a \
                 hostVerifier",
            )),
        })
    }

    /// The types of the keys that this host is known by, in the order they were found.
    ///
    /// To ask a server for these first is what keeps it from offering a key of another type, which
    /// would then be unknown. Fingerprints do not tell a type. Reads files, as [`Trust::judge`].
    pub fn known_types(&self, host: &str, port: u16) -> Result<Vec<String>, ReadError> {
        let names = Names::new(host, port);
        let mut types = Vec::new();
        let mut add = |key_type: &str| {
            if !types.iter().any(|known| known == key_type) {
                types.push(key_type.to_owned());
            }
        };
        for pin in &self.pins {
            match &pin.0 {
                Kind::Key(key) => add(key.key_type()),
                Kind::Fingerprint(_) => {}
            }
        }
        for path in &self.known_hosts {
            for line in known_hosts::lines(&known_hosts::read(path)?) {
                let named = [Some(&names.full), names.bare.as_ref()];
                if line.marker.is_none() && named.into_iter().flatten().any(|name| line.names(name))
                {
                    add(line.key.algorithm().as_str());
                }
            }
        }
        Ok(types)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{env, fs, process};

    use super::*;

    const HOST: &str = "gateway.example.org";
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkqvR5oGJ88+ILy2bqTRrF/STgQypgyhBZw3/v+mroE";
    const FINGERPRINT: &str = "SHA256:8G54s4tGjZxgu+82l7k5dN5cEdFTp+MV+D/1lltknOI";
    /// Another key of the same type.
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXYoSTb7tJ6RI8PBeWMa6x/zjaQFPx7CszuhEyT7b/4";
    const OTHER_FINGERPRINT: &str = "SHA256:j7GbFFT3O76stdtLtz32n4J3uvfUzDw+Rxp6Pupy7qM";
    const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBLmaiHaCkXwvi0kKs6bwGlCZkcWxVM5DC0/LICfB6IcTvQ6wE9rGg9N6BrPx10k83GS4OkUcZosM0JRdXok/+d4=";

    /// A file of known hosts, removed with the test that has it.
    struct File(PathBuf);

    impl File {
        fn new(text: &str) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("known_hosts-{}-{number}", process::id()));
            fs::write(&path, text).unwrap();
            File(path)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn key(line: &str) -> PublicKey {
        let key = ssh_key::PublicKey::from_openssh(line).unwrap();
        PublicKey::parse(&key.to_bytes().unwrap()).unwrap()
    }

    fn trust(pins: &[&str], files: &[&File], verifier: bool) -> Trust {
        Trust {
            pins: pins.iter().map(|pin| pin.parse().unwrap()).collect(),
            known_hosts: files.iter().map(|file| file.path().to_owned()).collect(),
            verifier,
        }
    }

    /// The verdict about the Ed25519 key when a file has these lines.
    fn with_lines(text: &str, host: &str, port: u16) -> Verdict {
        let file = File::new(text);
        trust(&[], &[&file], true).judge(host, port, &key(ED25519)).unwrap()
    }

    fn refusal(verdict: Verdict) -> String {
        match verdict {
            Verdict::Refused(why) => why,
            Verdict::Trusted | Verdict::Ask => panic!("{verdict:?}"),
        }
    }

    #[test]
    fn pins_trust_their_key_only() {
        let padded = format!("{FINGERPRINT}=");
        let with_comment = format!("  {ED25519} someone@somewhere\n");
        for pin in [FINGERPRINT, &padded, ED25519, &with_comment] {
            let trust = trust(&[P256, pin], &[], false);
            assert_eq!(trust.judge(HOST, 22, &key(ED25519)).unwrap(), Verdict::Trusted);
            assert!(refusal(trust.judge(HOST, 22, &key(OTHER)).unwrap()).contains("not known"));
        }
    }

    #[test]
    fn a_pin_says_what_is_wrong_with_it() {
        let error = |text: &str| text.parse::<Pin>().unwrap_err();
        for text in ["", "  ", "gateway", "ssh-ed25519", "yes please", &format!("{HOST} {ED25519}")]
        {
            assert_eq!(error(text), PinError::Form, "{text}");
        }
        assert_eq!(error(&format!("{FINGERPRINT} {ED25519}")), PinError::Form);
        assert_eq!(error("SHA256:"), PinError::Fingerprint);
        assert_eq!(error(&FINGERPRINT[..49]), PinError::Fingerprint);
        assert_eq!(error(&format!("{FINGERPRINT}A")), PinError::Fingerprint);
        assert_eq!(error(&FINGERPRINT.replace("SHA256", "SHA512")), PinError::Digest);
        let md5 = "3b:".repeat(15) + "3b";
        assert_eq!(error(&md5), PinError::Digest);
        assert_eq!(error(&format!("MD5:{md5}")), PinError::Digest);
        assert_eq!(error(&ED25519[..60]), PinError::Damaged);
        assert_eq!(error(&ED25519.replace("ssh-ed25519", "ssh-rsa")), PinError::Damaged);
        let rsa1024 = include_str!("../../crates/ssh-proto/src/key/fixtures/rsa1024.pub");
        assert_eq!(error(rsa1024), PinError::Key(PublicKeyError::RsaSize { bits: 1024 }));
        for length in 0..ED25519.len() {
            assert!(ED25519[..length].parse::<Pin>().is_err(), "{length}");
        }
    }

    #[test]
    fn lines_name_hosts_in_many_ways() {
        // ssh-keygen -H made these of the name alone and of [gateway.example.org]:2222.
        let hashed = "|1|RL4vQ8ORvQQUERY0sfTpWbsoTOE=|DCjp3vBZQctKemeI/rvFA6aYu1s=";
        let hashed_with_port = "|1|/yWSmF8UMOQNvWtVoKjy92TnUGM=|xk7BbuzLcxQQlNjbc4kurmu/m8g=";
        for (hosts, host, port, trusted) in [
            (HOST, HOST, 22, true),
            (HOST, "GATEWAY.Example.org", 22, true),
            ("Gateway.EXAMPLE.org", HOST, 22, true),
            (HOST, "example.org", 22, false),
            ("a,gateway.example.org,b", HOST, 22, true),
            ("*.example.org", HOST, 22, true),
            ("gateway.example.???", HOST, 22, true),
            ("*.example.org,!gateway.*", HOST, 22, false),
            ("!gateway.*,*.example.org", HOST, 22, false),
            ("!other.*,*.example.org", HOST, 22, true),
            ("!other.*", HOST, 22, false),
            ("[gateway.example.org]:2222", HOST, 2222, true),
            ("[gateway.example.org]:2222", HOST, 2223, false),
            ("[gateway.example.org]:2222", HOST, 22, false),
            ("[*.example.org]:2222", HOST, 2222, true),
            ("[::1]:2222", "::1", 2222, true),
            // The name without a port speaks for the key.
            (HOST, HOST, 2222, true),
            (hashed, HOST, 22, true),
            (hashed, "Gateway.example.org", 22, true),
            (hashed, "example.org", 22, false),
            (hashed_with_port, HOST, 2222, true),
            (hashed_with_port, HOST, 22, false),
        ] {
            let verdict = with_lines(&format!("{hosts} {ED25519}\n"), host, port);
            let expected = if trusted { Verdict::Trusted } else { Verdict::Ask };
            assert_eq!(verdict, expected, "{hosts} {host} {port}");
        }
    }

    #[test]
    fn a_changed_key_is_refused_with_all_there_is_to_know() {
        let file = File::new(&format!("# comment\n{HOST} {P256}\n{HOST} {OTHER}\n"));
        // Asking would offer to accept what should not be.
        let verdict = trust(&[], &[&file], true).judge(HOST, 22, &key(ED25519)).unwrap();
        let why = refusal(verdict);
        assert!(why.contains("has changed"), "{why}");
        assert!(why.contains(HOST) && why.contains(FINGERPRINT), "{why}");
        assert!(why.contains(OTHER_FINGERPRINT), "{why}");
        assert!(why.contains(&format!("{}:3", file.path().display())), "{why}");

        // A pin, the right key on a later line or in a later file, another type: not changed.
        let later = File::new(&format!("{HOST} {ED25519}\n"));
        let judge = |trust: Trust| trust.judge(HOST, 22, &key(ED25519)).unwrap();
        assert_eq!(judge(trust(&[FINGERPRINT], &[&file], false)), Verdict::Trusted);
        assert_eq!(judge(trust(&[], &[&file, &later], false)), Verdict::Trusted);
        let both = format!("{HOST} {OTHER}\n{HOST} {ED25519}\n");
        assert_eq!(with_lines(&both, HOST, 22), Verdict::Trusted);
        assert_eq!(with_lines(&format!("{HOST} {P256}\n"), HOST, 22), Verdict::Ask);
        // Another server on the same host may well have another key.
        assert_eq!(with_lines(&format!("{HOST} {OTHER}\n"), HOST, 2222), Verdict::Ask);
    }

    #[test]
    fn a_revoked_key_is_refused_whatever_else_says() {
        let good = File::new(&format!("{HOST} {ED25519}\n"));
        let revoked = File::new(&format!("@revoked * {ED25519}\n"));
        let trust = trust(&[FINGERPRINT], &[&good, &revoked], true);
        for port in [22, 2222] {
            let why = refusal(trust.judge(HOST, port, &key(ED25519)).unwrap());
            assert!(why.contains("revoked") && why.contains(FINGERPRINT), "{why}");
            assert!(why.contains(&format!("{}:1", revoked.path().display())), "{why}");
        }
        // Neither another revoked key nor a certificate authority makes it a changed one.
        for marker in ["@revoked", "@cert-authority"] {
            let verdict = with_lines(&format!("{marker} {HOST} {OTHER}\n"), HOST, 22);
            assert_eq!(verdict, Verdict::Ask);
        }
        let authority = format!("@cert-authority {HOST} {ED25519}\n");
        assert_eq!(with_lines(&authority, HOST, 22), Verdict::Ask);
    }

    #[test]
    fn no_file_is_an_empty_one_and_an_unreadable_one_is_an_error() {
        let file = File::new("");
        let missing = file.path().with_extension("missing");
        let below = file.path().join("below");
        let trust = |path: &Path| Trust { known_hosts: vec![path.to_owned()], ..Trust::default() };
        for path in [missing, below] {
            let why = refusal(trust(&path).judge(HOST, 2222, &key(ED25519)).unwrap());
            for part in ["[gateway.example.org]:2222", "ssh-ed25519", FINGERPRINT, "hostVerifier"] {
                assert!(why.contains(part), "{why}");
            }
        }
        let folder = env::temp_dir();
        let error = trust(&folder).judge(HOST, 22, &key(ED25519)).unwrap_err();
        assert!(error.to_string().contains(&*folder.to_string_lossy()), "{error}");
    }

    #[test]
    fn known_types_in_their_order() {
        let text = format!("@revoked {HOST} {OTHER}\n{HOST} {P256}\nelsewhere {ED25519}\n");
        let file = File::new(&text);
        let trust = trust(&[FINGERPRINT, OTHER], &[&file, &file], false);
        let types = ["ssh-ed25519", "ecdsa-sha2-nistp256"];
        assert_eq!(trust.known_types(HOST, 22).unwrap(), types);
        assert_eq!(trust.known_types(HOST, 2222).unwrap(), types);
        assert_eq!(trust.known_types("nowhere", 22).unwrap(), types[..1]);
    }
}
