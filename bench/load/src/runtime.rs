//! The runtime: one thread, as the machine is shared with what is measured.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;
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
        match end.unwrap_or(Err(Error::Task)) {
            Ok(result) => each(result),
            Err(error) => failures.add(&error),
        }
    }
}
