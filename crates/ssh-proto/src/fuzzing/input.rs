//! The fuzzer's bytes as a sequence of choices.

/// Reads from the front. Missing bytes are zero or empty, so that every input has a meaning, and
/// inputs with a common beginning make the same choices first. The encoding is simple enough to
/// write seeds in.
#[derive(Clone)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Returns a number below `bound`, which is not zero, from the bytes that such numbers need.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let (mut number, mut most) = (0, bound - 1);
        while most > 0 {
            number = number << 8 | usize::from(self.byte());
            most >>= 8;
        }
        number % bound
    }

    /// Returns a length: mostly short, or near the size of a packet or buffer, rarely any.
    pub(crate) fn length(&mut self) -> usize {
        match self.byte() {
            short @ 0..200 => short.into(),
            200..230 => 2000 + self.below(100),
            230..250 => 32_766 + self.below(4),
            250.. => self.below(100_000),
        }
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Returns one of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns as many bytes as a number of two bytes says, or as are left.
    pub(crate) fn chunk(&mut self) -> &'a [u8] {
        let length = self.below(1 << 16).min(self.0.len());
        let (chunk, rest) = self.0.split_at(length);
        self.0 = rest;
        chunk
    }

    /// Returns the same as text.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.chunk()).into_owned()
    }

    /// Returns the remaining bytes.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
