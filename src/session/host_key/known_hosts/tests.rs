//! Lines, valid and damaged.

use super::*;
use crate::session::fixtures::{ED25519, HOST, OTHER, P256};

#[test]
fn patterns() {
    for (pattern, name, fits) in [
        ("host", "host", true),
        ("host", "hosts", false),
        ("hosts", "host", false),
        ("", "", true),
        ("*", "", true),
        ("*", "anything", true),
        ("*.example.org", "a.b.example.org", true),
        ("*.example.org", "example.org", false),
        ("10.0.0.?", "10.0.0.7", true),
        ("10.0.0.?", "10.0.0.77", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("[*.example.org]:22??", "[a.example.org]:2222", true),
        ("***", "x", true),
    ] {
        assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
    }
    // Matching takes linear time with many stars.
    assert!(!matches("*a".repeat(40).as_bytes(), "a".repeat(39).as_bytes()));
}

/// Number, marker and key type of a line.
type Seen = (usize, Option<Marker>, String);
/// Matches one kind of damage.
type Is<'a> = &'a dyn Fn(&Damage) -> bool;

/// Returns the lines about the host, or the damage and its line.
fn read(text: &[u8]) -> Result<Vec<Seen>, (usize, Damage)> {
    let lines = find(text, &Names::new(HOST, 22))?;
    Ok(lines
        .into_iter()
        .map(|line| (line.number, line.marker, line.key.key_type().to_owned()))
        .collect())
}

fn ed25519(number: usize, marker: Option<Marker>) -> Seen {
    (number, marker, "ssh-ed25519".to_owned())
}

/// Encodes as Latin-1, one byte per character.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character as u32).unwrap()).collect()
}

