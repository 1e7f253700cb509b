//! Receive windows over paths with known properties, in virtual time.

use super::*;

const MIB: u64 = 1 << 20;
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A path that carries `pace` bytes a second, and an application that reads at once.
struct Path {
    now: Instant,
    budget: WindowBudget,
    window: ReceiveWindow,
    round_trip: Duration,
    pace: u64,
}

impl Path {
    fn new(windows: Windows, round_trip: Duration, pace: u64) -> Self {
        let mut budget = WindowBudget::new(windows);
        let window = budget.open(u32::MAX);
        Self { now: Instant::now(), budget, window, round_trip, pace }
    }

    /// Moves data for `time`: in each step as much as the path carries, and at most a window in a
    /// round trip.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let bound = scale(self.window.size.into(), Duration::from_secs(1), self.round_trip);
            let portion = self.window.size / PORTIONS;
            self.now += Duration::from_secs_f64(f64::from(portion) / self.pace.min(bound) as f64);
            self.step(portion);
        }
    }

    /// Receives and delivers `count` bytes; the window never exceeds its size.
    fn step(&mut self, count: u32) {
        self.window.received(count).expect("within the window");
        self.window.consumed(count, self.now);
        let credit = self.window.credit(self.now, Some(self.round_trip), 0, &mut self.budget);
        assert_ne!(credit, Some(0));
        let ReceiveWindow { size, remaining, consumed, .. } = self.window;
        assert_eq!(remaining + consumed, size);
        assert_eq!(self.budget.reserved, u64::from(size));
    }

    fn size(&self) -> u64 {
        self.window.size.into()
    }
}

#[test]
fn grows_to_the_product_of_a_long_path() {
    let windows = Windows { limit: 64 << 20, ..Windows::default() };
    let mut path = Path::new(windows, ROUND_TRIP, 60 * MIB);
    path.run(ROUND_TRIP * 20);
    assert_eq!(path.size(), 16 * MIB, "6 MiB are under way");
    path.run(ROUND_TRIP * 1000);
    assert_eq!(path.size(), 16 * MIB);
}

#[test]
fn grows_up_to_its_limit() {
    for limit in [3 << 20, 16 << 20, 1 << 30] {
        let mut path = Path::new(Windows { limit, memory: 1 << 30 }, ROUND_TRIP, u64::MAX);
        path.run(ROUND_TRIP * 60);
        assert_eq!(path.size(), limit.into());
    }
    let mut path = Path::new(Windows { limit: 1 << 20, memory: 1 << 30 }, ROUND_TRIP, u64::MAX);
    path.run(ROUND_TRIP * 60);
    assert_eq!(path.size(), MIB, "a limit below the usual window is that window");
}

#[test]
fn grows_within_the_memory() {
    let mut path = Path::new(Windows { limit: 16 << 20, memory: 5 << 20 }, ROUND_TRIP, u64::MAX);
    path.run(ROUND_TRIP * 60);
    assert_eq!(path.size(), 5 * MIB);
}

/// 2 MiB in a round trip of 0.1 ms would be 20 GiB/s.
#[test]
fn does_not_grow_on_a_short_path() {
    let mut path = Path::new(Windows::default(), Duration::from_micros(100), 4096 * MIB);
    path.run(Duration::from_secs(2));
    assert_eq!(path.size(), 2 * MIB);
}

/// Behind a queue of our own data every reply takes as long as the whole window: the product fills
/// any window.
#[test]
fn growth_without_effect_ends() {
    let mut path = Path::new(Windows::default(), ROUND_TRIP, 10 * MIB);
    for _ in 0..200 {
        path.round_trip = Duration::from_secs_f64(path.size() as f64 / path.pace as f64);
        path.run(path.round_trip * 2);
    }
    assert_eq!(path.size(), 4 * MIB);
    // But not for ever: a faster path is used.
    (path.round_trip, path.pace) = (ROUND_TRIP, 200 * MIB);
    path.run(ROUND_TRIP * 40);
    assert_eq!(path.size(), 16 * MIB);
}

#[test]
fn does_not_grow_without_a_round_trip() {
    let mut path = Path::new(Windows::default(), ROUND_TRIP, u64::MAX);
    for _ in 0..1000 {
        path.now += ROUND_TRIP;
        let portion = path.window.size / PORTIONS;
        path.window.received(portion).expect("within the window");
        path.window.consumed(portion, path.now);
        assert_eq!(path.window.credit(path.now, None, 0, &mut path.budget), Some(portion));
    }
    assert_eq!(path.size(), 2 * MIB);
}

