//! Files of known hosts, in the format of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
//!
//! A line is bytes; text after the key is a comment. A line that may be about the host and cannot
//! be read is an error: it may revoke the key, or have another one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding};
use ssh_proto::key::{ListedKey, ListedKeyError};

use crate::session::Error;

/// Start of a UTF-8 file from some editors on Windows.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Start of a file in UTF-16.
pub(crate) const UTF_16: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
/// Start of a hashed name, and the length of its salt and hash in bytes.
pub(crate) const HASHED: &[u8] = b"|1|";
pub(crate) const HASH_LENGTH: usize = 20;

/// A file of host keys exists and cannot be read, or a line of it cannot.
///
/// It does not count as empty: it may have a revoked or changed key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the {what} file {}: {source}", path.display())]
    File {
        /// Purpose of the file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system error.
        source: Arc<io::Error>,
    },
    /// A line of the file cannot be read.
    #[error("cannot read the {what} file {}, line {number}: {reason}", path.display())]
    Line {
        /// Purpose of the file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        number: usize,
        /// Reason.
        reason: String,
    },
    /// The program that prints lines has failed.
    #[error("the KnownHostsCommand {program} has failed: {reason}")]
    Command {
        /// The program.
        program: String,
        /// Reason.
        reason: String,
    },
    /// The file has a format that is not supported.
    #[error("the {what} file {} is {kind}, which is not supported", path.display())]
    Kind {
        /// Purpose of the file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Name of the format.
        kind: &'static str,
    },
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        let (file, line) = match error {
            ReadError::File { path, .. } | ReadError::Kind { path, .. } => (Some(path), None),
            ReadError::Line { path, number, .. } => (Some(path), Some(number)),
            ReadError::Command { .. } => (None, None),
        };
        Error::HostKeyFile { text, file, line }
    }
}

/// Names of a host in lines and certificates.
pub(crate) struct Names {
    /// Name with the port: `[host]:port`, or the bare name for port 22.
    pub(crate) full: String,
    /// Name without a port other than 22; `None` if `full` is the bare name.
    pub(crate) bare: Option<String>,
    /// Name without any port, as in certificates.
    pub(crate) name: String,
}

impl Names {
    /// Returns the names of a host.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        // Host names are case-insensitive, and hashes are of lower case.
        let name = host.to_ascii_lowercase();
        match port {
            22 => Names { full: name.clone(), bare: None, name },
            port => Names { full: format!("[{name}]:{port}"), bare: Some(name.clone()), name },
        }
    }

    /// Returns the names for an alias, which replaces both host and port.
    pub(crate) fn alias(alias: &str) -> Self {
        let name = alias.to_ascii_lowercase();
        Names { full: name.clone(), bare: None, name }
    }
}

/// Marker of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// `@revoked`: the key is not trusted for any host.
    Revoked,
    /// `@cert-authority`: the key signs host certificates.
    CertAuthority,
}

/// A line about the host.
#[derive(Debug)]
pub(crate) struct Line {
    /// Number of the line, from 1.
    pub(crate) number: usize,
    pub(crate) marker: Option<Marker>,
    pub(crate) key: ListedKey,
    /// Whether the line names the host with its port.
    pub(crate) full: bool,
    /// Whether the line has one or two host names and no pattern, as programs write it. Other lines
    /// are left for people to change.
    pub(crate) simple: bool,
}

impl Line {
    /// Returns whether the line can refuse a key. A line without the port can only accept one.
    fn can_refuse(&self) -> bool {
        self.full || self.marker.is_some()
    }

    /// Returns whether the line has the key with this blob.
    pub(crate) fn has(&self, blob: &[u8]) -> bool {
        !self.key.is_certificate() && self.key.blob() == blob
    }
}

/// Why a line cannot be read.
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

/// Purpose of the files, in errors.
const WHAT: &str = "known hosts";

/// Returns the lines of a file that are about the host, in order; none if there is no file.
pub(crate) fn lines(path: &Path, names: &Names) -> Result<Vec<Line>, ReadError> {
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
    lines_of(&text, path, names)
}

/// Returns the lines of a text that are about the host, in order. `path` is for errors.
pub(crate) fn lines_of(text: &[u8], path: &Path, names: &Names) -> Result<Vec<Line>, ReadError> {
    find(text, names).map_err(|(number, damage)| ReadError::Line {
        what: WHAT,
        path: path.to_owned(),
        number,
        reason: format!("{damage}. It may be about {}: repair it, or remove it", names.full),
    })
}

fn find(text: &[u8], names: &Names) -> Result<Vec<Line>, (usize, Damage)> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        // A carriage return at the end belongs to the line feed.
        let mut parts = line.split(|byte| *byte == b'\r');
        let own = parts.next().unwrap_or_default();
        found.extend(parse(number, own, names).map_err(|damage| (number, damage))?);
        if parts
            .any(|part| matches!(parse(number, part, names), Ok(Some(line)) if line.can_refuse()))
        {
            return Err((number, Damage::CarriageReturn));
        }
    }
    Ok(found)
}

/// Returns the line if it is about the host. Like OpenSSH, ends the line at a null byte.
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
        Ok(Some(line)) if line.can_refuse() => Err(Damage::Null),
        Ok(_) => Ok(None),
        Err(_) => Err(Damage::Null),
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// Reads a line without null bytes: `[marker] hosts type base64 [comment]`.
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
        // The hosts are unknown. A line with a marker may be about every host.
        None if marked => return Err(Damage::Hash),
        None => return Ok(None),
    };
    if !named {
        // The line has a marker and a key, and no hosts.
        return if marked && ListedKey::is_type(hosts) { Err(Damage::Hosts) } else { Ok(None) };
    }
    let unmarked = matches!(marker, Ok(None));
    let simple = is_simple(hosts);
    let line = marker.and_then(|marker| {
        let Some(key) = key(words.next(), words.next())? else { return Ok(None) };
        Ok(Some(Line { number, marker, key, full, simple }))
    });
    // A line that could not refuse a key is ignored if it is damaged.
    if unmarked && !full { Ok(line.unwrap_or_default()) } else { line }
}

/// Returns the key; `None` for a key of protocol version 1 (size, exponent and modulus), which
/// hosts do not have any more.
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

/// Hosts of a line.
enum Hosts<'a> {
    /// Names and patterns, separated by commas.
    Patterns(&'a [u8]),
    /// One hashed name.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl<'a> Hosts<'a> {
    /// Returns `None` if the hash is damaged or its format is unknown.
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
                        // A negated pattern overrides all others.
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

/// Returns whether a name matches a pattern, in which `*` stands for any characters and `?` for
/// one.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Positions to continue from when the last star takes one more character.
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
