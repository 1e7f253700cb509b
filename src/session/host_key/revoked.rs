//! Files of revoked keys (`RevokedHostKeys` in ssh_config(5)), with one public key per line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ssh_proto::key::ListedKey;

use crate::session::host_key::known_hosts::ReadError;

const WHAT: &str = "revoked host keys";
/// Start of a key revocation list, the format of `ssh-keygen -k`.
const KRL: &[u8] = b"SSHKRL\n\0";

/// Finds the first line of the file that lists one of the keys. Returns the index of the key and
/// the line.
///
/// A file that does not exist or cannot be read is an error: keys that it revokes would be
/// accepted.
pub(crate) fn find(path: &Path, blobs: &[&[u8]]) -> Result<Option<(usize, usize)>, ReadError> {
    let owned = || PathBuf::from(path);
    let text = fs::read(path).map_err(|source| ReadError::File {
        what: WHAT,
        path: owned(),
        source: Arc::new(source),
    })?;
    if text.starts_with(KRL) {
        let kind = "a key revocation list (KRL)";
        return Err(ReadError::Kind { what: WHAT, path: owned(), kind });
    }
    let mut found = None;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let listed = read_line(line).map_err(|reason| ReadError::Line {
            what: WHAT,
            path: owned(),
            number,
            reason,
        })?;
        if let Some(which) = blobs.iter().position(|blob| *blob == listed.blob()) {
            found.get_or_insert((which, number));
        }
    }
    Ok(found)
}

/// Reads a line. The last one must be complete too: the file may be truncated.
fn read_line(line: &[u8]) -> Result<ListedKey, String> {
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let (Some(key_type), Some(base64)) = (words.next(), words.next()) else {
        return Err("expected a public key".to_owned());
    };
    match ListedKey::parse(key_type, base64) {
        Ok(key) if key.is_known() => Ok(key),
        _ if !ListedKey::is_type(key_type) => {
            Err("expected a public key of a known type".to_owned())
        }
        Ok(_) => Err("its key is damaged".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test that cannot go on has failed.
mod tests {
    use super::*;
    use crate::session::fixtures::{ED25519, File, OTHER, P256, RSA, key};

    #[test]
    fn keys_are_found_among_comments_and_blanks() {
        let text = format!("# a comment\n\n \t{OTHER} \u{e9}\r\n{P256}\n\t\n{ED25519}");
        let file = File::new(&text);
        let blob = |line| key(line).key().blob().to_vec();
        let find = |blobs: &[&[u8]]| find(file.path(), blobs).unwrap();
        assert_eq!(find(&[&blob(OTHER)]), Some((0, 3)));
        assert_eq!(find(&[&blob(RSA), &blob(P256)]), Some((1, 4)));
        assert_eq!(find(&[&blob(ED25519)]), Some((0, 6)));
        assert_eq!(find(&[&blob(RSA)]), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let good = key(ED25519);
        let error = |text: &[u8]| {
            let file = File::bytes(text);
            find(file.path(), &[good.key().blob()]).unwrap_err().to_string()
        };
        assert!(error(b"SSHKRL\n\0\0\0\0\x01").contains("(KRL), which is not supported"));
        for line in [
            "ssh-ed25519",
            "something",
            &format!("@revoked * {OTHER}"),
            &format!("* {OTHER}"),
            &OTHER[..70],
            "ssh-mldsa44 AAAAC3NzaC1tbGRzYTQ0",
            &format!("\u{feff}{OTHER}"),
        ] {
            // Even if an earlier line has the key.
            let reason = error(format!("{ED25519}\n{line}\n").as_bytes());
            assert!(reason.contains("line 2: "), "{line}: {reason}");
        }
        let missing = File::new("").path().with_extension("missing");
        let reason = find(&missing, &[]).unwrap_err().to_string();
        assert!(reason.contains("cannot read the revoked host keys file"), "{reason}");
        let folder = std::env::temp_dir();
        assert!(find(&folder, &[]).is_err());
    }
}
