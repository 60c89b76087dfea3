//! Instructions per message and per flush, of this library and of hand-written twins.
//!
//! Run by `cargo bench --features instr --bench instr_send`; `cargo bench --bench gate` then makes
//! a table of what it left and judges it. See docs/BENCHMARKS.md.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{
    Best, ByMutex, ByVec, CAPACITY, Feed, Flush, Idiomatic, Payload, Peers, TICK, Tick, TryFeed,
    Two, factory, now, shared, sinks, typed,
};
use tokio::runtime::{Builder, Runtime};

/// Runs `measured`; callgrind counts in here and nowhere else.
#[inline(never)]
fn collected<R>(measured: impl FnOnce() -> R) -> R {
    measured()
}

/// A twin that does nothing: what is left is the loop itself.
struct Empty;

impl<M: ?Sized> TryFeed<M> for Empty {
    #[inline(always)]
    fn try_feed(&mut self, _: &M) -> bool {
        black_box(true)
    }

    #[cold]
    #[inline(never)]
    fn refused(&mut self, _: &M) {}
}

impl Flush for Empty {
    type Error = std::io::Error;

    async fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<M: ?Sized> Feed<M> for Empty {
    #[inline]
    async fn feed<'a>(&'a mut self, _: &'a M) -> std::io::Result<()> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The loop that is counted.
#[inline(never)]
fn try_feed_loop<T: TryFeed<M>, M: ?Sized>(sink: &mut T, msg: &M, count: usize) {
    for _ in 0..count {
        let msg = black_box(msg);
        if !sink.try_feed(msg) {
            sink.refused(msg);
        }
    }
}

/// The loop that is counted.
#[inline(never)]
fn feed_loop<T: Feed<M>, M: ?Sized>(sink: &mut T, msg: &M, count: usize) -> Result<(), T::Error> {
    now(async {
        for _ in 0..count {
            sink.feed(black_box(msg)).await?;
        }
        Ok(())
    })
}

/// Memory for a message of `len` bytes at each of the [`PLACES`].
fn page(len: usize) -> Vec<u8> {
    black_box(vec![b'm'; len + 4096])
}

/// Where the messages lie: `memcpy` takes another way when source and destination are within 256
/// bytes of each other modulo a page, which depends on where an allocator has put the two. Over all
/// of these, each message meets that once, whatever the buffer's address.
const PLACES: [usize; 16] = {
    let mut places = [0; 16];
    let mut index = 0;
    while index < 16 {
        places[index] = index * 256;
        index += 1;
    }
    places
};

/// Appends `count` messages within one buffer, then checks that they arrive.
fn try_feed<T, F>(connect: F, payload: Payload, count: usize)
where
    T: TryFeed<[u8]> + TryFeed<Tick> + Flush,
    F: AsyncFnOnce(&Peers) -> T,
{
    let (runtime, peers) = (runtime(), Peers::listen());
    let mut sink = runtime.block_on(connect(&peers));
    match payload {
        Payload::Bytes(len) => {
            let page = page(len);
            for place in PLACES {
                collected(|| try_feed_loop(&mut sink, &page[place..][..len], count));
                runtime.block_on(sink.flush()).expect("the receivers read");
            }
        }
        Payload::Struct => {
            for _ in PLACES {
                collected(|| try_feed_loop(&mut sink, &TICK, count));
                runtime.block_on(sink.flush()).expect("the receivers read");
            }
        }
    }
    finish(&runtime, &peers, sink, PLACES.len() * count * payload.frame_len());
}

/// As `try_feed`, by awaiting in an async loop that is polled once.
fn feed<T, F>(connect: F, payload: Payload, count: usize)
where
    T: Feed<[u8]>,
    F: AsyncFnOnce(&Peers) -> T,
{
    let (runtime, peers) = (runtime(), Peers::listen());
    let mut sink = runtime.block_on(connect(&peers));
    let Payload::Bytes(len) = payload else { unreachable!("bytes only") };
    let page = page(len);
    for place in PLACES {
        collected(|| feed_loop(&mut sink, &page[place..][..len], count)).expect("room");
        runtime.block_on(sink.flush()).expect("the receivers read");
    }
    finish(&runtime, &peers, sink, PLACES.len() * count * payload.frame_len());
}

/// Fills the buffer and flushes it, `count` times; only the flushes are counted.
fn flush<T, F>(connect: F, count: usize)
where
    T: TryFeed<[u8]> + Flush,
    F: AsyncFnOnce(&Peers) -> T,
{
    let (runtime, peers) = (runtime(), Peers::listen());
    let mut sink = runtime.block_on(connect(&peers));
    let (msg, mut sent) = ([b'm'; 60], 0);
    for _ in 0..count {
        // Within every write size, so that no append flushes by itself.
        for _ in 0..FLUSHED / 64 {
            assert!(sink.try_feed(msg.as_slice()));
        }
        sent += FLUSHED as u64;
        runtime.block_on(async {
            let mut flush = pin!(sink.flush());
            let flushed = poll_fn(|cx| {
                let polled = collected(|| flush.as_mut().poll(cx));
                assert!(polled.is_ready(), "not taken in one write");
                polled
            });
            flushed.await.expect("the receivers read");
        });
        // The next write finds the sockets' buffers empty.
        peers.wait_for(2 * sent);
    }
}

/// Bytes that are flushed at once: a full window of the smallest write size.
const FLUSHED: usize = 60 * 1024;

/// Flushes and sees that all of it arrived, twice.
fn finish<T: Flush>(runtime: &Runtime, peers: &Peers, mut sink: T, bytes: usize) {
    runtime.block_on(sink.flush()).expect("the receivers read");
    if std::any::type_name::<T>() != std::any::type_name::<Empty>() {
        peers.wait_for(2 * bytes as u64);
    }
}

async fn empty(_: &Peers) -> Empty {
    Empty
}

async fn best(peers: &Peers) -> Best<(tokio::net::TcpStream, tokio::net::UnixStream)> {
    Best::new(CAPACITY, peers.connect_both().await)
}

async fn vec(peers: &Peers) -> ByVec<(tokio::net::TcpStream, tokio::net::UnixStream)> {
    ByVec::new(CAPACITY, peers.connect_both().await)
}

async fn idiomatic(peers: &Peers) -> Idiomatic<tokio::net::TcpStream, tokio::net::UnixStream> {
    Idiomatic::new(CAPACITY, peers.connect_both().await)
}

async fn two(peers: &Peers) -> Two<tokio::net::TcpStream, tokio::net::UnixStream> {
    Two::new(CAPACITY, peers.connect_both().await)
}

async fn mutex(peers: &Peers) -> ByMutex<(tokio::net::TcpStream, tokio::net::UnixStream)> {
    ByMutex::new(CAPACITY, peers.connect_both().await)
}

/// One row for each name: appends by `try_feed` to what the function of that name connects.
macro_rules! try_feed_rows {
    ($($row:ident: $connect:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b16_once(Payload::Bytes(16), ONCE)]
        #[bench::b16_twice(Payload::Bytes(16), TWICE)]
        #[bench::b64_once(Payload::Bytes(64), ONCE)]
        #[bench::b64_twice(Payload::Bytes(64), TWICE)]
        #[bench::b512_once(Payload::Bytes(512), ONCE)]
        #[bench::b512_twice(Payload::Bytes(512), TWICE)]
        #[bench::b1400_once(Payload::Bytes(1400), ONCE)]
        #[bench::b1400_twice(Payload::Bytes(1400), TWICE)]
        #[bench::tick_once(Payload::Struct, ONCE)]
        #[bench::tick_twice(Payload::Struct, TWICE)]
        fn $row(payload: Payload, count: usize) {
            try_feed($connect, payload, count);
        }
    )*};
}

/// One row for each name: appends by `feed().await`.
macro_rules! feed_rows {
    ($($row:ident: $connect:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b64_once(Payload::Bytes(64), ONCE)]
        #[bench::b64_twice(Payload::Bytes(64), TWICE)]
        #[bench::b512_once(Payload::Bytes(512), ONCE)]
        #[bench::b512_twice(Payload::Bytes(512), TWICE)]
        fn $row(payload: Payload, count: usize) {
            feed($connect, payload, count);
        }
    )*};
}

