//! Limits under a clock of the test: every byte is counted.

use super::*;

const MIB: u64 = 1024 * 1024;

/// A clock that only the test moves.
fn start() -> Instant {
    Instant::now()
}

fn rate(up: u64, now: Instant) -> Arc<Rate> {
    Arc::new(Rate::new(MaxRate { up, down: 0 }, now))
}

fn of_forward(rate: &Arc<Rate>) -> Pace {
    Pace::new(Rates { forward: Some(rate.clone()), ..Rates::default() }, Direction::Up)
}

/// Lets connections that always have something to move do so for a time. Timers fire up to `late` after their
/// time. Returns the bytes of each.
fn run(paces: &mut [Pace], from: Instant, time: Duration, late: Duration) -> Vec<u64> {
    let mut moved = vec![0; paces.len()];
    let mut wakes = vec![from; paces.len()];
    loop {
        let (index, now) = wakes
            .iter()
            .copied()
            .enumerate()
            .min_by_key(|(_, at)| *at)
            .expect("there are connections");
        if now >= from + time {
            return moved;
        }
        match paces[index].take(usize::MAX, now) {
            Ok(bytes) => {
                paces[index].moved(bytes, now);
                moved[index] += bytes as u64;
            }
            Err(at) => {
                assert!(at > now, "nobody waits for what is over");
                wakes[index] = at + late;
            }
        }
    }
}

/// What may move beyond the rate: what was saved up, and the portions that have begun.
fn slack(rate: u64, connections: u64) -> u64 {
    2 * rate * BURST.as_millis() as u64 / 1000 + (connections + 1) * portion(rate)
}

#[test]
fn what_moves_in_a_time_is_what_the_limit_says() {
    for bytes in [1, 100, 5000, 100_000, 7 * MIB, 1000 * MIB] {
        for late in [Duration::ZERO, Duration::from_millis(1)] {
            let now = start();
            let limit = rate(bytes, now);
            let time = Duration::from_secs(10);
            let moved: u64 = run(&mut [of_forward(&limit)], now, time, late).iter().sum();
            let expected = 10 * bytes;
            assert!(moved <= expected + slack(bytes, 1), "{moved} of {expected}, {late:?}");
            assert!(moved + slack(bytes, 1) >= expected, "{moved} of {expected}, {late:?}");
        }
    }
}

#[test]
fn connections_of_one_forward_have_equal_shares() {
    let now = start();
    let limit = rate(MIB, now);
    let mut paces: Vec<_> = (0..7).map(|_| of_forward(&limit)).collect();
    let moved = run(&mut paces, now, Duration::from_secs(20), Duration::from_millis(1));
    let (least, most) = (moved.iter().min().expect("some"), moved.iter().max().expect("some"));
    assert!(most - least <= 2 * portion(MIB), "{moved:?}");
    assert!(moved.iter().sum::<u64>().abs_diff(20 * MIB) <= slack(MIB, 7), "{moved:?}");
}

#[test]
fn the_lowest_limit_counts_and_leaves_the_rest_to_others() {
    let now = start();
    let (tunnel, own) = (rate(MIB, now), rate(MIB / 8, now));
    let both = Rates { tunnel: Some(tunnel.clone()), own: Some(own), ..Rates::default() };
    let other = Rates { tunnel: Some(tunnel), ..Rates::default() };
    let mut paces = [Pace::new(both, Direction::Up), Pace::new(other, Direction::Up)];
    let moved = run(&mut paces, now, Duration::from_secs(20), Duration::ZERO);
    assert!(moved[0].abs_diff(20 * MIB / 8) <= slack(MIB / 8, 1), "{moved:?}");
    assert!(moved[1].abs_diff(20 * MIB * 7 / 8) <= slack(MIB, 2), "{moved:?}");
}

#[test]
fn a_new_limit_counts_at_once() {
    let now = start();
    let limit = rate(10, now);
    let mut paces = [of_forward(&limit)];
    run(&mut paces, now, Duration::from_millis(500), Duration::ZERO);
    let later = now + Duration::from_millis(500);
    assert!(paces[0].take(100, later).is_err());
    limit.set(MaxRate { up: MIB, down: 0 }, later);
    paces[0].ask_again();
    let moved = run(&mut paces, later, Duration::from_secs(10), Duration::ZERO)[0];
    assert!(moved.abs_diff(10 * MIB) <= slack(MIB, 1), "{moved}");
    // Without a limit, everything moves.
    limit.set(MaxRate::default(), later);
    assert!(!paces[0].is_limited());
    paces[0].ask_again();
    assert_eq!(paces[0].take(usize::MAX, later), Ok(usize::MAX));
    paces[0].moved(usize::MAX, later);
    assert_eq!(paces[0].waits_until(later), None);
}

#[test]
fn directions_are_limited_by_themselves() {
    let now = start();
    let rates = Rates { tunnel: Some(rate(1, now)), ..Rates::default() };
    assert!(Pace::new(rates.clone(), Direction::Up).is_limited());
    assert!(!Pace::new(rates, Direction::Down).is_limited());
}

#[test]
fn what_a_connection_does_not_move_is_left_to_others() {
    let now = start();
    let limit = rate(MIB, now);
    let mut quiet: Vec<_> = (0..100).map(|_| of_forward(&limit)).collect();
    for pace in &mut quiet {
        // Each sends a byte, and one of them asks and is gone.
        if pace.take(usize::MAX, now).is_ok() {
            pace.moved(1, now);
        }
    }
    drop(quiet);
    let mut paces = [of_forward(&limit)];
    let moved = run(&mut paces, now, Duration::from_secs(10), Duration::ZERO)[0];
    assert!(moved.abs_diff(10 * MIB) <= slack(MIB, 1) + 100, "{moved}");
}

#[test]
fn saved_time_is_bounded() {
    let now = start();
    let limit = rate(MIB, now);
    let later = now + Duration::from_secs(3600);
    let moved = run(&mut [of_forward(&limit)], later, Duration::from_millis(1), Duration::ZERO)[0];
    assert!(moved <= slack(MIB, 1), "{moved}");
}
