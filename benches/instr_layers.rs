//! Instructions per message and per flush of layers around the typed stack, and of that stack alone.
//!
//! Apart from `instr_send`, since what the compiler puts in line depends on how many stacks a
//! program has. Run by `cargo bench --features instr --bench instr_layers`; `gate` judges it.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{
    ONCE, TWICE, breaker, conflate, counted, dated, deadline, dropping, keyed, lanes, limited,
    typed,
};

/// Two rows for each name: appends by `try_feed`, and flushes.
macro_rules! rows {
    ($($try_feed:ident, $flush:ident: $connect:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b64_once(ONCE)]
        #[bench::b64_twice(TWICE)]
        fn $try_feed(count: usize) {
            counted($connect, 2, count, false);
        }

        #[library_benchmark]
        #[bench::full_once(ONCE)]
        #[bench::full_twice(TWICE)]
        fn $flush(count: usize) {
            counted($connect, 2, count, true);
        }
    )*};
}

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
