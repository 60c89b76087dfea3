//! Dropping for want of room: the message that comes, or the oldest that are there.

use super::Buffered;
use crate::buffer::Pending;
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::{Link, Skip};
use crate::sink::{Count, DropReason, LeafReport};

/// Messages that were accepted and dropped in front of the buffer. They have no position in the
/// stream of frames: no link knows of them.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    bytes: u64,
    messages: u64,
}

impl Overflow {
    /// Counts a message whose frame would have had `frame` bytes.
    pub(super) fn add(&mut self, frame: usize) {
        self.bytes += frame as u64;
        self.messages += 1;
    }

    /// Bytes of frames that they would have been.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts them as accepted and dropped by a leaf: none of them has seen any.
    pub(super) fn report_to(&self, leaf: &mut LeafReport) {
        let messages = leaf.accepted.messages.map(|_| self.messages);
        let dropped = Count { bytes: self.bytes, messages };
        leaf.accepted = leaf.accepted.plus(dropped);
        leaf.dropped.add(DropReason::Overflow, dropped);
    }
}

impl<L: Link, F: Framing> Buffered<L, F> {
    /// Drops the oldest frames until one of `frame` bytes fits, which is at most the capacity.
    /// False if the link does not let go of them.
    #[cold]
    pub(super) fn drop_oldest(&mut self, frame: usize) -> Result<bool, SinkError> {
        let spare = self.capacity / SPARE_PART;
        let wanted = self.store.len().saturating_add(frame).saturating_add(spare);
        let surplus = wanted.saturating_sub(self.capacity).min(self.store.len());
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let to = pending.boundary_behind(self.start + surplus as u64);
        self.link.skip(pending, to, Skip::Dropped(DropReason::Overflow));
        self.release(frame);
        self.rise(frame);
        Ok(self.open(frame) || self.reopen(frame)?)
    }
}

/// The part of the capacity that is freed beyond what one message needs. What stays has to be moved
/// to the front of the memory, which is so paid for by a sixteenth of the capacity at a time.
const SPARE_PART: usize = 16;
