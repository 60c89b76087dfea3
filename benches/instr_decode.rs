//! Instructions per frame of cutting a stream into frames, of this library, of a loop by hand and
//! of tokio-util's codec.
//!
//! Run by `cargo bench --features instr --bench instr_decode`; `cargo bench --bench gate` judges.

#![allow(missing_docs, reason = "the macros of iai-callgrind make public items")]

mod support;

use std::hint::black_box;

use iai_callgrind::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use support::{ByCodec, ByLoop, CHUNK, Ours, PAYLOAD, Payloads, stream};

/// Runs `measured`; callgrind counts in here and nowhere else.
#[inline(never)]
fn collected<R>(measured: impl FnOnce() -> R) -> R {
    measured()
}

/// How a stream falls into chunks.
#[derive(Clone, Copy)]
enum Chunks {
    /// Each has whole frames only.
    Whole,
    /// Each is full, and nearly each ends inside a frame.
    Cut,
}

fn decode<C: Payloads + Default>(chunks: Chunks, count: usize) {
    let frame = 4 + PAYLOAD;
    let chunk = match chunks {
        Chunks::Whole => CHUNK / frame * frame,
        Chunks::Cut => CHUNK,
    };
    let stream = stream(count * chunk);
    let (mut subject, mut bytes) = (C::default(), 0);
    for chunk in stream.chunks(chunk) {
        subject.read(black_box(chunk));
        bytes += collected(|| subject.payload_bytes());
    }
    assert_eq!(bytes / PAYLOAD * frame, stream.len(), "every frame was found");
}

/// Chunks of the two runs whose difference is reported. So many full chunks end with a whole frame:
/// 17 of 65,536 bytes are 16,384 frames of 68.
const ONCE: usize = 17;
const TWICE: usize = 2 * ONCE;

macro_rules! decode_rows {
    ($($row:ident: $subject:ty;)*) => {$(
        #[library_benchmark]
        #[bench::whole_once(Chunks::Whole, ONCE)]
        #[bench::whole_twice(Chunks::Whole, TWICE)]
        #[bench::cut_once(Chunks::Cut, ONCE)]
        #[bench::cut_twice(Chunks::Cut, TWICE)]
        fn $row(chunks: Chunks, count: usize) {
            decode::<$subject>(chunks, count);
        }
    )*};
}

decode_rows! {
    decode_codec: ByCodec;
    decode_loop: ByLoop;
    decode_ours: Ours;
}

library_benchmark_group!(
    name = frames_of_64_bytes;
    benchmarks = decode_codec, decode_loop, decode_ours
);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::default().entry_point(EntryPoint::Custom("*::collected".to_owned()))
    );
    library_benchmark_groups = frames_of_64_bytes
);
