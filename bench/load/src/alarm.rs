//! Waiting until a time, to some 0.1 ms where the system has the means. The runtime's own timers
//! are one to two milliseconds late, which is much of a short line.

use std::io;
use std::time::Instant;

#[cfg(target_os = "linux")]
pub(crate) use linux::Alarm;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Alarm;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::Read;

    use tokio::io::unix::AsyncFd;

    use super::*;
    use crate::sys;

    /// For one wait at a time.
    pub(crate) struct Alarm(AsyncFd<File>);

    impl Alarm {
        pub(crate) fn new() -> io::Result<Self> {
            sys::timer().map(Self)
        }

        /// Returns at once when the time has come already.
        pub(crate) async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sys::set_timer(self.0.get_ref(), left)?;
            loop {
                let mut ready = self.0.readable().await?;
                let rung = ready.try_io(|timer| timer.get_ref().read_exact(&mut [0; 8]));
                if let Ok(result) = rung {
                    return result;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    use tokio::time::sleep_until;

    use super::*;

    /// For one wait at a time.
    pub(crate) struct Alarm;

    impl Alarm {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns at once when the time has come already.
        pub(crate) async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
            if due > Instant::now() {
                sleep_until(due.into()).await;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime;

    #[test]
    fn rings_again_and_again_and_never_early() {
        runtime::run(async {
            let mut alarm = Alarm::new()?;
            alarm.wait_until(Instant::now()).await?;
            for micros in [1, 3000, 100, 2000] {
                let due = Instant::now() + Duration::from_micros(micros);
                alarm.wait_until(due).await?;
                assert!(Instant::now() >= due);
            }
            Ok(())
        })
        .unwrap();
    }
}
