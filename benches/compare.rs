//! Wall clock, in interleaved rounds within one run: this library beside the best twin, and the
//! best twin beside itself, since a machine drifts more between two runs than the two differ.
//!
//! `cargo bench --bench compare` compares; `cargo bench --bench compare -- sweep` tries write
//! sizes, and `-- large` messages that go around the buffer. See docs/BENCHMARKS.md.

mod large;
mod support;

use std::time::{Duration, Instant};

use support::{
    Best, ByCodec, ByHand, ByLoop, CAPACITY, CHUNK, Feed, Ours, Outlets, PAYLOAD, Payloads, Peers,
    by_tcp, by_unix, stream,
};
use tokio::runtime::Builder;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let peers = Peers::listen();
    if std::env::args().any(|arg| arg == "sweep") {
        runtime.block_on(sweep(&peers));
    } else if std::env::args().any(|arg| arg == "large") {
        runtime.block_on(large::around_or_through(&peers));
    } else {
        runtime.block_on(throughput(&peers));
        runtime.block_on(latency(&peers));
        decoding();
    }
}

/// Millions of bytes per second, and what this library moves compared with the twin.
async fn throughput(peers: &Peers) {
    println!("throughput in MB/s of frames, medians of {ROUNDS} interleaved rounds of {SLICE:?}\n");
    println!("| link | payload |  best | best again |  ours | best again/best | ours/best |");
    println!("|------|--------:|------:|-----------:|------:|----------------:|----------:|");
    for len in [64, 1024] {
        let first = Best::new(CAPACITY, peers.connect_tcp().await);
        let second = Best::new(CAPACITY, peers.connect_tcp().await);
        compare("tcp", len, first, second, by_tcp(peers).await).await;
        let first = Best::new(CAPACITY, peers.connect_unix().await);
        let second = Best::new(CAPACITY, peers.connect_unix().await);
        compare("unix", len, first, second, by_unix(peers).await).await;
    }
    println!();
}

async fn compare<B: Feed<[u8]>, S: Feed<[u8]>>(
    link: &str,
    len: usize,
    mut best: B,
    mut again: B,
    mut ours: S,
) {
    let mut speeds = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        let mut of_round = [0.0; 3];
        // The order rotates, so that nobody always comes after the same one.
        for turn in 0..3 {
            let who = (round + turn) % 3;
            of_round[who] = match who {
                0 => run(&mut best, len).await,
                1 => run(&mut again, len).await,
                _ => run(&mut ours, len).await,
            };
        }
        // The first round warms up.
        if round > 0 {
            speeds.iter_mut().zip(of_round).for_each(|(all, one)| all.push(one));
        }
    }
    let ratio = |who: usize| median(speeds[who].iter().zip(&speeds[0]).map(|(a, b)| a / b));
    let (noise, ratio) = (ratio(1), ratio(2));
    let [best, again, ours] = speeds.map(|speeds| median(speeds.into_iter()));
    println!(
        "| {link:4} | {len:7} | {best:5.0} | {again:10.0} | {ours:5.0} | {noise:15.3} | {ratio:9.3} |"
    );
}

/// Sends messages of `len` bytes for a while; millions of bytes per second.
async fn run<S: Feed<[u8]>>(sink: &mut S, len: usize) -> f64 {
    let msg = vec![b'm'; len];
    let (begin, mut frames) = (Instant::now(), 0_u64);
    while begin.elapsed() < SLICE {
        for _ in 0..FRAMES_BETWEEN_LOOKS {
            sink.feed(&msg).await.expect("the receiver reads");
        }
        frames += FRAMES_BETWEEN_LOOKS;
        // One thread runs both the sender and the sockets' driver.
        tokio::task::yield_now().await;
    }
    sink.flush().await.expect("the receiver reads");
    (frames * (4 + len as u64)) as f64 / begin.elapsed().as_secs_f64() / 1e6
}

/// Median time of one message written at once.
async fn latency(peers: &Peers) {
    println!("one message of 64 bytes and its flush, median us of {CALLS} calls in each round,");
    println!("lowest to highest of {LATENCY_ROUNDS} interleaved rounds (median of them)\n");
    println!("| link |           by hand |      by hand, again |              ours |");
    println!("|------|------------------:|--------------------:|------------------:|");
    let (first, second) = (peers.connect_tcp().await, peers.connect_tcp().await);
    delay("tcp", ByHand::new(first), ByHand::new(second), by_tcp(peers).await).await;
    let (first, second) = (peers.connect_unix().await, peers.connect_unix().await);
    delay("unix", ByHand::new(first), ByHand::new(second), by_unix(peers).await).await;
    println!();
}

async fn delay<H: Feed<[u8]>, S: Feed<[u8]>>(link: &str, mut a: H, mut b: H, mut ours: S) {
    let mut rounds = [const { Vec::new() }; 3];
    for round in 0..=LATENCY_ROUNDS {
        for turn in 0..3 {
            let who = (round + turn) % 3;
            let p50 = match who {
                0 => p50(&mut a).await,
                1 => p50(&mut b).await,
                _ => p50(&mut ours).await,
            };
            if round > 0 {
                rounds[who].push(p50);
            }
        }
    }
    let [a, b, ours] = rounds.map(|mut us| {
        us.sort_by(f64::total_cmp);
        format!("{:.2} to {:.2} ({:.2})", us[0], us[us.len() - 1], us[us.len() / 2])
    });
    println!("| {link:4} | {a:>17} | {b:>19} | {ours:>17} |");
}

