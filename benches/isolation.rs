//! Wall clock of a fan-out beside itself and beside one that has a stuck best-effort child more, in
//! interleaved rounds within one run.
//!
//! `cargo bench --bench isolation`. See docs/BENCHMARKS.md.

mod support;

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{CAPACITY, Feed, Flush, Peers, Sink};
use tokio::runtime::Builder;
use torq_message_sink::{BestEffort, Buffered, Fanout, Lazy, MessageSink, UnixSink};

type Stack = Sink<Lazy<Buffered<Fanout<Vec<BestEffort<UnixSink>>>>>>;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peers = Peers::listen();
    let path = peers.unix.with_extension("stuck");
    // Connections wait to be accepted, and nobody ever reads what they carry.
    let stuck = UnixListener::bind(&path).expect("a new path");
    runtime.block_on(compare(&peers, &path));
    drop(stuck);
    let _ = std::fs::remove_file(&path);
}

async fn compare(peers: &Peers, stuck: &Path) {
    println!("MB/s of frames of 64 bytes to each of two unix receivers that read, medians of");
    println!("{ROUNDS} interleaved rounds of {SLICE:?}; lowest and highest round of each ratio\n");
    println!("| flushes       | two | two, again | and one stuck | again/two | stuck/two |");
    println!("|---------------|----:|-----------:|--------------:|----------:|----------:|");
    for (flushes, between) in [("when full", u64::MAX), ("every 100", 100)] {
        let (mut two, mut again) = (stack(peers, None).await, stack(peers, None).await);
        let mut more = stack(peers, Some(stuck)).await;
        let mut speeds = [const { Vec::new() }; 3];
        for round in 0..=ROUNDS {
            let mut of_round = [0.0; 3];
            for turn in 0..3 {
                let who = (round + turn) % 3;
                let sink = match who {
                    0 => &mut two,
                    1 => &mut again,
                    _ => &mut more,
                };
                of_round[who] = run(sink, between).await;
            }
            // The first round warms up, and fills what the stuck child takes.
            if round > 0 {
                speeds.iter_mut().zip(of_round).for_each(|(all, one)| all.push(one));
            }
        }
        let leaves = more.0.report().leaves;
        assert!(leaves[2].dropped.skipped.bytes > 0, "it is stuck, and misses messages");
        assert!(leaves[..2].iter().all(|leaf| leaf.dropped.total().bytes == 0));
        let ratio =
            |who: usize| spread(speeds[who].iter().zip(&speeds[0]).map(|(a, b)| a / b).collect());
        let (noise, ratio) = (ratio(1), ratio(2));
        let [two, again, more] = speeds.map(median);
        println!("| {flushes:13} | {two:.0} | {again:.0} | {more:.0} | {noise} | {ratio} |");
    }
}

/// Two children that gate and read, and the one that is stuck.
async fn stack(peers: &Peers, stuck: Option<&Path>) -> Stack {
    let unix = |path: &Path| UnixSink::new(path).expect("a short path");
    let mut links: Vec<_> =
        (0..2).map(|_| BestEffort::new(unix(&peers.unix)).with_gating(true)).collect();
    links.extend(stuck.map(|path| BestEffort::new(unix(path))));
    let mut sink = Lazy::new(Buffered::with_capacity(Fanout::new(links), CAPACITY));
    sink.connect().await.expect("the receivers listen");
    Sink(sink)
}

/// Sends for a while; millions of bytes per second.
async fn run(sink: &mut Stack, between: u64) -> f64 {
    let msg = [b'm'; 64];
    let (begin, mut frames) = (Instant::now(), 0_u64);
    while begin.elapsed() < SLICE {
        for _ in 0..FRAMES_BETWEEN_LOOKS {
            sink.feed(msg.as_slice()).await.expect("the receivers read");
            frames += 1;
            if frames.is_multiple_of(between) {
                sink.flush().await.expect("the receivers read");
            }
        }
        tokio::task::yield_now().await;
    }
    sink.flush().await.expect("the receivers read");
    (frames * 68) as f64 / begin.elapsed().as_secs_f64() / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    format!("{middle:.3} ({:.3} to {:.3})", values[0], values[values.len() - 1])
}

const ROUNDS: usize = 21;
const SLICE: Duration = Duration::from_millis(100);
const FRAMES_BETWEEN_LOOKS: u64 = 4096;
