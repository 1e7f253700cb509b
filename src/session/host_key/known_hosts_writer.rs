//! Adds host keys to a file of known hosts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding};
use ssh_proto::key::{HostKey, PublicKey};

use crate::random::random;
use crate::session::host_key::known_hosts::{self, HASH_LENGTH, HASHED, Line, Names, UTF_16};
use crate::session::host_key::verify::Knowledge;
use crate::session::{Error, Trust};

/// Characters that would make a name a pattern, a list, a hash, a marker or several fields.
const RESERVED: &[char] = &['*', '?', '!', ',', '|', '@', '#', '"', '\'', '\\'];

/// Why a host key cannot be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// There is no file.
    #[error("there is no file of known hosts to write to")]
    NoFile,
    /// The host name would be read back differently.
    #[error("a host of the name {0:?} cannot be written to a file of known hosts")]
    Name(String),
    /// The file cannot be written.
    #[error("cannot write the known hosts file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: Arc<io::Error>,
    },
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        let text = error.to_string();
        let file = match error {
            WriteError::Write { path, .. } => Some(path),
            WriteError::NoFile | WriteError::Name(_) => None,
        };
        Error::HostKeyFile { text, file, line: None }
    }
}

impl Trust {
    /// Adds the key of a host to the first file. Blocks the thread.
    pub fn write(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), WriteError> {
        let path = self.known_hosts.first().ok_or(WriteError::NoFile)?;
        append(path, &self.names(host, port).full, &[key], self.hashes)
    }

    /// Adds the key of a host to the first file, because the user trusts it. Does nothing if it is trusted
    /// already. Fails as [`Trust::verify`] refuses if it is revoked, or if a file has another key of the
    /// host. Blocks the thread.
    pub fn add(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), Error> {
        match self.examine(host, port, &HostKey::Plain(key.clone()), false)? {
            Knowledge::Trusted => Ok(()),
            Knowledge::Refused(refusal) | Knowledge::Contradicted(refusal) => {
                Err(Error::HostKey(refusal))
            }
            Knowledge::Unknown(_) => Ok(self.write(host, port, key)?),
        }
    }
}

/// Appends a line for each key, in one write, so that lines of other programs do not mix with them.
/// Creates the file and its folder if necessary.
pub(crate) fn append(
    path: &Path,
    name: &str,
    keys: &[&PublicKey],
    hashes: bool,
) -> Result<(), WriteError> {
    let plain = name.strip_prefix('[').and_then(|name| name.rsplit_once("]:"));
    let bare = plain.map_or(name, |(bare, _)| bare);
    let bad = |c: char| c.is_whitespace() || c.is_control() || RESERVED.contains(&c);
    if bare.is_empty() || bare.contains(['[', ']']) || bare.contains(bad) {
        return Err(WriteError::Name(name.to_owned()));
    }
    append_lines(path, name, keys, hashes)
        .map_err(|error| WriteError::Write { path: path.to_owned(), source: Arc::new(error) })
}

