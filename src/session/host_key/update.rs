//! Other keys of a known host, written to its file after the host has proved to have them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ssh_proto::HostKeys;
use ssh_proto::key::HostKey;

use crate::session::host_key::known_hosts::{Line, Marker, ReadError};
use crate::session::host_key::known_hosts_writer::{append, remove};
use crate::session::{Error, Trust};

impl Trust {
    /// Returns the blobs of the keys that files have for this host, if other keys of it may be
    /// added; `None` if not. Blocks the thread.
    ///
    /// As with OpenSSH, a line must have the host, its port and the key that the host has used,
    /// which must not be a certificate; and no line about the host may have patterns, lists or
    /// markers.
    pub fn updatable_keys(
        &self,
        host: &str,
        port: u16,
        shown: &HostKey,
    ) -> Result<Option<Vec<Vec<u8>>>, ReadError> {
        let HostKey::Plain(shown) = shown else { return Ok(None) };
        if !self.update {
            return Ok(None);
        }
        let (mut known, mut simple) = (Vec::new(), true);
        self.each_line(&self.names(host, port), |_, line| {
            simple &= line.marker.is_none() && (line.simple || !line.full);
            if line.full && !line.key.is_certificate() {
                known.push(line.key.blob().to_vec());
            }
        })?;
        // The key in use comes first.
        let at = known.iter().position(|blob| blob == shown.blob());
        Ok(at.filter(|_| simple).map(|at| {
            known.swap(0, at);
            known
        }))
    }

