//! Limit of open descriptors: connections to a tunnel use up to a share of it, and the application
//! keeps the rest.

#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd};

/// Divisor for the share that the application keeps, and its bounds.
#[cfg(unix)]
const SHARE: u64 = 8;
#[cfg(unix)]
const MIN_RESERVE: u64 = 16;
#[cfg(unix)]
const MAX_RESERVE: u64 = 256;

/// Returns whether the process has few descriptors left. A new descriptor has the lowest free
/// number, so all numbers below that of the newest one are in use.
#[cfg(unix)]
pub(crate) fn are_scarce(newest: &impl AsFd) -> bool {
    let used = newest.as_fd().as_raw_fd().unsigned_abs().into();
    crate::net::sys::max_descriptors().is_some_and(|most| is_near(used, most))
}

/// Returns whether the process has few descriptors left, by opening one.
#[cfg(unix)]
pub(crate) fn are_scarce_now() -> bool {
    use socket2::{Domain, Socket, Type};

    Socket::new(Domain::UNIX, Type::DGRAM, None).map_or(true, |probe| are_scarce(&probe))
}

#[cfg(unix)]
fn is_near(used: u64, most: u64) -> bool {
    used + (most / SHARE).clamp(MIN_RESERVE, MAX_RESERVE) >= most
}

/// Returns `false`: other systems have no such limit.
#[cfg(not(unix))]
pub(crate) fn are_scarce<T>(_: &T) -> bool {
    false
}

/// Returns `false`, as above.
#[cfg(not(unix))]
pub(crate) fn are_scarce_now() -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_application_keeps_some_descriptors() {
        assert!(!is_near(895, 1024) && is_near(896, 1024));
        assert!(!is_near(47, 64) && is_near(48, 64), "at least a few");
        assert!(!is_near(1_000_000 - 257, 1_000_000) && is_near(1_000_000 - 256, 1_000_000));
        assert!(is_near(3, 8), "fewer than are to be left");
    }

    #[test]
    fn this_process_has_some_left() {
        assert!(crate::net::sys::max_descriptors().is_none_or(|most| most > 64));
        assert!(!are_scarce_now());
    }
}
