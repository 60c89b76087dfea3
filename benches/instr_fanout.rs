//! Instructions per message of fan-outs of 2, 8 and 64 children: the append path does not know how
//! many there are. And of the other composites, beside what is written by hand instead. Apart from
//! `instr_send`, whose stacks are to be in line as in a program that has each of them once.
//!
//! Run by `cargo bench --features instr --bench instr_fanout`; the gate judges it.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use std::hint::black_box;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{
    Fanned, Flush, ONCE, Peers, Sink, TWICE, TryFeed, collected, counted, effort, failover, keys,
    least_loaded, lesser, one, quorum, round_robin, sharded, together, turns, unix_fanout,
};
use tokio::runtime::Builder;

/// The loop that is counted.
#[inline(never)]
fn try_feed_loop(sink: &mut Sink<Fanned>, msg: &[u8], count: usize) {
    for _ in 0..count {
        let msg = black_box(msg);
        if !sink.try_feed(msg) {
            sink.refused(msg);
        }
    }
}

/// Appends `count` messages of 64 bytes, from 16 places of a page in turn as `instr_send` does, then
/// checks that they arrive at all of the children.
fn try_feed(children: usize, count: usize) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peers = Peers::listen();
    let mut sink = runtime.block_on(unix_fanout(&peers, children));
    let page = black_box(vec![b'm'; 64 + 4096]);
    for place in 0..PLACES {
        collected(|| try_feed_loop(&mut sink, &page[place * 256..][..64], count));
        runtime.block_on(sink.flush()).expect("the receivers read");
    }
    peers.wait_for((children * PLACES * count * 68) as u64);
}

macro_rules! rows {
    ($($row:ident: $children:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b64_once(ONCE)]
        #[bench::b64_twice(TWICE)]
        fn $row(count: usize) {
            try_feed($children, count);
        }
    )*};
}

rows! {
    try_feed_to_2: 2;
    try_feed_to_8: 8;
    try_feed_to_64: 64;
}

const PLACES: usize = 16;

/// Two rows for each name: appends by `try_feed`, and flushes. Each message arrives so many times.
macro_rules! composites {
    ($($try_feed:ident, $flush:ident: $connect:expr, $copies:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b64_once(ONCE)]
        #[bench::b64_twice(TWICE)]
        fn $try_feed(count: usize) {
            counted($connect, $copies, count, false);
        }

        #[library_benchmark]
        #[bench::full_once(ONCE)]
        #[bench::full_twice(TWICE)]
        fn $flush(count: usize) {
            counted($connect, $copies, count, true);
        }
    )*};
}

composites! {
    try_feed_together, flush_together: together, 2;
    try_feed_effort, flush_effort: effort, 2;
    try_feed_quorum, flush_quorum: quorum, 2;
    try_feed_one, flush_one: one, 1;
    try_feed_failover, flush_failover: failover, 1;
    try_feed_turns, flush_turns: turns, 1;
    try_feed_round_robin, flush_round_robin: round_robin, 1;
    try_feed_keys, flush_keys: keys, 1;
    try_feed_sharded, flush_sharded: sharded, 1;
    try_feed_lesser, flush_lesser: lesser, 1;
    try_feed_least_loaded, flush_least_loaded: least_loaded, 1;
}

library_benchmark_group!(
    name = append_to_many;
    benchmarks = try_feed_to_2, try_feed_to_8, try_feed_to_64
);
library_benchmark_group!(
    name = append_to_composites;
    benchmarks = try_feed_together, try_feed_effort, try_feed_quorum, try_feed_one, try_feed_failover,
        try_feed_turns, try_feed_round_robin, try_feed_keys, try_feed_sharded, try_feed_lesser,
        try_feed_least_loaded
);
library_benchmark_group!(
    name = flush_composites;
    benchmarks = flush_together, flush_effort, flush_quorum, flush_one, flush_failover, flush_turns,
        flush_round_robin, flush_keys, flush_sharded, flush_lesser, flush_least_loaded
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--separate-threads=no"])
            .entry_point(EntryPoint::Custom("*::collected".to_owned()))
    );
    library_benchmark_groups = append_to_many, append_to_composites, flush_composites
);
