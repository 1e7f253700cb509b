//! Which reply belongs to which request, with servers that reply to all of them and with others.

mod keepalives;
mod unimplemented;

use std::time::Duration;

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{build, forwarded_from, global, refuse};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::Script;
use crate::message::{
    CHANNEL_OPEN, GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS, UNIMPLEMENTED,
};
use crate::{ChannelId, ForwardEvent, ForwardId, ListenAddr, OpenFailure, RequestError};

/// The reply timeout of the harness.
const REPLY_TIMEOUT: Duration = Duration::from_secs(8);
const MOMENT: Duration = Duration::from_millis(1);

fn any_port(host: &str) -> ListenAddr {
    ListenAddr::Tcp { host: host.into(), port: 0 }
}

fn about_port(name: &[u8], host: &str, port: u32) -> Vec<u8> {
    build(GLOBAL_REQUEST, &[Text(name), Flag(true), Text(host.as_bytes()), Number(port)])
}

fn listen_request(host: &str, port: u32) -> Vec<u8> {
    about_port(b"tcpip-forward", host, port)
}

fn cancel_request(host: &str, port: u32) -> Vec<u8> {
    about_port(b"cancel-tcpip-forward", host, port)
}

/// Likewise, without a reply.
fn cancel_without_reply(host: &str, port: u32) -> Vec<u8> {
    let name = Text(b"cancel-tcpip-forward");
    build(GLOBAL_REQUEST, &[name, Flag(false), Text(host.as_bytes()), Number(port)])
}

fn keepalive() -> Vec<u8> {
    global(b"keepalive@openssh.com", true)
}

fn granted(port: u32) -> Vec<u8> {
    build(REQUEST_SUCCESS, &[Number(port)])
}

fn listens(forward: ForwardId, port: u16) -> Seen {
    Seen::Forward(forward, ForwardEvent::Listening { port })
}

fn failed(forward: ForwardId, why: RequestError) -> Seen {
    Seen::Forward(forward, ForwardEvent::Failed(why))
}

fn prohibited(remote: u32) -> Vec<u8> {
    refuse(remote, 1, b"not allowed")
}

/// A session whose first request, which measures the round trip, has its reply or not.
fn connected(answered: bool) -> Pair {
    let mut pair = Pair::connected(Script::default());
    if answered {
        pair.deliver(&[REQUEST_FAILURE]);
    }
    pair
}

fn request(pair: &mut Pair, host: &str) -> ForwardId {
    let forward = pair.client.request_forward(any_port(host));
    pair.run();
    forward
}

/// Advances the time, handling every timeout.
fn wait(pair: &mut Pair, time: Duration) {
    let end = pair.now + time;
    loop {
        let due = pair.client.timeout().filter(|due| *due <= end);
        pair.now = due.unwrap_or(end).max(pair.now);
        pair.client.handle_timeout(pair.now).unwrap();
        pair.drain();
        pair.run();
        if due.is_none() {
            return;
        }
    }
}

/// Opens a channel for this port; returns its forward, or `None` if the client has rejected it.
fn opens_channel(pair: &mut Pair, host: &str, port: u32) -> Option<ForwardId> {
    pair.server.take();
    pair.deliver(&forwarded_from(99, host, port));
    match <[Seen; 1]>::try_from(pair.take()) {
        Ok([Seen::Forward(forward, ForwardEvent::InboundChannel { .. })]) => Some(forward),
        Ok(other) => panic!("{other:?}"),
        Err(nothing) => {
            assert!(nothing.is_empty(), "{nothing:?}");
            assert_eq!(pair.server.take(), [prohibited(99)]);
            None
        }
    }
}

/// Returns the sequence number of the client's last message.
fn last_number(pair: &Pair) -> u32 {
    pair.client.outbound.next_number().sequence - 1
}

