use super::*;
use crate::connection::receive_window::INITIAL_WINDOW;
use crate::message::OpenFailure;

/// The credit that is given at a time.
const CREDIT: u32 = INITIAL_WINDOW / 8;

fn channels() -> Channels {
    Channels::new(Windows::default())
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn with<T>(values: &[u32], read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
    read(&mut Reader::new(&numbers(values)))
}

fn opened() -> (Channels, ChannelId) {
    let mut channels = channels();
    let (id, _) = channels.open("host", 80, "127.0.0.1", 4000);
    let answer = with(&[0, 77, 1000, 500], |reader| channels.confirmed(reader));
    assert_eq!(answer, Ok((id, Confirmation::Opened)));
    (channels, id)
}

fn data(channels: &mut Channels, length: usize) -> Result<(ChannelId, usize), Error> {
    let mut payload = numbers(&[0, length as u32]);
    payload.extend(vec![0; length]);
    channels.data(&mut Reader::new(&payload), false)
}

#[test]
fn credit_is_given_only_for_delivered_data() {
    let (mut channels, id) = opened();
    for _ in 0..INITIAL_WINDOW / 32_768 {
        data(&mut channels, 32_768).expect("within the window");
    }
    assert!(matches!(data(&mut channels, 1), Err(Error::Protocol(_))), "the window is used up");
    let now = Instant::now();
    assert_eq!(channels.consumed(id, CREDIT as usize - 1, now, None), None);
    let credit = channels.consumed(id, 1, now, None).expect("a portion is due");
    assert_eq!(credit[5..9], CREDIT.to_be_bytes());
    data(&mut channels, 32_768).expect("there is credit again");
}

#[test]
fn a_number_is_free_only_after_both_have_closed() {
    let (mut channels, id) = opened();
    assert!(channels.close(id).is_some());
    assert!(channels.close(id).is_none(), "CLOSE is said once");
    assert_eq!(data(&mut channels, 3), Ok((id, 3)), "the server has not closed yet");
    let (other, _) = channels.open("host", 80, "127.0.0.1", 4001);
    assert_ne!(other, id);
    assert_eq!(with(&[0], |reader| channels.close_received(reader)), Ok(id));
    let (again, _) = channels.open("host", 80, "127.0.0.1", 4002);
    assert_eq!(again.index(), id.index());
    // Commands about the earlier channel have no effect.
    assert_ne!(again, id);
    assert_eq!((channels.close(id), channels.eof(id), channels.reject(id)), (None, None, None));
}

#[test]
fn a_confirmation_of_an_abandoned_channel_gets_close() {
    let mut channels = channels();
    let (id, _) = channels.open("host", 80, "127.0.0.1", 4000);
    assert_eq!(channels.close(id), None);
    let answer = with(&[0, 77, 1000, 500], |reader| channels.confirmed(reader));
    assert_eq!(answer, Ok((id, Confirmation::Abandoned(channel_message(CHANNEL_CLOSE, 77)))));
    assert_eq!(channels.len(), 1);
    assert_eq!(with(&[0], |reader| channels.close_received(reader)), Ok(id));
    assert_eq!(channels.len(), 0);
}

#[test]
fn a_failed_open_frees_the_number() {
    let mut channels = channels();
    let (id, _) = channels.open("host", 80, "127.0.0.1", 4000);
    let answer = with(&[0, 2], |reader| channels.open_failed(reader));
    assert_eq!(answer, Ok((id, Some(OpenFailure::ConnectFailed))));
    assert_eq!(channels.len(), 0);
}

#[test]
fn invalid_messages_are_refused() {
    let (mut channels, id) = opened();
    assert!(with(&[9], |reader| channels.close_received(reader)).is_err(), "no such channel");
    assert!(with(&[0, 77, 1, 1], |reader| channels.confirmed(reader)).is_err(), "twice");
    assert!(
        with(&[0, u32::MAX], |reader| channels.window_adjusted(reader, Instant::now())).is_err(),
        "overflow"
    );
    assert_eq!(with(&[0], |reader| channels.eof_received(reader)), Ok(id));
    assert!(data(&mut channels, 1).is_err(), "data after EOF");
    assert_eq!(with(&[0], |reader| channels.close_received(reader)), Ok(id));
    assert!(with(&[0], |reader| channels.close_received(reader)).is_err(), "closed twice");
}

#[test]
fn the_servers_window_bounds_what_is_sent() {
    let (mut channels, id) = opened();
    let limits = |window| Some(SendLimits { remote: 77, max_packet: 500, window });
    assert_eq!(channels.send_limits(id), limits(1000));
    channels.sent(id, 1000);
    assert_eq!(channels.send_limits(id), limits(0));
    assert_eq!(
        with(&[0, 10], |reader| channels.window_adjusted(reader, Instant::now())),
        Ok((id, true))
    );
    assert!(channels.eof(id).is_some());
    assert_eq!(channels.send_limits(id), None);
    assert!(channels.eof(id).is_none(), "EOF is said once");
}

/// A channel with a window of 1 MiB, while another one asks, which is returned too. The server has read
/// 100,000 bytes in 10 ms, which is the round trip.
fn paced(now: Instant) -> (Channels, ChannelId, ChannelId) {
    let mut channels = channels();
    let (id, _) = channels.open("host", 80, "127.0.0.1", 4000);
    with(&[0, 77, 1 << 20, 500], |reader| channels.confirmed(reader)).expect("it was requested");
    channels.sent(id, 100_000);
    for (credit, delay) in [(40_000, 0), (60_000, 10)] {
        let now = now + Duration::from_millis(delay);
        let adjusted = with(&[0, credit], |reader| channels.window_adjusted(reader, now));
        assert_eq!(adjusted, Ok((id, false)), "it was not waiting");
    }
    let (asker, _) = channels.open("host", 80, "127.0.0.1", 4000);
    with(&[1, 78, 1 << 20, 500], |reader| channels.confirmed(reader)).expect("it was requested");
    channels.asked(asker, now, ROUND_TRIP);
    channels.pacing().measured(now);
    (channels, id, asker)
}

const ROUND_TRIP: Option<Duration> = Some(Duration::from_millis(10));
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn small_messages_limit_the_data_in_flight() {
    let now = Instant::now();
    let (mut channels, id, asker) = paced(now);
    // The product, some slack, and a portion of credit.
    let limit = 100_000 + 16 * 1024 + 128 * 1024;
    assert_eq!(channels.paced_window(id, now, ROUND_TRIP), limit);
    assert_eq!(channels.paced_window(asker, now, ROUND_TRIP), 1 << 20, "nobody else asks");
    channels.sent(id, 100_000);
    assert_eq!(channels.paced_window(id, now, ROUND_TRIP), limit - 100_000);
    channels.sent(id, limit - 100_000);
    assert_eq!(channels.paced_window(id, now, ROUND_TRIP), 0);
    assert!(channels.send_limits(id).is_some_and(|limits| limits.window > 0));
    assert_eq!(channels.release_due(), None);
    channels.hold(id, now, ROUND_TRIP);
    assert_eq!(channels.release_due(), Some(now + Duration::from_millis(1540)));
    let adjusted = with(&[0, 5000], |reader| channels.window_adjusted(reader, now));
    assert_eq!(adjusted, Ok((id, true)), "it was held");
    assert_eq!(channels.paced_window(id, now, ROUND_TRIP), 5000);
    channels.eof(id);
    assert_eq!(channels.paced_window(id, now, ROUND_TRIP), 0);
}

#[test]
fn a_channel_is_released_when_nobody_asks_any_more() {
    let now = Instant::now();
    let (mut channels, id, asker) = paced(now);
    channels.arrived(asker, 10, now, ROUND_TRIP);
    let last = now + SECOND * 9;
    channels.sent(id, 500_000);
    channels.hold(id, last, ROUND_TRIP);
    assert_eq!(channels.release_due(), Some(now + SECOND * 10));
    assert!(channels.release(last).is_empty() && channels.restrains(id, last));
    let end = now + SECOND * 10;
    assert_eq!(channels.release(end), [id]);
    assert_eq!(channels.paced_window(id, end, ROUND_TRIP), (1 << 20) - 500_000);
}

#[test]
fn a_used_up_window_is_not_held_by_pacing() {
    let now = Instant::now();
    let (mut channels, id, _) = paced(now);
    channels.sent(id, 1 << 20);
    channels.hold(id, now, ROUND_TRIP);
    assert_eq!(channels.release_due(), None);
    let (opening, _) = channels.open("host", 80, "127.0.0.1", 4000);
    channels.hold(opening, now, ROUND_TRIP);
    assert_eq!(channels.release_due(), None);
}

/// A request of a channel that is closed is over.
#[test]
fn an_answer_that_cannot_come_is_not_awaited() {
    let now = Instant::now();
    let (mut channels, id, asker) = paced(now);
    assert!(channels.restrains(id, now + SECOND * 20), "an answer is missing");
    channels.close(asker);
    with(&[1], |reader| channels.close_received(reader)).expect("it was open");
    assert!(channels.restrains(id, now + SECOND * 9));
    assert!(!channels.restrains(id, now + SECOND * 10));
}