    /// Adds the new keys to the first file that has a key of this host, and then removes the lines of
    /// keys that the host does not have any more. Omits keys that a line has or revokes, and keys that
    /// could not be trusted. Blocks the thread.
    pub fn update_host_keys(&self, host: &str, port: u16, keys: &HostKeys) -> Result<(), Error> {
        let names = self.names(host, port);
        let mut added = Vec::new();
        for key in &keys.proved {
            if self.may_add(key)? {
                added.push(key);
            }
        }
        let mut file: Option<PathBuf> = None;
        let mut outdated = BTreeSet::new();
        let is_old = |line: &Line| {
            let has = |blob: &[u8]| keys.announced.iter().any(|own| own == blob);
            line.marker.is_none()
                && line.full
                && !line.key.is_certificate()
                && !has(line.key.blob())
        };
        self.each_line(&names, |path, line| match line.marker {
            Some(Marker::CertAuthority) => {}
            Some(Marker::Revoked) => added.retain(|key| line.key.blob() != key.blob()),
            None if line.full => {
                added.retain(|key| !line.has(key.blob()));
                file.get_or_insert_with(|| path.to_owned());
                if is_old(line) {
                    outdated.insert(path.to_owned());
                }
            }
            None => {}
        })?;
        if let Some(file) = file.filter(|_| !added.is_empty()) {
            append(&file, &names.full, &added, self.hashes)?;
        }
        for file in outdated {
            remove(&file, &names, is_old)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use std::fs;

    use super::*;
    use ssh_proto::key::PublicKey;

    use crate::session::fixtures::{
        ED25519, File, HOST, OTHER, P256, RSA, certificate, key, trust,
    };

    fn updating(files: &[&File]) -> Trust {
        Trust { update: true, ..trust(&[], files, false) }
    }

    /// New keys, and others that the server announces.
    fn of(proved: &[&str], others: &[&str]) -> HostKeys {
        let proved: Vec<PublicKey> = proved.iter().map(|line| key(line).key().clone()).collect();
        let own = proved.iter().map(|key| key.blob().to_vec());
        let announced = own.chain(others.iter().map(|line| blob(line))).collect();
        HostKeys { proved, announced }
    }

    #[test]
    fn keys_that_the_host_does_not_have_any_more_are_removed() {
        let text = format!(
            "# before\n{HOST} {P256}\n{HOST} {ED25519}\nelsewhere {OTHER}\n[{HOST}]:2222 {OTHER}\n{HOST} {OTHER} x\r\n\n"
        );
        let (first, second) = (File::new(&text), File::new(&format!("{HOST} {OTHER}")));
        let trust = updating(&[&first, &second]);
        trust.update_host_keys(HOST, 22, &of(&[RSA], &[ED25519])).unwrap();
        let read = |file: &File| fs::read_to_string(file.path()).unwrap();
        // Without its comment.
        let rsa = RSA.rsplit_once(' ').unwrap().0;
        let expected = format!(
            "# before\n{HOST} {ED25519}\nelsewhere {OTHER}\n[{HOST}]:2222 {OTHER}\n\n{HOST} {rsa}\n"
        );
        assert_eq!((read(&first), read(&second)), (expected.clone(), String::new()));
        trust.update_host_keys(HOST, 22, &of(&[], &[ED25519, RSA])).unwrap();
        assert_eq!(read(&first), expected);
    }

    fn blob(line: &str) -> Vec<u8> {
        key(line).key().blob().to_vec()
    }

    #[test]
    fn keys_are_updated_only_for_a_host_whose_key_is_in_a_simple_line() {
        let known = format!("{HOST} {P256}\n{HOST},10.0.0.1 {ED25519}\n");
        let updatable = |lines: &str, port, shown: &HostKey| {
            updating(&[&File::new(lines)]).updatable_keys(HOST, port, shown).unwrap()
        };
        let shown = key(ED25519);
        assert_eq!(updatable(&known, 22, &shown), Some(vec![blob(ED25519), blob(P256)]));
        assert_eq!(updatable(&known, 22, &key(OTHER)), None, "another key");
        assert_eq!(updatable(&known, 2222, &shown), None, "known by its bare name only");
        assert_eq!(updatable(&known, 22, &certificate("good")), None, "a certificate");
        for more in [
            format!("@revoked {HOST} {OTHER}"),
            format!("@cert-authority * {OTHER}"),
            format!("*.example.org {ED25519}"),
            format!("{HOST},a,b {OTHER}"),
        ] {
            assert_eq!(updatable(&format!("{known}{more}\n"), 22, &shown), None, "{more}");
        }
        let file = File::new(&known);
        assert_eq!(trust(&[], &[&file], false).updatable_keys(HOST, 22, &shown).unwrap(), None);
    }

    #[test]
    fn a_key_that_could_not_be_trusted_is_not_added() {
        let (file, list) = (File::new(&format!("{HOST} {ED25519}\n")), File::new(OTHER));
        let keys = of(&[P256, RSA, OTHER], &[ED25519]);
        let trust =
            Trust { revoked: vec![list.path().to_owned()], rsa_bits: 3072, ..updating(&[&file]) };
        trust.update_host_keys(HOST, 22, &keys).unwrap();
        let expected = format!("{HOST} {ED25519}\n{HOST} {P256}\n");
        assert_eq!(fs::read_to_string(file.path()).unwrap(), expected);
    }

    #[test]
    fn keys_are_added_to_the_file_that_has_the_host() {
        let (first, second) =
            (File::new(&format!("elsewhere {P256}\n")), File::new(&format!("{HOST} {ED25519}\n")));
        let third = File::new(&format!("{HOST} {RSA}\n@revoked {HOST} {OTHER}\n"));
        let trust = updating(&[&first, &second, &third]);
        let keys = of(&[P256, ED25519, RSA, OTHER], &[]);
        trust.update_host_keys(HOST, 22, &keys).unwrap();
        let text = |file: &File| fs::read_to_string(file.path()).unwrap();
        // Of the four, only the first was neither in a file nor revoked.
        let expected = format!("{HOST} {ED25519}\n{HOST} {P256}\n");
        assert_eq!(text(&second), expected);
        trust.update_host_keys(HOST, 22, &keys).unwrap();
        trust.update_host_keys("nowhere", 22, &keys).unwrap();
        assert_eq!(text(&second), expected);
        assert_eq!((text(&first).lines().count(), text(&third).lines().count()), (1, 2));
    }
}
