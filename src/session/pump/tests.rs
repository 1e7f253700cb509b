use std::task::Waker;

use ssh_proto::{Credentials, Setup};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::net::linger::Linger;
use crate::runtime;

#[test]
fn what_a_failed_write_leaves_behind_is_dropped() {
    let setup = Setup::new(Credentials { user: "user".into(), ..Credentials::default() });
    let mut client = Client::new(setup, |bytes| bytes.fill(7));
    let channel = client.open_direct_tcpip("host", 80, "127.0.0.1", 4000);
    let mut pump = runtime::handle().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let peer = TcpStream::connect(address).await.expect("connect");
        let (stream, _) = listener.accept().await.expect("accept");
        Linger::HARD.apply(&peer).expect("linger");
        drop(peer);
        stream.readable().await.expect("the reset has arrived");
        Pump::new(stream.into(), channel, Instant::now())
    });

    let ranges = SLICES + 10;
    client.space()[..ranges].fill(1);
    client.received(ranges, Instant::now());
    pump.received = ranges as u64;
    pump.arrived = (0..ranges).map(|at| at..at + 1).collect();
    let cx = &mut Context::from_waker(Waker::noop());
    pump.deliver(&mut client, cx, Instant::now()).expect_err("the peer is gone");
    assert_eq!(pump.dropped, ranges as u64);
    assert!(pump.write_buffer.is_empty() && pump.arrived.is_empty());
}
