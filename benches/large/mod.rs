//! Large messages: written from where they lie, beside the same stack that copies them into its
//! buffer.

use std::time::{Duration, Instant};

use torq_message_sink::{Buffered, Encode, Lazy, Link, MessageSink, TcpSink, UnixSink};

use crate::median;
use crate::support::Peers;

/// Throughput of both, and of the copying one beside itself.
pub(crate) async fn around_or_through(peers: &Peers) {
    println!(
        "large messages in MB/s of frames, medians of {ROUNDS} interleaved rounds of {SLICE:?}\n"
    );
    println!("| link | payload | copied | around | copied again/copied | around/copied |");
    println!("|------|--------:|-------:|-------:|--------------------:|--------------:|");
    for len in [64 * 1024, 256 * 1024, 1024 * 1024] {
        let tcp = || TcpSink::new(peers.tcp.to_string()).expect("an address");
        compare("tcp", len, connected(tcp()).await, connected(tcp()).await).await;
        let unix = || UnixSink::new(&peers.unix).expect("a short path");
        compare("unix", len, connected(unix()).await, connected(unix()).await).await;
    }
    println!();
}

async fn connected<L: Link>(link: L) -> Lazy<Buffered<L>> {
    let mut sink = Lazy::new(Buffered::with_capacity(link, 2 << 20));
    sink.connect().await.expect("the receivers listen");
    sink
}

async fn compare<S: MessageSink>(link: &str, len: usize, mut copied: S, mut around: S) {
    // More than a cache of the second level holds, as messages come that were just made.
    let messages: Vec<_> = (0..8).map(|byte| vec![byte; len]).collect();
    let mut speeds = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        let mut of_round = [0.0; 3];
        for turn in 0..3 {
            let who = (round + turn) % 3;
            of_round[who] = match who {
                2 => run(&mut around, &messages, |msg| msg.as_slice()).await,
                _ => run(&mut copied, &messages, |msg| Copied(msg)).await,
            };
        }
        if round > 0 {
            speeds.iter_mut().zip(of_round).for_each(|(all, one)| all.push(one));
        }
    }
    let ratio = |who: usize| median(speeds[who].iter().zip(&speeds[0]).map(|(a, b)| a / b));
    let (noise, ratio) = (ratio(1), ratio(2));
    let [copied, _, around] = speeds.map(|speeds| median(speeds.into_iter()));
    println!("| {link:4} | {len:7} | {copied:6.0} | {around:6.0} | {noise:19.3} | {ratio:13.3} |");
}

/// Feeds the messages in turn for a while; millions of bytes per second.
async fn run<'m, S: MessageSink, M: Encode>(
    sink: &mut S,
    messages: &'m [Vec<u8>],
    message: impl Fn(&'m Vec<u8>) -> M,
) -> f64 {
    let (begin, mut bytes) = (Instant::now(), 0);
    while begin.elapsed() < SLICE {
        for msg in messages {
            sink.feed(&message(msg)).await.expect("the receiver reads");
            bytes += msg.len() + 4;
        }
        tokio::task::yield_now().await;
    }
    sink.flush().await.expect("the receiver reads");
    bytes as f64 / begin.elapsed().as_secs_f64() / 1e6
}

/// A message that does not lend its bytes.
struct Copied<'a>(&'a [u8]);

impl Encode for Copied<'_> {
    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self.0);
    }
}

const ROUNDS: usize = 15;
const SLICE: Duration = Duration::from_millis(100);
