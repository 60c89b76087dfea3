//! The truth: what one buffer has accepted.

use torq_message_sink::WhenFull;

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
    pub(super) when_full: WhenFull,
    /// Bytes and number of the frames that messages dropped as the newest would have been.
    pub(super) overflow: (u64, u64),
}

impl Log {
    /// That of a buffer of some capacity and framing.
    pub(super) fn choose(choices: &mut dyn Choices) -> Self {
        let capacity = choices.of(&CAPACITIES);
        let max_frame = if choices.once_in(4) { capacity / 2 } else { 1000 };
        let framing = AnyFraming::choose(choices, max_frame);
        Self::with_framing(capacity, framing, max_frame)
    }

    /// That of a buffer of this capacity, whose framing takes payloads of at most `max_frame` bytes.
    pub(super) fn with_framing(capacity: usize, framing: AnyFraming, max_frame: usize) -> Self {
        let fits = |len: &usize| framing.frame_len(*len) <= capacity;
        let longest = (0..=max_frame).rev().find(fits).expect("room for an empty message");
        let (bytes, ends) = (Vec::new(), Vec::new());
        let (when_full, overflow) = (WhenFull::Wait, (0, 0));
        Self { capacity, framing, longest, bytes, ends, when_full, overflow }
    }

    /// Whether messages or frames may be dropped for want of room.
    pub(super) fn drops(&self) -> bool {
        matches!(self.when_full, WhenFull::DropNewest | WhenFull::DropOldest)
    }

    /// A message was accepted and dropped.
    pub(super) fn drop_newest(&mut self, payload: &[u8]) {
        assert!(self.framing.carries(payload), "a framing refuses what it cannot carry");
        self.overflow.0 += self.framing.frame_len(payload.len()) as u64;
        self.overflow.1 += 1;
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        assert!(self.framing.carries(payload), "a framing refuses what it cannot carry");
        self.bytes.extend(self.framing.frame(payload));
        self.ends.push(self.len());
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where the frame ends that begins at `boundary`.
    pub(super) fn frame_behind(&self, boundary: u64) -> u64 {
        self.ends[self.boundary(boundary).1 as usize]
    }

    /// The last frame boundary at or before `position`, and how many frames end before it.
    pub(super) fn boundary(&self, position: u64) -> (u64, u64) {
        let count = self.ends.partition_point(|end| *end <= position);
        (count.checked_sub(1).map_or(0, |last| self.ends[last]), count as u64)
    }
}

/// Bytes that a buffer may have.
pub(super) const CAPACITIES: [usize; 4] = [16, 40, 128, 500];
