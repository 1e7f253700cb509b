//! The SSH session's own socket: where the sealed bytes of all connections come and go.

use std::io::{self, Read, Write};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use socket2::SockRef;
use ssh_proto::Client;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::session::Session;

/// A read below this is a sign of requests and answers, not of bulk.
const SMALL_READ: usize = 16 * 1024;

/// A session at work.
pub(super) struct Link {
    pub(super) client: Client,
    stream: TcpStream,
    /// The last read was small and nothing was written since: the server may be holding back its
    /// next small packet until we acknowledge, because OpenSSH leaves Nagle's algorithm on for
    /// sessions without a shell. Unless told otherwise our kernel delays that by 40 ms.
    owes_ack: bool,
    /// Channels were closed right behind their last bytes, without a word from the server about
    /// them.
    pub(super) unconfirmed: bool,
}

impl Link {
    pub(super) fn new(session: Session) -> Self {
        Self { client: session.client, stream: session.stream, owes_ack: false, unconfirmed: false }
    }

    /// One read. Pending until something came; an error when the connection is gone.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let space = self.client.space();
            let room = space.len();
            let mut socket = &*SockRef::from(&self.stream);
            let count = attempt(&self.stream, Interest::READABLE, room, || socket.read(space));
            match count {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    self.owes_ack = count < SMALL_READ;
                    self.client.received(count, now);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends what is pending. Pending while the connection takes no more.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.client.pending().is_empty() {
            ready!(self.stream.poll_write_ready(cx))?;
            let pending = self.client.pending();
            let mut socket = &*SockRef::from(&self.stream);
            let length = pending.len();
            match attempt(&self.stream, Interest::WRITABLE, length, || socket.write(pending)) {
                Ok(count) => {
                    self.client.sent(count);
                    self.owes_ack = false;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends of the pending bytes what goes at once: the last word on a session that is over.
    pub(super) fn try_flush(&mut self) {
        let _ = self.stream.try_write(self.client.pending());
    }

    /// To be called when there is nothing left to do: sends an acknowledgement that is owed.
    pub(super) fn idle(&mut self) {
        if std::mem::take(&mut self.owes_ack) {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let _ = self.stream.set_quickack(true);
        }
    }

    /// Whether the server may still hold bytes of a connection that has ended here: it confirms a
    /// CLOSE when the target has taken what came before.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed && !self.client.is_idle()
    }

    /// Gives up the socket, and what is still to be sent on it.
    pub(super) fn into_parts(self) -> (TcpStream, Client) {
        (self.stream, self.client)
    }
}

/// Does `work` if the socket is ready. When it moved less than `most` the socket has no more to
/// give or take, and tokio is told so, which saves the call that would only say "would block".
pub(super) fn attempt(
    stream: &TcpStream,
    interest: Interest,
    most: usize,
    work: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut moved = None;
    let outcome = stream.try_io(interest, || {
        let count = work()?;
        moved = Some(count);
        if count < most { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    });
    moved.map_or(outcome, Ok)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

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
                attempt(&stream, Interest::READABLE, most, || socket.read(&mut buffer[..most]))
            };

            peer.try_write(&[1; 7]).expect("there is room");
            stream.readable().await.expect("alive");
            assert_eq!(read(5).expect("as much as was asked for"), 5);
            assert_eq!(read(5).expect("there is more"), 2);
            let idle = || -> io::Result<usize> { panic!("nothing can have come") };
            let error = attempt(&stream, Interest::READABLE, 5, idle).expect_err("not ready");
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
