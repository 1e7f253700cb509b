//! Which answer belongs to which request, with servers that answer all of them and with others.

use std::time::Duration;

use super::harness::messages::Part::{Flag, Number, Text};
use super::harness::messages::{build, forwarded_from, global, refuse};
use super::harness::pair::{Pair, Seen, setup};
use super::harness::server::Script;
use crate::message::{
    CHANNEL_OPEN, GLOBAL_REQUEST, REQUEST_FAILURE, REQUEST_SUCCESS, UNIMPLEMENTED,
};
use crate::{ChannelId, ForwardEvent, ForwardId, ListenAddr, OpenFailure, RequestError};

/// As the setup of the tests has it.
const PATIENCE: Duration = Duration::from_secs(8);
const MOMENT: Duration = Duration::from_millis(1);

fn any_port(host: &str) -> ListenAddr {
    ListenAddr::Tcp { host: host.into(), port: 0 }
}

fn about_port(name: &[u8], host: &str, port: u32) -> Vec<u8> {
    build(GLOBAL_REQUEST, &[Text(name), Flag(true), Text(host.as_bytes()), Number(port)])
}

fn asks(host: &str, port: u32) -> Vec<u8> {
    about_port(b"tcpip-forward", host, port)
}

fn stops(host: &str, port: u32) -> Vec<u8> {
    about_port(b"cancel-tcpip-forward", host, port)
}

/// Likewise, without an answer.
fn stops_unasked(host: &str, port: u32) -> Vec<u8> {
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

fn refused(forward: ForwardId, why: RequestError) -> Seen {
    Seen::Forward(forward, ForwardEvent::Failed(why))
}

fn prohibited(remote: u32) -> Vec<u8> {
    refuse(remote, 1, b"not allowed")
}

/// A session whose first question, how long an answer takes, has been answered or not.
fn connected(answered: bool) -> Pair {
    let mut pair = Pair::connected(Script::default());
    if answered {
        pair.say(&[REQUEST_FAILURE]);
    }
    pair
}

fn ask(pair: &mut Pair, host: &str) -> ForwardId {
    let forward = pair.client.request_forward(any_port(host));
    pair.run();
    forward
}

/// Lets time pass, whatever is due meanwhile.
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

/// Somebody connects to this port: the forward that it is for, or the refusal that the server got.
fn connects(pair: &mut Pair, host: &str, port: u32) -> Option<ForwardId> {
    pair.server.take();
    pair.say(&forwarded_from(99, host, port));
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

/// The sequence number of the last message that the server got.
fn last_number(pair: &Pair) -> u32 {
    pair.client.outbound.next_number().sequence - 1
}

#[test]
fn one_request_is_under_way_at_a_time() {
    let mut pair = connected(false);
    let [a, b, c] = ["a", "b", "c"].map(|host| ask(&mut pair, host));
    assert_eq!(pair.server.take(), <[Vec<u8>; 0]>::default(), "the first question has no answer");
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.server.take(), [asks("a", 0)]);
    pair.client.cancel_forward(b);
    pair.say(&granted(1001));
    assert_eq!((pair.take(), pair.server.take()), (vec![listens(a, 1001)], vec![asks("b", 0)]));
    // Nobody wants it any more: it is given up as soon as it is known where it listens.
    pair.say(&granted(1002));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![asks("c", 0)]));
    pair.say(&granted(1003));
    assert_eq!((pair.take(), pair.server.take()), (vec![listens(c, 1003)], vec![stops("b", 1002)]));
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [Seen::Forward(b, ForwardEvent::Cancelled(Ok(())))]);
    pair.say(&granted(1004));
    assert_eq!((pair.take(), pair.error), (vec![], None), "an answer to nothing");
}

