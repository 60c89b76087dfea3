//! Handing back what nobody has seen: the buffer's end is cut off.

use super::{Buffered, Phase};
use crate::framing::Framing;
use crate::link::Link;
use crate::sink::{HandBack, HandedBack};

impl<L: Link, F: Framing> HandBack for Buffered<L, F> {
    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.release(0);
        let pending = self.pending();
        let mut kept = pending.boundary(self.start, self.link.reached()).0;
        if kept < self.link.reached() {
            // It lies within a frame, which was begun.
            let begun = self.framing.frame_len(pending.from(kept)).ok().flatten().unwrap_or(0);
            kept = (kept + begun as u64).min(pending.end());
        }
        let mut rest = pending.from(kept);
        while let Some((payload, behind)) = self.framing.split_frame(rest) {
            each(HandedBack::new(payload));
            rest = behind;
        }
        self.store.truncate((kept - self.start) as usize);
        self.lagging = !self.store.is_empty();
        self.fall();
        match self.phase {
            Phase::Awake => {
                self.open(1);
            }
            Phase::Asleep => self.fall_asleep(),
            Phase::Closing | Phase::Closed => {}
        }
    }
}
