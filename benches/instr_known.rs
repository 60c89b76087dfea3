//! Instructions per message of a program's own set of stacks, an enum that is matched per message,
//! and of the same stack alone. Apart from the others, whose stacks are to be in line as in a program
//! that has each of them once.
//!
//! Run by `cargo bench --features instr --bench instr_known`; the gate judges it.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use std::hint::black_box;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{Flush, Peers, Sink, TryFeed, typed};
use tokio::runtime::Builder;
use torq_message_sink::{Buffered, Fanout, Lazy, TcpSink, UnixSink, known_stacks};

known_stacks! {
    /// Stacks that differ in their links, as those of a program would.
    pub(crate) enum Known {
        Tcp("by_tcp"): Lazy<Buffered<TcpSink>>,
        Unix("by_unix"): Lazy<Buffered<UnixSink>>,
        Both("both"): Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>,
    }
}

/// Runs `measured`; callgrind counts in here and nowhere else.
#[inline(never)]
fn collected<R>(measured: impl FnOnce() -> R) -> R {
    measured()
}

/// The loop that is counted. It is not told which stack of the set it has.
#[inline(never)]
fn try_feed_loop<T: TryFeed<[u8]>>(sink: &mut T, msg: &[u8], count: usize) {
    for _ in 0..count {
        let msg = black_box(msg);
        if !sink.try_feed(msg) {
            sink.refused(msg);
        }
    }
}

/// Appends `count` messages of 64 bytes, from 16 places of a page in turn as `instr_send` does, then
/// checks that they arrive.
fn try_feed<T, F>(connect: F, count: usize)
where
    T: TryFeed<[u8]> + Flush,
    F: AsyncFnOnce(&Peers) -> T,
{
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peers = Peers::listen();
    let mut sink = runtime.block_on(connect(&peers));
    let page = black_box(vec![b'm'; 64 + 4096]);
    for place in 0..PLACES {
        collected(|| try_feed_loop(&mut sink, &page[place * 256..][..64], count));
        runtime.block_on(sink.flush()).expect("the receivers read");
    }
    peers.wait_for((2 * PLACES * count * 68) as u64);
}

async fn known(peers: &Peers) -> Sink<Known> {
    Sink(black_box(Known::Both(typed(peers).await.0)))
}

macro_rules! rows {
    ($($row:ident: $connect:expr;)*) => {$(
        #[library_benchmark]
        #[bench::b64_once(ONCE)]
        #[bench::b64_twice(TWICE)]
        fn $row(count: usize) {
            try_feed($connect, count);
        }
    )*};
}

rows! {
    try_feed_alone: typed;
    try_feed_known: known;
}

const PLACES: usize = 16;
const ONCE: usize = 16;
const TWICE: usize = 2 * ONCE;

library_benchmark_group!(
    name = append_to_known;
    benchmarks = try_feed_alone, try_feed_known
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args(["--separate-threads=no"])
            .entry_point(EntryPoint::Custom("*::collected".to_owned()))
    );
    library_benchmark_groups = append_to_known
);
