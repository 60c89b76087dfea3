//! The memory of a fan-out with children that lag behind, counted by an allocator that takes a test
//! of its own.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use torq_message_sink::{
    BestEffort, Buffered, Connect, Endpoint, Fanout, Io, MessageSink, SinkError, StreamLink,
};

/// The system's allocator, counting per thread, so that the test harness does not disturb.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: every call is passed on unchanged to the system's allocator. The counters are constants
// without a destructor, so reaching them neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps to the contract of `dealloc`, and `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A connection that takes so many bytes and then no more; it holds no memory for them.
#[derive(Clone)]
struct Takes(usize);

impl Connect for Takes {
    type Io = Self;

    fn connect(
        &self,
        _: std::time::Duration,
    ) -> impl Future<Output = std::io::Result<Self>> + Send + 'static {
        std::future::ready(Ok(self.clone()))
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Other("memory".into())
    }
}

impl Io for Takes {
    fn try_read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let len = bytes.len().min(self.0);
        self.0 -= len;
        if len == 0 { Err(std::io::ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    fn poll_read_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }

    fn poll_write_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }

    fn shutdown(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const CAPACITY: usize = 256 * 1024;
const LARGEST: usize = 20_000;
const STUCK: usize = 63;

#[tokio::test]
async fn memory_stays_within_capacity_and_a_frame_per_child_that_may_be_skipped()
-> Result<(), SinkError> {
    // One that takes everything, and others that stop taking somewhere within a frame.
    let links = (0..=STUCK).map(|index| {
        let takes = if index == 0 { usize::MAX } else { 100_000 + 7 * index };
        BestEffort::new(StreamLink::with_connector(Takes(takes))).with_gating(index == 0)
    });
    let mut sink = Buffered::with_capacity(Fanout::new(links.collect::<Vec<_>>()), CAPACITY);
    let asleep = HELD.get();
    sink.connect().await?;
    for _ in 0..STUCK {
        tokio::task::yield_now().await;
    }
    sink.send("connected").await?;
    let connected = HELD.get();
    assert!(connected - asleep > CAPACITY as isize, "the buffer is there");
    PEAK.set(connected);
    let message = vec![b'm'; LARGEST - 4];
    for _ in 0..1000 {
        sink.feed(&message).await?;
    }
    sink.flush().await?;
    let grown = PEAK.get() - connected;
    let report = sink.report();
    assert!(report.leaves.iter().skip(1).all(|leaf| leaf.dropped.skipped.bytes > 0), "{report}");
    assert_eq!(report.leaves[0].dropped.total().bytes, 0);
    assert!(grown > (STUCK * LARGEST / 2) as isize, "tails are kept: {grown}");
    assert!(grown <= (STUCK * LARGEST) as isize, "one frame each, at most: {grown}");
    sink.end(torq_message_sink::End::Close);
    assert!(HELD.get() < connected, "and given back");
    Ok(())
}