fn append_lines(path: &Path, name: &str, keys: &[&PublicKey], hashes: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut file = open(path)?;
    let mut text = String::new();
    if !ends_its_last_line(&mut file)? {
        text.push('\n');
    }
    for key in keys {
        let name = if hashes { hashed(name) } else { name.to_owned() };
        text.push_str(&format!("{name} {}\n", key.line()));
    }
    // A second write for the rest could follow a line of another program.
    if file.write(text.as_bytes())? < text.len() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Removes the lines about a host that `is_old` finds. The file is replaced as a whole, so that no reader finds a
/// part of it; its mode stays.
pub(crate) fn remove(
    path: &Path,
    names: &Names,
    is_old: impl Fn(&Line) -> bool,
) -> Result<(), Error> {
    let failed = |error| WriteError::Write { path: path.to_owned(), source: Arc::new(error) };
    // The file may be a link.
    let file = fs::canonicalize(path).map_err(failed)?;
    let text = fs::read(&file).map_err(failed)?;
    let lines = known_hosts::lines_of(&text, path, names)?;
    let old: Vec<_> = lines.iter().filter(|line| is_old(line)).map(|line| line.number).collect();
    replace(&file, &text, &old).map_err(failed)?;
    Ok(())
}

/// Replaces a file with its text without the lines with these numbers.
fn replace(path: &Path, text: &[u8], numbers: &[usize]) -> io::Result<()> {
    let lines = (1..).zip(text.split_inclusive(|byte| *byte == b'\n'));
    let left: Vec<_> = lines.filter(|(number, _)| !numbers.contains(number)).collect();
    let mut salt = [0; 8];
    random(&mut salt);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", u64::from_ne_bytes(salt)));
    let new = PathBuf::from(name);
    let written = write_new(&new, path, &left).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, old: &Path, lines: &[(usize, &[u8])]) -> io::Result<()> {
    let mut file = File::create_new(new)?;
    file.set_permissions(fs::metadata(old)?.permissions())?;
    for (_, line) in lines {
        file.write_all(line)?;
    }
    file.sync_all()
}

/// Returns the hash of a name, with a salt of its own, as `ssh-keygen -H` writes it.
fn hashed(name: &str) -> String {
    let mut salt = [0; HASH_LENGTH];
    random(&mut salt);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    let hash = hmac::sign(&key, name.as_bytes());
    let encode = |bytes: &[u8]| Base64::encode_string(bytes);
    let start = String::from_utf8_lossy(HASHED);
    format!("{start}{}|{}", encode(&salt), encode(hash.as_ref()))
}

/// Creates the last folder of a path, as ssh creates `~/.ssh`, with access for the user only.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    #[cfg_attr(not(unix), allow(unused_mut, reason = "modes are for Unix"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // Another program has created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Returns whether the file is empty or ends with a line feed. A file in UTF-16 is an error, since
/// a line in ASCII cannot be added to it.
fn ends_its_last_line(file: &mut File) -> io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    let mut mark = [0; 2];
    if length >= 2 {
        file.rewind()?;
        file.read_exact(&mut mark)?;
    }
    if last == *b"\0" || UTF_16.contains(&&mark[..]) {
        return Err(io::Error::other("it is in UTF-16, and has to be in ASCII or UTF-8"));
    }
    Ok(last == *b"\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use std::{env, process, thread};

    use super::*;
    use crate::session::fixtures::{ED25519, File, HOST, OTHER, key, trust};
    use crate::session::{FileLine, HostKeyDecision, HostKeyReason, Strictness};

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_written_key_is_known() {
        for (host, port, name) in [
            ("Gateway.example.org", 22, HOST.to_owned()),
            (HOST, 2222, format!("[{HOST}]:2222")),
            ("::1", 22, "::1".to_owned()),
            ("fe80::1%eth0", 2222, "[fe80::1%eth0]:2222".to_owned()),
        ] {
            let file = File::new("");
            let trust = trust(&[], &[&file, &File::new("")], false);
            trust.write(host, port, key(ED25519).key()).unwrap();
            assert_eq!(text(file.path()), format!("{name} {ED25519}\n"));
            assert_eq!(trust.verify(host, port, &key(ED25519)).unwrap(), HostKeyDecision::Trusted);
        }
    }

    #[test]
    fn a_key_is_added_unless_a_file_contradicts_it() {
        let file = File::new(&format!("elsewhere {OTHER}\n"));
        let trust = Trust { strictness: Strictness::Off, ..trust(&[], &[&file], true) };
        let add = |host: &str, line| trust.add(host, 2222, key(line).key());
        for _ in 0..2 {
            add(HOST, ED25519).unwrap();
        }
        let written = format!("elsewhere {OTHER}\n[{HOST}]:2222 {ED25519}\n");
        assert_eq!(text(file.path()), written);
        let Error::HostKey(refusal) = add(HOST, OTHER).unwrap_err() else { panic!("it was added") };
        let line = FileLine { path: file.path().to_owned(), number: 2 };
        assert_eq!((refusal.reason, refusal.line), (HostKeyReason::Changed, Some(line)));
        let offered = refusal.offered.unwrap();
        assert_eq!((&*offered.host, offered.port, &*offered.line), (HOST, 2222, OTHER));
        assert_eq!(offered.name, format!("[{HOST}]:2222"));
        let list = File::new(ED25519);
        let revoking =
            Trust { revoked: vec![list.path().to_owned()], ..self::trust(&[], &[&file], false) };
        let Error::HostKey(refusal) = revoking.add("new", 22, key(ED25519).key()).unwrap_err()
        else {
            panic!("it was added")
        };
        assert_eq!(refusal.reason, HostKeyReason::Revoked);
        assert_eq!(text(file.path()), written);
        let nowhere = self::trust(&[], &[], false).add(HOST, 22, key(ED25519).key());
        assert!(matches!(nowhere, Err(Error::HostKeyFile { .. })));
    }

    #[test]
    fn a_hashed_name_is_known_and_each_line_has_its_own_salt() {
        let file = File::new("");
        let trust = Trust { hashes: true, ..trust(&[], &[&file], false) };
        trust.write("Gateway.example.org", 2222, key(ED25519).key()).unwrap();
        trust.write(HOST, 2222, key(OTHER).key()).unwrap();
        let text = text(file.path());
        assert!(text.lines().all(|line| line.starts_with("|1|")) && !text.contains(HOST), "{text}");
        let mut names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        names.dedup();
        assert_eq!(names.len(), 2);
        for line in [ED25519, OTHER] {
            assert_eq!(trust.verify(HOST, 2222, &key(line)).unwrap(), HostKeyDecision::Trusted);
        }
    }

    #[test]
    fn a_last_line_without_a_line_feed_gets_one() {
        let file = File::new("# without an end");
        append(file.path(), HOST, &[key(ED25519).key(), key(OTHER).key()], false).unwrap();
        let lines = format!("# without an end\n{HOST} {ED25519}\n{HOST} {OTHER}\n");
        assert_eq!(text(file.path()), lines);
    }

    #[test]
    fn the_contents_of_a_file_stay_as_they_are() {
        for before in [&b"# caf\xe9\xff\r\n"[..], b"\xef\xbb\xbf# \0 x\n", b"\0\n", b"x \r\n\n"] {
            let file = File::bytes(before);
            append(file.path(), HOST, &[key(ED25519).key()], false).unwrap();
            let after = [before, format!("{HOST} {ED25519}\n").as_bytes()].concat();
            assert_eq!(fs::read(file.path()).unwrap(), after);
        }
        // A line cannot be added to these.
        for before in [&b"\xff\xfea\0\n\0"[..], b"\xfe\xff\0a\0\n", b"a b c\na\0\n\0", b"\xff\xfe"]
        {
            let file = File::bytes(before);
            let error = append(file.path(), HOST, &[key(ED25519).key()], false).unwrap_err();
            assert!(error.to_string().contains("UTF-16"), "{error}");
            assert_eq!(fs::read(file.path()).unwrap(), before);
        }
    }

    #[test]
    fn a_name_with_a_meaning_in_the_format_is_not_written() {
        let file = File::new("");
        let bad =
            ["*", "h?st", "!host", "a,b", "|1|a|b", "@revoked", "#host", "a b", "a\tb", "a\n"];
        for name in bad.into_iter().chain(["", "[host]", "a[", "\u{1b}[2J"]) {
            let error = append(file.path(), name, &[key(ED25519).key()], false).unwrap_err();
            assert!(matches!(error, WriteError::Name(_)), "{name}: {error}");
            let error = trust(&[], &[&file], false).write(name, 2222, key(ED25519).key());
            assert!(matches!(error, Err(WriteError::Name(_))), "{name}");
        }
        assert_eq!(text(file.path()), "");
    }

    #[test]
    fn a_missing_file_and_folder_are_created() {
        let folder = env::temp_dir().join(format!("record-{}", process::id()));
        let path = folder.join("known_hosts");
        let far = folder.join("below").join("deeper").join("known_hosts");
        let error = append(&far, HOST, &[key(ED25519).key()], false).unwrap_err();
        assert!(error.to_string().contains(&*far.to_string_lossy()), "{error}");
        append(&path, HOST, &[key(ED25519).key()], false).unwrap();
        assert_eq!(text(&path), format!("{HOST} {ED25519}\n"));
        #[cfg(unix)]
        for (path, mode) in [(&folder, 0o700), (&path, 0o600)] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    #[cfg_attr(windows, ignore = "wine's appends are not atomic")]
    fn concurrent_writes_do_not_mix() {
        let file = File::new("# without an end");
        thread::scope(|scope| {
            for number in 0..8 {
                let path = file.path();
                scope.spawn(move || {
                    for _ in 0..50 {
                        append(path, &format!("host{number}"), &[key(ED25519).key()], false)
                            .unwrap();
                    }
                });
            }
        });
        let text = text(file.path());
        let lines: Vec<_> = text.lines().skip(1).filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 400);
        for number in 0..8 {
            let line = format!("host{number} {ED25519}");
            assert_eq!(lines.iter().filter(|other| **other == line).count(), 50);
        }
    }
}
