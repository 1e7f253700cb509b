//! A session over a real socket, whose server does not answer.

use std::pin::pin;
use std::task::Waker;

use ssh_proto::{Credentials, Setup};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::runtime;
use crate::runtime::cutoff::Cutoff;

/// Makes a new session, and the socket of its server.
async fn session() -> (Session, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let stream = TcpStream::connect(address).await.expect("connect");
    let (server, _) = listener.accept().await.expect("accept");
    let client = Client::new(Setup::new(Credentials::default()), |bytes| bytes.fill(7));
    (Session::new(client, stream.into()), server)
}

/// Sends bytes and waits until they have arrived.
async fn send(server: &TcpStream, session: &Session, count: usize) {
    let before = session.stream.unread();
    server.ready(Interest::WRITABLE).await.expect("alive");
    assert_eq!(server.try_write(&vec![b'x'; count]).expect("there is room"), count);
    while session.stream.unread() < before + count {
        tokio::task::yield_now().await;
    }
}

/// Reads at most `max` bytes, as a turn does.
fn read(session: &mut Session, max: usize) {
    let count = session.stream.try_read(&mut vec![0; max]).expect("something has come");
    session.received += count as u64;
}

/// Reads to the end of the stream.
async fn rest(server: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        server.ready(Interest::READABLE).await.expect("alive");
        match server.try_read_buf(&mut bytes) {
            Ok(0) => return bytes,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => panic!("{error}"),
            _ => {}
        }
    }
}

#[test]
fn a_session_without_channels_is_disconnected_without_waiting_for_the_server() {
    runtime::handle().block_on(async {
        let (session, server) = session().await;
        let expected = session.client.pending().len();
        let mut disconnect = pin!(session.disconnect(Cutoff::default().watch()));
        let polled = disconnect.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
        // The server gets what was pending, DISCONNECT and the end of the stream.
        assert!(rest(&server).await.len() > expected);
    });
}

#[test]
fn a_session_with_a_channel_waits_for_the_server() {
    runtime::handle().block_on(async {
        let (mut session, server) = session().await;
        session.client.open_direct_tcpip("db", 5432, "127.0.0.1", 4000);
        let mut disconnect = pin!(session.disconnect(Cutoff::default().watch()));
        let polled = disconnect.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        rest(&server).await;
        drop(server);
        disconnect.await;
    });
}

#[test]
fn a_timeout_waits_for_input_that_arrived_before_it_only() {
    runtime::handle().block_on(async {
        let (mut session, server) = session().await;
        let mut timeout_gate = TimeoutGate::default();
        assert!(!timeout_gate.opens(false, Some(&session)) && !timeout_gate.yields(false));

        send(&server, &session, 100).await;
        poll_fn(|cx| session.stream.poll_read_ready(cx)).await.expect("alive");
        assert!(!timeout_gate.opens(true, Some(&session)), "something has come");
        assert!(timeout_gate.yields(true), "the runtime polls the sockets at least once");
        assert!(!timeout_gate.yields(true) && timeout_gate.yields(false));
        read(&mut session, 60);
        // Later input does not delay the timeout.
        send(&server, &session, 1000).await;
        assert!(!timeout_gate.opens(true, Some(&session)), "not all of it is read");
        read(&mut session, 40);
        assert!(timeout_gate.opens(true, Some(&session)) && !timeout_gate.is_waiting());
    });
}

#[test]
fn a_timeout_that_is_not_due_any_more_is_dropped() {
    runtime::handle().block_on(async {
        let (session, _server) = session().await;
        let mut timeout_gate = TimeoutGate::default();
        assert!(!timeout_gate.opens(true, Some(&session)) && timeout_gate.yields(false));
        assert!(!timeout_gate.opens(false, Some(&session)), "a reply has arrived");
        assert!(!timeout_gate.opens(true, Some(&session)), "the next one has its turn, too");
        assert!(timeout_gate.yields(false) && timeout_gate.opens(true, None));
    });
}
