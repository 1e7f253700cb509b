//! Datagrams to Unix sockets, which Node.js cannot send.

use std::io;

use socket2::{Domain, SockAddr, Socket, Type};

/// Sends one datagram without waiting. A name that begins with `@` is that of an abstract socket of
/// Linux, and any other one a path.
pub(crate) fn send(name: &str, message: &[u8]) -> io::Result<()> {
    let address = match name.strip_prefix('@') {
        Some(name) => SockAddr::unix(format!("\0{name}"))?,
        None => SockAddr::unix(name)?,
    };
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.send_to(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn receives(socket: &UnixDatagram, name: &str) {
        send(name, b"READY=1\nSTATUS=up").expect("sent");
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=up");
    }

    #[test]
    fn a_path_receives_a_datagram() {
        let folder =
            std::env::temp_dir().join(format!("sshtunnel-datagram-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let path = folder.join("socket");
        let socket = UnixDatagram::bind(&path).expect("bind");
        receives(&socket, path.to_str().expect("text"));
        drop(socket);
        let error = send(path.to_str().expect("text"), b"x").expect_err("no receiver");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_dir_all(folder).expect("removed");
        let error = send("/nowhere/socket", b"x").expect_err("no file");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn an_abstract_name_receives_a_datagram() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;

        let name = format!("sshtunnel-datagram-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("bind");
        receives(&socket, &format!("@{name}"));
    }

    #[test]
    fn a_receiver_that_does_not_read_is_not_waited_for() {
        let folder = std::env::temp_dir().join(format!("sshtunnel-full-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        let path = folder.join("socket");
        let _socket = UnixDatagram::bind(&path).expect("bind");
        let name = path.to_str().expect("text");
        let error = (0..100_000).find_map(|_| send(name, b"x").err()).expect("the queue is full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
