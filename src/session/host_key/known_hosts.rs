//! Files of known hosts (the format is in sshd(8) under SSH_KNOWN_HOSTS FILE FORMAT).
//!
//! Lines are bytes, and what follows a key is a comment. A line that may be about the host and
//! cannot be read is an error: it may revoke the key, or have another one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding};
use ssh_proto::key::{ListedKey, ListedKeyError};

use crate::session::Error;

/// What editors on Windows begin files in UTF-8 with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What files in UTF-16 begin with.
pub(crate) const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// What a hashed name begins with, and how many bytes salt and hash have.
const HASHED: &[u8] = b"|1|";
const HASH_LENGTH: usize = 20;

/// A file that tells about host keys is there and cannot be read, or a line of it.
///
/// That is no empty file: what it says about a revoked or changed key would go unheard.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the {what} file {}: {source}", path.display())]
    File {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A line of the file cannot be read.
    #[error("cannot read the {what} file {}, line {number}: {why}", path.display())]
    Line {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The file is of a kind that is not supported.
    #[error("the {what} file {} is {kind}, which is not supported", path.display())]
    Kind {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        let (file, line) = match error {
            ReadError::File { path, .. } | ReadError::Kind { path, .. } => (path, None),
            ReadError::Line { path, number, .. } => (path, Some(number)),
        };
        Error::HostKeyFile { text, file: Some(file), line }
    }
}

/// How lines and certificates name a host.
pub(crate) struct Names {
    /// With its port, as OpenSSH writes it: `[host]:port`, or the bare name for port 22.
    pub(crate) full: String,
    /// Without a port that is not 22; `None` where `full` is the bare name.
    pub(crate) bare: Option<String>,
    /// Without any port: what certificates name.
    pub(crate) name: String,
}

impl Names {
    /// The names of a host as the user gave it.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        // Host names do not tell cases apart, and hashes are made of small letters.
        let name = host.to_ascii_lowercase();
        match port {
            22 => Names { full: name.clone(), bare: None, name },
            port => Names { full: format!("[{name}]:{port}"), bare: Some(name.clone()), name },
        }
    }

    /// The name that the user gave in place of the host's: it stands for the port, too.
    pub(crate) fn alias(alias: &str) -> Self {
        let name = alias.to_ascii_lowercase();
        Names { full: name.clone(), bare: None, name }
    }
}

/// What a line says of its key, beyond that hosts have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// `@revoked`: no host has it any more.
    Revoked,
    /// `@cert-authority`: it signs certificates of hosts.
    CertAuthority,
}

/// One line about the host.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1, as editors do.
    pub(crate) number: usize,
    pub(crate) marker: Option<Marker>,
    /// The key.
    pub(crate) key: ListedKey,
    /// Whether it names the host with its port.
    pub(crate) full: bool,
    /// Whether it names its hosts one by one, two at most, as programs write it. What people write
    /// is theirs to change.
    pub(crate) simple: bool,
}

impl Line {
    /// Whether it can say something against a key: without the port it only speaks for one.
    fn counts(&self) -> bool {
        self.full || self.marker.is_some()
    }

    /// Whether it has the key of this blob.
    pub(crate) fn is(&self, blob: &[u8]) -> bool {
        !self.key.is_certificate() && self.key.blob() == blob
    }
}

/// Why a line that may be about the host cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Damage {
    #[error("{0} is no marker")]
    Marker(String),
    #[error("it does not say which hosts it is about")]
    Hosts,
    #[error("the hashed name of its host is damaged")]
    Hash,
    #[error("it ends before its key")]
    Short,
    #[error("{0}")]
    Key(#[from] ListedKeyError),
    #[error("it has null bytes, as text in UTF-16 has; it has to be ASCII or UTF-8")]
    Null,
    #[error("a carriage return ends it, where a line feed has to")]
    CarriageReturn,
}

/// The lines of a file that are about the host, in order; none where there is no file.
pub(crate) fn lines(path: &Path, names: &Names) -> Result<Vec<Line>, ReadError> {
    const WHAT: &str = "known hosts";
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(source) => {
            let source = Arc::new(source);
            return Err(ReadError::File { what: WHAT, path: path.to_owned(), source });
        }
    };
    find(&text, names).map_err(|(number, damage)| ReadError::Line {
        what: WHAT,
        path: path.to_owned(),
        number,
        why: format!("{damage}. It may be about {}: repair it, or remove it", names.full),
    })
}

fn find(text: &[u8], names: &Names) -> Result<Vec<Line>, (usize, Damage)> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        // One at the end belongs to the end of the line.
        let mut parts = line.split(|byte| *byte == b'\r');
        let own = parts.next().unwrap_or_default();
        found.extend(parse(number, own, names).map_err(|damage| (number, damage))?);
        if parts.any(|part| matches!(parse(number, part, names), Ok(Some(line)) if line.counts())) {
            return Err((number, Damage::CarriageReturn));
        }
    }
    Ok(found)
}

