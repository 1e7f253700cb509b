use super::*;
use crate::socks::{MAX_LENGTH, Version};

/// The course of a handshake.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// The messages to the client before the reply.
    sent: Vec<[u8; 2]>,
    /// The outcome; `None`: the handshake has not ended.
    end: Option<Result<Request, Fault>>,
    /// The number of bytes read.
    read: usize,
}

/// Runs a handshake with a client that sends `bytes` in pieces of at most `piece`.
fn run_in_pieces(login: Option<&Arc<Login>>, bytes: &[u8], piece: usize) -> Outcome {
    let mut handshake = Handshake::new(login.cloned());
    let mut outcome = Outcome { sent: Vec::new(), end: None, read: 0 };
    loop {
        let space = handshake.space();
        assert!(!space.is_empty());
        let left = &bytes[outcome.read..];
        let count = space.len().min(left.len()).min(piece);
        if count == 0 {
            return outcome;
        }
        space[..count].copy_from_slice(&left[..count]);
        outcome.read += count;
        match handshake.received(count) {
            Ok(Step::Receive) => {}
            Ok(Step::Send(message)) => outcome.sent.push(message),
            Ok(Step::Request(request)) => outcome.end = Some(Ok(request)),
            Err(fault) => outcome.end = Some(Err(fault)),
        }
        if outcome.end.is_some() {
            return outcome;
        }
    }
}

/// Runs the handshake with pieces of every size, which must make no difference.
fn run(login: Option<&Arc<Login>>, bytes: &[u8]) -> Outcome {
    let whole = run_in_pieces(login, bytes, usize::MAX);
    for piece in 1..8 {
        assert_eq!(run_in_pieces(login, bytes, piece), whole, "pieces of {piece}");
    }
    whole
}

fn password() -> Arc<Login> {
    Arc::new(Login::new(b"anna", b"secret").expect("short enough"))
}

fn five(host: &str, port: u16) -> Option<Result<Request, Fault>> {
    Some(Ok(Request { version: Version::Five, host: host.into(), port }))
}

