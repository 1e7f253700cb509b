//! What a computation leaves on the stack.

use std::hint::black_box;

/// Deeper than any function here goes that has a secret on its stack: libraries keep a block of what
/// they digest there, and the state of their ciphers.
const DEPTH: usize = 64 * 1024;

/// Runs `work`, then overwrites the stack that it has used.
#[inline(never)]
pub(super) fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    let outcome = apart(work);
    overwrite();
    outcome
}

/// A frame of its own, below which everything lies that `work` calls.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite() {
    black_box(&mut [0_u8; DEPTH]);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const PATTERN: [u8; 64] = [0xa7; 64];

    /// Leaves the pattern on its stack, below what the caller of the caller uses later.
    #[inline(never)]
    fn leave() {
        let mut room = [0_u8; 16 * 1024];
        room[..4096].fill(black_box(PATTERN[0]));
        black_box(&mut room);
    }

    /// Whether the pattern is in the stack below this frame.
    #[inline(never)]
    fn is_left() -> bool {
        let here = 0_u8;
        let start = (&raw const here).addr() - DEPTH / 2;
        let mut stack = vec![0; DEPTH / 2];
        let memory = File::open("/proc/self/mem").expect("Linux has it");
        memory.read_exact_at(&mut stack, start as u64).expect("the stack is there");
        stack.windows(PATTERN.len()).any(|part| part == PATTERN)
    }

    #[test]
    fn what_is_left_on_the_stack_is_overwritten() {
        let probe = std::thread::spawn(|| {
            apart(leave);
            let before = is_left();
            wiping_stack(leave);
            (before, is_left())
        });
        assert_eq!(probe.join().expect("it does not panic"), (true, false));
    }
}
