//! Writing to the link, and releasing what it has taken.

use std::task::{Context, Poll};

use super::{Buffered, Phase};
use crate::buffer::Pending;
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::Link;
use crate::sink::SinkState;

impl<L: Link, F: Framing> Buffered<L, F> {
    /// Writes as much as can be written; ready when that was all.
    #[inline]
    pub(super) fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let (end, pushed) = (pending.end(), self.link.poll_write(cx, pending));
        match pushed {
            // The usual case: everything is gone, and the window opens from the start again.
            Poll::Ready(Ok(()))
                if self.link.taken() == end
                    && end != self.start
                    && self.phase == Phase::Awake
                    && !self.lagging =>
            {
                self.start = end;
                self.store.restart(self.write_size as usize, self.framing.max_frame_size());
                Poll::Ready(Ok(()))
            }
            pushed => self.after_push(pushed),
        }
    }

    /// Writes what is left and ends the connections in good order.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let ended = self.link.poll_shutdown(cx, pending);
        self.release(if ended.is_ready() { usize::MAX } else { 0 });
        if let Poll::Ready(Err(_)) = ended {
            self.fall_asleep();
        }
        ended
    }

    /// The link lags behind, or has failed.
    #[cold]
    pub(super) fn after_push(
        &mut self,
        pushed: Poll<Result<(), SinkError>>,
    ) -> Poll<Result<(), SinkError>> {
        self.release(0);
        match pushed {
            Poll::Ready(Err(_)) => self.fall_asleep(),
            // A peer has gone when there was nothing more for it: the next message wakes its link.
            _ if self.link.state() == SinkState::Asleep => self.fall_asleep(),
            _ if self.phase == Phase::Awake => {
                self.open(1);
            }
            _ => {}
        }
        pushed
    }

    /// Forgets what the link has taken. What it keeps for children alone that do not gate may stay
    /// as long as the rest is room for a frame of `frame` bytes, and for half the capacity or one
    /// write.
    pub(super) fn release(&mut self, frame: usize) {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let required = self.link.required().min(pending.end());
        if required > self.link.taken() {
            let kept = pending.end().saturating_sub(self.link.taken());
            let spare = (self.write_size as usize).min(self.capacity / 2).max(frame) as u64;
            let needed = kept.saturating_add(spare) > self.capacity as u64;
            self.link.give_way(pending, required, needed);
        }
        let taken = self.link.taken();
        // A link that claims more than it was shown is given what it was shown.
        let len = taken.saturating_sub(self.start).min(self.store.len() as u64);
        self.store.release(len as usize);
        self.start += len;
        self.lagging = !self.store.is_empty();
        self.fall();
    }
}
