//! Where a sequence takes its choices from: a seeded generator, or the bytes of a fuzzer.

/// Chooses what happens next.
pub(crate) trait Choices {
    /// A number below `bound`, which is above 0.
    fn below(&mut self, bound: usize) -> usize;

    /// Whether there is nothing left to choose by. The sequence ends then; what it still asks for
    /// is 0.
    fn used_up(&self) -> bool;
}

impl dyn Choices + '_ {
    /// True once in `n` times.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of those.
    pub(super) fn of<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}