#[test]
fn one_request_awaits_its_reply_at_a_time() {
    let mut pair = connected(false);
    let [a, b, c] = ["a", "b", "c"].map(|host| request(&mut pair, host));
    assert_eq!(pair.server.take(), <[Vec<u8>; 0]>::default(), "the first question has no answer");
    pair.deliver(&[REQUEST_FAILURE]);
    assert_eq!(pair.server.take(), [listen_request("a", 0)]);
    pair.client.cancel_forward(b);
    pair.deliver(&granted(1001));
    assert_eq!(
        (pair.take(), pair.server.take()),
        (vec![listens(a, 1001)], vec![listen_request("b", 0)])
    );
    // Cancelled meanwhile: the server is stopped once the port is known.
    pair.deliver(&granted(1002));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![listen_request("c", 0)]));
    pair.deliver(&granted(1003));
    assert_eq!(
        (pair.take(), pair.server.take()),
        (vec![listens(c, 1003)], vec![cancel_request("b", 1002)])
    );
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [Seen::Forward(b, ForwardEvent::Cancelled(Ok(())))]);
    pair.deliver(&granted(1004));
    assert_eq!((pair.take(), pair.error), (vec![], None), "an answer to nothing");
}

#[test]
fn a_request_times_out_and_its_late_success_is_cancelled() {
    let mut pair = connected(true);
    let a = request(&mut pair, "a");
    wait(&mut pair, REPLY_TIMEOUT - MOMENT);
    assert_eq!(pair.take(), []);
    wait(&mut pair, MOMENT);
    assert_eq!(pair.take(), [failed(a, RequestError::TimedOut)]);
    pair.server.take();
    // The reply is that of the earlier request, not of the one that was sent meanwhile.
    let b = request(&mut pair, "b");
    assert_eq!(pair.server.take(), [listen_request("b", 0)]);
    pair.deliver(&granted(5001));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![cancel_without_reply("a", 5001)]));
    assert_eq!(opens_channel(&mut pair, "a", 5001), None);
    assert_eq!(opens_channel(&mut pair, "b", 5001), None);
    pair.deliver(&granted(5002));
    assert_eq!(pair.take(), [listens(b, 5002)]);
    assert_eq!(opens_channel(&mut pair, "a", 5001), None);
    assert_eq!(opens_channel(&mut pair, "b", 5002), Some(b));
}

/// After a pause of the process all timeouts start over.
#[test]
fn a_pause_of_the_process_does_not_count() {
    let mut pair = connected(true);
    let (a, b) = (request(&mut pair, "a"), request(&mut pair, "b"));
    wait(&mut pair, REPLY_TIMEOUT / 2);
    pair.now += REPLY_TIMEOUT * 10;
    pair.client.resumed(pair.now);
    wait(&mut pair, REPLY_TIMEOUT - MOMENT);
    assert_eq!((pair.take(), &pair.error), (vec![], &None));
    pair.deliver(&granted(5001));
    pair.deliver(&granted(5002));
    assert_eq!(pair.take(), [listens(a, 5001), listens(b, 5002)]);
}

/// A server that leaves one request out and replies to the next: no forward gets the port.
#[test]
fn a_port_never_goes_to_another_forward() {
    let mut pair = connected(true);
    request(&mut pair, "localhost");
    wait(&mut pair, REPLY_TIMEOUT);
    let b = request(&mut pair, "localhost");
    pair.take();
    pair.server.take();
    pair.deliver(&granted(5002));
    assert_eq!(pair.server.take(), [cancel_without_reply("localhost", 5002)]);
    assert_eq!(opens_channel(&mut pair, "localhost", 5002), None);
    wait(&mut pair, REPLY_TIMEOUT);
    assert_eq!(pair.take(), [failed(b, RequestError::TimedOut)]);
}

/// A forward that is cancelled while another request has no reply is stopped too.
#[test]
fn a_cancel_is_sent_although_the_server_does_not_reply() {
    let mut pair = connected(true);
    let a = request(&mut pair, "a");
    pair.deliver(&granted(5001));
    let b = request(&mut pair, "b");
    pair.client.cancel_forward(a);
    pair.take();
    pair.server.take();
    wait(&mut pair, REPLY_TIMEOUT);
    let ended = ForwardEvent::Cancelled(Err(RequestError::TimedOut));
    assert_eq!(pair.take(), [failed(b, RequestError::TimedOut), Seen::Forward(a, ended)]);
    assert_eq!(pair.server.take(), [cancel_without_reply("a", 5001)]);
    assert_eq!(opens_channel(&mut pair, "a", 5001), None);
}

