//! Listening sockets that a forward takes over, such as those of a service manager.

use std::os::fd::RawFd;

use socket2::{SockAddr, SockRef, Socket, Type};

use crate::net::external::Error;
use crate::net::sys;

/// Returns the address of a listening stream socket, TCP or Unix.
pub fn listener_address(descriptor: RawFd) -> Result<SockAddr, Error> {
    sys::with_socket(descriptor, |socket| {
        let address = socket.local_addr()?;
        let is_known = address.is_ipv4() || address.is_ipv6() || address.is_unix();
        let is_stream = socket.r#type()? == Type::STREAM;
        let fits = is_known && is_stream && sys::is_listener(&SockRef::from(socket))?;
        Ok(fits.then_some(address))
    })?
    .ok_or(Error::NotListening)
}

/// Takes over a listening stream socket, and closes the descriptor: the socket has another one, with
/// close-on-exec. Nothing else may use the descriptor from now on.
pub fn take_listener(descriptor: RawFd) -> Result<Socket, Error> {
    listener_address(descriptor)?;
    let socket = sys::with_socket(descriptor, Socket::try_clone)?;
    drop(sys::own(descriptor));
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn a_listener_is_taken_over_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let descriptor = listener.into_raw_fd();
        let found = listener_address(descriptor).expect("a listener");
        assert_eq!(found.as_socket(), Some(address));
        let socket = take_listener(descriptor).expect("taken");
        assert_ne!(socket.as_raw_fd(), descriptor);
        TcpStream::connect(address).expect("it still listens");
        drop(socket);
        TcpStream::connect(address).expect_err("both descriptors are closed");
    }

    #[test]
    fn anything_else_is_refused() {
        let system = |descriptor: RawFd| match listener_address(descriptor).expect_err("refused") {
            Error::System(error) => error.raw_os_error(),
            other => panic!("{other}"),
        };
        assert_eq!(system(-1), Some(libc::EBADF));
        assert_eq!(system(1_000_000), Some(libc::EBADF));
        let file = std::fs::File::open("/dev/null").expect("open");
        assert_eq!(system(file.as_raw_fd()), Some(libc::ENOTSOCK));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let stream = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let (unix, _peer) = UnixStream::pair().expect("pair");
        let datagram = UnixDatagram::unbound().expect("a socket");
        for other in [stream.as_raw_fd(), udp.as_raw_fd(), unix.as_raw_fd(), datagram.as_raw_fd()] {
            assert!(matches!(take_listener(other), Err(Error::NotListening)));
        }
        assert_eq!(stream.peer_addr().ok(), listener.local_addr().ok(), "it is still open");
    }
}