#[test]
fn shrinks_after_many_slow_epochs() {
    let mut path = Path::new(Windows::default(), ROUND_TRIP, u64::MAX);
    path.run(ROUND_TRIP * 40);
    assert_eq!(path.size(), 16 * MIB);
    // A pause is no reason to shrink.
    path.now += Duration::from_secs(60);
    path.run(ROUND_TRIP * 40);
    assert_eq!(path.size(), 16 * MIB);
    path.pace = MIB;
    path.run(Duration::from_secs(2 * u64::from(SLOW_EPOCHS) - 2));
    assert_eq!(path.size(), 16 * MIB);
    path.run(Duration::from_secs(120));
    assert_eq!((path.size(), path.budget.reserved), (2 * MIB, 2 * MIB));
    // It grows again, at any pace that it grew at before.
    path.pace = u64::MAX;
    path.run(ROUND_TRIP * 40);
    assert_eq!(path.size(), 16 * MIB);
}

/// What has piled up is delivered faster than it arrived, which says nothing about the path.
#[test]
fn a_paused_application_is_not_taken_for_a_fast_path() {
    let mut path = Path::new(Windows::default(), ROUND_TRIP, u64::MAX);
    path.run(ROUND_TRIP / 2);
    path.now += Duration::from_secs(1);
    path.step(path.window.remaining);
    // The next epoch sees two windows in one round trip, and the path is as fast as before.
    path.step(path.window.remaining);
    path.now += ROUND_TRIP;
    path.step(path.window.remaining);
    path.run(ROUND_TRIP * 40);
    assert_eq!(path.size(), 16 * MIB);
}

/// Without delivery there is no credit, and slow delivery makes nothing grow.
#[test]
fn a_stalled_application_costs_one_window() {
    let mut path = Path::new(Windows::default(), ROUND_TRIP, u64::MAX);
    path.window.received(INITIAL_WINDOW).expect("within the window");
    assert_eq!(path.window.received(1), None, "that was all");
    for _ in 0..1000 {
        path.now += ROUND_TRIP;
        path.window.consumed(16 * 1024, path.now);
        let credit = path.window.credit(path.now, Some(ROUND_TRIP), 0, &mut path.budget);
        path.window.received(credit.unwrap_or(0)).expect("within the window");
    }
    assert_eq!(path.size(), 2 * MIB);
}

#[test]
fn a_new_channel_gets_the_minimum_without_memory() {
    let mut budget = WindowBudget::new(Windows { limit: 16 << 20, memory: 5 << 20 });
    let windows: Vec<_> = (0..4).map(|_| budget.open(u32::MAX)).collect();
    assert_eq!(
        windows.iter().map(|window| window.size).collect::<Vec<_>>(),
        [INITIAL_WINDOW, INITIAL_WINDOW, MIN_WINDOW, MIN_WINDOW]
    );
    assert_eq!(budget.reserved, 4 * MIB + 256 * 1024);
    for window in &windows {
        budget.close(window);
    }
    assert_eq!((budget.reserved, budget.open(u32::MAX).size), (0, INITIAL_WINDOW));
}

/// A channel with the minimum window gets more once there is memory.
#[test]
fn the_minimum_window_grows_too() {
    let mut path = Path::new(Windows { limit: 16 << 20, memory: 0 }, ROUND_TRIP, u64::MAX);
    path.run(ROUND_TRIP * 20);
    assert_eq!(path.window.size, MIN_WINDOW);
    path.budget.windows.memory = 1 << 30;
    path.run(ROUND_TRIP * 60);
    assert_eq!(path.size(), 16 * MIB);
}

#[test]
fn limits_are_sane_whatever_is_asked_for() {
    let mut budget = WindowBudget::new(Windows { limit: 0, memory: 0 });
    assert_eq!(budget.open(u32::MAX).size, MIN_WINDOW);
    let budget = WindowBudget::new(Windows { limit: u32::MAX, memory: u64::MAX });
    assert_eq!(budget.growth(MAX_WINDOW), 0);
    assert_eq!(budget.growth(MAX_WINDOW - 1), 1);
}

/// Evaluates an epoch of one round trip with this many bytes.
fn trend(window: &mut ReceiveWindow, bytes: u64) -> Trend {
    let since = Instant::now();
    window.epoch = Some(Epoch { since, bytes });
    window.trend(since + ROUND_TRIP, ROUND_TRIP, 0)
}

