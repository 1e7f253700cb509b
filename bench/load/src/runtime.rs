//! The runtime: one thread, as the machine is shared with what is measured.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::error::{Error, Failures};

/// Seconds until an exchange without an end is a failure, unless told otherwise.
pub(crate) const PATIENCE: u64 = 60;

/// Runs a command to its end.
pub(crate) fn run<T>(command: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Puts an end to an exchange that has none.
pub(crate) async fn within<T>(
    seconds: u64,
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let end = timeout(Duration::from_secs(seconds), exchange).await;
    end.unwrap_or(Err(Error::Timeout(seconds)))
}

/// Waits for all tasks, and counts those that failed.
pub(crate) async fn gather<T: 'static>(
    mut tasks: JoinSet<Result<T, Error>>,
    failures: &mut Failures,
    mut each: impl FnMut(T),
) {
    while let Some(end) = tasks.join_next().await {
        settle(end, failures, &mut each);
    }
}

/// Does the same thing so many times, some of them at once, and counts those that failed.
pub(crate) async fn repeat<T: Send + 'static, F>(
    count: usize,
    at_once: usize,
    exchange: impl Fn() -> F,
    failures: &mut Failures,
    mut each: impl FnMut(T),
) where
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        if tasks.len() >= at_once
            && let Some(end) = tasks.join_next().await
        {
            settle(end, failures, &mut each);
        }
        tasks.spawn(exchange());
    }
    gather(tasks, failures, each).await;
}

fn settle<T>(
    end: Result<Result<T, Error>, JoinError>,
    failures: &mut Failures,
    each: &mut impl FnMut(T),
) {
    match end.unwrap_or(Err(Error::Task)) {
        Ok(result) => each(result),
        Err(error) => failures.add(&error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn repeats_so_often_and_counts_failures_apart() {
        run(async {
            let (calls, mut done) = (Cell::new(0), 0);
            let mut failures = Failures::default();
            let exchange = || {
                calls.set(calls.get() + 1);
                let call = calls.get();
                async move { if call % 5 == 0 { Err(Error::Task) } else { Ok(call) } }
            };
            repeat(100, 7, exchange, &mut failures, |_| done += 1).await;
            assert_eq!((calls.get(), done, failures.count()), (100, 80, 20));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_has_no_end_is_given_one() {
        let end = run(within(0, std::future::pending::<Result<(), Error>>()));
        assert!(matches!(end, Err(Error::Timeout(0))));
    }
}