fn four(host: &str, port: u16) -> Option<Result<Request, Fault>> {
    Some(Ok(Request { version: Version::Four, host: host.into(), port }))
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

const METHODS: &[u8] = &[5, 1, 0];
const NO_AUTHENTICATION: [u8; 2] = [5, 0];

#[test]
fn every_address_type_of_socks_5() {
    for (address, host) in [
        (&b"\x01\x7f\0\0\x01"[..], "127.0.0.1"),
        (b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", "::1"),
        (b"\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x2a", "2001:db8::2a"),
        (b"\x03\x0bexample.org", "example.org"),
        (b"\x03\x01a", "a"),
        (b"\x03\x09127.0.0.1", "127.0.0.1"),
        ("\u{3}\u{c}b\u{fc}cher.test".as_bytes(), "b\u{fc}cher.test"),
    ] {
        let request = joined(&[METHODS, &[5, 1, 0], address, &[0x1f, 0x90]]);
        let outcome = run(None, &request);
        assert_eq!(outcome.end, five(host, 8080));
        assert_eq!((outcome.sent, outcome.read), (vec![NO_AUTHENTICATION], request.len()));
    }
}

#[test]
fn socks_4_and_4a() {
    for (request, host) in [
        (&b"\x04\x01\0\x50\x7f\0\0\x01\0"[..], "127.0.0.1"),
        (b"\x04\x01\0\x50\x7f\0\0\x01some user\0", "127.0.0.1"),
        (b"\x04\x01\0\x50\0\0\0\0\0", "0.0.0.0"),
        (b"\x04\x01\0\x50\0\0\x01\x01\0", "0.0.1.1"),
        (b"\x04\x01\0\x50\0\0\0\x01\0example.org\0", "example.org"),
        (b"\x04\x01\0\x50\0\0\0\xffme\0example.org\0", "example.org"),
    ] {
        let outcome = run(None, request);
        assert_eq!(outcome.end, four(host, 80));
        assert_eq!((outcome.sent, outcome.read), (vec![], request.len()));
    }
}

#[test]
fn no_byte_after_the_request_is_read() {
    for request in [
        joined(&[METHODS, b"\x05\x01\0\x01\x7f\0\0\x01\0\x50"]),
        joined(&[METHODS, b"\x05\x01\0\x03\x01a\0\x50"]),
        b"\x04\x01\0\x50\x7f\0\0\x01me\0".to_vec(),
        b"\x04\x01\0\x50\0\0\0\x01me\0a\0".to_vec(),
    ] {
        let alone = run(None, &request);
        assert_eq!(run(None, &joined(&[&request, &[5; 600]])), alone);
        assert_eq!(alone.read, request.len());
    }
}

#[test]
fn a_required_password() {
    let login = password();
    let request: &[u8] = b"\x05\x01\0\x03\x01a\0\x50";
    let greeting: &[u8] = &[5, 3, 0, 1, 2];
    let right = joined(&[greeting, b"\x01\x04anna\x06secret", request]);
    let outcome = run(Some(&login), &right);
    assert_eq!(outcome.end, five("a", 80));
    assert_eq!(outcome.sent, [[5, 2], [1, 0]]);
    for wrong in [&b"\x01\x04anna\x06Secret"[..], b"\x01\x04Anna\x06secret", b"\x01\0\0"] {
        let outcome = run(Some(&login), &joined(&[greeting, wrong, request]));
        assert_eq!(outcome.end, Some(Err(Fault::Login)));
        assert_eq!(outcome.sent, [[5, 2]]);
    }
    // No other method is accepted, nor this one where no credentials are required.
    for (login, greeting) in [
        (Some(&login), &[5, 2, 0, 1][..]),
        (Some(&login), &[5, 0]),
        (None, &[5, 1, 2]),
        (None, &[5, 0]),
    ] {
        let outcome = run(login, &joined(&[greeting, request]));
        assert_eq!((outcome.end, outcome.sent), (Some(Err(Fault::Method)), vec![]));
        assert_eq!(outcome.read, greeting.len());
    }
    let outcome = run(Some(&login), b"\x04\x01\0\x50\x7f\0\0\x01anna\0");
    assert_eq!(outcome.end, Some(Err(Fault::NoPassword)));
}

#[test]
fn texts_of_the_maximum_length() {
    let longest = [b'x'; MAX_LENGTH];
    let name = "x".repeat(MAX_LENGTH);
    let login = Arc::new(Login::new(&longest, &longest).expect("the maximum length"));
    let greeting = joined(&[&[5, 255], &[2; 255]]);
    let proof = joined(&[&[1, 255], &longest, &[255], &longest]);
    let request = joined(&[&[5, 1, 0, 3, 255], &longest, &[0, 80]]);
    let outcome = run(Some(&login), &joined(&[&greeting, &proof, &request]));
    assert_eq!(outcome.end, five(&name, 80));

    let head: &[u8] = b"\x04\x01\0\x50\0\0\0\x01";
    let outcome = run(None, &joined(&[head, &longest, &[0], &longest, &[0]]));
    assert_eq!(outcome.end, four(&name, 80));
    assert_eq!(outcome.read, MAX_MESSAGE);
    for longer in [joined(&[head, &longest, b"x"]), joined(&[head, &[0], &longest, b"x"])] {
        assert_eq!(run(None, &longer).end, Some(Err(Fault::TooLong)));
    }
}

#[test]
fn each_fault_has_its_reply() {
    let socks_5 = |rest: &[u8]| joined(&[METHODS, rest]);
    let v4: &[u8] = b"\x01\x7f\0\0\x01\0\x50";
    let name: &[u8] = &[5, 1, 0, 3];
    for (bytes, fault, reply) in [
        (socks_5(&joined(&[&[5, 2, 0], v4])), Fault::Command(Version::Five, 2), &[5, 7][..]),
        (socks_5(&joined(&[&[5, 3, 0], v4])), Fault::Command(Version::Five, 3), &[5, 7]),
        (socks_5(&joined(&[&[5, 0, 0], v4])), Fault::Command(Version::Five, 0), &[5, 7]),
        (socks_5(&[5, 1, 0, 2]), Fault::AddressType(2), &[5, 8]),
        (socks_5(&joined(&[name, b"\x00\0\x50"])), Fault::Name(Version::Five), &[5, 1]),
        (socks_5(&joined(&[name, b"\x03a\nb\0\x50"])), Fault::Name(Version::Five), &[5, 1]),
        (socks_5(&joined(&[name, b"\x03a\0b\0\x50"])), Fault::Name(Version::Five), &[5, 1]),
        (socks_5(&joined(&[name, b"\x02\xc2\x9b\0\x50"])), Fault::Name(Version::Five), &[5, 1]),
        (socks_5(&joined(&[name, b"\x02\xff\xfe\0\x50"])), Fault::Name(Version::Five), &[5, 1]),
        (b"\x04\x02\0\x50\x7f\0\0\x01\0".to_vec(), Fault::Command(Version::Four, 2), &[0, 91]),
        (b"\x04\x01\0\x50\0\0\0\x01\0\0".to_vec(), Fault::Name(Version::Four), &[0, 91]),
        (b"\x04\x01\0\x50\0\0\0\x01\0a\x1b\0".to_vec(), Fault::Name(Version::Four), &[0, 91]),
        (b"\x05\x01\x01".to_vec(), Fault::Method, &[5, 255]),
        (b"\x05\x01\0\x04\x01".to_vec(), Fault::Garbled(4), &[]),
        (b"GET / HTTP/1.1\r\n".to_vec(), Fault::NotSocks(b'G'), &[]),
        (vec![0], Fault::NotSocks(0), &[]),
    ] {
        assert_eq!(run(None, &bytes).end, Some(Err(fault)));
        assert!(fault.reply().starts_with(reply), "{fault:?}");
        assert_eq!(fault.reply().is_empty(), reply.is_empty());
    }
}

#[test]
fn random_bytes_end_within_bounds_and_in_any_pieces_alike() {
    // Bytes that often resemble the beginning of a message.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let login = password();
    for round in 0..2_000 {
        let mut bytes: Vec<u8> = (0..700)
            .map(|_| {
                let word = random();
                if word & 0x700 == 0 { (word & 0xff) as u8 } else { (word % 6) as u8 }
            })
            .collect();
        bytes[0] = 4 + (round % 2) as u8;
        let login = (round % 3 == 0).then_some(&login);
        let once = run_in_pieces(login, &bytes, usize::MAX);
        assert_eq!(run_in_pieces(login, &bytes, 1), once);
        assert!(once.end.is_some() && once.read <= 3 * MAX_MESSAGE);
    }
}
