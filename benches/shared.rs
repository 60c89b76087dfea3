//! Wall clock of many producers in one process: `Shared` beside a tokio mpsc channel that feeds a
//! writer task, in interleaved rounds within one run. See docs/BENCHMARKS.md.

mod support;

use std::time::{Duration, Instant};

use support::{ByChannel, CAPACITY, Peers};
use tokio::runtime::Builder;
use torq_message_sink::{Buffered, Lazy, Shared, UnixSink};

fn main() {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let peers = Peers::listen();
        let asked: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
        let asked = |table: &str| asked.is_empty() || asked.iter().any(|arg| arg == table);
        if asked("throughput") {
            throughput(&peers).await;
        }
        if asked("latency") {
            latency(&peers).await;
        }
    });
}

/// Takes messages from several tasks.
trait Producer: Clone + Send + 'static {
    /// Accepts a message.
    fn feed(&self, msg: &[u8; 64]) -> impl Future<Output = ()> + Send;

    /// Accepts a message and waits until the kernel has it.
    fn send(&self, msg: &[u8; 64]) -> impl Future<Output = ()> + Send;

    /// Waits until the kernel has everything.
    fn flush(&self) -> impl Future<Output = ()> + Send;
}

type Ours = Shared<Lazy<Buffered<UnixSink>>>;

fn ours(peers: &Peers) -> Ours {
    let link = UnixSink::new(&peers.unix).expect("a short path");
    Shared::with_capacity(Lazy::new(Buffered::with_capacity(link, CAPACITY)), CAPACITY)
}

impl Producer for Ours {
    async fn feed(&self, msg: &[u8; 64]) {
        Self::feed(self, msg).await.expect("the receiver reads");
    }

    async fn send(&self, msg: &[u8; 64]) {
        Self::send(self, msg).await.expect("the receiver reads");
    }

    async fn flush(&self) {
        Self::flush(self).await.expect("the receiver reads");
    }
}

impl<M> Producer for ByChannel<M>
where
    M: From<[u8; 64]> + AsRef<[u8]> + std::fmt::Debug + Send + 'static,
{
    async fn feed(&self, msg: &[u8; 64]) {
        self.feed(msg).await;
    }

    async fn send(&self, msg: &[u8; 64]) {
        self.send(msg).await;
    }

    async fn flush(&self) {
        self.flush().await;
    }
}

/// By a channel whose messages are arrays, and by one whose messages are vectors.
async fn by_channel(peers: &Peers) -> (ByChannel<[u8; 64]>, ByChannel<Vec<u8>>) {
    let (arrays, vectors) = (peers.connect_unix().await, peers.connect_unix().await);
    (ByChannel::new(arrays, CAPACITY), ByChannel::new(vectors, CAPACITY))
}

/// Millions of messages per second.
async fn throughput(peers: &Peers) {
    println!("millions of messages of 64 bytes fed per second, to one unix socket, medians of");
    println!("{ROUNDS} interleaved rounds of {MESSAGES} messages\n");
    println!("| producers | arrays | vectors |  ours | ours/arrays | ours/vectors |");
    println!("|----------:|-------:|--------:|------:|------------:|-------------:|");
    for producers in PRODUCERS {
        let ((arrays, vectors), ours) = (by_channel(peers).await, ours(peers));
        let mut speeds = [const { Vec::new() }; 3];
        for round in 0..=ROUNDS {
            for turn in 0..3 {
                let who = (round + turn) % 3;
                let speed = match who {
                    0 => feed_all(&arrays, producers).await,
                    1 => feed_all(&vectors, producers).await,
                    _ => feed_all(&ours, producers).await,
                };
                // The first round warms up.
                if round > 0 {
                    speeds[who].push(speed);
                }
            }
        }
        let ratio = |who: usize| median(speeds[2].iter().zip(&speeds[who]).map(|(a, b)| a / b));
        let (to_arrays, to_vectors) = (ratio(0), ratio(1));
        let [arrays, vectors, ours] = speeds.map(|speeds| median(speeds.into_iter()));
        println!(
            "| {producers:9} | {arrays:6.2} | {vectors:7.2} | {ours:5.2} | {to_arrays:11.2} | \
             {to_vectors:12.2} |"
        );
    }
    println!();
}

async fn feed_all<P: Producer>(sink: &P, producers: usize) -> f64 {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let sink = sink.clone();
            tokio::spawn(async move {
                for _ in 0..MESSAGES / producers {
                    sink.feed(&[b'm'; 64]).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    sink.flush().await;
    MESSAGES as f64 / begin.elapsed().as_secs_f64() / 1e6
}

/// How long a message takes until the kernel has it.
async fn latency(peers: &Peers) {
    println!(
        "one message of 64 bytes until the kernel has it, us, p50 / p99 over {CALLS} calls in"
    );
    println!("each round, medians of {LATENCY_ROUNDS} interleaved rounds\n");
    println!(
        "| producers |           arrays |          vectors |             ours | p99 ours/arrays |"
    );
    println!(
        "|----------:|-----------------:|-----------------:|-----------------:|----------------:|"
    );
    for producers in PRODUCERS {
        let ((arrays, vectors), ours) = (by_channel(peers).await, ours(peers));
        let mut rounds = [const { (Vec::new(), Vec::new()) }; 3];
        for round in 0..=LATENCY_ROUNDS {
            for turn in 0..3 {
                let who = (round + turn) % 3;
                let (p50, p99) = match who {
                    0 => send_all(&arrays, producers).await,
                    1 => send_all(&vectors, producers).await,
                    _ => send_all(&ours, producers).await,
                };
                if round > 0 {
                    rounds[who].0.push(p50);
                    rounds[who].1.push(p99);
                }
            }
        }
        let ratio = median(rounds[2].1.iter().zip(&rounds[0].1).map(|(a, b)| a / b));
        let [arrays, vectors, ours] = rounds.map(|(p50, p99)| {
            format!("{:.1} / {:.1}", median(p50.into_iter()), median(p99.into_iter()))
        });
        println!("| {producers:9} | {arrays:>16} | {vectors:>16} | {ours:>16} | {ratio:15.2} |");
    }
}

async fn send_all<P: Producer>(sink: &P, producers: usize) -> (f64, f64) {
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let sink = sink.clone();
            tokio::spawn(async move {
                let mut times = Vec::with_capacity(CALLS / producers);
                for _ in 0..CALLS / producers {
                    let begin = Instant::now();
                    sink.send(&[b'm'; 64]).await;
                    times.push(begin.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::with_capacity(CALLS);
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    times.sort();
    let at = |share: f64| -> Duration { times[(times.len() as f64 * share) as usize] };
    (at(0.5).as_secs_f64() * 1e6, at(0.99).as_secs_f64() * 1e6)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PRODUCERS: [usize; 2] = [2, 8];
const ROUNDS: usize = 15;
const MESSAGES: usize = 1_000_000;
const LATENCY_ROUNDS: usize = 15;
const CALLS: usize = 8000;
