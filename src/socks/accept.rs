//! The handshake on a socket.

use std::io;
use std::sync::Arc;

use crate::net::local_stream::Stream;
use crate::socks::handshake::{Handshake, Step};
use crate::socks::{Fault, Login, Request};

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The client's messages are invalid, unsupported or not allowed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The socket failed.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Receives a client's request. Data after the request stays in the socket. The caller sends the
/// reply, also to a [`Fault`].
///
/// Has no time limit. Cancelling leaves the socket usable, but the handshake cannot continue.
pub(crate) async fn negotiate(
    stream: &Stream,
    login: Option<Arc<Login>>,
) -> Result<Request, Failure> {
    let mut handshake = Handshake::new(login);
    loop {
        stream.readable().await?;
        let count = match stream.try_read(handshake.space()) {
            Ok(0) => return Err(Fault::Ended.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        match handshake.received(count)? {
            Step::Receive => {}
            Step::Send(message) => send(stream, &message).await?,
            Step::Request(request) => return Ok(request),
        }
    }
}

async fn send(stream: &Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::net::TcpListener;

    use super::*;
    use crate::runtime;
    use crate::socks::Version;

    /// Sends bytes in one piece. Returns the outcome, the bytes left in the socket, and the response.
    fn run(bytes: &[u8]) -> (Result<Request, Failure>, Vec<u8>, Vec<u8>) {
        runtime::handle().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let address = listener.local_addr().expect("address");
            let mut client = std::net::TcpStream::connect(address).expect("connect");
            client.write_all(bytes).expect("the socket has room");
            client.shutdown(std::net::Shutdown::Write).expect("shutdown");
            let (stream, _) = listener.accept().await.expect("accept");
            let stream = Stream::from(stream);
            let outcome = negotiate(&stream, None).await;
            let socket = stream.socket().expect("a socket");
            socket.set_nonblocking(false).expect("blocking");
            let mut left = Vec::new();
            (&*socket).read_to_end(&mut left).expect("the rest");
            drop(stream);
            let mut response = Vec::new();
            client.read_to_end(&mut response).expect("the response");
            (outcome, left, response)
        })
    }

    #[test]
    fn data_after_the_request_stays_in_the_socket() {
        let request = [5, 1, 0, 5, 1, 0, 3, 1, b'a', 0, 80];
        let (outcome, left, response) = run(&[&request[..], b"\x05\x01GET / HTTP/1.1"].concat());
        let expected = Request { version: Version::Five, host: "a".into(), port: 80 };
        assert_eq!(outcome.expect("a request"), expected);
        assert_eq!(left, b"\x05\x01GET / HTTP/1.1");
        assert_eq!(response, [5, 0]);

        let (outcome, left, response) = run(b"\x04\x01\0\x50\0\0\0\x01me\0a\0\x04\x01and more");
        let expected = Request { version: Version::Four, host: "a".into(), port: 80 };
        assert_eq!(outcome.expect("a request"), expected);
        assert_eq!(left, b"\x04\x01and more");
        assert_eq!(response, []);
    }

    #[test]
    fn an_early_end_of_stream_is_a_fault() {
        for bytes in [&b""[..], b"\x05", b"\x05\x01\0\x05\x01", b"\x04\x01\0\x50\0\0\0\x01me\0a"] {
            let (outcome, left, _) = run(bytes);
            assert!(matches!(outcome, Err(Failure::Fault(Fault::Ended))), "{bytes:?}: {outcome:?}");
            assert_eq!(left, []);
        }
    }

    #[test]
    fn a_fault_ends_the_handshake() {
        let (outcome, left, response) = run(b"GET / HTTP/1.1\r\n\r\n");
        assert!(matches!(outcome, Err(Failure::Fault(Fault::NotSocks(b'G')))), "{outcome:?}");
        assert_eq!(left, b"ET / HTTP/1.1\r\n\r\n");
        assert_eq!(response, []);
    }
}
