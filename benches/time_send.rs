//! Wall clock by criterion: appends, and one message with its flush, beside the twins.
//!
//! For comparing this library with itself over time. What it says of two subjects hangs on how the
//! machine felt in the minute of each; to compare two, `compare` interleaves them.

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use support::{
    Best, ByHand, ByVec, CAPACITY, Feed, Idiomatic, Peers, by_tcp, by_unix, factory, typed,
};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Time of feeding `count` messages and a last flush.
async fn feed_all<S: Feed<[u8]>>(sink: &mut S, msg: &[u8], count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        sink.feed(black_box(msg)).await.expect("the receiver reads");
    }
    sink.flush().await.expect("the receiver reads");
    begin.elapsed()
}

/// Time of feeding and flushing `count` messages, one by one.
async fn send_all<S: Feed<[u8]>>(sink: &mut S, msg: &[u8], count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        sink.feed(black_box(msg)).await.expect("the receiver reads");
        sink.flush().await.expect("the receiver reads");
    }
    begin.elapsed()
}

/// One row of `throughput/<link>`.
macro_rules! row {
    ($group:ident, $each:ident, $runtime:ident, $name:literal, $len:ident, $sink:expr) => {
        let mut sink = $runtime.block_on(async { $sink });
        let msg = vec![b'm'; $len];
        $group.bench_function(BenchmarkId::new($name, $len), |bencher| {
            bencher.iter_custom(|count| $runtime.block_on($each(&mut sink, &msg, count)));
        });
    };
}

fn throughput(criterion: &mut Criterion) {
    let (runtime, peers) = (runtime(), Peers::listen());
    for len in [64, 1024] {
        let mut group = criterion.benchmark_group("throughput/tcp");
        group.throughput(Throughput::Bytes(len as u64 + 4));
        row!(group, feed_all, runtime, "best", len, Best::new(CAPACITY, peers.connect_tcp().await));
        row!(group, feed_all, runtime, "typed", len, by_tcp(&peers).await);
        group.finish();
        let mut group = criterion.benchmark_group("throughput/unix");
        group.throughput(Throughput::Bytes(len as u64 + 4));
        row!(
            group,
            feed_all,
            runtime,
            "best",
            len,
            Best::new(CAPACITY, peers.connect_unix().await)
        );
        row!(group, feed_all, runtime, "typed", len, by_unix(&peers).await);
        group.finish();
        let mut group = criterion.benchmark_group("throughput/fanout");
        group.throughput(Throughput::Bytes(len as u64 + 4));
        row!(
            group,
            feed_all,
            runtime,
            "best",
            len,
            Best::new(CAPACITY, peers.connect_both().await)
        );
        row!(
            group,
            feed_all,
            runtime,
            "vec",
            len,
            ByVec::new(CAPACITY, peers.connect_both().await)
        );
        row!(group, feed_all, runtime, "idiomatic", len, {
            Idiomatic::new(CAPACITY, peers.connect_both().await)
        });
        row!(group, feed_all, runtime, "typed", len, typed(&peers).await);
        row!(group, feed_all, runtime, "factory", len, factory(&peers).await);
        group.finish();
    }
}

fn flush_per_message(criterion: &mut Criterion) {
    let (runtime, peers, len) = (runtime(), Peers::listen(), 64);
    let mut group = criterion.benchmark_group("flush_per_message/tcp");
    row!(group, send_all, runtime, "by hand", len, ByHand::new(peers.connect_tcp().await));
    row!(group, send_all, runtime, "typed", len, by_tcp(&peers).await);
    group.finish();
    let mut group = criterion.benchmark_group("flush_per_message/unix");
    row!(group, send_all, runtime, "by hand", len, ByHand::new(peers.connect_unix().await));
    row!(group, send_all, runtime, "typed", len, by_unix(&peers).await);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = throughput, flush_per_message
}
criterion_main!(benches);
