//! Seeded schedules of slow, dead and flapping children, of which some gate and some do not.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use fastrand::Rng;
use torq_message_sink::{
    BestEffort, Buffered, Count, Fanout, Lazy, Link, MemoryPeer, MemorySink, MemoryStream,
    MessageSink, Quorum,
};

use super::{counting, leaf, pass};

/// A child's peer, and what came of its connections.
struct Peer {
    peer: MemoryPeer,
    /// Whether its child gates, and so loses nothing but what it leaves unread.
    gates: bool,
    stream: Option<MemoryStream>,
    /// What this connection carried so far.
    bytes: Vec<u8>,
    /// How much of that was read.
    read: usize,
    received: Vec<u64>,
    /// Went on a connection that ended, and was not read.
    lost: Vec<u64>,
}

impl Peer {
    fn new(peer: MemoryPeer, gates: bool) -> Self {
        let (bytes, received, lost) = (Vec::new(), Vec::new(), Vec::new());
        Self { peer, gates, stream: None, bytes, read: 0, received, lost }
    }

    fn accept(&mut self) {
        if self.stream.is_none() {
            self.stream = self.peer.accept();
        }
    }

    fn read(&mut self, most: usize) {
        if let Some(stream) = &self.stream {
            self.bytes.extend(stream.read_at_most(most));
            self.read = self.bytes.len();
        }
    }

    /// The peer closes its connection, with whatever it has not read.
    fn leave(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        self.bytes.extend(stream.read());
        drop(stream);
        self.settle();
    }

    /// Takes stock of a connection that has ended: frames, and the beginning of one at most.
    fn settle(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let (mut rest, mut end) = (&bytes[..], 0);
        while let Some((header, behind)) = rest.split_first_chunk() {
            let len = u32::from_be_bytes(*header) as usize;
            let Some((payload, behind)) = behind.split_at_checked(len) else { break };
            (rest, end) = (behind, end + 4 + len);
            let to = if end <= self.read { &mut self.received } else { &mut self.lost };
            to.push(number(payload));
        }
        assert!(rest.len() < LONGEST, "what is torn is the beginning of one frame");
        self.read = 0;
    }

    /// Everything that reached the kernel, in the order of the connections.
    fn check(&mut self, total: u64, skipped: u64, written: u64) {
        let mut all = [&self.received[..], &self.lost].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), self.received.len() + self.lost.len(), "nothing comes twice");
        assert!(self.received.is_sorted() && self.lost.is_sorted(), "nor out of order");
        assert_eq!(all.len() as u64, written, "written is what kernels took");
        assert_eq!(written + skipped, total, "gaps are what is counted, and nothing else");
        if self.gates {
            assert_eq!(skipped, 0, "a child that gates misses nothing");
        }
    }
}

const LONGEST: usize = 4 + 12 + 40;

/// A message that tells whether it is whole: its number, bytes made of it, and their sum.
fn message(number: u64) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.extend((0..number % 40).map(|at| (number * 31 + at) as u8));
    let sum: u32 = message.iter().map(|byte| u32::from(*byte)).sum();
    message.extend(sum.to_be_bytes());
    message
}

/// The number of a message that is whole.
fn number(payload: &[u8]) -> u64 {
    let number = u64::from_be_bytes(*payload.first_chunk().expect("a number"));
    assert_eq!(payload, message(number), "a frame is never torn");
    number
}

/// What one link with an isolation of its own is.
type Child = BestEffort<MemorySink>;

fn children(rng: &mut Rng, gating: impl Fn(usize, &mut Rng) -> bool) -> (Vec<Child>, Vec<Peer>) {
    let pairs = (0..rng.usize(2..6)).map(|index| {
        let (link, peer) = MemorySink::pair([7, 20, 64, 300][rng.usize(..4)]);
        let gates = gating(index, rng);
        (BestEffort::new(link).with_gating(gates), Peer::new(peer, gates))
    });
    pairs.collect::<Vec<_>>().into_iter().unzip()
}

/// Peers come, stall, read a little, flap, while messages are fed; then all behave, and all is
/// closed. How many messages were fed.
async fn run<L: Link>(sink: &mut Lazy<Buffered<L>>, peers: &mut [Peer], rng: &mut Rng) -> u64 {
    let (mut next, mut accepted) = (0, Vec::new());
    for _ in 0..400 {
        match rng.u8(..12) {
            0..=5 => {
                if sink.try_feed(&message(next)).is_ok() {
                    accepted.push(next);
                }
                next += 1;
            }
            6 | 7 => {
                attempt(sink).await;
            }
            8 => pass().await,
            _ => {
                let peer = &mut peers[rng.usize(..peers.len())];
                match rng.u8(..10) {
                    0 => peer.leave(),
                    1 => peer.peer.refuse(true),
                    2 => peer.peer.refuse(false),
                    _ => peer.read(rng.usize(..200)),
                }
            }
        }
        peers.iter_mut().for_each(Peer::accept);
        assert!(sink.get_ref().buffered_bytes() <= CAPACITY, "memory is bounded");
        (0..peers.len()).for_each(|index| drop(leaf(sink, index)));
    }
    peers.iter().for_each(|peer| peer.peer.refuse(false));
    for _ in 0..60 {
        attempt(sink).await;
        pass().await;
        for peer in &mut *peers {
            peer.accept();
            peer.read(usize::MAX);
        }
    }
    assert_eq!(sink.get_ref().buffered_bytes(), 0, "they catch up");
    accepted.len() as u64
}

/// One poll of a flush.
async fn attempt(sink: &mut impl MessageSink) {
    let mut flush = pin!(sink.flush());
    poll_fn(|cx| {
        let _ = flush.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

const CAPACITY: usize = 400;

fn check<L: Link>(sink: &Lazy<Buffered<L>>, peers: &mut [Peer], total: u64) {
    for (index, peer) in peers.iter_mut().enumerate() {
        peer.leave();
        let leaf = leaf(sink, index);
        let of = |count: Count| count.messages.expect("counted");
        peer.check(total, of(leaf.dropped.skipped), of(leaf.written));
    }
}

#[tokio::test(start_paused = true)]
async fn gating_children_lose_nothing_and_others_what_is_counted() {
    let mut missed = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let (children, mut peers) = children(&mut rng, |index, rng| index == 0 || rng.bool());
        let mut sink = counting(Fanout::new(children), CAPACITY);
        let total = run(&mut sink, &mut peers, &mut rng).await;
        let leaves = sink.report().leaves;
        missed += leaves.iter().map(|leaf| leaf.dropped.skipped.bytes).sum::<u64>();
        check(&sink, &mut peers, total);
    }
    assert!(missed > 0, "some schedule makes some child miss something");
}

#[tokio::test(start_paused = true)]
async fn quorum_has_each_message_at_as_many_children() {
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let (children, mut peers) = children(&mut rng, |_, _| true);
        let needed = rng.usize(1..=peers.len());
        let mut sink = counting(Quorum::new(needed, children), CAPACITY);
        let total = run(&mut sink, &mut peers, &mut rng).await;
        peers.iter_mut().for_each(|peer| peer.gates = false);
        check(&sink, &mut peers, total);
        let mut copies = BTreeMap::<u64, usize>::new();
        let numbers = peers.iter().flat_map(|peer| peer.received.iter().chain(&peer.lost));
        numbers.for_each(|number| *copies.entry(*number).or_default() += 1);
        assert_eq!(copies.len() as u64, total);
        assert!(copies.values().all(|count| *count >= needed), "seed {seed}");
    }
}

const SEEDS: u64 = 150;
