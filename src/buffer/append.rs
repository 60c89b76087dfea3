//! The append path and its memory. All `unsafe` of this crate is in this file.
//!
//! One idea makes it fast: the *window*, kept as a cursor and its end. A message is appended when
//! its frame ends before the window does; every other question (asleep? closed? full? longer than
//! allowed?) is asked only when it does not, because whoever has such a question closes the window:
//! it ends at the cursor then, and no frame fits.

#![allow(unsafe_code, reason = "the append path, measured in docs/BENCHMARKS.md")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ptr::NonNull;

use crate::framing::FrameError;

/// Memory for frames, filled at the cursor and released from the front.
///
/// ```text
/// base      base+head      cursor    cursor+left    base+stage     base+allocated
///  | released  |   pending   |   window   |              |               |
/// ```
///
/// Invariants, upheld by every method:
/// 1. `base` is an allocation of `allocated` bytes (0: none, dangling), all of them initialised.
/// 2. `base + head <= cursor <= end <= base + stage <= base + allocated`, all of them pointers into
///    the allocation or to its end.
/// 3. Where addresses are [`ROOMY`], none in it is above [`MAX_ADDRESS`].
pub(crate) struct Store {
    cursor: NonNull<u8>,
    end: NonNull<u8>,
    base: NonNull<u8>,
    allocated: usize,
    head: usize,
    stage: usize,
}

/// Why a frame was not appended.
pub(crate) enum Refused {
    /// It does not fit the window.
    NoRoom,
    /// The framing cannot carry it.
    Invalid,
}

impl Store {
    /// A store without memory, its window closed.
    pub(crate) const fn new() -> Self {
        Self {
            cursor: NonNull::dangling(),
            end: NonNull::dangling(),
            base: NonNull::dangling(),
            allocated: 0,
            head: 0,
            stage: 0,
        }
    }

    /// Appends a frame of `len` bytes that `write` fills in place, if it fits the window.
    ///
    /// `write` sees initialised memory, possibly with earlier bytes of this store in it. If it
    /// fails or panics, nothing is appended.
    #[inline(always)]
    pub(crate) fn append(
        &mut self,
        len: Option<usize>,
        write: impl FnOnce(&mut [u8]) -> Result<(), FrameError>,
    ) -> Result<(), Refused> {
        let Some((len, next)) = self.behind(len) else { return Err(Refused::NoRoom) };
        // SAFETY: the frame lies between the cursor and the end, so its bytes are in one allocation
        // and initialised (invariants 1 and 2); `&mut self` makes the slice the only way to them,
        // and it ends before anything else is done.
        let frame = unsafe { std::slice::from_raw_parts_mut(self.cursor.as_ptr(), len) };
        if write(frame).is_err() {
            return Err(Refused::Invalid);
        }
        // SAFETY: `next` lies behind the cursor, which is not null, and is at most the end.
        self.cursor = unsafe { NonNull::new_unchecked(next) };
        Ok(())
    }

    /// Whether a frame of `len` bytes would be appended, if it can be written: the very comparison
    /// that `append` makes, so that it is made once where both are in line.
    #[inline(always)]
    pub(crate) fn fits(&self, len: Option<usize>) -> bool {
        self.behind(len).is_some()
    }

    /// The cursor behind a frame of `len` bytes, and the length, if it fits the window.
    #[inline(always)]
    fn behind(&self, len: Option<usize>) -> Option<(usize, *mut u8)> {
        // A slice's length, and any that is known, passes this check at compile time.
        let len = len.filter(|len| *len <= MAX_LEN)?;
        let next = self.cursor.as_ptr().wrapping_add(len);
        // One value to compare here and to keep as the next cursor. It does not wrap: the cursor is
        // at most `MAX_ADDRESS` (invariant 3). Narrower addresses leave no such gap above them.
        let fits = if ROOMY { next <= self.end.as_ptr() } else { len <= self.left() };
        fits.then_some((len, next))
    }

    /// Whether a frame of `len` bytes fits the window as it stands.
    #[inline]
    pub(crate) fn has(&self, len: usize) -> bool {
        len <= self.left()
    }

