//! Instructions per message of fan-outs of 2, 8 and 64 children: the append path does not know how
//! many there are. Apart from `instr_send`, whose stacks are to be in line as in a program that has
//! each of them once.
//!
//! Run by `cargo bench --features instr --bench instr_fanout`; the gate judges it.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use std::hint::black_box;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{Fanned, Flush, Peers, Sink, TryFeed, unix_fanout};
use tokio::runtime::Builder;

/// Runs `measured`; callgrind counts in here and nowhere else.
#[inline(never)]
fn collected<R>(measured: impl FnOnce() -> R) -> R {
    measured()
}

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
const ONCE: usize = 16;
const TWICE: usize = 2 * ONCE;

library_benchmark_group!(
    name = append_to_many;
    benchmarks = try_feed_to_2, try_feed_to_8, try_feed_to_64
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--separate-threads=no"])
            .entry_point(EntryPoint::Custom("*::collected".to_owned()))
    );
    library_benchmark_groups = append_to_many
);