#[test]
fn the_limits_of_a_trend_are_exact() {
    let window = || WindowBudget::new(Windows::default()).open(u32::MAX);
    let size = u64::from(INITIAL_WINDOW);
    assert_eq!(trend(&mut window(), size / 2 - 1), Trend::Keep);
    assert_eq!(trend(&mut window(), size / 2), Trend::Grow(size / 2 * 10));

    let mut slow = window();
    trend(&mut slow, size / 8 - 1);
    assert_eq!(slow.slow, 1);
    trend(&mut slow, size / 8);
    assert_eq!(slow.slow, 0);

    // A quarter more than before.
    let mut paced = ReceiveWindow { pace: size * 8, ..window() };
    assert_eq!(trend(&mut paced, size - 1), Trend::Keep);
    assert_eq!(trend(&mut paced, size), Trend::Grow(size * 10));
}

/// Credit beyond the limit is withheld, never taken back, and all of it is given afterwards.
#[test]
fn a_limited_window_is_worth_its_limit() {
    const LIMIT: u32 = 64 * 1024;
    let mut path = Path::new(Windows::default(), ROUND_TRIP, MIB);
    let receive = |path: &mut Path, count: u32| {
        path.window.received(count).expect("within the window");
        path.window.consumed(count, path.now);
    };
    receive(&mut path, INITIAL_WINDOW - LIMIT);
    assert_eq!(path.window.limited_credit(LIMIT), None, "as much is still in flight");
    for _ in 0..100 {
        receive(&mut path, LIMIT / 4 - 1);
        assert_eq!(path.window.limited_credit(LIMIT), None, "it comes in portions");
        receive(&mut path, 1);
        assert_eq!(path.window.limited_credit(LIMIT), Some(LIMIT / 4));
        assert_eq!(path.window.remaining(), LIMIT);
    }
    assert_eq!(path.window.limited_credit(2 * LIMIT), Some(LIMIT), "the limit is higher");
    // What the application has not taken is in flight, too.
    path.window.received(2 * LIMIT).expect("within the window");
    assert_eq!(path.window.limited_credit(2 * LIMIT), None);
    path.window.consumed(2 * LIMIT, path.now);
    assert_eq!(path.window.limited_credit(2 * LIMIT), Some(2 * LIMIT));
    let rest = path.window.credit(path.now, Some(ROUND_TRIP), 0, &mut path.budget);
    assert_eq!((rest, path.window.remaining()), (Some(INITIAL_WINDOW - 2 * LIMIT), INITIAL_WINDOW));
}

#[test]
fn a_limited_window_never_stands_still() {
    for limit in [1, 2, 3, 5, 4096, INITIAL_WINDOW, u32::MAX] {
        let mut path = Path::new(Windows::default(), ROUND_TRIP, MIB);
        let mut left = path.window.remaining();
        for _ in 0..100 {
            path.window.received(left).expect("within the window");
            path.window.consumed(left, path.now);
            left = path.window.limited_credit(limit).expect("nothing is in flight");
        }
        assert_eq!(left, limit.min(INITIAL_WINDOW));
    }
}

#[test]
fn a_new_window_may_be_limited() {
    let mut budget = WindowBudget::new(Windows::default());
    let mut window = budget.open(100_000);
    assert_eq!((window.remaining(), window.limited_credit(100_000)), (100_000, None));
    let rest = window.credit(Instant::now(), Some(ROUND_TRIP), 0, &mut budget);
    assert_eq!(rest, Some(INITIAL_WINDOW - 100_000));
}

/// Windows that share a path have equal parts of it, whatever their age.
#[test]
fn a_window_that_its_data_fills_becomes_as_large_as_others() {
    let mut path = Path::new(Windows::default(), ROUND_TRIP, 4 * MIB);
    let credit = |path: &mut Path, count: u32| {
        path.window.received(count).expect("within the window");
        path.window.consumed(count, path.now);
        path.now += ROUND_TRIP;
        path.window.credit(path.now, Some(ROUND_TRIP), 16 << 20, &mut path.budget)
    };
    credit(&mut path, INITIAL_WINDOW / 8);
    assert_eq!(credit(&mut path, INITIAL_WINDOW / 8), Some(INITIAL_WINDOW / 8 + INITIAL_WINDOW));
    assert_eq!((path.size(), path.window.filled_size()), (4 * MIB, 4 << 20));
    assert_eq!(credit(&mut path, 500 * 1024), None, "its data does not fill it yet");
    assert_eq!(path.size(), 4 * MIB);
}