    /// Bytes appended and not yet released.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tail() - self.head
    }

    /// Whether nothing is pending.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was appended and not yet released.
    #[inline]
    pub(crate) fn pending(&self) -> &[u8] {
        // SAFETY: `head..tail` is within the allocation and initialised (invariants 1 and 2), or
        // empty at a dangling, aligned pointer.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(self.head), self.len()) }
    }

    /// Takes memory of `capacity` bytes, unless the store has some. False when there is none.
    #[cold]
    pub(crate) fn allocate(&mut self, capacity: usize) -> bool {
        if self.allocated != 0 {
            return true;
        }
        let Some(layout) = layout(capacity) else { return false };
        // SAFETY: the layout has a size above zero (`layout` answers no other). The bytes are
        // zeroed, hence initialised.
        let Some(base) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { return false };
        *self = Self { cursor: base, end: base, base, allocated: capacity, head: 0, stage: 0 };
        // No system gives out such addresses; one that did would break invariant 3.
        let last = (base.as_ptr() as usize).saturating_add(capacity);
        if ROOMY && last > MAX_ADDRESS {
            self.free();
            return false;
        }
        true
    }

    /// Closes the window and drops what is pending. The memory goes too.
    #[cold]
    pub(crate) fn free(&mut self) {
        if let Some(layout) = layout(self.allocated) {
            // SAFETY: `base` was allocated with this very layout (invariant 1), and the fields
            // that point there are overwritten below.
            unsafe { dealloc(self.base.as_ptr(), layout) };
        }
        // Not `*self = ..`: that would drop, and free once more.
        let nowhere = NonNull::dangling();
        (self.cursor, self.end, self.base) = (nowhere, nowhere, nowhere);
        (self.allocated, self.head, self.stage) = (0, 0, 0);
    }

    /// Releases `len` bytes from the front, at most what is pending.
    #[inline]
    pub(crate) fn release(&mut self, len: usize) {
        self.head += len.min(self.len());
        if self.is_empty() {
            // From the start again, with a closed window until somebody opens it.
            (self.cursor, self.end) = (self.base, self.base);
            (self.head, self.stage) = (0, 0);
        }
    }

    /// Forgets all that is pending but the first `len` bytes, and closes the window.
    #[cold]
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            // SAFETY: it lies before the cursor, in the same allocation (invariant 2).
            self.cursor = unsafe { self.base.add(self.head + len) };
        }
        self.close();
        self.release(0);
    }

    /// Releases everything, and opens the window to `room` bytes from the start.
    #[inline]
    pub(crate) fn restart(&mut self, room: usize, max_frame: usize) {
        self.cursor = self.base;
        self.head = 0;
        self.stage = room.min(self.allocated);
        self.set_left(self.stage.min(max_frame));
    }

    /// Closes the window: nothing fits until it is opened.
    #[inline]
    pub(crate) fn close(&mut self) {
        self.end = self.cursor;
        self.stage = self.tail();
    }

    /// Opens the window so far that at most `room` bytes can be pending, and lets no frame of more
    /// than `max_frame` bytes in.
    ///
    /// Bytes move to the front only when a frame of `len` bytes would not fit otherwise.
    pub(crate) fn open(&mut self, len: usize, room: usize, max_frame: usize) {
        let room = room.min(self.allocated);
        if self.head + room > self.allocated && self.tail() + len > self.allocated {
            self.compact();
        }
        self.stage = (self.head + room).min(self.allocated).max(self.tail());
        self.refill(max_frame);
    }

    /// Extends the window within what `open` allowed, after frames have used it up.
    pub(crate) fn refill(&mut self, max_frame: usize) {
        self.set_left((self.stage - self.tail()).min(max_frame));
    }

    /// Bytes of the window.
    #[inline]
    fn left(&self) -> usize {
        self.end.as_ptr() as usize - self.cursor.as_ptr() as usize
    }

    /// Opens the window to `left` bytes, which must end within the allocation.
    #[inline]
    fn set_left(&mut self, left: usize) {
        debug_assert!(left <= self.allocated - self.tail());
        // SAFETY: all callers take `left` from `stage - tail`, and `stage <= allocated`.
        self.end = unsafe { self.cursor.add(left) };
    }

    /// Index behind the last pending byte.
    #[inline]
    fn tail(&self) -> usize {
        // Both are pointers into one allocation (invariant 2), or both are dangling.
        self.cursor.as_ptr() as usize - self.base.as_ptr() as usize
    }

    /// Moves what is pending to the start of the memory.
    #[cold]
    fn compact(&mut self) {
        let len = self.len();
        // SAFETY: both ranges are within the allocation (invariant 2); `copy` lets them overlap.
        // `base + len` is within the allocation because `len <= allocated`.
        unsafe {
            self.base.as_ptr().copy_from(self.base.as_ptr().add(self.head), len);
            self.cursor = self.base.add(len);
        }
        self.end = self.cursor;
        self.head = 0;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.free();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("pending", &self.len())
            .field("left", &self.left())
            .field("allocated", &self.allocated)
            .finish_non_exhaustive()
    }
}

// SAFETY: the store owns its allocation alone and has no interior mutability: it is a `Vec<u8>` in
// all but name.
unsafe impl Send for Store {}
// SAFETY: as above; `&Store` gives out shared slices only.
unsafe impl Sync for Store {}

/// Whether addresses have so many bits that sums with a length cannot wrap.
const ROOMY: bool = usize::BITS >= 64;

/// Above the addresses that any system gives to a process, which on 64 bits end at 2^57 at most.
const MAX_ADDRESS: usize = usize::MAX / 4;