/// Microseconds of a message and its flush, the median call.
async fn p50<S: Feed<[u8]>>(sink: &mut S) -> f64 {
    let msg = [b'm'; 64];
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begin = Instant::now();
        sink.feed(&msg).await.expect("the receiver reads");
        sink.flush().await.expect("the receiver reads");
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        tokio::task::yield_now().await;
    }
    median(times.into_iter())
}

/// Millions of frames per second cut from chunks of 64 KiB, the reading not counted.
fn decoding() {
    println!("millions of frames of {PAYLOAD} bytes decoded per second, medians of {ROUNDS}");
    println!("interleaved rounds of {DECODE_SLICE:?}\n");
    println!("| codec | codec, again |  loop |  ours | codec again/codec | ours/codec |");
    println!("|------:|-------------:|------:|------:|------------------:|-----------:|");
    let stream = stream(17 * CHUNK);
    let (mut codec, mut again) = (ByCodec::default(), ByCodec::default());
    let (mut by_loop, mut ours) = (ByLoop::default(), Ours::default());
    let mut speeds = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        for turn in 0..4 {
            let who = (round + turn) % 4;
            let speed = match who {
                0 => decode(&mut codec, &stream),
                1 => decode(&mut again, &stream),
                2 => decode(&mut by_loop, &stream),
                _ => decode(&mut ours, &stream),
            };
            if round > 0 {
                speeds[who].push(speed);
            }
        }
    }
    let ratio = |who: usize| median(speeds[who].iter().zip(&speeds[0]).map(|(a, b)| a / b));
    let (noise, ratio) = (ratio(1), ratio(3));
    let [codec, again, by_loop, ours] = speeds.map(|speeds| median(speeds.into_iter()));
    println!(
        "| {codec:5.1} | {again:12.1} | {by_loop:5.1} | {ours:5.1} | {noise:17.3} | {ratio:10.1} |"
    );
}

fn decode<P: Payloads>(subject: &mut P, stream: &[u8]) -> f64 {
    let (mut time, mut bytes) = (Duration::ZERO, 0);
    while time < DECODE_SLICE {
        for chunk in stream.chunks(CHUNK) {
            subject.read(chunk);
            let begin = Instant::now();
            bytes += subject.payload_bytes();
            time += begin.elapsed();
        }
    }
    (bytes / PAYLOAD) as f64 / time.as_secs_f64() / 1e6
}

/// What writes of each size move, of bytes that are there already.
async fn sweep(peers: &Peers) {
    println!(
        "MB/s by bytes of one write, medians of {ROUNDS} interleaved rounds of {SWEEP_SLICE:?}\n"
    );
    println!("| bytes of a write |   tcp | of 64 KiB |  unix | of 64 KiB |");
    println!("|-----------------:|------:|----------:|------:|----------:|");
    let (tcp, unix) = (peers.connect_tcp().await, peers.connect_unix().await);
    let mut speeds = [const { (Vec::new(), Vec::new()) }; WRITE_SIZES.len()];
    let bytes = vec![b'm'; 256 * 1024];
    for round in 0..=ROUNDS {
        for turn in 0..WRITE_SIZES.len() {
            let which = (round * 5 + turn) % WRITE_SIZES.len();
            let bytes = &bytes[..WRITE_SIZES[which]];
            let by_tcp = write_for(&tcp, bytes).await;
            let by_unix = write_for(&unix, bytes).await;
            if round > 0 {
                speeds[which].0.push(by_tcp);
                speeds[which].1.push(by_unix);
            }
        }
    }
    let reference = WRITE_SIZES.iter().position(|size| *size == 64 * 1024).expect("listed");
    let medians = speeds.map(|(t, u)| (median(t.into_iter()), median(u.into_iter())));
    let (tcp_64, unix_64) = medians[reference];
    for (size, (tcp, unix)) in WRITE_SIZES.iter().zip(medians) {
        let (of_tcp, of_unix) = (tcp / tcp_64, unix / unix_64);
        println!("| {size:16} | {tcp:5.0} | {of_tcp:9.2} | {unix:5.0} | {of_unix:9.2} |");
    }
}

async fn write_for(stream: &impl Outlets, bytes: &[u8]) -> f64 {
    let (begin, mut writes) = (Instant::now(), 0_u64);
    while begin.elapsed() < SWEEP_SLICE {
        stream.write(bytes).await.expect("the receiver reads");
        writes += 1;
    }
    (writes * bytes.len() as u64) as f64 / begin.elapsed().as_secs_f64() / 1e6
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const ROUNDS: usize = 21;
const SLICE: Duration = Duration::from_millis(150);
const FRAMES_BETWEEN_LOOKS: u64 = 4096;

const LATENCY_ROUNDS: usize = 15;
const CALLS: usize = 4000;

const DECODE_SLICE: Duration = Duration::from_millis(20);

const SWEEP_SLICE: Duration = Duration::from_millis(60);
/// Around the 65,483 bytes that one segment of loopback TCP carries.
const WRITE_SIZES: [usize; 13] = [
    16 * 1024,
    24 * 1024,
    32 * 1024,
    48 * 1024,
    52 * 1024,
    56 * 1024,
    60 * 1024,
    63 * 1024,
    65_483,
    64 * 1024,
    96 * 1024,
    128 * 1024,
    256 * 1024,
];
