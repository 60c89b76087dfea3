//! Messages on their way from a failed sink to the next one.

use crate::buffer::Marks;
use crate::sink::{Count, HandedBack};

/// Encoded messages, first in, first out.
#[derive(Debug, Default)]
pub(super) struct Spill {
    bytes: Vec<u8>,
    /// Where each message ends in `bytes`, and what is known of it besides.
    ends: Vec<(usize, Option<Marks>)>,
    /// How many of them are gone.
    gone: usize,
    /// Bytes of the frames that the others were, and will be.
    frames: u64,
}

impl Spill {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.gone == self.ends.len()
    }

    pub(super) fn push(&mut self, message: HandedBack<'_>) {
        self.bytes.extend_from_slice(message.payload());
        self.ends.push((self.bytes.len(), message.marks()));
    }

    /// The oldest message.
    pub(super) fn first(&self) -> Option<HandedBack<'_>> {
        let (end, marks) = self.ends.get(self.gone)?;
        let payload = self.bytes.get(self.start()..*end)?;
        Some(HandedBack::with_marks(payload, *marks))
    }

    /// Its messages were so many bytes of frames where they came from.
    pub(super) fn set_frames(&mut self, bytes: u64) {
        self.frames = bytes;
    }

    /// The oldest message is gone, as a frame of so many bytes; the memory goes with the last.
    pub(super) fn pop(&mut self, frame: u64) {
        self.gone += 1;
        self.frames = self.frames.saturating_sub(frame);
        if self.gone >= self.ends.len() {
            *self = Self::default();
        }
    }

    /// Hands over all messages.
    pub(super) fn drain(&mut self, mut each: impl FnMut(HandedBack<'_>)) {
        while let Some(message) = self.first() {
            each(message);
            self.pop(0);
        }
    }

    /// Its messages, counted as the frames that they were.
    pub(super) fn count(&self) -> Count {
        Count { bytes: self.frames, messages: Some((self.ends.len() - self.gone) as u64) }
    }

    fn start(&self) -> usize {
        self.gone.checked_sub(1).and_then(|last| self.ends.get(last)).map_or(0, |(end, _)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut spill = Spill::default();
        let messages: [&[u8]; 4] = [b"one", b"", b"three", b""];
        messages.iter().for_each(|message| spill.push(HandedBack::new(message)));
        spill.set_frames(8 + 4 * 4);
        assert_eq!(spill.count(), Count { bytes: 24, messages: Some(4) });
        assert_eq!(spill.first().map(|first| first.payload()), Some(messages[0]));
        spill.pop(7);
        assert_eq!(spill.count(), Count { bytes: 17, messages: Some(3) });
        let mut rest = Vec::new();
        spill.drain(|message| rest.push(message.payload().to_vec()));
        assert_eq!(rest, messages[1..]);
        assert!(spill.is_empty() && spill.first().is_none() && spill.bytes.capacity() == 0);
    }
}
