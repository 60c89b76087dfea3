//! What went straight to the sink below, as far as it may come back.

use std::collections::VecDeque;
use std::time::Instant;

use crate::buffer::{Backlog, Marks};
use crate::sink::{HandBack, HandedBack};

/// The marks of messages that the sink below has, which knows their payloads only.
#[derive(Debug, Default)]
pub(in crate::layer) struct Below {
    /// Messages fed to the sink below, without those that it has handed back.
    fed: u64,
    /// How many of them kernels are known to have taken.
    written: u64,
    /// The marks worth remembering, each with the number of its message.
    marks: VecDeque<(u64, Marks)>,
    /// No deadline among those that may come back is earlier.
    earliest: Option<Instant>,
}

impl Below {
    /// A message was fed to the sink below.
    #[inline]
    pub(super) fn passed(&mut self) {
        self.fed += 1;
    }

    /// Remembers the marks of the message that was fed last.
    #[inline]
    pub(super) fn remember(&mut self, marks: Marks) {
        if marks.deadline.is_some() {
            self.earliest = sooner(self.earliest, marks.deadline);
        }
        self.marks.push_back((self.fed, marks));
    }

    /// Whether remembering more takes more memory.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.marks.len() == self.marks.capacity()
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether kernels are known to have taken everything.
    pub(super) fn is_written(&self) -> bool {
        self.fed <= self.written
    }

    pub(in crate::layer) fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// Makes room for twice the marks of what came back last, so that the next look is as far off as
    /// there was to look at.
    pub(super) fn make_room(&mut self, messages: usize) {
        self.marks.reserve((2 * messages).max(64));
    }

    fn find_earliest(&mut self) {
        self.earliest = self.marks.iter().fold(None, |all, (_, one)| sooner(all, one.deadline));
    }

    /// Kernels have taken everything: nothing comes back.
    #[inline]
    pub(super) fn forget(&mut self) {
        self.written = self.fed;
        self.marks.clear();
        self.earliest = None;
    }

    /// Takes back what nobody has seen, before what waits already.
    pub(in crate::layer) fn take_back<S: HandBack>(
        &mut self,
        inner: &mut S,
        backlog: &mut Backlog,
    ) -> Back {
        // Without memory to hold them they are better left where they are.
        if backlog.allocate().is_none() {
            return Back::default();
        }
        let mut count = 0;
        inner.hand_back(&mut |message: HandedBack<'_>| {
            let payload = message.payload();
            let taken = backlog.push(payload, payload.len(), Marks::default());
            count += usize::from(taken.is_some());
        });
        let before = self.fed.saturating_sub(count as u64);
        let (mut number, mut earliest) = (before, None);
        let at = self.marks.partition_point(|(number, _)| *number <= before);
        let mut marks = self.marks.drain(at..).peekable();
        for slot in backlog.last_marks(count) {
            number += 1;
            if let Some((_, remembered)) = marks.next_if(|(of, _)| *of == number) {
                *slot = remembered;
                earliest = sooner(earliest, remembered.deadline);
            }
        }
        drop(marks);
        // Of what stays below, the frame that a connection has begun may come back when that ends.
        let seen = self.marks.len().saturating_sub(1);
        self.marks.drain(..seen);
        self.fed = before;
        self.find_earliest();
        Back { count, first: backlog.move_to_front(count), earliest }
    }
}

/// What came back from below.
#[derive(Debug, Default)]
pub(in crate::layer) struct Back {
    /// How many messages.
    pub(in crate::layer) count: usize,
    /// The number of the first; the others follow.
    pub(in crate::layer) first: u64,
    /// The earliest of their deadlines.
    pub(in crate::layer) earliest: Option<Instant>,
}

/// The earlier of two instants, of which there may be one or none.
pub(in crate::layer) fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
