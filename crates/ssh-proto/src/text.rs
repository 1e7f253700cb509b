//! Text from servers, agents and certificates, made printable.
//!
//! All such text goes through one of these functions before it leaves this crate, so that it cannot
//! control a terminal or forge a line of a log.

/// Maximum bytes of a line: enough for a sentence, too little to flood a log.
const MAX_LINE: usize = 256;
/// Maximum bytes of a line of the log, which may list algorithms.
const MAX_LOG_LINE: usize = 1024;
/// Maximum bytes of a name; names of algorithms have at most 64 (RFC 4251 section 6).
const MAX_NAME: usize = 64;

/// Returns the text as one bounded line: line ends and tabs become blanks, and characters that could
/// control a terminal, or hide or reorder text, become question marks.
pub fn one_line(text: &[u8]) -> String {
    bounded(text, MAX_LINE)
}

/// Returns a name, such as an algorithm's, like [`one_line`] but shorter.
pub(crate) fn name(text: &[u8]) -> String {
    bounded(text, MAX_NAME)
}

/// Returns a line of the log like [`one_line`] but longer.
pub(crate) fn log_line(text: &str) -> String {
    bounded(text.as_bytes(), MAX_LOG_LINE)
}

/// Returns the text with its lines and tabs, unbounded; otherwise like [`one_line`]. Every kind of line
/// end becomes a line feed.
pub(crate) fn lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\r' => '\n',
            c if is_harmful(c) => '?',
            c => c,
        })
        .collect()
}

/// Returns the last `max` bytes of a text, without cutting a character.
pub fn tail(text: &str, max: usize) -> &str {
    let start = text.len().saturating_sub(max);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[start..]
}

fn bounded(text: &[u8], max: usize) -> String {
    // A character that crosses the bound is omitted; it has at most three bytes after the first.
    let cut = |end: &usize| text.get(*end).is_none_or(|byte| byte & 0xc0 != 0x80);
    let max = text.len().min(max);
    let end = (max.saturating_sub(3)..=max).rev().find(cut).unwrap_or(max);
    String::from_utf8_lossy(&text[..end])
        .chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if is_harmful(c) => '?',
            c => c,
        })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Returns whether a character controls the display: characters of C0 and C1 begin escape sequences,
/// others change the direction of text, break lines or are invisible. These are the categories Cc, Cf,
/// Zl and Zp of Unicode, without the two joiners that scripts and emoji need.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0xad | 0x600..=0x605
                | 0x61c
                | 0x6dd
                | 0x70f
                | 0x890..=0x891
                | 0x8e2
                | 0x180e
                | 0x200b
                | 0x200e..=0x200f
                | 0x2028..=0x202e
                | 0x2060..=0x2064
                | 0x2066..=0x206f
                | 0xfeff
                | 0xfff9..=0xfffb
                | 0x110bd
                | 0x110cd
                | 0x13430..=0x1343f
                | 0x1bca0..=0x1bca3
                | 0x1d173..=0x1d17a
                | 0xe0001
                | 0xe0020..=0xe007f
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced() {
        let hostile =
            "\x1b[31mred\x1b]0;title\x07 \u{9b}2J\u{202e}txt.exe\u{2066}\u{200b}\u{feff}\u{7f}\0";
        assert_eq!(one_line(hostile.as_bytes()), "?[31mred?]0;title? ?2J?txt.exe?????");
        assert_eq!(lines(hostile.as_bytes()), one_line(hostile.as_bytes()));
        // A C1 character as one byte is not UTF-8.
        assert_eq!(one_line(b"\x9b2J\xff"), "\u{fffd}2J\u{fffd}");
        for c in '\0'..='\u{e01ef}' {
            let shown = lines(c.to_string().as_bytes());
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{c:?}");
        }
    }

    #[test]
    fn printable_text_is_unchanged() {
        for text in ["Grüße, 日本語 🙂", "می\u{200c}خواهم", "👩\u{200d}🚀", "e\u{301}"]
        {
            assert_eq!(
                (one_line(text.as_bytes()), lines(text.as_bytes())),
                (text.into(), text.into())
            );
        }
    }

    #[test]
    fn line_ends_become_line_feeds_or_blanks() {
        let text = b"first\r\nsecond\tword\rthird\n\n";
        assert_eq!(lines(text), "first\nsecond\tword\nthird\n\n");
        assert_eq!(one_line(text), "first  second word third");
    }

    #[test]
    fn a_line_is_bounded_and_no_character_is_cut() {
        assert_eq!(one_line(&[b'x'; 1000]).len(), 256);
        assert_eq!(name(&[b'x'; 1000]).len(), 64);
        let long = format!("{}é", "x".repeat(255));
        assert_eq!(one_line(long.as_bytes()), "x".repeat(255));
        assert_eq!((tail("aéé", 3), tail("aé", 3), tail("", 3)), ("é", "aé", ""));
        assert!(one_line(&[0x80; 1000]).chars().all(|c| c == '\u{fffd}'));
        assert_eq!(one_line(format!("{}é", "x".repeat(254)).as_bytes()).len(), 256);
    }
}
