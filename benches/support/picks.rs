//! Two buffers written by hand, each message in one of them: by turns, by its key, or in the one
//! that has less.

#![allow(unsafe_code, reason = "the twin that shows what unsafe code can reach at most")]

use std::io;

use super::{Best, Flush, Outlets, TryFeed, spin};

/// Two buffers, each written to an outlet of its own. A message goes into one.
#[derive(Debug)]
pub(crate) struct Picks<A, B, C> {
    one: Best<A>,
    other: Best<B>,
    choice: C,
}

/// Chooses a buffer by how much each of them has.
pub(crate) trait Choose {
    /// Whether it is the other one.
    fn other(&mut self, one: impl FnOnce() -> usize, other: impl FnOnce() -> usize) -> bool;

    /// The message was accepted.
    fn accepted(&mut self);
}

/// One after the other.
#[derive(Debug, Default)]
pub(crate) struct Turns(bool);

/// By the key of the message, which is the next number.
#[derive(Debug, Default)]
pub(crate) struct ByKey(u64);

/// Whichever has less.
#[derive(Debug, Default)]
pub(crate) struct Lesser;

impl Choose for Turns {
    #[inline(always)]
    fn other(&mut self, _: impl FnOnce() -> usize, _: impl FnOnce() -> usize) -> bool {
        self.0
    }

    #[inline(always)]
    fn accepted(&mut self) {
        self.0 = !self.0;
    }
}

impl Choose for ByKey {
    #[inline(always)]
    fn other(&mut self, _: impl FnOnce() -> usize, _: impl FnOnce() -> usize) -> bool {
        self.0 += 1;
        self.0 % 2 == 1
    }

    #[inline(always)]
    fn accepted(&mut self) {}
}

impl Choose for Lesser {
    #[inline(always)]
    fn other(&mut self, one: impl FnOnce() -> usize, other: impl FnOnce() -> usize) -> bool {
        other() < one()
    }

    #[inline(always)]
    fn accepted(&mut self) {}
}

impl<A, B, C: Choose + Default> Picks<A, B, C> {
    pub(crate) fn new(capacity: usize, (one, other): (A, B)) -> Self {
        let (one, other) = (Best::new(capacity, one), Best::new(capacity, other));
        Self { one, other, choice: C::default() }
    }

    #[inline(always)]
    fn append(&mut self, msg: &[u8]) -> bool {
        let Self { one, other, choice } = self;
        let appended = if choice.other(|| one.len(), || other.len()) {
            other.append(msg)
        } else {
            one.append(msg)
        };
        if appended {
            choice.accepted();
        }
        appended
    }
}

impl<A: Outlets, B: Outlets, C> Flush for Picks<A, B, C> {
    type Error = io::Error;

    #[inline]
    async fn flush(&mut self) -> io::Result<()> {
        self.one.flush().await?;
        self.other.flush().await
    }
}

impl<A: Outlets, B: Outlets, C: Choose + Default> TryFeed<[u8]> for Picks<A, B, C> {
    #[inline(always)]
    fn try_feed(&mut self, msg: &[u8]) -> bool {
        self.append(msg)
    }

    #[cold]
    #[inline(never)]
    fn refused(&mut self, msg: &[u8]) {
        spin(self.flush()).expect("the receivers read");
        assert!(self.append(msg));
    }
}
