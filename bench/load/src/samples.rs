//! Times of single exchanges, every one of them kept: percentiles are exact.

use std::fmt;
use std::time::Duration;

/// Times in nanoseconds, in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<u64>);

impl Samples {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> Microseconds {
        Microseconds(self.0.first().copied().unwrap_or(0))
    }

    pub(crate) fn sort(mut self) -> Sorted {
        self.0.sort_unstable();
        Sorted(self.0)
    }
}

/// The same in rising order.
#[derive(Debug)]
pub(crate) struct Sorted(Vec<u64>);

impl Sorted {
    /// The least sample that is not below `percent` of all (the nearest rank); 0 without samples.
    pub(crate) fn percentile(&self, percent: usize) -> Microseconds {
        let rank = (self.0.len() * percent).div_ceil(100);
        Microseconds(self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0))
    }

    pub(crate) fn max(&self) -> Microseconds {
        self.percentile(100)
    }
}

/// Kept in nanoseconds, shown in microseconds with one decimal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Microseconds(u64);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0 as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: impl Iterator<Item = u64>) -> Samples {
        let mut samples = Samples::default();
        micros.for_each(|time| samples.add(Duration::from_micros(time)));
        samples
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples = of((1..=150).rev());
        samples.append(of(151..=200));
        assert_eq!(samples.first(), Microseconds(150_000));
        assert_eq!(samples.count(), 200);
        let sorted = samples.sort();
        assert_eq!(sorted.percentile(50), Microseconds(100_000));
        assert_eq!(sorted.percentile(99), Microseconds(198_000));
        assert_eq!(sorted.max(), Microseconds(200_000));
    }

    #[test]
    fn few_samples_and_none() {
        let one = of([7].into_iter()).sort();
        assert_eq!((one.percentile(50), one.percentile(99)), (one.max(), one.max()));
        assert_eq!(one.max().to_string(), "7.0");
        let none = Samples::default();
        assert_eq!(none.first(), Microseconds(0));
        assert_eq!(none.sort().max(), Microseconds(0));
    }
}