fn utf_16(text: &str, big: bool) -> Vec<u8> {
    let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn blanks_and_comments_around_a_key_are_ignored() {
    for line in [
        format!("{HOST} {ED25519}"),
        format!(" \t {HOST} \t {ED25519}\t"),
        format!("{HOST} {ED25519} caf\u{e9} \u{ff}\u{fe}\u{80}"),
        format!("{HOST} {ED25519} # comment"),
        format!("{HOST} {ED25519}\r"),
        format!("{HOST} {ED25519} comment\r"),
        format!("{HOST} {ED25519} my\rcomment"),
        format!("{HOST} {ED25519} \0\0 {OTHER}"),
        format!("{HOST} {ED25519}\0"),
        format!("{HOST} {ED25519} {}", "x".repeat(1 << 20)),
        format!("\u{e9}.example.org,{HOST},\u{fe} {ED25519}"),
        format!("{},{HOST} {ED25519}", "a,".repeat(1 << 16)),
        format!("{HOST},,a {ED25519}"),
        format!("{HOST} {}", ED25519.replace("IBkq", "IB\u{b}\u{c}kq")),
    ] {
        for end in ["", "\n", "\r\n", "\n\n"] {
            let text = latin(&format!("{line}{end}"));
            assert_eq!(read(&text), Ok(vec![ed25519(1, None)]), "{line:?}");
        }
        let marked = latin(&format!("\n@revoked {}\n@cert-authority\t{line}", line.trim_start()));
        let expected =
            vec![ed25519(2, Some(Marker::Revoked)), ed25519(3, Some(Marker::CertAuthority))];
        assert_eq!(read(&marked), Ok(expected), "{line:?}");
    }
    let marked = [BYTE_ORDER_MARK, format!("{HOST} {ED25519}\r\n").as_bytes()].concat();
    assert_eq!(read(&marked), Ok(vec![ed25519(1, None)]));
}

#[test]
fn an_unreadable_line_about_the_host_is_an_error() {
    let key = |base64: &str| format!("{HOST} ssh-ed25519 {base64}");
    let base64 = &ED25519["ssh-ed25519 ".len()..];
    let is_key = |damage: &Damage| matches!(damage, Damage::Key(_));
    let is_short = |damage: &Damage| *damage == Damage::Short;
    let cases: [(String, Is<'_>); 22] = [
        (HOST.to_owned(), &is_short),
        (format!("{HOST} ssh-ed25519"), &is_short),
        (format!("{HOST} # {ED25519}"), &is_short),
        (format!("{HOST} ssh-ed25519\0 {base64}"), &|damage| *damage == Damage::Null),
        (key(&base64[..40]), &is_key),
        (key(&base64[..67]), &is_key),
        (key(&format!("{base64}=")), &is_key),
        (key(&format!("{base64}AAAA")), &is_key),
        (key(&base64.replace("IBkq", "IB\u{e9}q")), &is_key),
        (key(&base64.replace("IBkq", "IB#q")), &is_key),
        (key("AAAA"), &is_key),
        (key("AAAAC3NzaC1lZDI1NTE5AAAAAA=="), &is_key),
        (format!("{HOST} ssh-rsa {base64}"), &is_key),
        (format!("{HOST} ssh-\u{e9} {base64}"), &is_key),
        (format!("{HOST} {}", P256.replace("BLma", "Arma")), &is_key),
        (format!("{HOST} {}", P256.replace("+d4=", "+d8=")), &is_key),
        (format!("@unknown {HOST} {ED25519}"), &|damage| matches!(damage, Damage::Marker(_))),
        (format!("@REVOKED {HOST} {ED25519}"), &|damage| matches!(damage, Damage::Marker(_))),
        (format!("@revoked @revoked * {ED25519}"), &|damage| matches!(damage, Damage::Marker(_))),
        (format!("@revoked @cert-authority * {ED25519}"), &|damage| {
            matches!(damage, Damage::Marker(_))
        }),
        (format!("@revoked * {}", &ED25519[..60]), &is_key),
        (format!("x\rgateway.example.org {ED25519}\ry"), &|damage| {
            *damage == Damage::CarriageReturn
        }),
    ];
    for (line, expected) in cases {
        for (text, number) in
            [(line.clone(), 1), (format!("# a\r\n{HOST} {ED25519}\n{line}\n{HOST} {OTHER}"), 3)]
        {
            let (at, damage) = read(&latin(&text)).expect_err(&line);
            assert_eq!(at, number, "{line:?}");
            assert!(expected(&damage), "{line:?}: {damage}");
        }
    }
    // Their hosts are unknown.
    for marker in ["@revoked", "@cert-authority"] {
        for (rest, expected) in [
            ("", Damage::Hosts),
            (ED25519, Damage::Hosts),
            ("|1|%%|AAAA ssh-ed25519 AAAA", Damage::Hash),
            ("|2|a|b ssh-ed25519 AAAA", Damage::Hash),
            ("|1|RL4vQ8ORvQQUERY0sfTpWbsoTOE=|DCjp3vBZQctKemeI/rvFA6aYu1= x y", Damage::Hash),
        ] {
            assert_eq!(read(format!("{marker} {rest}").as_bytes()), Err((1, expected)), "{rest}");
        }
    }
}

#[test]
fn a_utf_16_line_with_the_host_is_an_error() {
    for big in [false, true] {
        for mark in ["", "\u{feff}"] {
            for line in [
                format!("{HOST} {ED25519}"),
                format!("@revoked * {ED25519}"),
                format!("{HOST} damaged"),
            ] {
                let text = utf_16(&format!("{mark}{line}\r\n"), big);
                assert_eq!(read(&text), Err((1, Damage::Null)), "{line}");
                let second = utf_16(&format!("{mark}# a\r\nelsewhere {OTHER}\r\n{line}\r\n"), big);
                assert_eq!(read(&second), Err((3, Damage::Null)), "{line}");
                // As a shell on Windows appends to a file in another encoding.
                let mixed = [format!("{HOST} {ED25519}\n").as_bytes(), &text].concat();
                assert_eq!(read(&mixed), Err((2, Damage::Null)), "{line}");
            }
            let text = utf_16(&format!("{mark}elsewhere {ED25519}\r\n# {HOST} x\r\n"), big);
            assert_eq!(read(&text), Ok(vec![]));
        }
    }
}

#[test]
fn a_line_about_other_hosts_is_ignored() {
    let text = format!(
        "# {HOST} {ED25519}\n\n  # {HOST} x\nelsewhere\nelsewhere ssh-ed25519 AAAA\n\
         @unknown elsewhere {ED25519}\n@revoked elsewhere damaged\n@unknown\n\
         |1|%%|AAAA {ED25519}\n|1|RL4vQ8ORvQQUERY0sfTpWbsoTOE=|DCjp damaged\n{ED25519}\n\
         !{HOST},* damaged\n{HOST}.evil damaged\nexample.org damaged\n\u{fe}\u{e9}\n\
         {HOST} 1024 35 1234567\n@revoked {HOST} 1024 35 1234567\n \t\r\n\0\n\r\r\n"
    );
    let mut bytes = b"\xff\xfe broken\n".to_vec();
    bytes.extend_from_slice(text.as_bytes());
    assert_eq!(read(&bytes), Ok(vec![]));
    bytes.extend_from_slice(format!("{HOST} {ED25519}").as_bytes());
    assert_eq!(read(&bytes).unwrap().len(), 1);
    for length in 0..bytes.len() {
        let _ = find(&bytes[..length], &Names::new(HOST, 22));
    }
}

#[test]
fn a_key_of_another_type_is_another_key() {
    for (key_type, base64) in [
        ("ssh-dss", "AAAAB3NzaC1kc3MAAAABBQAAAAEDAAAAAQIAAAABBw=="),
        ("ssh-mldsa44", "AAAAC3NzaC1tbGRzYTQ0AAAAAQ=="),
        (
            "sk-ssh-ed25519@openssh.com",
            "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAAAABHNzaDo=",
        ),
    ] {
        let text = format!("{HOST} {key_type} {base64} comment");
        let expected = vec![(1, None, key_type.to_owned())];
        assert_eq!(read(text.as_bytes()), Ok(expected));
    }
}
