//! Binding and accepting: who shares a port, what a listener leaves behind, and which errors end it.

use std::future::poll_fn;
use std::task::Waker;

use tokio::net::TcpStream;

use super::*;
use crate::runtime;

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn address(listener: &Listener) -> SocketAddr {
    match &listener.listener {
        Kind::Tcp(_, address) => *address,
        #[cfg(unix)]
        Kind::Unix(..) => panic!("a TCP listener"),
    }
}

async fn accept(listener: &mut Listener) -> Accepted {
    poll_fn(|cx| listener.poll_accept(cx, Instant::now(), true)).await.expect("a connection")
}

/// Waits for the end of a stream without data.
async fn end(peer: &TcpStream) -> io::Result<usize> {
    loop {
        peer.readable().await?;
        match peer.try_read(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            end => return end,
        }
    }
}

#[test]
fn accepted_sockets_reset_by_default() {
    runtime::handle().block_on(async {
        let mut listener = Listener::bind(&[any()], false).expect("bind");
        let peer = TcpStream::connect(address(&listener)).await.expect("connect");
        let Accepted { stream, remote, local } = accept(&mut listener).await;
        let socket = stream.socket().expect("a socket");
        assert_eq!(Linger::of(&*socket).expect("alive"), Linger::HARD);
        assert!(socket.tcp_nodelay().expect("alive"));
        assert_eq!(remote, peer.local_addr().ok());
        assert_eq!(local, peer.peer_addr().ok());
        drop(stream);
        let error = end(&peer).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn connections_that_wait_are_reset_with_the_listener() {
    runtime::handle().block_on(async {
        let listener = Listener::bind(&[any()], false).expect("bind");
        let peer = TcpStream::connect(address(&listener)).await.expect("connect");
        drop(listener);
        let error = end(&peer).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn the_first_address_that_can_be_bound_is_used() {
    runtime::handle().block_on(async {
        let taken = address(&Listener::bind(&[any()], false).expect("bind"));
        let holder = Listener::bind(&[taken], false).expect("a released port is free at once");
        let error = Listener::bind(&[taken], false).err().expect("the address is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let other = Listener::bind(&[taken, any()], false).expect("the second one is free");
        assert_ne!(address(&other), address(&holder));
        let error = Listener::bind(&[], false).err().expect("no address");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_port_is_shared_if_all_listeners_allow_it() {
    runtime::handle().block_on(async {
        let mut first = Listener::bind(&[any()], true).expect("bind");
        let shared = [address(&first)];
        let error = Listener::bind(&shared, false).err().expect("the address is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let mut second = Listener::bind(&shared, true).expect("both allow it");
        assert_eq!(address(&second), address(&first));

        // The system distributes the connections; each listener receives some.
        let now = Instant::now();
        let (mut counts, mut peers) = ([0, 0], Vec::new());
        while counts.contains(&0) {
            peers.push(TcpStream::connect(shared[0]).await.expect("connect"));
            let index = poll_fn(|cx| {
                if first.poll_accept(cx, now, true).is_ready() {
                    return Poll::Ready(0);
                }
                second.poll_accept(cx, now, true).map(|_| 1)
            });
            counts[index.await] += 1;
        }
        drop(first);
        let _peer = TcpStream::connect(shared[0]).await.expect("the second still listens");
        accept(&mut second).await;

        let alone = Listener::bind(&[any()], false).expect("bind");
        let error = Listener::bind(&[address(&alone)], true).err().expect("the address is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // With port 0 the system chooses a free port.
        let other = Listener::bind(&[any()], true).expect("bind");
        assert_ne!(address(&other), address(&second));
    });
}

#[test]
fn the_local_address_is_the_one_that_was_connected_to() {
    runtime::handle().block_on(async {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut listener = Listener::bind(&[everywhere], false).expect("bind");
        assert!(address(&listener).ip().is_unspecified());
        let local = SocketAddr::from(([127, 0, 0, 1], address(&listener).port()));
        let _peer = TcpStream::connect(local).await.expect("connect");
        assert_eq!(accept(&mut listener).await.local, Some(local));
    });
}

#[test]
#[cfg(unix)]
fn a_unix_socket_is_for_this_user_and_is_removed_with_the_listener() {
    use std::os::unix::fs::PermissionsExt;

    let name = format!("listener-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let text = path.to_str().expect("text");
    runtime::handle().block_on(async {
        let mut listener = Listener::bind_path(text, SocketFile::default()).expect("bind");
        assert_eq!(listener.address(), Endpoint::Unix(text.into()));
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error =
            Listener::bind_path(text, SocketFile::default()).err().expect("the address is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let _peer = tokio::net::UnixStream::connect(&path).await.expect("connect");
        let accepted = accept(&mut listener).await;
        assert!(accepted.remote.is_none() && accepted.local.is_none());
        drop(listener);
        assert!(!path.exists());

        // A file that has replaced it stays.
        let listener = Listener::bind_path(text, SocketFile::default()).expect("bind");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "").expect("written");
        drop(listener);
        std::fs::remove_file(&path).expect("it is there");
    });
}

#[test]
#[cfg(unix)]
fn a_socket_that_listens_is_taken_over() {
    let blocking = std::net::TcpListener::bind(any()).expect("bind");
    let local = blocking.local_addr().expect("address");
    runtime::handle().block_on(async {
        // It waits since before.
        let peer = TcpStream::connect(local).await.expect("connect");
        let mut listener = Listener::take(blocking.into()).expect("taken");
        assert_eq!(listener.address().to_string(), local.to_string());
        let Accepted { stream, local: found, .. } = accept(&mut listener).await;
        assert_eq!(found, Some(local));
        drop(stream);
        let error = end(&peer).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
#[cfg(unix)]
fn the_file_of_a_socket_that_is_taken_over_stays() {
    let path = std::env::temp_dir().join(format!("taken-{}.sock", std::process::id()));
    let bound = std::os::unix::net::UnixListener::bind(&path).expect("bind");
    runtime::handle().block_on(async {
        let mut listener = Listener::take(Socket::from(bound)).expect("taken");
        assert_eq!(listener.address(), Endpoint::Unix(path.to_str().expect("text").into()));
        let _peer = tokio::net::UnixStream::connect(&path).await.expect("connect");
        assert!(accept(&mut listener).await.remote.is_none());
    });
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn a_pause_leaves_connections_waiting_until_it_is_over() {
    runtime::handle().block_on(async {
        let mut listener = Listener::bind(&[any()], false).expect("bind");
        let _peer = TcpStream::connect(address(&listener)).await.expect("connect");
        let now = Instant::now();
        listener.paused_until = Some(now + PAUSE);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(listener.poll_accept(cx, now, true).is_pending());
        assert_eq!(listener.paused_until(now), Some(now + PAUSE));
        assert_eq!(listener.paused_until(now + PAUSE), None, "no reason to wake the task");
        let later = poll_fn(|cx| listener.poll_accept(cx, now + PAUSE, true)).await;
        later.expect("a connection");
        assert_eq!(listener.paused_until(now), None);
    });
}

#[test]
fn with_scarce_descriptors_only_the_first_connection_is_accepted() {
    runtime::handle().block_on(async {
        let mut listener = Listener::bind(&[any()], false).expect("bind");
        let _peer = TcpStream::connect(address(&listener)).await.expect("connect");
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        // Descriptors were scarce, and are not any more.
        listener.is_short = true;
        poll_fn(|cx| listener.poll_accept(cx, now, false)).await.expect("a connection");
        assert!(!listener.is_short && listener.poll_accept(cx, now, false).is_pending());
        assert_eq!(listener.paused_until(now), None);
    });
}

#[test]
#[cfg(unix)]
fn errors_of_a_connection_and_shortages_keep_the_listener() {
    let error = io::Error::from_raw_os_error;
    for number in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC] {
        assert!(is_shortage(&error(number)) && !is_about_the_connection(&error(number)));
    }
    // accept(2) says to retry after these.
    for number in [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::EPERM,
        libc::ENETDOWN,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::EOPNOTSUPP,
    ] {
        assert!(is_about_the_connection(&error(number)), "{}", error(number));
    }
    for number in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
        assert!(!is_shortage(&error(number)) && !is_about_the_connection(&error(number)));
    }
}