#[test]
fn unimplemented_fails_the_request_that_it_names() {
    let mut pair = connected(true);
    let (a, b) = (ask(&mut pair, "a"), ask(&mut pair, "b"));
    pair.say(&build(UNIMPLEMENTED, &[Number(last_number(&pair) - 1)]));
    assert_eq!(pair.take(), [], "it names another message");
    pair.say(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    assert_eq!(pair.take(), [refused(a, RequestError::Unimplemented)]);
    pair.say(&granted(5002));
    assert_eq!(pair.take(), [listens(b, 5002)]);
    assert_eq!(connects(&mut pair, "b", 5002), Some(b));

    // The next time it is the second that fails, and then that it is to stop.
    let (c, d) = (ask(&mut pair, "c"), ask(&mut pair, "d"));
    pair.say(&granted(5003));
    pair.say(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    assert_eq!(pair.take(), [listens(c, 5003), refused(d, RequestError::Unimplemented)]);
    pair.client.cancel_forward(c);
    pair.run();
    pair.say(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    let kept = ForwardEvent::Cancelled(Err(RequestError::Unimplemented));
    assert_eq!(pair.take(), [Seen::Forward(c, kept)]);
    assert_eq!(connects(&mut pair, "c", 5003), None);
    assert_eq!(pair.error, None);
}

/// It names the number of the next message.
#[test]
fn unimplemented_by_tinyssh_is_about_the_message_before() {
    let version = "SSH-2.0-tinyssh_20230101 PQ4Xm7xN";
    let mut pair = Pair::new(setup(), Script { version, ..Script::default() });
    pair.run();
    pair.take();
    let keepalive = last_number(&pair);
    let channel = pair.client.open_direct_tcpip("db", 1, "::1", 1);
    pair.run();
    assert_eq!(last_number(&pair), keepalive + 1);
    pair.say(&build(UNIMPLEMENTED, &[Number(keepalive + 1)]));
    assert_eq!(pair.take(), [], "it is not about the channel");
    pair.say(&refuse(0, 1, b"no"));
    let refusal = Seen::OpenFailed(channel, OpenFailure::AdministrativelyProhibited, "no".into());
    assert_eq!(pair.take(), [refusal]);
    assert_eq!(pair.error, None);
}

/// The numbers of packets start over with new keys.
#[test]
fn unimplemented_names_a_request_after_new_keys_too() {
    for strict in [true, false] {
        let mut pair = Pair::connected(Script { strict, ..Script::default() });
        pair.say(&[REQUEST_FAILURE]);
        for _ in 0..2 {
            pair.server.offer();
            pair.run();
            pair.take();
            let forward = ask(&mut pair, "a");
            let packet = pair.client.outbound.next_number();
            assert_eq!(packet.sequence < 3, strict);
            pair.say(&build(UNIMPLEMENTED, &[Number(packet.sequence - 1)]));
            assert_eq!(pair.take(), [refused(forward, RequestError::Unimplemented)]);
        }
    }
}

#[test]
fn silence_fails_a_request_and_its_late_success_is_cancelled() {
    let mut pair = connected(true);
    let a = ask(&mut pair, "a");
    wait(&mut pair, PATIENCE - MOMENT);
    assert_eq!(pair.take(), []);
    wait(&mut pair, MOMENT);
    assert_eq!(pair.take(), [refused(a, RequestError::TimedOut)]);
    pair.server.take();
    // The answer is its own, not that of the one that was sent meanwhile.
    let b = ask(&mut pair, "b");
    assert_eq!(pair.server.take(), [asks("b", 0)]);
    pair.say(&granted(5001));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![stops_unasked("a", 5001)]));
    assert_eq!(connects(&mut pair, "a", 5001), None);
    assert_eq!(connects(&mut pair, "b", 5001), None);
    pair.say(&granted(5002));
    assert_eq!(pair.take(), [listens(b, 5002)]);
    assert_eq!(connects(&mut pair, "a", 5001), None);
    assert_eq!(connects(&mut pair, "b", 5002), Some(b));
}

/// What looked like a refusal was the answer to the keepalive before.
#[test]
fn a_success_behind_a_refusal_is_cancelled() {
    let mut pair = connected(false);
    let a = ask(&mut pair, "a");
    wait(&mut pair, PATIENCE / 4);
    assert!(pair.server.take().contains(&asks("a", 0)), "keepalives are not answered, it seems");
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [refused(a, RequestError::Denied)]);
    pair.say(&granted(5001));
    assert_eq!((pair.take(), pair.server.take()), (vec![], vec![stops_unasked("a", 5001)]));
    assert_eq!(connects(&mut pair, "a", 5001), None);

    // Likewise where the answer names no port.
    let fixed = || ListenAddr::Tcp { host: "b".into(), port: 80 };
    let b = pair.client.request_forward(fixed());
    pair.run();
    pair.say(&[REQUEST_FAILURE]);
    pair.server.take();
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [refused(b, RequestError::Denied)]);
    assert_eq!(pair.server.take(), [stops_unasked("b", 80)]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.server.take(), Vec::<Vec<u8>>::new(), "once is enough");

    // But nothing is taken from a forward that was granted since, or from a request under way.
    let b = pair.client.request_forward(fixed());
    pair.run();
    pair.say(&[REQUEST_FAILURE]);
    let c = pair.client.request_forward(fixed());
    pair.run();
    pair.server.take();
    pair.say(&[REQUEST_SUCCESS]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [refused(b, RequestError::Denied), listens(c, 80)]);
    assert_eq!(pair.server.take(), Vec::<Vec<u8>>::new());
    assert_eq!(connects(&mut pair, "b", 80), Some(c));
}

