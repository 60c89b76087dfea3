//! The memory that a decoder takes, counted by an allocator that takes a test of its own.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use torq_message_sink::prefix::{U16Be, U16Le, U32Be, U32Le, U64Be, U64Le, Varint};
use torq_message_sink::{
    Decoder, Encode, FrameError, Framing, LengthPrefixed, NewlineDelimited, Prefixed,
    SelfDelimiting,
};

/// The system's allocator, counting per thread, so that the test harness does not disturb.
struct Counting;

thread_local! {
    /// Bytes; below zero where another thread's are given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn taken(bytes: usize) {
    HELD.set(HELD.get() + bytes as isize);
    PEAK.set(PEAK.get().max(HELD.get()));
    CALLS.set(CALLS.get() + 1);
}

fn given_back(bytes: usize) {
    HELD.set(HELD.get() - bytes as isize);
}

// SAFETY: every call is passed on unchanged to the system's allocator. The counters are constants
// without a destructor, so reaching them neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: the caller keeps to the contract of `dealloc`, and `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        given_back(layout.size());
        taken(new_size);
        // SAFETY: the caller keeps to the contract of `realloc`, and `ptr` came from `System`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` took at most, in bytes, and how many times it asked.
fn memory_of(run: impl FnOnce()) -> (isize, usize) {
    let held = HELD.get();
    PEAK.set(held);
    CALLS.set(0);
    run();
    (PEAK.get() - held, CALLS.get())
}

#[test]
fn announced_bytes_take_no_memory() {
    let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(u32::MAX as usize));
    let (peak, _) = memory_of(|| assert_eq!(decoder.decode(&[0xFF; 104]).count(), 0));
    assert!((104..=208).contains(&peak), "{peak}");
    assert_eq!(decoder.buffered(), 104);
}

#[test]
fn oversized_length_is_refused_before_memory_is_taken() {
    let mut decoder = Decoder::new(LengthPrefixed::new());
    let (peak, calls) = memory_of(|| {
        let error = decoder.decode(&[0xFF; 64]).next().expect("an item");
        assert!(matches!(error, Err(FrameError::TooLarge { .. })));
    });
    assert_eq!((peak, calls), (0, 0));
}

#[test]
fn memory_stays_below_what_arrived_and_one_frame() {
    stays_below(2, Prefixed::<U16Be>::new(), 10_000);
    stays_below(2, Prefixed::<U16Le>::new(), 10_000);
    stays_below(2, Prefixed::<U32Be>::new(), 100_000);
    stays_below(2, Prefixed::<U32Le>::new(), 10_000);
    stays_below(2, Prefixed::<U64Be>::new(), 10_000);
    stays_below(2, Prefixed::<U64Le>::new(), 10_000);
    stays_below(2, Prefixed::<Varint>::new(), 10_000);
    stays_below(2, SelfDelimiting::new(message_len), 10_000);
    // Only the end tells the length: one byte more than a buffer holds that has doubled so far.
    stays_below(3, NewlineDelimited::new(), 16_384);
    stays_below(3, NewlineDelimited::new(), 10_000);
}

/// Five frames around a payload of `len` bytes, in chunks of all sizes; `frames` is how many frames
/// the memory would hold that is taken at most.
fn stays_below<F: Framing + Copy>(frames: isize, framing: F, len: usize) {
    let frame = frame(framing, &payload(len));
    let stream = frame.repeat(5);
    let frame = frame.len() as isize;
    for chunk_bytes in [1, 3, 1000, len / 3 * 2, len - 1] {
        // The second way, a frame comes in with the first byte and nothing else of it.
        for first in [1, chunk_bytes] {
            let (head, tail) = stream.split_at(first);
            let mut decoder = Decoder::new(framing);
            let held = HELD.get();
            let (mut received, mut worst) = (0, 0);
            let (peak, _) = memory_of(|| {
                for chunk in [head].into_iter().chain(tail.chunks(chunk_bytes)) {
                    received += chunk.len() as isize;
                    assert!(decoder.decode(chunk).all(|frame| frame.is_ok()));
                    worst = worst.max(HELD.get() - held - received);
                }
            });
            assert!(worst <= frame, "{worst} above what arrived, in chunks of {chunk_bytes}");
            assert!(peak <= frames * frame, "{peak} in chunks of {chunk_bytes}");
        }
    }
}