/// Above the length of any slice with any framing's header; with [`MAX_ADDRESS`] it does not wrap.
const MAX_LEN: usize = usize::MAX / 2 + 1024;

/// The layout of `capacity` bytes; none for zero or for more than an allocation can have.
fn layout(capacity: usize) -> Option<Layout> {
    Layout::array::<u8>(capacity).ok().filter(|layout| layout.size() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(store: &mut Store, bytes: &[u8]) -> bool {
        let write = |frame: &mut [u8]| {
            frame.copy_from_slice(bytes);
            Ok(())
        };
        store.append(Some(bytes.len()), write).is_ok()
    }

    fn open(capacity: usize) -> Store {
        let mut store = Store::new();
        assert!(store.allocate(capacity));
        store.open(1, capacity, usize::MAX);
        store
    }

    #[test]
    fn closed_window_refuses_everything() {
        let mut store = Store::new();
        assert!(!append(&mut store, b"x"));
        assert!(!store.has(1));
        assert!(store.pending().is_empty());
        let mut store = open(8);
        assert!(append(&mut store, b"ab"));
        store.close();
        assert!(!append(&mut store, b"x"));
        assert_eq!(store.pending(), b"ab");
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        let mut store = open(8);
        assert!(store.append(None, |_| Ok(())).is_err());
        assert!(store.append(Some(usize::MAX), |_| Ok(())).is_err());
        assert!(store.append(Some(9), |_| Ok(())).is_err());
    }

    #[test]
    fn fills_to_the_last_byte_and_releases_from_the_front() {
        let mut store = open(8);
        assert!(append(&mut store, b"abcd") && append(&mut store, b"efgh"));
        assert!(!append(&mut store, b"i"));
        store.release(3);
        assert_eq!(store.pending(), b"defgh");
        store.open(3, 8, usize::MAX);
        assert!(append(&mut store, b"ijk"));
        assert_eq!(store.pending(), b"defghijk");
        store.release(100);
        assert!(store.is_empty());
    }

    #[test]
    fn bytes_move_only_when_a_frame_would_not_fit() {
        let mut store = open(8);
        assert!(append(&mut store, b"abcdef"));
        store.release(4);
        store.open(2, 8, usize::MAX);
        assert_eq!(store.head, 4);
        assert!(store.has(2) && !store.has(3));
        store.open(3, 8, usize::MAX);
        assert_eq!(store.head, 0);
        assert!(store.has(6) && !store.has(7));
        assert_eq!(store.pending(), b"ef");
    }

    #[test]
    fn window_is_no_wider_than_room_and_largest_frame() {
        let mut store = open(16);
        store.open(1, 6, 4);
        assert!(store.has(4) && !store.has(5));
        assert!(append(&mut store, b"abcd") && !append(&mut store, b"e"));
        store.refill(4);
        assert!(append(&mut store, b"ef"));
        store.refill(4);
        assert!(!append(&mut store, b"g"));
    }

    #[test]
    fn failing_or_panicking_write_appends_nothing() {
        let mut store = open(8);
        assert!(append(&mut store, b"ab"));
        let refused = store.append(Some(3), |_| Err(FrameError::Invalid("no")));
        assert!(matches!(refused, Err(Refused::Invalid)));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = store.append(Some(3), |frame| {
                frame.fill(b'!');
                panic!("an encoder's own panic");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(store.pending(), b"ab");
        assert!(append(&mut store, b"cdefgh"));
    }

    #[test]
    fn memory_that_cannot_be_had_is_refused() {
        assert!(!Store::new().allocate(0));
        assert!(!Store::new().allocate(usize::MAX));
        assert!(!Store::new().allocate(isize::MAX as usize));
    }

    /// Random operations against a `VecDeque`; CI runs it under valgrind, which sees a pointer that
    /// leaves the allocation.
    #[test]
    fn agrees_with_a_deque_over_random_operations() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let capacity = rng.usize(1..64);
            let mut store = open(capacity);
            let mut truth = std::collections::VecDeque::new();
            for step in 0..200_u8 {
                match rng.u8(..11) {
                    0..=5 => {
                        let bytes = vec![step; rng.usize(1..=16)];
                        store.open(bytes.len(), capacity, usize::MAX);
                        let fits = truth.len() + bytes.len() <= capacity;
                        assert_eq!(append(&mut store, &bytes), fits);
                        if fits {
                            truth.extend(bytes);
                        }
                    }
                    6..=8 => {
                        let len = rng.usize(..=16);
                        store.release(len);
                        truth.drain(..len.min(truth.len()));
                    }
                    9 => {
                        let len = rng.usize(..=capacity);
                        store.truncate(len);
                        truth.truncate(len);
                    }
                    _ => store.close(),
                }
                assert_eq!(store.pending(), truth.make_contiguous());
            }
        }
    }
}
