//! Reads and writes that keep tokio's readiness exact.

use std::io;

/// Calls `work` through a socket's `try_io` method. If it moves fewer than `most` bytes, the socket
/// is drained or full: clears its readiness, which saves the call that would return `WouldBlock`.
pub(crate) fn try_io(
    try_io: impl FnOnce(&mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize>,
    most: usize,
    mut work: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut moved = None;
    let outcome = try_io(&mut || {
        let count = work()?;
        moved = Some(count);
        if count < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    });
    moved.map_or(outcome, Ok)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use socket2::SockRef;
    use tokio::io::Interest;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::runtime;

    #[test]
    fn a_socket_that_gave_less_than_it_might_is_not_asked_again() {
        runtime::handle().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let address = listener.local_addr().expect("address");
            let peer = TcpStream::connect(address).await.expect("connect");
            let (stream, _) = listener.accept().await.expect("accept");
            let read = |most: usize| {
                let mut buffer = [0; 10];
                let mut socket = &*SockRef::from(&stream);
                try_io(
                    |work| stream.try_io(Interest::READABLE, work),
                    most,
                    || socket.read(&mut buffer[..most]),
                )
            };

            peer.try_write(&[1; 7]).expect("there is room");
            stream.readable().await.expect("alive");
            assert_eq!(read(5).expect("as much as was asked for"), 5);
            assert_eq!(read(5).expect("there is more"), 2);
            let idle = || -> io::Result<usize> { panic!("nothing can have come") };
            let error = try_io(|work| stream.try_io(Interest::READABLE, work), 5, idle)
                .expect_err("not ready");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);

            // What comes later is an event again, and an end stays one.
            peer.try_write(&[1; 3]).expect("there is room");
            stream.readable().await.expect("alive");
            assert_eq!(read(5).expect("the rest"), 3);
            drop(peer);
            stream.readable().await.expect("alive");
            assert_eq!(read(5).expect("the end"), 0);
            assert_eq!(read(5).expect("still the end"), 0);
        });
    }
}