/// Queued requests time out with the request that they wait for.
#[test]
fn queued_requests_time_out_together_unless_the_server_replies() {
    let mut pair = connected(true);
    let (a, b) = (request(&mut pair, "a"), request(&mut pair, "b"));
    wait(&mut pair, REPLY_TIMEOUT - MOMENT);
    pair.server.take();
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
    let c = request(&mut pair, "c");
    wait(&mut pair, REPLY_TIMEOUT - MOMENT);
    assert_eq!(pair.take(), []);
    wait(&mut pair, MOMENT);
    assert_eq!(pair.take(), [failed(b, RequestError::TimedOut), failed(c, RequestError::TimedOut)]);
    assert!(!pair.server.take().contains(&listen_request("c", 0)), "it was never sent");
    pair.deliver(&granted(5002));
    pair.deliver(&granted(5003));
    assert_eq!(pair.take(), []);
}

/// A reply that a request cannot have is for the next one that can.
#[test]
fn a_reply_goes_to_a_request_that_can_have_it() {
    let mut pair = connected(true);
    wait(&mut pair, Duration::from_secs(10));
    let a = request(&mut pair, "a");
    wait(&mut pair, REPLY_TIMEOUT / 2);
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)], "no keepalive is answered with a port");
    pair.client.cancel_forward(a);
    pair.run();
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [Seen::Forward(a, ForwardEvent::Cancelled(Ok(())))]);
    // Some servers repeat the requested port.
    let fixed = pair.client.request_forward(ListenAddr::Tcp { host: "a".into(), port: 80 });
    pair.run();
    pair.deliver(&granted(80));
    assert_eq!(pair.take(), [listens(fixed, 80)]);
}

/// With the same port for two forwards, channels would go to the wrong one.
#[test]
fn a_port_is_assigned_once() {
    let mut pair = connected(true);
    let a = request(&mut pair, "localhost");
    pair.deliver(&granted(5001));
    let b = request(&mut pair, "localhost");
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001), failed(b, RequestError::NoPort)]);
    assert_eq!(opens_channel(&mut pair, "localhost", 5001), Some(a));
}

/// The port alone decides only where no other forward has, or had, it.
#[test]
fn connections_for_a_cancelled_address_are_rejected_although_another_has_the_port() {
    let mut pair = connected(true);
    let address = |host: &str| ListenAddr::Tcp { host: host.into(), port: 8080 };
    let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|host| pair.client.request_forward(address(host)));
    pair.run();
    pair.deliver(&[REQUEST_SUCCESS]);
    pair.deliver(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [listens(a, 8080), listens(b, 8080)]);
    pair.client.cancel_forward(b);
    pair.run();
    assert_eq!(opens_channel(&mut pair, "192.0.2.2", 8080), None);
    assert_eq!(opens_channel(&mut pair, "192.0.2.3", 8080), None);
    pair.deliver(&[REQUEST_FAILURE]);
    pair.take();
    assert_eq!(opens_channel(&mut pair, "192.0.2.2", 8080), None, "the server goes on listening");
    assert_eq!(opens_channel(&mut pair, "192.0.2.1", 8080), Some(a));

    // Likewise where the server has not replied.
    let c = pair.client.request_forward(address("192.0.2.4"));
    wait(&mut pair, REPLY_TIMEOUT);
    assert_eq!(pair.take(), [failed(c, RequestError::TimedOut)]);
    assert_eq!(opens_channel(&mut pair, "192.0.2.4", 8080), None);
}

/// A server that does not reply to the request for proofs delays no other request.
#[test]
fn host_keys_do_not_delay_forwards() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.client.request_host_keys(Vec::new());
    pair.run();
    pair.deliver(&[REQUEST_FAILURE]);
    let key = pair.server.script.host_key.public_blob().to_vec();
    let parts = [Text(b"hostkeys-00@openssh.com"), Flag(false), Text(&key)];
    pair.deliver(&build(GLOBAL_REQUEST, &parts));
    pair.take();
    let a = request(&mut pair, "a");
    pair.server.take();
    wait(&mut pair, REPLY_TIMEOUT / 4);
    assert_eq!(pair.server.take(), [listen_request("a", 0)]);
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}

/// Nothing grows, whatever the server does not reply to.
#[test]
fn unanswered_keepalives_are_bounded() {
    let mut pair = connected(true);
    for _ in 0..300 {
        wait(&mut pair, Duration::from_secs(10));
        pair.inject(&[]);
        pair.deliver(&global(b"alive", false));
    }
    assert!(pair.server.take().len() > 250);
    assert_eq!(pair.error, None);
    let a = request(&mut pair, "a");
    wait(&mut pair, REPLY_TIMEOUT / 2);
    pair.deliver(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}
