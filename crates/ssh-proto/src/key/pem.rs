//! The PEM envelope of private keys.

use pkcs8::der::asn1::AnyRef;
use pkcs8::der::{Decode, Reader, SliceReader, Tag, Tagged};
use zeroize::Zeroizing;

use super::encoding::decode_base64;
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
    /// OpenSSL's EC PARAMETERS, may come first. All lines may be one, with spaces between them or
    /// nothing, as in environment variables.
    pub(super) fn find(text: &'a [u8]) -> Result<Self, PrivateKeyError> {
        let (label, rest) = begin(text).ok_or_else(|| PrivateKeyError::NotAKey(describe(text)))?;
        let end =
            position(rest, DASHES).ok_or(PrivateKeyError::Damaged("its END line is missing"))?;
        let (content, end) = rest.split_at(end);
        let end = end.strip_prefix(END).and_then(|end| end.strip_prefix(label.as_bytes()));
        if !end.is_some_and(|end| end.starts_with(DASHES)) {
            return Err(PrivateKeyError::Damaged("its END line does not match its BEGIN line"));
        }
        let (headers, base64) = split(content.trim_ascii());
        let body =
            decode_base64(&base64).ok_or(PrivateKeyError::Damaged("its body is not base64"))?;
        Ok(Block { label, headers, body })
    }

    /// Returns the value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1)
    }
}

/// Start of a block; its label follows, and [`DASHES`].
pub(super) const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// End of the labels of all private keys.
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// Returns where `part` begins.
pub(super) fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Returns the label of the first private key, and what follows its BEGIN line.
fn begin(text: &[u8]) -> Option<(&str, &[u8])> {
    let mut rest = text;
    loop {
        rest = &rest[position(rest, BEGIN)? + BEGIN.len()..];
        let end = position(rest, DASHES)?;
        let label = str::from_utf8(&rest[..end]).unwrap_or_default();
        if label.ends_with(PRIVATE_KEY) && !label.contains(['\n', '\r']) {
            return Some((label, &rest[end + DASHES.len()..]));
        }
    }
}

/// Separates the headers of a block from its base64. In a single line, words take the place of lines.
fn split(content: &[u8]) -> (Vec<(&str, &str)>, Zeroizing<Vec<u8>>) {
    let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let in_words = !content.iter().any(is_line_end);
    let mut parts = content
        .split(|byte| if in_words { byte.is_ascii_whitespace() } else { is_line_end(byte) })
        .map(<[u8]>::trim_ascii);
    let mut headers = Vec::new();
    // Never grows: that would leave a copy of key material in memory.
    let mut base64 = Zeroizing::new(Vec::with_capacity(content.len()));
    while let Some(part) = parts.next() {
        match str::from_utf8(part).ok().and_then(|part| part.split_once(':')) {
            Some((name, "")) if in_words => {
                let value = parts.next().and_then(|value| str::from_utf8(value).ok());
                headers.push((name, value.unwrap_or_default()));
            }
            Some((name, value)) => headers.push((name.trim(), value.trim())),
            None => base64.extend(part.iter().filter(|byte| !byte.is_ascii_whitespace())),
        }
    }
    (headers, base64)
}

/// Describes a text without a private key, for the error.
fn describe(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii(); // DER may end in any byte
    let starts = |prefix: &str| text.starts_with(prefix.as_bytes());
    let has = |part: &str| position(text, part.as_bytes()).is_some();
    if text.is_empty() {
        "it is empty"
    } else if ["ssh-", "ecdsa-sha2-", "sk-"].into_iter().any(starts)
        || starts("---- BEGIN SSH2 PUBLIC KEY")
        || starts("-----BEGIN PUBLIC KEY")
        || starts("-----BEGIN RSA PUBLIC KEY")
    {
        "it is a public key; its private half is needed"
    } else if starts("-----BEGIN CERTIFICATE") {
        "it is a certificate; a private key is needed"
    } else if has("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY") {
        "it is a key of ssh.com, whose format is not supported; PuTTYgen converts it"
    } else if has("-----BEGIN PGP ") {
        "it is a PGP key"
    } else if starts("SSH PRIVATE KEY FILE FORMAT") {
        "it is a key for version 1 of the SSH protocol"
    } else if starts("$ANSIBLE_VAULT") || has("-----BEGIN AGE ENCRYPTED") {
        "it is encrypted as a file; it has to be decrypted first"
    } else if has("BEGIN%20") || has("BEGIN+OPENSSH+") || has("BEGIN+RSA+") {
        "it is URL-encoded; it has to be decoded first"
    } else if has("BEGIN ") && has("PRIVATE KEY") {
        "the five hyphens around BEGIN ... PRIVATE KEY are missing or other characters"
    } else if is_der(bytes) {
        "it is in DER, a binary format; PEM is needed"
    } else if text.len() > 64 && is_base64_of_der(text) {
        "its lines -----BEGIN ... and -----END ... are missing"
    } else if text.len() < 300 && !text.contains(&b'\n') && text.contains(&b'/') {
        "it looks like the path of a file; the content of that file is needed"
    } else {
        "it has no line -----BEGIN ... PRIVATE KEY-----"
    }
}

/// Returns whether it is one structure of DER, with nothing but white space after it.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    let Ok(mut reader) = SliceReader::new(bytes) else { return false };
    let is_sequence = AnyRef::decode(&mut reader).is_ok_and(|any| any.tag() == Tag::Sequence);
    let end = bytes.len() - usize::try_from(reader.remaining_len()).unwrap_or_default();
    is_sequence && bytes[end..].trim_ascii().is_empty()
}

fn is_base64_of_der(text: &[u8]) -> bool {
    let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
    base64.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    decode_base64(&base64).is_some_and(|body| is_der(&body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_described() {
        for (text, words) in [
            ("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", "ssh.com"),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "PGP"),
            ("SSH PRIVATE KEY FILE FORMAT 1.1\n", "version 1"),
            ("$ANSIBLE_VAULT;1.1;AES256\n6161", "decrypted first"),
            ("-----BEGIN%20OPENSSH%20PRIVATE%20KEY-----%0A", "URL-encoded"),
            ("—–BEGIN RSA PRIVATE KEY—–", "hyphens"),
            ("---BEGIN RSA PRIVATE KEY---", "hyphens"),
            ("0\u{82}", "no line"),
        ] {
            let described = describe(text.as_bytes());
            assert!(described.contains(words), "{text}: {described}");
        }
        let file = include_bytes!("fixtures/p256.pkcs8");
        let block = Block::find(file).expect("it is a key");
        assert!(describe(&block.body).contains("DER"));
    }
}
