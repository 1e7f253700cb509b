use std::future::Future;

use tokio::net::TcpListener;

use super::*;
use crate::runtime;

fn proxy(protocol: ProxyProtocol, port: u16, password: Option<&str>) -> Proxy {
    let login = password.map(|password| ProxyLogin {
        username: "anna".into(),
        password: EncryptedSecret::new(password.as_bytes()),
    });
    Proxy { protocol, host: "127.0.0.1".into(), port, login }
}

/// Connects through a proxy that `serve` plays. Returns the outcome, and what arrives behind the reply.
fn connect<F: Future<Output = ()> + Send + 'static>(
    protocol: ProxyProtocol,
    password: Option<&'static str>,
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (Result<(), Error>, Vec<u8>) {
    runtime::handle().block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let played = tokio::spawn(async move {
            serve(listener.accept().await.expect("a client").0).await;
        });
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let proxy = proxy(protocol, address.port(), password);
        let outcome = proxy.connect(&mut stream, "db.test", 22).await;
        played.await.expect("the proxy does not panic");
        let mut rest = Vec::new();
        if outcome.is_ok() {
            stream.read_to_end(&mut rest).await.expect("it ends in order");
        }
        (outcome, rest)
    })
}

/// Reads a request whose length is known.
async fn expect(stream: &mut TcpStream, message: &[u8]) {
    let mut bytes = vec![0; message.len()];
    stream.read_exact(&mut bytes).await.expect("a message");
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(message));
}

fn http(response: impl AsRef<[u8]> + Send + 'static) -> (Result<(), Error>, Vec<u8>) {
    connect(ProxyProtocol::Http, None, move |mut stream| async move {
        expect(&mut stream, b"CONNECT db.test:22 HTTP/1.1\r\nHost: db.test:22\r\n\r\n").await;
        let _ = stream.write_all(response.as_ref()).await;
    })
}

fn fault(outcome: Result<(), Error>) -> (ProxyFault, String) {
    match outcome.expect_err("it is refused") {
        Error::Proxy(refusal) => (refusal.fault, refusal.text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_behind_the_reply_of_an_http_proxy_are_the_servers() {
    let (outcome, rest) = http("HTTP/1.1 200 OK\r\nVia: 1.1 x\r\n\r\nSSH-2.0-x\r\n\r\nmore");
    outcome.expect("connected");
    assert_eq!(rest, b"SSH-2.0-x\r\n\r\nmore");
    // The end of the head is the end of a look.
    let head = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(LOOK_SIZE - 17));
    assert_eq!(head.len(), LOOK_SIZE);
    let (outcome, rest) = http(format!("{head}SSH"));
    outcome.expect("connected");
    assert_eq!(rest, b"SSH");
}

#[test]
fn interim_responses_are_skipped() {
    let (outcome, rest) = http("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nSSH");
    outcome.expect("connected");
    assert_eq!(rest, b"SSH");
}

#[test]
fn the_refusal_of_an_http_proxy_has_its_status() {
    let (found, text) = fault(http("HTTP/1.1 403 Not here\r\nContent-Length: 2\r\n\r\nno").0);
    assert_eq!(found, ProxyFault::Status { code: 403, phrase: "Not here".into() });
    assert!(text.ends_with(": it refused to connect to db.test:22: 403 Not here"), "{text}");
    let (found, _) = fault(http("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").0);
    assert!(found.is_about_the_login());
    // 101 would be another protocol.
    let (found, _) = fault(http("HTTP/1.1 101 Switching Protocols\r\n\r\n").0);
    assert!(matches!(found, ProxyFault::Status { code: 101, .. }));
}

#[test]
fn a_response_without_end_is_refused() {
    let (found, text) = fault(http(format!("HTTP/1.1 200 OK\r\n{}", "a: b\r\n".repeat(4000))).0);
    assert_eq!(found, ProxyFault::Invalid, "{text}");
    let interim = "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n".repeat(1000);
    assert_eq!(fault(http(interim).0).0, ProxyFault::Invalid);
}

#[test]
fn what_is_no_proxy_is_quoted() {
    let (found, text) = fault(http("SSH-2.0-OpenSSH\r\n").0);
    assert_eq!(found, ProxyFault::Invalid);
    assert!(text.ends_with("not that of an HTTP proxy: \"SSH-2.0-OpenSSH\""), "{text}");
    assert_eq!(fault(http("HTTP/1.1 200").0).0, ProxyFault::Closed);
    assert_eq!(fault(http("").0).0, ProxyFault::Closed);
}

#[test]
fn bytes_behind_the_reply_of_a_socks_proxy_are_the_servers() {
    const REQUEST: &[u8] = b"\x05\x01\x00\x03\x07db.test\x00\x16";
    for address in [&[1, 0, 0, 0, 0][..], &[3, 2, b'm', b'e'], &[3, 0], &[4; 17]] {
        let (outcome, rest) =
            connect(ProxyProtocol::Socks5, Some("secret"), move |mut stream| async move {
                expect(&mut stream, &[5, 2, 0, 2]).await;
                stream.write_all(&[5, 2]).await.expect("sent");
                expect(&mut stream, b"\x01\x04anna\x06secret").await;
                stream.write_all(&[1, 0]).await.expect("sent");
                expect(&mut stream, REQUEST).await;
                let reply = [&[5, 0, 0], address, &[0, 0], b"SSH-2.0-x\r\n"].concat();
                stream.write_all(&reply).await.expect("sent");
            });
        outcome.expect("connected");
        assert_eq!(rest, b"SSH-2.0-x\r\n");
    }
}

#[test]
fn no_error_contains_the_password() {
    let (outcome, _) = connect(ProxyProtocol::Socks5, Some("canary"), |mut stream| async move {
        expect(&mut stream, &[5, 2, 0, 2]).await;
        stream.write_all(&[5, 2]).await.expect("sent");
        expect(&mut stream, b"\x01\x04anna\x06canary").await;
        stream.write_all(&[1, 1]).await.expect("sent");
    });
    let error = outcome.expect_err("refused");
    assert!(!format!("{error:?} {error}").contains("canary"));
    let proxy = proxy(ProxyProtocol::Http, 1, Some("canary"));
    assert!(!format!("{proxy:?}").contains("canary"));
}

#[test]
fn hosts_that_a_protocol_cannot_name_are_refused() {
    let (http, socks) = (ProxyProtocol::Http, ProxyProtocol::Socks5);
    let long = "x".repeat(256);
    for (protocol, host, is_fine) in [
        (http, "host", true),
        (http, "::1", true),
        (http, "a b", false),
        (http, "hôte", false),
        (socks, "hôte", true),
        (socks, &long[1..], true),
        (socks, &long, false),
    ] {
        assert_eq!(proxy(protocol, 1, None).host_fault(host).is_none(), is_fine, "{host}");
    }
}
