//! Encodings that editors, environment variables and secret stores put around the text of a key.
//!
//! Removed is only what no key contains: the result is the same key or none.

use base64ct::{Base64Unpadded, Encoding};
use zeroize::Zeroizing;

use super::{openssh, pem, ppk};

/// Returns the text of a key without a byte order mark, UTF-16, quotes, written-out line feeds, and
/// base64 of the whole text. A text without them is returned as it is, and so is DER, in which any byte
/// may have any value.
pub(super) fn plain(text: &[u8]) -> Zeroizing<Vec<u8>> {
    if pem::is_der(text) {
        return Zeroizing::new(text.to_vec());
    }
    let text = outer(text);
    match decoded(&text) {
        Some(inner) => outer(&inner),
        None => text,
    }
}

/// Removes everything but base64.
fn outer(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = utf8(text);
    unescaped(unquoted(&text))
}

/// Returns whether the text has the beginning of a key.
fn has_key(text: &[u8]) -> bool {
    pem::position(text, pem::BEGIN).is_some() || text.starts_with(ppk::START)
}

/// Removes a byte order mark, and decodes UTF-16, also without one: no key begins with a character
/// outside ASCII.
pub(crate) fn utf8(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // U+FEFF; and U+FFFD twice, which the mark of UTF-16 becomes when it is decoded as UTF-8.
    let marks: [&[u8]; 2] = [b"\xef\xbb\xbf", b"\xef\xbf\xbd\xef\xbf\xbd"];
    let text = marks.into_iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text);
    let unit: fn([u8; 2]) -> u16 = match text {
        [0xff, 0xfe, ..] | [1..=0xff, 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, 1..=0xff, ..] => u16::from_be_bytes,
        _ => return Zeroizing::new(text.to_vec()),
    };
    let units = text.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
    // Never grows: that would leave a copy of key material in memory. Here as below.
    let mut plain = Zeroizing::new(Vec::with_capacity(2 * text.len()));
    for character in char::decode_utf16(units.skip_while(|unit| *unit == 0xfeff)) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    plain
}

/// Removes blanks and quotes around the text.
fn unquoted(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii();
    while let [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] | [b'`', inner @ .., b'`'] =
        text
    {
        text = inner.trim_ascii();
    }
    text
}

/// Replaces `\n` and `\r`, also with several backslashes; removes backslashes before `/` (as JSON may
/// have it) and line ends (as in a shell script). The body of a key has no backslashes; the comment in a
/// PuTTY key file may have some.
fn unescaped(text: &[u8]) -> Zeroizing<Vec<u8>> {
    if text.starts_with(ppk::START) && text.contains(&b'\n') {
        return Zeroizing::new(text.to_vec());
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let [first, after @ ..] = rest {
        if *first != b'\\' {
            plain.push(*first);
            rest = after;
            continue;
        }
        let run = rest.iter().take_while(|byte| **byte == b'\\').count();
        let (backslashes, after) = rest.split_at(run);
        rest = after;
        match after {
            [b'n', ..] => plain.push(b'\n'),
            [b'r', ..] => plain.push(b'\r'),
            [b'/' | b'\n' | b'\r', ..] => continue,
            _ => {
                plain.extend_from_slice(backslashes);
                continue;
            }
        }
        rest = &after[1..];
    }
    plain
}

/// Decodes base64 of a whole key file, or of its body without the lines around it, which only OpenSSH's
/// format identifies.
fn decoded(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if has_key(text) {
        return None;
    }
    let mut base64 = Zeroizing::new(Vec::with_capacity(text.len()));
    base64.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let body = decode_base64(&base64)?;
    if body.starts_with(openssh::MAGIC) {
        let mut pem = Zeroizing::new(Vec::with_capacity(base64.len() + 80));
        for part in [pem::BEGIN, b"OPENSSH PRIVATE KEY-----\n"] {
            pem.extend_from_slice(part);
        }
        pem.extend_from_slice(&base64);
        pem.extend_from_slice(b"\n-----END OPENSSH PRIVATE KEY-----");
        return Some(pem);
    }
    has_key(unquoted(&utf8(&body))).then_some(body)
}

/// Decodes base64, with its padding or without.
pub(super) fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let text = &text[..text.len() - padding];
    let mut bytes = Zeroizing::new(vec![0; text.len()]);
    let length = Base64Unpadded::decode(text, &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
