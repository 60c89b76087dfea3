//! Instructions per message and per flush of layers around the typed stack, and of that stack alone.
//!
//! Apart from `instr_send`, since what the compiler puts in line depends on how many stacks a
//! program has. Run by `cargo bench --features instr --bench instr_layers`; `gate` judges it.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{
    Flush, Peers, TryFeed, breaker, conflate, dated, deadline, dropping, keyed, lanes, limited,
    typed,
};
use tokio::runtime::Builder;

/// Runs `measured`; callgrind counts in here and nowhere else.
#[inline(never)]
fn collected<R>(measured: impl FnOnce() -> R) -> R {
    measured()
}

/// The loop that is counted.
#[inline(never)]
fn try_feed_loop<T: TryFeed<[u8]>>(sink: &mut T, msg: &[u8], count: usize) {
    for _ in 0..count {
        let msg = black_box(msg);
        if !sink.try_feed(msg) {
            sink.refused(msg);
        }
    }
}

/// Appends `count` messages from each of 16 places of a page, as `instr_send` does, and flushes them:
/// counts the one or the other.
fn rows<T, F>(connect: F, count: usize, flushes: bool)
where
    T: TryFeed<[u8]> + Flush,
    F: AsyncFnOnce(&Peers) -> T,
{
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peers = Peers::listen();
    let mut sink = runtime.block_on(connect(&peers));
    let page = black_box(vec![b'm'; 64 + 4096]);
    let (rounds, messages) = if flushes { (count, 16) } else { (16, count) };
    for round in 0..rounds {
        let msg = &page[round % 16 * 256..][..64];
        if flushes {
            try_feed_loop(&mut sink, msg, messages);
        } else {
            collected(|| try_feed_loop(&mut sink, msg, messages));
        }
        runtime.block_on(async {
            let mut flush = pin!(sink.flush());
            let flushed = poll_fn(|cx| {
                if flushes {
                    collected(|| flush.as_mut().poll(cx))
                } else {
                    flush.as_mut().poll(cx)
                }
            });
            flushed.await.expect("the receivers read");
        });
        // The next write finds the sockets' buffers empty.
        peers.wait_for(2 * ((round + 1) * messages * (4 + 64)) as u64);
    }
}

/// Two rows for each name: appends by `try_feed`, and flushes.
macro_rules! rows {
    ($($try_feed:ident, $flush:ident: $connect:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b64_once(ONCE)]
        #[bench::b64_twice(TWICE)]
        fn $try_feed(count: usize) {
            rows($connect, count, false);
        }

        #[library_benchmark]
        #[bench::full_once(ONCE)]
        #[bench::full_twice(TWICE)]
        fn $flush(count: usize) {
            rows($connect, count, true);
        }
    )*};
}

/// Messages per place, or flushes, of the two runs whose difference is reported.
const ONCE: usize = 16;
const TWICE: usize = 2 * ONCE;

rows! {
    try_feed_bare, flush_bare: typed;
    try_feed_dropping, flush_dropping: dropping;
    try_feed_limited, flush_limited: limited;
    try_feed_breaker, flush_breaker: breaker;
    try_feed_deadline, flush_deadline: deadline;
    try_feed_dated, flush_dated: dated;
    try_feed_conflate, flush_conflate: conflate;
    try_feed_keyed, flush_keyed: keyed;
    try_feed_lanes, flush_lanes: lanes;
}

library_benchmark_group!(
    name = append_by_try_feed;
    benchmarks = try_feed_bare, try_feed_dropping, try_feed_limited, try_feed_breaker, try_feed_deadline,
        try_feed_dated, try_feed_conflate, try_feed_keyed, try_feed_lanes
);
library_benchmark_group!(
    name = flush_full;
    benchmarks = flush_bare, flush_dropping, flush_limited, flush_breaker, flush_deadline, flush_dated,
        flush_conflate, flush_keyed, flush_lanes
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--separate-threads=no"])
            .entry_point(EntryPoint::Custom("*::collected".to_owned()))
    );
    library_benchmark_groups = append_by_try_feed, flush_full
);
