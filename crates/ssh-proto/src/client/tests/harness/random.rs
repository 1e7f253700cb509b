//! Seeded randomness, or the choices of the fuzzer in its place.

use crate::fuzzing::Input;

/// A source of choices.
pub(crate) trait Choices {
    /// Returns a number below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize;

    /// Returns true once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Returns an amount of data from 1 to `max`.
    fn amount(&mut self, max: usize) -> usize {
        1 + self.below(max)
    }
}

impl Choices for Random {
    fn below(&mut self, bound: usize) -> usize {
        Random::below(self, bound)
    }
}

/// The fuzzer chooses.
impl Choices for Input<'_> {
    fn below(&mut self, bound: usize) -> usize {
        Input::below(self, bound)
    }

    /// Large amounts take time, and find no more than small ones.
    fn amount(&mut self, max: usize) -> usize {
        self.length().clamp(1, max)
    }
}

/// The SplitMix64 generator: small, and good enough to shuffle.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Returns true once in `n` times.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }
}
