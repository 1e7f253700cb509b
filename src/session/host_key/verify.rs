//! Verifies host keys.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ssh_proto::KnownKeys;
use ssh_proto::key::{Certificate, HostKey, PublicKey};

use super::{certificate, revoked};
use crate::session::host_key::known_hosts::{self, Line, Marker, Names, ReadError};
use crate::session::host_key::known_hosts_command::Purpose;
use crate::session::{FileLine, HostKeyReason, HostKeyRefusal, OfferedKey, Strictness, Trust};

/// Decision about a host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyDecision {
    /// The key is trusted.
    Trusted,
    /// The key is unknown, and the strictness accepts it.
    Accepted {
        /// Whether to write the key to a file of known hosts.
        remember: bool,
    },
    /// The key is unknown, and the application decides.
    Ask {
        /// Whether to write the key to a file of known hosts if the application accepts it.
        remember: bool,
    },
    /// The key is refused.
    Refused(Box<HostKeyRefusal>),
}

/// What is known about a host key, whatever the strictness.
pub(crate) enum Knowledge {
    /// The key is trusted.
    Trusted,
    /// The key is refused.
    Refused(Box<HostKeyRefusal>),
    /// A file has another key of the host, or its certificate is invalid.
    Contradicted(Box<HostKeyRefusal>),
    /// Nothing is known about the key; the refusal says so.
    Unknown(Box<HostKeyRefusal>),
}

/// Lines about a host key.
#[derive(Default)]
struct Findings {
    /// A line revokes the key.
    revoked: Option<FileLine>,
    /// A line revokes the authority that signed the certificate.
    revoked_authority: Option<FileLine>,
    /// A line has the key for the host with its port.
    known: bool,
    /// A line has the key for the host without its port.
    known_by_bare_name: bool,
    /// A line names the authority that signed the certificate.
    authority: Option<FileLine>,
    /// A line has another key for the host, with its type and fingerprint.
    other: Option<(FileLine, String, String)>,
}

impl Trust {
    /// Verifies the key that a host offers. Blocks the thread to read files.
    ///
    /// The order is that of OpenSSH, which has no pins and no verifier. First, a key is refused if
    /// it is an RSA key that is too small, or if a file or line revokes it or the authority of its
    /// certificate, even if it is pinned. Then a pin, a line with this key, or a valid certificate
    /// by an authority in the files makes it trusted. An invalid certificate, and a key for which
    /// the files have another one, are refused. Otherwise the key is unknown, and the strictness
    /// decides; with pins it is refused.
    pub fn verify(
        &self,
        host: &str,
        port: u16,
        offered: &HostKey,
    ) -> Result<HostKeyDecision, ReadError> {
        self.decide(host, port, offered, false)
    }

    /// Verifies the key that a server at a loopback address offers: with `any_local` and without an
    /// alias, only its size and the files of revoked keys count. Blocks the thread.
    pub(crate) fn verify_local(
        &self,
        host: &str,
        port: u16,
        offered: &HostKey,
    ) -> Result<HostKeyDecision, ReadError> {
        self.decide(host, port, offered, self.any_local && self.alias.is_none())
    }

    fn decide(
        &self,
        host: &str,
        port: u16,
        offered: &HostKey,
        accepts_any: bool,
    ) -> Result<HostKeyDecision, ReadError> {
        let knowledge = self.examine(host, port, offered, accepts_any)?;
        let has_file = !self.known_hosts.is_empty();
        // With pins, other keys are not accepted.
        let strictness = if self.pins.is_empty() { self.strictness } else { Strictness::Yes };
        Ok(match (knowledge, strictness) {
            (Knowledge::Trusted, _) => HostKeyDecision::Trusted,
            (Knowledge::Refused(refusal), _) => HostKeyDecision::Refused(refusal),
            (Knowledge::Contradicted(_), Strictness::Off) if self.verifier => {
                HostKeyDecision::Ask { remember: false }
            }
            (Knowledge::Contradicted(_), Strictness::Off) => {
                HostKeyDecision::Accepted { remember: false }
            }
            (Knowledge::Contradicted(mut refusal), Strictness::No) => {
                refusal.text.push_str(
                    ". Port forwarding is disabled to avoid man-in-the-middle attacks, also with \
                     StrictHostKeyChecking=no",
                );
                HostKeyDecision::Refused(refusal)
            }
            (Knowledge::Contradicted(refusal), Strictness::Yes | Strictness::AcceptNew) => {
                HostKeyDecision::Refused(refusal)
            }
            (Knowledge::Unknown(_), _) if self.verifier => {
                HostKeyDecision::Ask { remember: has_file && strictness != Strictness::Yes }
            }
            (Knowledge::Unknown(_), Strictness::No | Strictness::Off) => {
                HostKeyDecision::Accepted { remember: has_file }
            }
            (Knowledge::Unknown(_), Strictness::AcceptNew) if has_file => {
                HostKeyDecision::Accepted { remember: true }
            }
            (Knowledge::Unknown(refusal), Strictness::Yes | Strictness::AcceptNew) => {
                HostKeyDecision::Refused(refusal)
            }
        })
    }

