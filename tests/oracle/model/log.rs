//! The truth: what one buffer has accepted.

use super::choices::Choices;
use super::framings::AnyFraming;

/// One buffer, and everything that it has accepted as it must stand on the wire.
pub(super) struct Log {
    /// Bytes of frames that the buffer may hold.
    pub(super) capacity: usize,
    pub(super) framing: AnyFraming,
    /// The longest payload that it takes.
    pub(super) longest: usize,
    pub(super) bytes: Vec<u8>,
    /// Where each frame ends.
    pub(super) ends: Vec<u64>,
}

impl Log {
    /// That of a buffer of some capacity and framing.
    pub(super) fn choose(choices: &mut dyn Choices) -> Self {
        let capacity = choices.of(&[16, 40, 128, 500]);
        let max_frame = if choices.once_in(4) { capacity / 2 } else { 1000 };
        let framing = AnyFraming::choose(choices, max_frame);
        let fits = |len: &usize| framing.frame_len(*len) <= capacity;
        let longest = (0..=max_frame).rev().find(fits).expect("room for an empty message");
        Self { capacity, framing, longest, bytes: Vec::new(), ends: Vec::new() }
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        assert!(self.framing.carries(payload), "a framing refuses what it cannot carry");
        self.bytes.extend(self.framing.frame(payload));
        self.ends.push(self.len());
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The last frame boundary at or before `position`, and how many frames end before it.
    pub(super) fn boundary(&self, position: u64) -> (u64, u64) {
        let count = self.ends.partition_point(|end| *end <= position);
        (count.checked_sub(1).map_or(0, |last| self.ends[last]), count as u64)
    }
}