/// The line, if it is about the host. OpenSSH ends it at a null byte.
fn parse(number: usize, line: &[u8], names: &Names) -> Result<Option<Line>, Damage> {
    let Some(end) = line.iter().position(|byte| *byte == 0) else {
        return read(number, line, names);
    };
    let cut = &line[..end];
    if words(cut).next().is_some_and(|word| word.starts_with(b"#")) {
        return Ok(None);
    }
    if let Ok(Some(line)) = read(number, cut, names) {
        return Ok(Some(line));
    }
    let mark = UTF_16.iter().find_map(|mark| line.strip_prefix(*mark));
    let text: Vec<u8> = mark.unwrap_or(line).iter().copied().filter(|byte| *byte != 0).collect();
    match read(number, &text, names) {
        Ok(Some(line)) if line.counts() => Err(Damage::Null),
        Ok(_) => Ok(None),
        Err(_) => Err(Damage::Null),
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// ```text
/// [marker] hosts type base64 [comment]
/// ```
fn read(number: usize, line: &[u8], names: &Names) -> Result<Option<Line>, Damage> {
    let mut words = words(line).peekable();
    let mut marker: Result<_, Damage> = Ok(None);
    while let Some(word) = words.next_if(|word| word.starts_with(b"@")) {
        marker = match (word, &marker) {
            (b"@revoked", Ok(None)) => Ok(Some(Marker::Revoked)),
            (b"@cert-authority", Ok(None)) => Ok(Some(Marker::CertAuthority)),
            _ => Err(Damage::Marker(word.escape_ascii().to_string())),
        };
    }
    let marked = matches!(marker, Ok(Some(_)));
    let hosts = match words.next() {
        None if marked => return Err(Damage::Hosts),
        None => return Ok(None),
        Some(hosts) if hosts.starts_with(b"#") && !marked => return Ok(None),
        Some(hosts) => hosts,
    };
    let (full, named) = match Hosts::parse(hosts) {
        Some(hosts) => {
            let full = hosts.include(&names.full);
            (full, full || names.bare.as_ref().is_some_and(|bare| hosts.include(bare)))
        }
        // Whom it is about cannot be told. Without a marker it names nobody, with one it may be
        // about all.
        None if marked => return Err(Damage::Hash),
        None => return Ok(None),
    };
    if !named {
        // A key that is to be revoked, without the hosts.
        return if marked && ListedKey::is_type(hosts) { Err(Damage::Hosts) } else { Ok(None) };
    }
    let unmarked = matches!(marker, Ok(None));
    let simple = is_simple(hosts);
    let line = marker.and_then(|marker| {
        let Some(key) = key(words.next(), words.next())? else { return Ok(None) };
        Ok(Some(Line { number, marker, key, full, simple }))
    });
    // Whole, it could say nothing against a key.
    if unmarked && !full { Ok(line.unwrap_or_default()) } else { line }
}

/// The key, unless it is one of version 1 of the protocol: size, exponent and modulus. No host has
/// such a key any more.
fn key(key_type: Option<&[u8]>, base64: Option<&[u8]>) -> Result<Option<ListedKey>, Damage> {
    let key_type = key_type.filter(|word| !word.starts_with(b"#"));
    let (Some(key_type), Some(base64)) = (key_type, base64) else {
        return Err(Damage::Short);
    };
    let is_number = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    if is_number(key_type) && is_number(base64) {
        return Ok(None);
    }
    Ok(Some(ListedKey::parse(key_type, base64)?))
}

fn is_simple(hosts: &[u8]) -> bool {
    let commas = hosts.iter().filter(|byte| **byte == b',').count();
    hosts.starts_with(HASHED) || commas < 2 && !hosts.iter().any(|byte| b"*?!".contains(byte))
}

/// The hosts that a line is about.
enum Hosts<'a> {
    /// Names and patterns, with commas between them.
    Patterns(&'a [u8]),
    /// One name, hashed with a salt.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl<'a> Hosts<'a> {
    /// `None`: the hash is damaged, or of a kind that is not known.
    fn parse(word: &'a [u8]) -> Option<Self> {
        if !word.starts_with(b"|") {
            return Some(Hosts::Patterns(word));
        }
        let (salt, hash) = str::from_utf8(word.strip_prefix(HASHED)?).ok()?.split_once('|')?;
        let decode = |text| {
            Base64::decode_vec(text).ok().filter(|bytes: &Vec<u8>| bytes.len() == HASH_LENGTH)
        };
        Some(Hosts::Hashed { salt: decode(salt)?, hash: decode(hash)? })
    }

    fn include(&self, name: &str) -> bool {
        match self {
            Hosts::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
            Hosts::Patterns(patterns) => {
                let mut named = false;
                for pattern in patterns.split(|byte| *byte == b',') {
                    let pattern = pattern.to_ascii_lowercase();
                    match pattern.strip_prefix(b"!") {
                        // Whatever else the line says.
                        Some(pattern) if matches(pattern, name.as_bytes()) => return false,
                        Some(_) => {}
                        None => named |= matches(&pattern, name.as_bytes()),
                    }
                }
                named
            }
        }
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters and `?` for one.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where to go on when the last star has to take one more character.
    let mut retry = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, seen));
                at += 1;
                continue;
            }
            Some(byte) if *byte == b'?' || *byte == name[seen] => {
                at += 1;
                seen += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((after, taken)) = retry else { return false };
        retry = Some((after, taken + 1));
        (at, seen) = (after, taken + 1);
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests;
