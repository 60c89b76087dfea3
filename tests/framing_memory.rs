//! The memory that a decoder takes, counted by an allocator that takes a test of its own.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use torq_message_sink::{Decoder, FrameError, LengthPrefixed};

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
    const FRAME: isize = 4 + 100_000;
    for chunk_bytes in [1, 3, 1000, 65536, 99_999] {
        let mut frame = vec![7; FRAME as usize];
        frame[..4].copy_from_slice(&100_000_u32.to_be_bytes());
        let stream = frame.repeat(5);
        let mut decoder = Decoder::new(LengthPrefixed::new());
        let held = HELD.get();
        let (mut received, mut worst) = (0, 0);
        let (peak, _) = memory_of(|| {
            for chunk in stream.chunks(chunk_bytes) {
                received += chunk.len() as isize;
                assert!(decoder.decode(chunk).all(|frame| frame.is_ok()));
                worst = worst.max(HELD.get() - held - received);
            }
        });
        assert!(worst <= FRAME, "{worst} above what arrived, in chunks of {chunk_bytes}");
        assert!(peak <= 2 * FRAME, "{peak} in chunks of {chunk_bytes}");
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
