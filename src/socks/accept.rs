//! The conversation with a socket.

use std::io::{self, IoSlice};
use std::sync::Arc;

use tokio::io::Interest;

use crate::net::local_stream::Stream;
use crate::socks::handshake::{Handshake, Step};
use crate::socks::{Fault, Login, Request};

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was said is not served, or not allowed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Hears what a program wants. What it has sent behind its request is still in the socket. The
/// reply is up to the caller, and so is the last word about a [`Fault`].
///
/// Takes as long as the program takes. Cancel safe in the sense that the socket is left as it is: a
/// conversation that was cut short cannot be taken up again.
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
            Step::Answer(answer) => send(stream, &answer).await?,
            Step::Request(request) => return Ok(request),
        }
    }
}

async fn send(stream: &Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.ready(Interest::WRITABLE).await?;
        match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
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

    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;
    use crate::runtime;
    use crate::socks::Version;

    /// What comes of a program that says this at once, in one piece, and what is left in the socket.
    fn say(bytes: &[u8]) -> (Result<Request, Failure>, Vec<u8>, Vec<u8>) {
        runtime::handle().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let address = listener.local_addr().expect("address");
            let mut program = std::net::TcpStream::connect(address).expect("connect");
            program.write_all(bytes).expect("the socket has room");
            program.shutdown(std::net::Shutdown::Write).expect("shutdown");
            let (stream, _) = listener.accept().await.expect("accept");
            let stream = Stream::from(stream);
            let outcome = negotiate(&stream, None).await;
            let socket = SockRef::from(&stream);
            socket.set_nonblocking(false).expect("blocking");
            let mut left = Vec::new();
            (&*socket).read_to_end(&mut left).expect("what is left");
            drop(stream);
            let mut heard = Vec::new();
            program.read_to_end(&mut heard).expect("what was said");
            (outcome, left, heard)
        })
    }

    #[test]
    fn what_comes_behind_the_request_stays_in_the_socket() {
        let request = [5, 1, 0, 5, 1, 0, 3, 1, b'a', 0, 80];
        let (outcome, left, heard) = say(&[&request[..], b"\x05\x01GET / HTTP/1.1"].concat());
        let wanted = Request { version: Version::Five, host: "a".into(), port: 80 };
        assert_eq!(outcome.expect("a request"), wanted);
        assert_eq!(left, b"\x05\x01GET / HTTP/1.1");
        assert_eq!(heard, [5, 0]);

        let (outcome, left, heard) = say(b"\x04\x01\0\x50\0\0\0\x01me\0a\0\x04\x01and more");
        let wanted = Request { version: Version::Four, host: "a".into(), port: 80 };
        assert_eq!(outcome.expect("a request"), wanted);
        assert_eq!(left, b"\x04\x01and more");
        assert_eq!(heard, []);
    }

    #[test]
    fn a_program_that_leaves_early_wants_nothing() {
        for bytes in [&b""[..], b"\x05", b"\x05\x01\0\x05\x01", b"\x04\x01\0\x50\0\0\0\x01me\0a"] {
            let (outcome, left, _) = say(bytes);
            assert!(matches!(outcome, Err(Failure::Fault(Fault::Ended))), "{bytes:?}: {outcome:?}");
            assert_eq!(left, []);
        }
    }

    #[test]
    fn a_fault_ends_the_conversation() {
        let (outcome, left, heard) = say(b"GET / HTTP/1.1\r\n\r\n");
        assert!(matches!(outcome, Err(Failure::Fault(Fault::NotSocks(b'G')))), "{outcome:?}");
        assert_eq!(left, b"ET / HTTP/1.1\r\n\r\n");
        assert_eq!(heard, []);
    }
}
