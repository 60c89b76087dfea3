//! The best that can be written by hand: raw memory, one unsafe append, one write per full buffer.

#![allow(unsafe_code, reason = "the twin that shows what unsafe code can reach at most")]

use std::io;
use std::ptr::NonNull;

use super::{Feed, Flush, Outlets, TryFeed, payload::Tick, spin};

/// Frames gathered in raw memory, then written at once.
#[derive(Debug)]
pub(crate) struct Best<O> {
    cursor: NonNull<u8>,
    end: NonNull<u8>,
    base: NonNull<u8>,
    capacity: usize,
    outlets: O,
}

// SAFETY: it owns its memory alone.
unsafe impl<O: Send> Send for Best<O> {}

impl<O> Best<O> {
    pub(crate) fn new(capacity: usize, outlets: O) -> Self {
        let memory: &mut [u8] = Box::leak(vec![0; capacity].into_boxed_slice());
        let base = NonNull::from(memory).cast();
        // SAFETY: one past the last byte of the allocation.
        let end = unsafe { base.add(capacity) };
        Self { cursor: base, end, base, capacity, outlets }
    }
}

impl<O> Drop for Best<O> {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.base.as_ptr(), self.capacity);
        // SAFETY: leaked by `new`, of this length.
        drop(unsafe { Box::from_raw(memory) });
    }
}

impl<O> Best<O> {
    /// The cursor behind a frame of `len` bytes of payload, if the frame fits.
    #[inline(always)]
    pub(crate) fn behind(&self, len: usize) -> Option<*mut u8> {
        // A slice has at most `isize::MAX` bytes and an address far fewer, so nothing wraps.
        let next = self.cursor.as_ptr().wrapping_add(len + 4);
        if next > self.end.as_ptr() {
            return None;
        }
        Some(next)
    }

    /// Writes a frame.
    ///
    /// # Safety
    ///
    /// `next` is what `behind` has answered for the length of `msg`, and nothing was put since.
    #[inline(always)]
    pub(crate) unsafe fn put(&mut self, msg: &[u8], next: *mut u8) {
        let cursor = self.cursor.as_ptr();
        // SAFETY: the frame ends within the memory, and `msg` cannot lie in memory that only this
        // twin knows.
        unsafe {
            cursor.cast::<[u8; 4]>().write((msg.len() as u32).to_be_bytes());
            cursor.add(4).copy_from_nonoverlapping(msg.as_ptr(), msg.len());
            self.cursor = NonNull::new_unchecked(next);
        }
    }

    /// Writes the frame of a tick.
    ///
    /// # Safety
    ///
    /// As `put`, for [`Tick::LEN`].
    #[inline(always)]
    pub(crate) unsafe fn put_tick(&mut self, tick: &Tick, next: *mut u8) {
        let cursor = self.cursor.as_ptr();
        // SAFETY: as in `put`.
        unsafe {
            cursor.cast::<[u8; 4]>().write((Tick::LEN as u32).to_be_bytes());
            cursor.add(4).cast::<[u64; 7]>().write_unaligned(tick.fields.map(u64::to_le));
            self.cursor = NonNull::new_unchecked(next);
        }
    }

    /// Bytes in the buffer.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.cursor.as_ptr() as usize - self.base.as_ptr() as usize
    }

    #[inline(always)]
    pub(crate) fn append(&mut self, msg: &[u8]) -> bool {
        let Some(next) = self.behind(msg.len()) else { return false };
        // SAFETY: asked for this length just now.
        unsafe { self.put(msg, next) };
        true
    }

    #[inline(always)]
    fn append_tick(&mut self, tick: &Tick) -> bool {
        let Some(next) = self.behind(Tick::LEN) else { return false };
        // SAFETY: asked for this length just now.
        unsafe { self.put_tick(tick, next) };
        true
    }
}

impl<O: Outlets> Flush for Best<O> {
    type Error = io::Error;

    #[inline]
    async fn flush(&mut self) -> io::Result<()> {
        // SAFETY: so many bytes were written from the base on.
        let bytes = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len()) };
        self.outlets.write(bytes).await?;
        self.cursor = self.base;
        Ok(())
    }
}

twin!(Best<O>, [u8], append);
twin!(Best<O>, Tick, append_tick);
