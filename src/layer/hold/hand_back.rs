//! Handing back what waits here and below, to a composite above.

use crate::layer::hold::{Hold, Queue};
use crate::sink::{HandBack, HandedBack};

impl<S: HandBack, Q: Queue<S>> Hold<S, Q> {
    /// Hands back everything that nobody has seen, as it would go down: without what is worth
    /// nothing any more, and each message with its marks. Without memory to sort it, nothing.
    pub(in crate::layer) fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        if !self.hold() {
            return;
        }
        while let Some(record) = self.queue.front(&mut self.dropped) {
            each(HandedBack::with_marks(record.payload, Some(record.marks)));
            self.queue.pop();
        }
        // What was accepted here and is not below was dropped.
        self.above = self.dropped.total().bytes;
        (self.promised, self.waiting) = (None, 0);
        self.resume();
    }
}
