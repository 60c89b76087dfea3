//! The memory of layers with a queue of their own, counted by an allocator that takes a test of its
//! own.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use torq_message_sink::{
    Buffered, Conflate, Decoder, Keyed, LengthPrefixed, MemorySink, MessageSink,
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

const KEYS: u64 = 10_000;

/// One million updates in all.
const ROUNDS: u64 = 100;

/// A price of the instrument `key`: its key, its number, and a rest whose length changes.
fn price(key: u64, round: u64, changes: bool) -> Vec<u8> {
    let mut bytes = [key.to_be_bytes(), round.to_be_bytes()].concat();
    bytes.resize(if changes { 40 + (key + 7 * round) as usize % 25 } else { 64 }, 0);
    bytes
}

/// The key and the round of a price.
fn read(price: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_be_bytes(price[at..at + 8].try_into().expect("eight"));
    (word(0), word(8))
}

/// A million updates of 10,000 keys while nobody reads, then everything is read: what the sink took
/// at most, in bytes, and how often it asked once all keys were known; and what arrived.
async fn stall(capacity: usize, buffer: usize, changes: bool) -> (isize, usize, Vec<(u64, u64)>) {
    let (link, peer) = MemorySink::pair(500);
    let mut sink = Conflate::with_capacity(Buffered::with_capacity(link, buffer), capacity);
    sink.connect().await.expect("the peer is there");
    let stream = peer.accept().expect("connected");
    let before = HELD.get();
    PEAK.set(before);
    let mut asked = 0;
    for round in 0..ROUNDS {
        for turn in 0..KEYS {
            // Each key once a round, in an order of no sense.
            let key = turn * 7919 % KEYS;
            let msg = Keyed(key, price(key, round, changes));
            let calls = CALLS.get();
            sink.try_feed(&msg).expect("a key that waits finds room");
            asked += if round > 0 { CALLS.get() - calls } else { 0 };
        }
    }
    let peak = PEAK.get() - before;
    let mut bytes = Vec::new();
    while !poll_fn(|cx| Poll::Ready(sink.poll_flush(cx).is_ready())).await {
        bytes.extend(stream.read());
        tokio::task::yield_now().await;
    }
    bytes.extend(stream.read());
    let mut decoder = Decoder::new(LengthPrefixed::new());
    let arrived = decoder.decode(&bytes).map(|price| read(price.expect("a frame"))).collect();
    (peak, asked, arrived)
}

/// The stall, with what must hold of it.
async fn bounded_and_newest(changes: bool) {
    let (capacity, buffer) = (KEYS as usize * (64 + 80), 64 * 1024);
    let (peak, asked, arrived) = stall(capacity, buffer, changes).await;
    let bound = 4 * (capacity + buffer * (64 + 80) / 64) + buffer;
    assert!(peak <= bound as isize, "{peak} of {bound} bytes");
    assert!(asked < 8, "queues find their size, and nothing is allocated per message: {asked}");

    // The stall began after these, which are not the newest of their keys.
    let (old, newest): (Vec<_>, Vec<_>) =
        arrived.iter().partition(|(_, round)| *round < ROUNDS - 1);
    assert!((1..20).contains(&old.len()), "{old:?}");
    let keys: Vec<_> = newest.into_iter().map(|(key, _)| key).collect();
    // Their keys came for the first time, as far as anybody waits, with the next round.
    let (again, first): (Vec<_>, Vec<_>) = (0..KEYS)
        .map(|turn| turn * 7919 % KEYS)
        .partition(|key| old.iter().any(|(old, _)| old == key));
    assert_eq!(keys, [first, again].concat(), "each key once, in order of first arrival");
}

#[tokio::test(start_paused = true)]
async fn million_updates_of_ten_thousand_keys_stay_within_the_bound() {
    bounded_and_newest(false).await;
}

#[tokio::test(start_paused = true)]
async fn million_updates_of_changing_length_do_too() {
    bounded_and_newest(true).await;
}