/// After a pause of the process nobody has been silent.
#[test]
fn a_pause_does_not_count() {
    let mut pair = connected(true);
    let (a, b) = (ask(&mut pair, "a"), ask(&mut pair, "b"));
    wait(&mut pair, PATIENCE / 2);
    pair.now += PATIENCE * 10;
    pair.client.resumed(pair.now);
    wait(&mut pair, PATIENCE - MOMENT);
    assert_eq!((pair.take(), &pair.error), (vec![], &None));
    pair.say(&granted(5001));
    pair.say(&granted(5002));
    assert_eq!(pair.take(), [listens(a, 5001), listens(b, 5002)]);
}

/// A server that leaves one request out and answers the next: the port is nobody's.
#[test]
fn a_port_never_goes_to_another_forward() {
    let mut pair = connected(true);
    ask(&mut pair, "localhost");
    wait(&mut pair, PATIENCE);
    let b = ask(&mut pair, "localhost");
    pair.take();
    pair.server.take();
    pair.say(&granted(5002));
    assert_eq!(pair.server.take(), [stops_unasked("localhost", 5002)]);
    assert_eq!(connects(&mut pair, "localhost", 5002), None);
    wait(&mut pair, PATIENCE);
    assert_eq!(pair.take(), [refused(b, RequestError::TimedOut)]);
}

/// One that is given up while another is silent is stopped all the same.
#[test]
fn to_stop_is_told_although_the_server_does_not_answer() {
    let mut pair = connected(true);
    let a = ask(&mut pair, "a");
    pair.say(&granted(5001));
    let b = ask(&mut pair, "b");
    pair.client.cancel_forward(a);
    pair.take();
    pair.server.take();
    wait(&mut pair, PATIENCE);
    let ended = ForwardEvent::Cancelled(Err(RequestError::TimedOut));
    assert_eq!(pair.take(), [refused(b, RequestError::TimedOut), Seen::Forward(a, ended)]);
    assert_eq!(pair.server.take(), [stops_unasked("a", 5001)]);
    assert_eq!(connects(&mut pair, "a", 5001), None);
}

/// Those that wait for their turn have no longer than the one whose turn it is.
#[test]
fn all_that_wait_fail_together_unless_the_server_goes_on() {
    let mut pair = connected(true);
    let (a, b) = (ask(&mut pair, "a"), ask(&mut pair, "b"));
    wait(&mut pair, PATIENCE - MOMENT);
    pair.server.take();
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
    let c = ask(&mut pair, "c");
    wait(&mut pair, PATIENCE - MOMENT);
    assert_eq!(pair.take(), []);
    wait(&mut pair, MOMENT);
    assert_eq!(
        pair.take(),
        [refused(b, RequestError::TimedOut), refused(c, RequestError::TimedOut)]
    );
    assert!(!pair.server.take().contains(&asks("c", 0)), "it was never sent");
    pair.say(&granted(5002));
    pair.say(&granted(5003));
    assert_eq!(pair.take(), []);
}