/// One row for each name: flushes of a full buffer.
macro_rules! flush_rows {
    ($($row:ident: $connect:expr;)*) => {$(
        #[library_benchmark]
        #[bench::full_once(ONCE)]
        #[bench::full_twice(TWICE)]
        fn $row(count: usize) {
            flush($connect, count);
        }
    )*};
}

/// Messages of the two runs whose difference is reported. Both stay within one buffer of the
/// largest messages, and both are multiples of 8, so that copies meet every alignment equally.
const ONCE: usize = 16;
const TWICE: usize = 2 * ONCE;

try_feed_rows! {
    try_feed_empty: empty;
    try_feed_best: best;
    try_feed_vec: vec;
    try_feed_typed: typed;
    try_feed_factory: factory;
    try_feed_two: two;
    try_feed_sinks: sinks;
    try_feed_mutex: mutex;
    try_feed_shared: shared;
}

feed_rows! {
    feed_empty: empty;
    feed_best: best;
    feed_idiomatic: idiomatic;
    feed_typed: typed;
    feed_factory: factory;
    feed_two: two;
    feed_sinks: sinks;
}

flush_rows! {
    flush_best: best;
    flush_typed: typed;
    flush_factory: factory;
    flush_two: two;
    flush_sinks: sinks;
}

library_benchmark_group!(
    name = append_by_try_feed;
    benchmarks = try_feed_empty, try_feed_best, try_feed_vec, try_feed_typed, try_feed_factory,
        try_feed_two, try_feed_sinks, try_feed_mutex, try_feed_shared
);
library_benchmark_group!(
    name = append_by_feed;
    benchmarks = feed_empty, feed_best, feed_idiomatic, feed_typed, feed_factory, feed_two, feed_sinks
);
library_benchmark_group!(
    name = flush_full;
    benchmarks = flush_best, flush_typed, flush_factory, flush_two, flush_sinks
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--separate-threads=no"])
            .entry_point(EntryPoint::Custom("*::collected".to_owned()))
    );
    library_benchmark_groups = append_by_try_feed, append_by_feed, flush_full
);
