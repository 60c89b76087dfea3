//! Where a sequence takes its choices from: a seeded generator, or the bytes of a fuzzer.

use arbitrary::Unstructured;

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

/// Chooses by bytes, as few as each choice needs, until there are none left.
pub(crate) struct Bytes<'a>(Unstructured<'a>);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }
}

impl Choices for Bytes<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).expect("an answer even without bytes")
    }

    fn used_up(&self) -> bool {
        self.0.is_empty()
    }
}
