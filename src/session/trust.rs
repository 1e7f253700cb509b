//! Whether a host key is the one of the host we want.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ssh_key::HashAlg;
use ssh_key::known_hosts::Marker;
use ssh_proto::KnownKeys;
use ssh_proto::key::HostKey;

use super::certificate;
use super::known_hosts::{self, Line, Names, ReadError};
use super::{Strictness, Trust};

/// What there is to say about a host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's.
    Trusted,
    /// Nothing says that it is the host's; it is accepted as the strictness has it.
    Accepted {
        /// Whether it goes into a file of known hosts.
        remember: bool,
    },
    /// Nothing decides; the verifier does.
    Ask {
        /// Whether it goes into a file of known hosts if the verifier says yes.
        remember: bool,
    },
    /// It is not, or is not known to be. Says why, for the user.
    Refused(String),
}

/// A line of a file.
struct Place {
    path: PathBuf,
    number: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.number)
    }
}

/// What the files say about a host key.
#[derive(Default)]
struct Findings {
    /// A line revokes the key.
    revoked: Option<Place>,
    /// A line revokes the authority that signed the certificate.
    revoked_authority: Option<Place>,
    /// A line has the key for the host with its port.
    known: bool,
    /// A line has the key for the host without its port.
    known_by_bare_name: bool,
    /// A line names the authority that signed the certificate.
    authority: Option<Place>,
    /// A line has another key for the host: where, and its type and fingerprint.
    other: Option<(Place, String, String)>,
}

