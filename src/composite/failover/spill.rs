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

    /// The oldest message is gone; the memory goes with the last.
    pub(super) fn pop(&mut self) {
        self.gone += 1;
        if self.gone >= self.ends.len() {
            *self = Self::default();
        }
    }

    /// Hands over all messages.
    pub(super) fn drain(&mut self, mut each: impl FnMut(HandedBack<'_>)) {
        while let Some(message) = self.first() {
            each(message);
            self.pop();
        }
    }

    /// Its messages, of which only the payload is here.
    pub(super) fn count(&self) -> Count {
        let bytes = (self.bytes.len() - self.start()) as u64;
        Count { bytes, messages: Some((self.ends.len() - self.gone) as u64) }
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
        assert_eq!(spill.count(), Count { bytes: 8, messages: Some(4) });
        assert_eq!(spill.first().map(|first| first.payload()), Some(messages[0]));
        spill.pop();
        assert_eq!(spill.count(), Count { bytes: 5, messages: Some(3) });
        let mut rest = Vec::new();
        spill.drain(|message| rest.push(message.payload().to_vec()));
        assert_eq!(rest, messages[1..]);
        assert!(spill.is_empty() && spill.first().is_none() && spill.bytes.capacity() == 0);
    }
}
