//! The window: how wide it is, and who closes it.

use super::{Buffered, Phase};
use crate::error::{ErrorKind, SinkError};
use crate::framing::Framing;
use crate::link::Link;

impl<L: Link, F: Framing> Buffered<L, F> {
    /// Bytes that are kept for those that gate.
    #[inline]
    pub(super) fn required_len(&self) -> usize {
        let end = self.start + self.store.len() as u64;
        // At most all of the buffer, so it is a `usize`.
        (end - self.link.required().clamp(self.start, end)) as usize
    }

    /// Opens the window for a frame of `frame` bytes at least, if there is room for it. It opens to
    /// one write's worth when those that gate have everything, and to the capacity, or to the high
    /// water mark below it, when they lag behind.
    #[inline]
    pub(super) fn open(&mut self, frame: usize) -> bool {
        if self.phase != Phase::Awake {
            return false;
        }
        let write_size = self.write_size as usize;
        let room = match self.required_len() {
            0 if self.store.is_empty() => write_size.max(frame),
            0 => self.store.len().saturating_add(write_size.max(frame)).min(self.level()),
            _ => self.level(),
        };
        self.store.open(frame, room.min(self.capacity), self.framing.max_frame_size());
        self.store.has(frame)
    }

    /// Makes what room can be made without writing: wakes a sleeping sink, and extends a window
    /// that the largest frame had limited. True if the frame fits now.
    pub(super) fn reopen(&mut self, frame: usize) -> Result<bool, SinkError> {
        if self.phase == Phase::Asleep {
            self.wake()?;
            self.open(frame);
        } else {
            self.store.refill(self.framing.max_frame_size());
        }
        Ok(self.store.has(frame))
    }

    /// Takes the memory and starts to connect.
    #[cold]
    pub(super) fn wake(&mut self) -> Result<(), SinkError> {
        if !self.store.allocate(self.capacity) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        if let Err(error) = self.link.wake() {
            // Still asleep, and asleep is free.
            self.fall_asleep();
            return Err(error);
        }
        self.phase = Phase::Awake;
        // With a high water mark no window is wider, not even while the link keeps up.
        let mark = self.water().map_or(usize::MAX, |water| water.high);
        let write_size = self.link.write_size().min(mark);
        self.write_size = u32::try_from(write_size).unwrap_or(u32::MAX);
        self.store.open(1, self.level(), self.framing.max_frame_size());
        Ok(())
    }

    /// Closes the window, so that the next message finds out and wakes the sink.
    #[cold]
    pub(super) fn fall_asleep(&mut self) {
        self.store.close();
        if self.phase == Phase::Awake {
            self.phase = Phase::Asleep;
        }
        if self.store.is_empty() {
            self.store.free();
        }
    }
}
