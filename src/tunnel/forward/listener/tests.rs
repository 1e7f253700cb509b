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
        Kind::Unix(..) => panic!("it is of TCP"),
    }
}

async fn accept(listener: &mut Listener) -> Accepted {
    poll_fn(|cx| listener.poll_accept(cx, Instant::now(), true)).await.expect("a connection")
}

/// Waits for the end of a stream on which nothing comes.
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
fn accepted_sockets_reset_unless_they_are_told_otherwise() {
    runtime::handle().block_on(async {
        let mut listener = Listener::bind(&[any()], false).expect("bind");
        let peer = TcpStream::connect(address(&listener)).await.expect("connect");
        let Accepted { stream, remote, local } = accept(&mut listener).await;
        assert_eq!(Linger::of(&stream).expect("alive"), Linger::HARD);
        assert!(socket2::SockRef::from(&stream).tcp_nodelay().expect("alive"));
        assert_eq!(remote, peer.local_addr().ok());
        assert_eq!(local, peer.peer_addr().ok());
        drop(stream);
        let error = end(&peer).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_waits_to_be_accepted_is_reset_with_the_listener() {
    runtime::handle().block_on(async {
        let listener = Listener::bind(&[any()], false).expect("bind");
        let peer = TcpStream::connect(address(&listener)).await.expect("connect");
        drop(listener);
        let error = end(&peer).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn the_first_address_that_can_be_bound_is_taken() {
    runtime::handle().block_on(async {
        let taken = address(&Listener::bind(&[any()], false).expect("bind"));
        let holder =
            Listener::bind(&[taken], false).expect("a port that was given up is free at once");
        let error = Listener::bind(&[taken], false).err().expect("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let other = Listener::bind(&[taken, any()], false).expect("the second one is free");
        assert_ne!(address(&other), address(&holder));
        let error = Listener::bind(&[], false).err().expect("no address");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_port_is_shared_by_those_who_all_say_so() {
    runtime::handle().block_on(async {
        let mut first = Listener::bind(&[any()], true).expect("bind");
        let place = [address(&first)];
        let error = Listener::bind(&place, false).err().expect("it does not share");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let mut second = Listener::bind(&place, true).expect("both share");
        assert_eq!(address(&second), address(&first));

        // Which one gets a connection is the system's choice; each gets some.
        let now = Instant::now();
        let (mut dealt, mut peers) = ([0, 0], Vec::new());
        while dealt.contains(&0) {
            peers.push(TcpStream::connect(place[0]).await.expect("connect"));
            let who = poll_fn(|cx| {
                if first.poll_accept(cx, now, true).is_ready() {
                    return Poll::Ready(0);
                }
                second.poll_accept(cx, now, true).map(|_| 1)
            });
            dealt[who.await] += 1;
        }
        drop(first);
        let _peer = TcpStream::connect(place[0]).await.expect("the other one still listens");
        accept(&mut second).await;

        let alone = Listener::bind(&[any()], false).expect("bind");
        let error = Listener::bind(&[address(&alone)], true).err().expect("it does not share");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // Who lets the system choose gets a port of its own.
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
        let place = SocketAddr::from(([127, 0, 0, 1], address(&listener).port()));
        let _peer = TcpStream::connect(place).await.expect("connect");
        assert_eq!(accept(&mut listener).await.local, Some(place));
    });
}

#[test]
#[cfg(unix)]
fn a_path_is_for_this_user_and_goes_with_the_listener() {
    use std::os::unix::fs::PermissionsExt;

    let name = format!("listener-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let text = path.to_str().expect("text");
    runtime::handle().block_on(async {
        let mut listener = Listener::bind_path(text).expect("bind");
        assert_eq!(listener.address(), Endpoint::Unix(text.into()));
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = Listener::bind_path(text).err().expect("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let _peer = tokio::net::UnixStream::connect(&path).await.expect("connect");
        let accepted = accept(&mut listener).await;
        assert!(accepted.remote.is_none() && accepted.local.is_none());
        drop(listener);
        assert!(!path.exists());

        // What somebody else has put there stays.
        let listener = Listener::bind_path(text).expect("bind");
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "").expect("written");
        drop(listener);
        std::fs::remove_file(&path).expect("it is there");
    });
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
        assert_eq!(listener.paused_until(), Some(now + PAUSE));
        let later = poll_fn(|cx| listener.poll_accept(cx, now + PAUSE, true)).await;
        later.expect("a connection");
        assert_eq!(listener.paused_until(), None);
    });
}

#[test]
fn while_descriptors_are_scarce_only_the_first_connection_is_taken() {
    runtime::handle().block_on(async {
        let mut listener = Listener::bind(&[any()], false).expect("bind");
        let _peer = TcpStream::connect(address(&listener)).await.expect("connect");
        let now = Instant::now();
        let cx = &mut Context::from_waker(Waker::noop());
        // It was short; the next look shows that it is not any more.
        listener.is_short = true;
        poll_fn(|cx| listener.poll_accept(cx, now, false)).await.expect("a connection");
        assert!(!listener.is_short && listener.poll_accept(cx, now, false).is_pending());
        assert_eq!(listener.paused_until(), None);
    });
}

#[test]
#[cfg(unix)]
fn no_error_of_one_connection_or_of_scarcity_loses_the_port() {
    let error = io::Error::from_raw_os_error;
    for number in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC] {
        assert!(is_shortage(&error(number)) && !is_about_the_connection(&error(number)));
    }
    // Those that accept(2) tells to be treated as a failed connection, and try again.
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