#[test]
fn frames_take_no_allocation_each() {
    let stream = b"\0\0\0\x09nine byte".repeat(10_000);
    for chunk_bytes in [1, 5, 13, 100, 4096, stream.len()] {
        let mut decoder = Decoder::new(LengthPrefixed::new());
        let mut frames = 0;
        let (_, calls) = memory_of(|| {
            for chunk in stream.chunks(chunk_bytes) {
                frames += decoder.decode(chunk).filter(Result::is_ok).count();
            }
        });
        assert_eq!(frames, 10_000);
        // Two buffers that double from one byte to the thirteen of a frame.
        assert!(calls <= 10, "{calls} in chunks of {chunk_bytes}");
    }
}

#[test]
fn no_framing_allocates_for_a_frame() {
    allocates_for_none(Prefixed::<U16Be>::new());
    allocates_for_none(Prefixed::<U16Le>::new());
    allocates_for_none(Prefixed::<U32Be>::new());
    allocates_for_none(Prefixed::<U32Le>::new());
    allocates_for_none(Prefixed::<U64Be>::new());
    allocates_for_none(Prefixed::<U64Le>::new());
    allocates_for_none(Prefixed::<Varint>::new());
    allocates_for_none(NewlineDelimited::new());
    allocates_for_none(SelfDelimiting::new(message_len));
}

fn allocates_for_none<F: Framing + Copy>(framing: F) {
    let stream = frame(framing, &payload(13)).repeat(1000);
    for chunk_bytes in [1, 5, 13, 100, 4096, stream.len()] {
        let mut decoder = Decoder::new(framing);
        let mut pass = || {
            let mut frames = 0;
            let (_, calls) = memory_of(|| {
                for chunk in stream.chunks(chunk_bytes) {
                    frames += decoder.decode(chunk).filter(Result::is_ok).count();
                }
            });
            assert_eq!(frames, 1000);
            calls
        };
        // Each of the two buffers has held each of the frames that are cut.
        pass();
        pass();
        assert_eq!(pass(), 0, "in chunks of {chunk_bytes}");
    }
}

#[test]
fn line_is_searched_for_its_end_three_times_at_most() {
    for line in [1, 100, 1000, 10_000, 30_000] {
        let stream = frame(NewlineDelimited::new(), &vec![b'x'; line]).repeat(60_000 / line);
        for chunk_bytes in [1, 7, 100, 1460, stream.len()] {
            let searched = Cell::new(0);
            let mut decoder = Decoder::new(Searched(NewlineDelimited::new(), &searched));
            for chunk in stream.chunks(chunk_bytes) {
                assert!(decoder.decode(chunk).all(|line| line.is_ok()));
            }
            assert_eq!(decoder.finish(), Ok(()));
            let times = searched.get() as f64 / stream.len() as f64;
            // Once where it comes in, and twice more in the chunk in which it begins.
            let most = if line > 10 * chunk_bytes { 1.2 } else { 3.0 };
            assert!(times <= most, "lines of {line} in chunks of {chunk_bytes}: {times} times");
        }
    }
}

/// Lines, and how many bytes were searched for their ends.
struct Searched<'a>(NewlineDelimited, &'a Cell<usize>);

impl Framing for Searched<'_> {
    fn frame_size(&self, payload_len: usize) -> Option<usize> {
        self.0.frame_size(payload_len)
    }
    fn max_frame_size(&self) -> usize {
        self.0.max_frame_size()
    }
    fn write_frame<M: Encode + ?Sized>(
        &self,
        msg: &M,
        payload_len: usize,
        frame: &mut [u8],
    ) -> Result<(), FrameError> {
        self.0.write_frame(msg, payload_len, frame)
    }
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        self.frame_len_after(bytes, 0)
    }
    fn frame_len_after(&self, bytes: &[u8], seen: usize) -> Result<Option<usize>, FrameError> {
        let len = self.0.frame_len_after(bytes, seen)?;
        self.1.set(self.1.get() + len.unwrap_or(bytes.len()) - seen);
        Ok(len)
    }
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        self.0.payload(frame)
    }
}

/// A payload that every framing can carry: its length in the first four bytes, and no line feed.
fn payload(len: usize) -> Vec<u8> {
    let mut payload = vec![b'x'; len];
    payload[..4].copy_from_slice(&(len as u32).to_be_bytes());
    payload
}

fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    Ok(bytes.first_chunk().map(|len| u32::from_be_bytes(*len) as usize))
}

fn frame(framing: impl Framing, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; framing.frame_size(payload.len()).expect("small")];
    framing.write_frame(payload, payload.len(), &mut frame).expect("a valid payload");
    frame
}