/// It is not counted on after a while, and takes no answer of others then.
#[test]
fn a_server_that_leaves_out_keepalives_shifts_nothing() {
    let mut pair = connected(false);
    for round in 1..4 {
        let (a, b) = (ask(&mut pair, "a"), ask(&mut pair, "b"));
        if round == 1 {
            assert!(!pair.server.take().contains(&asks("a", 0)), "in doubt it waits");
            wait(&mut pair, PATIENCE / 4);
        }
        assert!(pair.server.take().contains(&asks("a", 0)));
        pair.say(&granted(1000 + round));
        pair.say(&[REQUEST_FAILURE]);
        let seen = [listens(a, 1000 + round as u16), refused(b, RequestError::Denied)];
        assert_eq!(pair.take(), seen);
        // It is asked for a sign of life, while others are under way too.
        wait(&mut pair, Duration::from_secs(21));
        let c = ask(&mut pair, "c");
        wait(&mut pair, PATIENCE / 2);
        pair.server.take();
        pair.say(&granted(2000 + round));
        assert_eq!(pair.take(), [listens(c, 2000 + round as u16)]);
        assert_eq!(pair.error, None);
    }
}

/// Whoever gives a forward all the time in the world does not wait for a keepalive as long.
#[test]
fn a_first_keepalive_keeps_nobody_waiting_for_long() {
    let mut setup = setup();
    setup.reply_timeout = Duration::from_secs(3600);
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.take();
    let a = ask(&mut pair, "a");
    assert!(!pair.server.take().contains(&asks("a", 0)));
    wait(&mut pair, Duration::from_secs(5));
    assert!(pair.server.take().contains(&asks("a", 0)));
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}

/// However often it is asked: the first is enough to know.
#[test]
fn keepalives_in_quick_succession_keep_nobody_waiting() {
    let mut setup = setup();
    setup.keepalive = Some(crate::Keepalive { interval: PATIENCE / 10, count_max: 1000 });
    let mut pair = Pair::new(setup, Script::default());
    pair.run();
    pair.take();
    wait(&mut pair, PATIENCE / 8);
    let a = ask(&mut pair, "a");
    assert!(!pair.server.take().contains(&asks("a", 0)));
    wait(&mut pair, PATIENCE / 8);
    assert!(pair.server.take().contains(&asks("a", 0)));
    wait(&mut pair, PATIENCE / 8);
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [refused(a, RequestError::Denied)]);
}

/// A server that answers them is waited for, and the order says whose an answer is.
#[test]
fn a_server_that_answers_keepalives_late_shifts_nothing_either() {
    let mut pair = connected(true);
    wait(&mut pair, Duration::from_secs(10));
    assert_eq!(pair.server.take(), [keepalive()]);
    let a = ask(&mut pair, "a");
    assert_eq!(pair.server.take(), [asks("a", 0)]);
    wait(&mut pair, PATIENCE / 2);
    pair.say(&[REQUEST_FAILURE]);
    assert_eq!(pair.take(), [], "the answer to the keepalive");
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}

/// An answer that a request cannot have is for the next one that can.
#[test]
fn the_form_of_an_answer_tells_whose_it_is() {
    let mut pair = connected(true);
    wait(&mut pair, Duration::from_secs(10));
    let a = ask(&mut pair, "a");
    wait(&mut pair, PATIENCE / 2);
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)], "no keepalive is answered with a port");
    pair.client.cancel_forward(a);
    pair.run();
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [Seen::Forward(a, ForwardEvent::Cancelled(Ok(())))]);
    // Some servers name the port that they were asked for.
    let fixed = pair.client.request_forward(ListenAddr::Tcp { host: "a".into(), port: 80 });
    pair.run();
    pair.say(&granted(80));
    assert_eq!(pair.take(), [listens(fixed, 80)]);
}

/// The same port for two forwards would lead to whichever came first.
#[test]
fn a_port_is_given_once() {
    let mut pair = connected(true);
    let a = ask(&mut pair, "localhost");
    pair.say(&granted(5001));
    let b = ask(&mut pair, "localhost");
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001), refused(b, RequestError::Denied)]);
    assert_eq!(connects(&mut pair, "localhost", 5001), Some(a));
}

