//! Large messages go around the buffer: a frame of more than one write is written to the connections
//! from where it lies, and copied only if one of them does not take it whole.

use super::{Buffered, Phase};
use crate::encode::Encode;
use crate::framing::{Framing, MAX_HEAD};
use crate::link::Link;
use crate::sink::SinkState;

impl<L: Link, F: Framing> Buffered<L, F> {
    /// Whether a message of `len` bytes is larger than one write, and so worth a closer look. A
    /// sink that sleeps has no write size yet.
    pub(super) fn is_large(&self, len: usize) -> bool {
        self.phase == Phase::Awake && len >= self.write_size as usize
    }

    /// Feeds a large message past the buffer, if that is empty, or can be emptied at once, and
    /// every link is connected. False: it has to be fed like any other.
    #[cold]
    pub(super) fn feed_around<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let Some(payload) = msg.lend().filter(|payload| payload.len() == len) else { return false };
        let Ok(frame) = self.frame_size(len) else { return false };
        let mut buf = [0; MAX_HEAD];
        let Some(head) = self.framing.head(len, &mut buf) else { return false };
        if self.link.state() != SinkState::Connected || head.len() + len != frame {
            return false;
        }
        // What came before goes first. What is once begun on a connection must find room here, so
        // the window is opened before.
        let emptied =
            self.store.is_empty() || (self.attempt(frame).is_ok() && self.store.is_empty());
        if !emptied || !self.open(frame) {
            return false;
        }
        if !self.link.try_write_around(self.start, [head, payload]) {
            return false;
        }
        let end = self.start + frame as u64;
        if self.link.taken() >= end {
            self.start = end;
            self.store.restart(self.write_size as usize, self.framing.max_frame_size());
        } else {
            let _ = self.store.append(Some(frame), |bytes| {
                let (header, rest) = bytes.split_at_mut(head.len());
                header.copy_from_slice(head);
                rest.copy_from_slice(payload);
                Ok(())
            });
            self.lagging = true;
        }
        if self.link.state() == SinkState::Asleep {
            // Its peer has gone: what is left, and the next message, set it going again.
            self.fall_asleep();
            if !self.store.is_empty() {
                let _ = self.reopen(1);
            }
        }
        true
    }
}
