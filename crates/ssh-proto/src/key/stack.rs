//! Wiping of the stack after computations with secrets.

use std::hint::black_box;

/// More than the depth of any function with a secret on its stack: libraries keep blocks of their
/// input and the state of ciphers there.
const DEPTH: usize = 64 * 1024;

/// Runs `work`, then overwrites the stack that it has used.
#[inline(never)]
pub(super) fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    let outcome = apart(work);
    overwrite();
    outcome
}

/// Runs `work` in a frame of its own.
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

    /// Leaves the pattern on the stack, below the frames that the test uses later.
    #[inline(never)]
    fn leave() {
        let mut room = [0_u8; 16 * 1024];
        room[..4096].fill(black_box(PATTERN[0]));
        black_box(&mut room);
    }

    /// Returns whether the pattern is on the stack below this frame.
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
    fn the_used_stack_is_overwritten() {
        let probe = std::thread::spawn(|| {
            apart(leave);
            let before = is_left();
            wiping_stack(leave);
            (before, is_left())
        });
        assert_eq!(probe.join().expect("it does not panic"), (true, false));
    }
}