/// The port alone says whom a connection is for only where nobody else has, or had, it.
#[test]
fn what_is_given_up_is_for_nobody_although_the_port_belongs_to_another() {
    let mut pair = connected(true);
    let place = |host: &str| ListenAddr::Tcp { host: host.into(), port: 8080 };
    let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|host| pair.client.request_forward(place(host)));
    pair.run();
    pair.say(&[REQUEST_SUCCESS]);
    pair.say(&[REQUEST_SUCCESS]);
    assert_eq!(pair.take(), [listens(a, 8080), listens(b, 8080)]);
    pair.client.cancel_forward(b);
    pair.run();
    assert_eq!(connects(&mut pair, "192.0.2.2", 8080), None);
    assert_eq!(connects(&mut pair, "192.0.2.3", 8080), None);
    pair.say(&[REQUEST_FAILURE]);
    pair.take();
    assert_eq!(connects(&mut pair, "192.0.2.2", 8080), None, "the server goes on listening");
    assert_eq!(connects(&mut pair, "192.0.2.1", 8080), Some(a));

    // Likewise where the server never said whether it listens.
    let c = pair.client.request_forward(place("192.0.2.4"));
    wait(&mut pair, PATIENCE);
    assert_eq!(pair.take(), [refused(c, RequestError::TimedOut)]);
    assert_eq!(connects(&mut pair, "192.0.2.4", 8080), None);
}

#[test]
fn an_open_that_is_not_implemented_has_failed() {
    let mut pair = connected(true);
    let open = |pair: &mut Pair| pair.client.open_direct_tcpip("db", 1, "::1", 1);
    let failed = |channel: ChannelId| {
        let words = "the server does not implement it".to_owned();
        Seen::OpenFailed(channel, OpenFailure::UnknownChannelType, words)
    };
    let first = open(&mut pair);
    let second = pair.client.open_direct_streamlocal("/run/db");
    let abandoned = open(&mut pair);
    pair.client.close(abandoned);
    pair.run();
    let last = last_number(&pair);
    pair.say(&build(UNIMPLEMENTED, &[Number(last - 1)]));
    assert_eq!(pair.take(), [failed(second)]);
    pair.say(&build(UNIMPLEMENTED, &[Number(last)]));
    assert_eq!(pair.take(), [], "nobody waits for it");
    pair.say(&build(UNIMPLEMENTED, &[Number(last - 2)]));
    assert_eq!(pair.take(), [failed(first)]);
    assert!(pair.client.is_idle());
    pair.say(&build(UNIMPLEMENTED, &[Number(last)]));
    assert_eq!((pair.take(), pair.error.take()), (vec![], None));

    // One that had to wait for new keys has its number from then.
    pair.server.offer();
    pair.feed_client();
    let held = open(&mut pair);
    pair.run();
    assert_eq!(pair.server.take().last().unwrap()[0], CHANNEL_OPEN);
    pair.say(&build(UNIMPLEMENTED, &[Number(last_number(&pair))]));
    assert_eq!(pair.take(), [Seen::Rekeyed, failed(held)]);
}

/// A server that does not answer what it is asked about its host keys keeps nobody else waiting.
#[test]
fn host_keys_keep_no_forward_waiting() {
    let mut pair = Pair::new(setup(), Script::default());
    pair.client.request_host_keys(Vec::new());
    pair.run();
    pair.say(&[REQUEST_FAILURE]);
    let key = pair.server.script.host_key.public_blob().to_vec();
    let parts = [Text(b"hostkeys-00@openssh.com"), Flag(false), Text(&key)];
    pair.say(&build(GLOBAL_REQUEST, &parts));
    pair.take();
    let a = ask(&mut pair, "a");
    pair.server.take();
    wait(&mut pair, PATIENCE / 4);
    assert_eq!(pair.server.take(), [asks("a", 0)]);
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}

/// Nothing of it grows, whatever the server does not answer.
#[test]
fn what_is_not_answered_is_bounded() {
    let mut pair = connected(true);
    for _ in 0..300 {
        wait(&mut pair, Duration::from_secs(10));
        pair.inject(&[]);
        pair.say(&global(b"alive", false));
    }
    assert!(pair.server.take().len() > 250);
    assert_eq!(pair.error, None);
    let a = ask(&mut pair, "a");
    wait(&mut pair, PATIENCE / 2);
    pair.say(&granted(5001));
    assert_eq!(pair.take(), [listens(a, 5001)]);
}