    /// Returns what pins, files and the program know about a key.
    pub(crate) fn examine(
        &self,
        host: &str,
        port: u16,
        offered: &HostKey,
        accepts_any: bool,
    ) -> Result<Knowledge, ReadError> {
        let names = self.names(host, port);
        let key = offered.key();
        let (key_type, fingerprint) = (key.key_type(), key.fingerprint());
        let refusal = |reason, line, text| HostKeyRefusal {
            reason,
            text,
            fingerprint: Some(key.fingerprint()),
            known: None,
            line,
            offered: Some(OfferedKey {
                host: host.to_owned(),
                port,
                name: names.full.clone(),
                key_type: key.key_type().to_owned(),
                line: key.line(),
            }),
        };
        let refused =
            |reason, line, text| Ok(Knowledge::Refused(Box::new(refusal(reason, line, text))));
        if let Some(bits) = key.rsa_bits().filter(|bits| *bits < self.rsa_bits) {
            let text = format!(
                "the host key of {}, {key_type} {fingerprint}, has {bits} bits, and \
                 requiredRSASize is {}",
                names.full, self.rsa_bits,
            );
            return refused(HostKeyReason::Invalid, None, text);
        }
        let mut found =
            if accepts_any { Findings::default() } else { self.search(&names, offered)? };
        self.search_revoked(offered, &mut found)?;
        if let Some(line) = found.revoked {
            let text = format!(
                "the host key of {}, {key_type} {fingerprint}, is revoked by {line}",
                names.full,
            );
            return refused(HostKeyReason::Revoked, Some(line), text);
        }
        if let (Some(line), Some(certificate)) = (found.revoked_authority, offered.certificate()) {
            let text = format!(
                "the authority {} that signed the host certificate of {} ({key_type} \
                 {fingerprint}) is revoked by {line}",
                certificate.authority_fingerprint(),
                names.full,
            );
            return refused(HostKeyReason::Revoked, Some(line), text);
        }
        if accepts_any {
            return Ok(Knowledge::Trusted);
        }
        // A line without the port does not help where one with it has another key.
        let known = found.known || found.known_by_bare_name && found.other.is_none();
        if known || self.pins.iter().any(|pin| pin.matches(key)) {
            return Ok(Knowledge::Trusted);
        }
        Ok(match (offered.certificate(), found.authority, found.other) {
            (Some(certificate), Some(line), _) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                match certificate::check(self, certificate, &names.name, now.as_secs()) {
                    Ok(()) => Knowledge::Trusted,
                    Err(reason) => {
                        let text = format!(
                            "the host certificate of {} ({:?}, {key_type} {fingerprint}, by the \
                             authority {} of {line}) is refused: {reason}",
                            names.full,
                            certificate.id(),
                            certificate.authority_fingerprint(),
                        );
                        let refusal = refusal(HostKeyReason::Invalid, Some(line), text);
                        Knowledge::Contradicted(Box::new(refusal))
                    }
                }
            }
            (_, _, Some((line, other_type, other))) => {
                let text = format!(
                    "the host key of {} has changed: it offers {key_type} {fingerprint}, but \
                     {line} knows {other_type} {other}. Somebody may be posing as this host. If \
                     its key was replaced, replace that line",
                    names.full,
                );
                let refusal = refusal(HostKeyReason::Changed, Some(line), text);
                let refusal = HostKeyRefusal { known: Some(other), ..refusal };
                Knowledge::Contradicted(Box::new(refusal))
            }
            (_, _, None) => {
                let text = unknown(&names.full, offered);
                Knowledge::Unknown(Box::new(refusal(HostKeyReason::Unknown, None, text)))
            }
        })
    }

    /// Returns the types of the known keys of this host, which are then preferred in the key
    /// exchange: otherwise a server with several keys might use one that is unknown. Keys that a
    /// line revokes do not count; as with OpenSSH, files of revoked keys are not read. Blocks the
    /// thread.
    pub fn known_keys(&self, host: &str, port: u16) -> Result<KnownKeys, ReadError> {
        let mut known = KnownKeys::default();
        let (mut keys, mut revoked) = (Vec::new(), Vec::new());
        self.each_line_for(&self.names(host, port), Purpose::Order, |_, line| match line.marker {
            None => keys.push(line.key.clone()),
            Some(Marker::CertAuthority) => known.authority = true,
            Some(Marker::Revoked) => revoked.push(line.key.blob().to_vec()),
        })?;
        let pins = self.pins.iter().filter_map(|pin| pin.key());
        let pins = pins.map(|key| (key.key_type(), key.blob()));
        let lines = keys.iter().map(|key| (key.key_type(), key.blob()));
        let good = |(_, blob): &(&str, &[u8])| !revoked.iter().any(|revoked| revoked == blob);
        let good = pins.chain(lines).filter(good);
        known.types.extend(good.map(|(key_type, _)| key_type.to_owned()));
        Ok(known)
    }

    /// Returns whether another key of a known host may be added to its file.
    pub(crate) fn may_add(&self, key: &PublicKey) -> Result<bool, ReadError> {
        for path in &self.revoked {
            if revoked::find(path, &[key.blob()])?.is_some() {
                return Ok(false);
            }
        }
        Ok(key.rsa_bits().is_none_or(|bits| bits >= self.rsa_bits))
    }

    /// Returns the names of the host in lines.
    pub(crate) fn names(&self, host: &str, port: u16) -> Names {
        match &self.alias {
            Some(alias) => Names::alias(alias),
            None => Names::new(host, port),
        }
    }

    /// Calls `look` with every line about the host: the lines of the files in order, then the lines that the
    /// program prints.
    fn each_line_for(
        &self,
        names: &Names,
        purpose: Purpose<'_>,
        mut look: impl FnMut(&Path, &Line),
    ) -> Result<(), ReadError> {
        self.each_line(names, &mut look)?;
        if let Some(command) = &self.command {
            let place = command.place();
            command.lines(names, purpose)?.iter().for_each(|line| look(&place, line));
        }
        Ok(())
    }

    /// Calls `look` with every line of the files about the host, in order.
    ///
    /// A line without the port may be about another server, so it cannot refuse a key. It can
    /// accept one, as with OpenSSH.
    pub(crate) fn each_line(
        &self,
        names: &Names,
        mut look: impl FnMut(&Path, &Line),
    ) -> Result<(), ReadError> {
        for path in &self.known_hosts {
            known_hosts::lines(path, names)?.iter().for_each(|line| look(path, line));
        }
        Ok(())
    }

    /// Searches the files of revoked keys.
    fn search_revoked(&self, offered: &HostKey, found: &mut Findings) -> Result<(), ReadError> {
        let authority = offered.certificate().map(Certificate::authority);
        let blobs: Vec<_> = [offered.key().blob()].into_iter().chain(authority).collect();
        for path in &self.revoked {
            let Some((which, number)) = revoked::find(path, &blobs)? else { continue };
            let revoked =
                if which == 0 { &mut found.revoked } else { &mut found.revoked_authority };
            revoked.get_or_insert_with(|| FileLine { path: path.clone(), number });
        }
        Ok(())
    }

    /// Searches the files of known hosts.
    fn search(&self, names: &Names, offered: &HostKey) -> Result<Findings, ReadError> {
        let (key, certificate) = (offered.key(), offered.certificate());
        let mut found = Findings::default();
        self.each_line_for(names, Purpose::Verify(offered), |path, line| {
            let at = || FileLine { path: path.to_owned(), number: line.number };
            // As with OpenSSH, a certificate counts as its key in lines without a marker.
            let listed = line.key.blob();
            let signed = certificate.is_some_and(|signed| signed.authority() == listed);
            match line.marker {
                Some(Marker::Revoked) if listed == key.blob() => {
                    found.revoked.get_or_insert_with(at);
                }
                Some(Marker::Revoked) if signed => {
                    found.revoked_authority.get_or_insert_with(at);
                }
                Some(Marker::CertAuthority) if signed => {
                    found.authority.get_or_insert_with(at);
                }
                Some(Marker::Revoked | Marker::CertAuthority) => {}
                None if line.has(key.blob()) && line.full => found.known = true,
                None if line.has(key.blob()) => found.known_by_bare_name = true,
                None if line.full => {
                    let key_type = line.key.key_type().to_owned();
                    // A key of the same type explains more.
                    let better = |(_, other, _): &(FileLine, String, String)| {
                        other != key.key_type() && key_type == key.key_type()
                    };
                    if found.other.as_ref().is_none_or(better) {
                        found.other = Some((at(), key_type, line.key.fingerprint()));
                    }
                }
                None => {}
            }
        })?;
        Ok(found)
    }
}

fn unknown(host: &str, offered: &HostKey) -> String {
    let (key_type, fingerprint) = (offered.key().key_type(), offered.key().fingerprint());
    let certificate = offered.certificate().map_or_else(String::new, |certificate| {
        let authority = certificate.authority_fingerprint();
        format!(", with a certificate by the authority {authority}, which is not known either")
    });
    format!(
        "the host key of {host} is not known: {key_type} {fingerprint}{certificate}. If this is the \
         server's key, add it to a known_hosts file, as ssh does at the first connection, pass it as \
         hostKey, or accept it in a hostVerifier",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod certificate_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // As above.
mod tests;
