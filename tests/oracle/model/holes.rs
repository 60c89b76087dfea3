//! What a receiver was never sent: frames that were dropped for it as the oldest of a full buffer.

use std::ops::Range;

/// Ranges of positions in the stream of frames, in order and apart from each other.
#[derive(Default)]
pub(super) struct Holes(Vec<Range<u64>>);

impl Holes {
    pub(super) fn push(&mut self, hole: Range<u64>) {
        assert!(self.0.last().is_none_or(|last| last.end <= hole.start), "nothing drops twice");
        assert!(!hole.is_empty());
        self.0.push(hole);
    }

    /// How many there are by now: a connection that has ended knows no later ones.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The pieces of the stream from `first` on of which `len` bytes are made, given the first
    /// `known` holes.
    pub(super) fn pieces(&self, first: u64, len: u64, known: usize) -> Vec<Range<u64>> {
        let (mut pieces, mut at, mut left) = (Vec::new(), first, len);
        for hole in self.0[..known].iter().filter(|hole| hole.start >= first) {
            let piece = (hole.start - at).min(left);
            pieces.push(at..at + piece);
            left -= piece;
            if left == 0 {
                return pieces;
            }
            at = hole.end;
        }
        pieces.push(at..at + left);
        pieces
    }

    /// Where a link goes on that is done with everything up to `position`.
    pub(super) fn behind(&self, position: u64) -> u64 {
        let holes = self.0.iter().skip_while(|hole| hole.start < position);
        holes.fold(position, |at, hole| if hole.start == at { hole.end } else { at })
    }

    /// Bytes of those from `position` on.
    pub(super) fn bytes_from(&self, position: u64) -> u64 {
        let behind = self.0.iter().filter(|hole| hole.start >= position);
        behind.map(|hole| hole.end - hole.start).sum()
    }

    /// Frames in those from `position` on, where `count` says how many end before a position.
    pub(super) fn messages_from(&self, position: u64, count: impl Fn(u64) -> u64) -> u64 {
        let behind = self.0.iter().filter(|hole| hole.start >= position);
        behind.map(|hole| count(hole.end) - count(hole.start)).sum()
    }
}
