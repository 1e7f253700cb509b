//! The PEM envelope of private keys.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::private::PrivateKeyError;

/// A PEM block.
pub(super) struct Block<'a> {
    /// The label, such as `OPENSSH PRIVATE KEY` or `EC PRIVATE KEY`.
    pub(super) label: &'a str,
    /// The lines `name: value` before the body (RFC 1421).
    headers: Vec<(&'a str, &'a str)>,
    /// The decoded body.
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl<'a> Block<'a> {
    /// Finds the private key in a text and decodes it.
    ///
    /// More lenient than RFC 7468, as real files are: lines may have any length (OpenSSH breaks them at
    /// 70 characters, OpenSSL and Go at 64) and be indented, and other text and blocks, such as
    /// OpenSSL's EC PARAMETERS, may come first.
    pub(super) fn find(text: &'a [u8]) -> Result<Self, PrivateKeyError> {
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let label = loop {
            let line = lines.next().ok_or_else(|| PrivateKeyError::NotAKey(describe(text)))?;
            if let Some(label) = label(line, b"-----BEGIN ").filter(|l| l.ends_with(PRIVATE_KEY)) {
                break label;
            }
        };
        let mut headers = Vec::new();
        // Never grows: that would leave a copy of key material in memory.
        let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
        loop {
            let line = lines.next().ok_or(PrivateKeyError::Damaged("its END line is missing"))?;
            if line.starts_with(b"-----") {
                if self::label(line, b"-----END ") == Some(label) {
                    break;
                }
                return Err(PrivateKeyError::Damaged("its END line does not match its BEGIN line"));
            }
            match str::from_utf8(line).ok().and_then(|line| line.split_once(':')) {
                Some((name, value)) => headers.push((name.trim(), value.trim())),
                None => base64.extend_from_slice(line),
            }
        }
        let mut body = Zeroizing::new(vec![0; base64.len()]);
        let length = Base64::decode(base64.as_slice(), &mut body)
            .map_err(|_| PrivateKeyError::Damaged("its body is not base64"))?
            .len();
        body.truncate(length);
        Ok(Block { label, headers, body })
    }

    /// Returns the value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1)
    }
}

/// End of the labels of all private keys.
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Returns the label of a BEGIN or END line.
fn label<'a>(line: &'a [u8], start: &[u8]) -> Option<&'a str> {
    str::from_utf8(line.strip_prefix(start)?.strip_suffix(b"-----")?).ok()
}

/// Describes a text without a private key, for the error.
fn describe(text: &[u8]) -> &'static str {
    let text = text.trim_ascii();
    let starts = |prefix: &str| text.starts_with(prefix.as_bytes());
    if text.is_empty() {
        "it is empty"
    } else if starts("PuTTY-User-Key-File-") {
        "it is a PuTTY key file; export it as an OpenSSH key with PuTTYgen"
    } else if ["ssh-", "ecdsa-sha2-", "sk-"].into_iter().any(starts)
        || starts("---- BEGIN SSH2 PUBLIC KEY")
        || starts("-----BEGIN PUBLIC KEY")
        || starts("-----BEGIN RSA PUBLIC KEY")
    {
        "it is a public key; its private half is needed"
    } else if starts("-----BEGIN CERTIFICATE") {
        "it is a certificate; a private key is needed"
    } else if text.len() < 300 && !text.contains(&b'\n') && text.contains(&b'/') {
        "it looks like the path of a file; the content of that file is needed"
    } else {
        "it has no line -----BEGIN ... PRIVATE KEY-----"
    }
}
