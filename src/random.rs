//! Random bytes.

/// Fills a slice with random bytes from the kernel.
pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random source does not fail once a system runs");
}