impl Trust {
    /// Judges the key that a host offers. Reads files: not for an event loop.
    ///
    /// As OpenSSH does, but for pins and the verifier, which it does not have. A line that revokes
    /// the key, or the authority of its certificate, decides first, also over a pin. Then a pin, a
    /// line with this key, or a certificate by an authority of the files trusts it. A certificate
    /// that is not good for this host now, and a key where the files have others, are refused.
    /// What is left is unknown, and the strictness decides, unless there are pins.
    pub fn judge(&self, host: &str, port: u16, offered: &HostKey) -> Result<Verdict, ReadError> {
        let names = self.names(host, port);
        let found = self.search(&names, offered)?;
        let key = offered.key();
        let (key_type, fingerprint) = (key.key_type(), key.fingerprint());
        if let Some(place) = found.revoked {
            return Ok(Verdict::Refused(format!(
                "the host key of {}, {key_type} {fingerprint}, is revoked by {place}",
                names.full,
            )));
        }
        if let (Some(place), Some(certificate)) = (found.revoked_authority, offered.certificate()) {
            return Ok(Verdict::Refused(format!(
                "the authority {} that signed the host certificate of {} ({key_type} \
                 {fingerprint}) is revoked by {place}",
                certificate.authority_fingerprint(),
                names.full,
            )));
        }
        // A line without the port does not help where one with it has another key.
        let known = found.known || found.known_by_bare_name && found.other.is_none();
        if known || self.pins.iter().any(|pin| pin.names(key)) {
            return Ok(Verdict::Trusted);
        }
        let objection = match (offered.certificate(), found.authority, found.other) {
            (Some(certificate), Some(place), _) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                match certificate::check(certificate, &names.name, now.as_secs()) {
                    Ok(()) => return Ok(Verdict::Trusted),
                    Err(reason) => Some(format!(
                        "the host certificate of {} ({:?}, {key_type} {fingerprint}, by the \
                         authority {} of {place}) is refused: {reason}",
                        names.full,
                        certificate.id(),
                        certificate.authority_fingerprint(),
                    )),
                }
            }
            (_, _, Some((place, other_type, other))) => Some(format!(
                "the host key of {} has changed: it offers {key_type} {fingerprint}, but {place} \
                 knows {other_type} {other}. Somebody may be posing as this host. If its key was \
                 replaced, replace that line",
                names.full,
            )),
            (_, _, None) => None,
        };
        let has_file = !self.known_hosts.is_empty();
        // To name keys and to take any would contradict each other.
        let strictness = if self.pins.is_empty() { self.strictness } else { Strictness::Yes };
        Ok(match (objection, strictness) {
            (Some(_), Strictness::No) if self.verifier => Verdict::Ask { remember: false },
            (Some(_), Strictness::No) => Verdict::Accepted { remember: false },
            (Some(reason), Strictness::Yes | Strictness::AcceptNew) => Verdict::Refused(reason),
            (None, _) if self.verifier => {
                Verdict::Ask { remember: has_file && strictness != Strictness::Yes }
            }
            (None, Strictness::No) => Verdict::Accepted { remember: has_file },
            (None, Strictness::AcceptNew) if has_file => Verdict::Accepted { remember: true },
            (None, Strictness::Yes | Strictness::AcceptNew) => {
                Verdict::Refused(unknown(&names.full, offered))
            }
        })
    }

    /// What is known of this host, to ask it for that first: a server that has several keys would
    /// show another one else, which would be unknown. Reads files, as [`Trust::judge`].
    pub fn known_keys(&self, host: &str, port: u16) -> Result<KnownKeys, ReadError> {
        let mut known = KnownKeys::default();
        known.types.extend(self.pins.iter().filter_map(|pin| pin.key_type()).map(str::to_owned));
        self.each_line(&self.names(host, port), |_, line, _| match line.marker {
            None => known.types.push(line.key.algorithm().as_str().to_owned()),
            Some(Marker::CertAuthority) => known.authority = true,
            Some(Marker::Revoked) => {}
        })?;
        Ok(known)
    }

    /// How lines name the host.
    pub(super) fn names(&self, host: &str, port: u16) -> Names {
        match &self.alias {
            Some(alias) => Names::alias(alias),
            None => Names::new(host, port),
        }
    }

    /// Looks at every line about the host, in order, and whether it names the host in full.
    ///
    /// A line without the port says nothing against a key, as another server may be meant. OpenSSH
    /// takes it as a word for one, and so do we.
    pub(super) fn each_line(
        &self,
        names: &Names,
        mut look: impl FnMut(&Path, &Line, bool),
    ) -> Result<(), ReadError> {
        for path in &self.known_hosts {
            for line in known_hosts::lines(&known_hosts::read(path)?) {
                let full = line.names(&names.full);
                if full || names.bare.as_ref().is_some_and(|bare| line.names(bare)) {
                    look(path, &line, full);
                }
            }
        }
        Ok(())
    }

    fn search(&self, names: &Names, offered: &HostKey) -> Result<Findings, ReadError> {
        let (key, certificate) = (offered.key(), offered.certificate());
        let mut found = Findings::default();
        self.each_line(names, |path, line, full| {
            let place = || Place { path: path.to_owned(), number: line.number };
            let same = line.is(key.blob());
            let signed = certificate.is_some_and(|signed| line.is(signed.authority()));
            match line.marker {
                Some(Marker::Revoked) if same => {
                    found.revoked.get_or_insert_with(place);
                }
                Some(Marker::Revoked) if signed => {
                    found.revoked_authority.get_or_insert_with(place);
                }
                Some(Marker::CertAuthority) if signed => {
                    found.authority.get_or_insert_with(place);
                }
                Some(Marker::Revoked | Marker::CertAuthority) => {}
                None if same && full => found.known = true,
                None if same => found.known_by_bare_name = true,
                None if full => {
                    let key_type = line.key.algorithm().as_str().to_owned();
                    // One of the same type says more about what has happened.
                    let better = |(_, other, _): &(Place, String, String)| {
                        other != key.key_type() && key_type == key.key_type()
                    };
                    if found.other.as_ref().is_none_or(better) {
                        let other = line.key.fingerprint(HashAlg::Sha256).to_string();
                        found.other = Some((place(), key_type, other));
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
        "the host key of {host} is not known: it offers {key_type} {fingerprint}{certificate}. When \
         that is the right key, give it as hostKey, add it to a file of knownHosts, or decide in a \
         hostVerifier",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests;
