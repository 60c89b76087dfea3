//! Many tasks, a peer that comes and goes, futures that are dropped: whatever is chosen, what was
//! accepted arrives once and in its producer's order, and nobody hears of a write before it is one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::Builder;
use tokio::task::yield_now;
use torq_message_sink::{
    Backoff, Buffered, ErrorKind, Lazy, MemoryPeer, MemorySink, MemoryStream, Shared, SinkError,
    TryFeedError,
};

use crate::support::poll_once;

type Sink = Shared<Lazy<Buffered<MemorySink>>>;

/// The receiver. It never loses a byte: before it leaves, it stops taking and reads to the end.
struct Receiver {
    peer: MemoryPeer,
    /// The connections, each with what has come of its next frame. There is more than one while an
    /// attempt that was given up still ends.
    streams: Vec<(MemoryStream, Vec<u8>)>,
    /// The number that is to come next, of each producer.
    next: [u64; PRODUCERS],
    /// The first thing that was not as it should be. It is reported at the end, since a receiver
    /// that is gone would leave all others waiting.
    fault: Option<String>,
}

impl Receiver {
    /// Reads what has arrived. What a connection's end has cut off comes whole on the next one.
    fn read(&mut self) {
        while let Some(stream) = self.peer.accept() {
            self.streams.push((stream, Vec::new()));
        }
        self.read_accepted();
    }

    fn read_accepted(&mut self) {
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|(stream, rest)| {
            let finished = stream.is_finished();
            rest.extend(stream.read());
            self.check(rest);
            !finished
        });
        self.streams = streams;
    }

    /// Each frame is its producer's next one.
    fn check(&mut self, bytes: &mut Vec<u8>) {
        let mut rest = bytes.as_slice();
        while let Some((header, behind)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*header) as usize;
            let Some((frame, behind)) = behind.split_at_checked(len) else { break };
            let number = u64::from_be_bytes(frame[1..9].try_into().expect("eight bytes"));
            let next = &mut self.next[frame[0] as usize];
            if number != *next || frame != message(frame[0], number) {
                let got = format!("{number} of producer {} instead of {next}", frame[0]);
                self.fault.get_or_insert(got);
            }
            *next = number + 1;
            rest = behind;
        }
        bytes.drain(..bytes.len() - rest.len());
    }

    fn leave(&mut self) {
        self.streams.iter().for_each(|(stream, _)| stream.set_capacity(0));
        self.read_accepted();
        self.streams.clear();
    }
}

fn message(producer: u8, number: u64) -> Vec<u8> {
    let len = 9 + (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57) as usize;
    let mut bytes = vec![producer; len];
    bytes[1..9].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// What a producer needs.
struct Producer {
    sink: Sink,
    receiver: Arc<Mutex<Receiver>>,
    id: u8,
    /// How many of its messages were accepted.
    accepted: u64,
    rng: Rng,
}

impl Producer {
    /// Does something; false once the sink is closed.
    async fn step(&mut self) -> bool {
        let sink = self.sink.clone();
        let (id, first) = (self.id, self.accepted);
        let msg = message(id, first);
        let polls = self.rng.bool().then(|| self.rng.usize(1..4));
        let outcome = match self.rng.u8(..20) {
            0..=3 => match sink.try_feed(&msg) {
                Err(TryFeedError::Full | TryFeedError::NotConnected) => None,
                fed => Some(fed.map(|()| self.accepted += 1).map_err(SinkError::from)),
            },
            4..=9 => {
                let fed = give_up_after(polls, &mut sink.feed(&msg)).await;
                fed.map(|fed| fed.map(|()| self.accepted += 1))
            }
            10..=14 => {
                let mut send = sink.send(&msg);
                let sent = give_up_after(polls, &mut send).await;
                self.accepted += u64::from(send.accepted());
                sent.map(|sent| sent.map(|()| self.check_written()))
            }
            15 => {
                let mut batch = sink.send_batch((first..first + 5).map(|n| message(id, n)));
                let sent = give_up_after(polls, &mut batch).await;
                self.accepted += batch.accepted() as u64;
                sent.map(|sent| sent.map(|()| self.check_written()))
            }
            16..=17 => {
                let flushed = give_up_after(polls, &mut sink.flush()).await;
                flushed.map(|flushed| flushed.map(|()| self.check_written()))
            }
            18 => give_up_after(polls, &mut sink.connect()).await,
            _ => {
                let deadline = Duration::from_millis(self.rng.u64(..3));
                let ended = give_up_after(polls, &mut sink.disconnect_within(deadline)).await;
                ended.map(|ended| ended.map(drop))
            }
        };
        let Some(Err(error)) = outcome else { return true };
        assert!(error.is_closed() || error.kind() == ErrorKind::Unreachable, "{error}");
        !error.is_closed()
    }

    /// Everything of this producer has reached the receiver.
    fn check_written(&self) {
        let mut receiver = lock(&self.receiver);
        receiver.read();
        let (id, accepted) = (self.id, self.accepted);
        let arrived = receiver.next[id as usize];
        if arrived != accepted {
            let early = format!("{arrived} instead of {accepted} of producer {id} were written");
            receiver.fault.get_or_insert(early);
        }
    }
}

/// Waits for `future`, or polls it only so many times.
async fn give_up_after<F: Future + Unpin>(
    polls: Option<usize>,
    future: &mut F,
) -> Option<F::Output> {
    let Some(polls) = polls else { return Some(future.await) };
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_once(future).await {
            return Some(output);
        }
        yield_now().await;
    }
    None
}

/// The receiver's ways: reads now and then, and leaves, refuses, or lets connections hang, until it
/// is told to behave.
fn receive(receiver: &Mutex<Receiver>, mut rng: Rng, behave: &AtomicBool, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let mut receiver = lock(receiver);
        match rng.u8(..16) {
            _ if behave.load(Ordering::SeqCst) => {
                receiver.peer.refuse(false);
                receiver.peer.stall(false);
                receiver.read();
            }
            0 => receiver.leave(),
            1 => receiver.peer.refuse(true),
            2 => receiver.peer.stall(true),
            3..=6 => {
                receiver.peer.refuse(false);
                receiver.peer.stall(false);
            }
            7..=8 => {
                if let Some((stream, _)) = receiver.streams.last() {
                    stream.set_max_write(rng.usize(..100));
                    stream.set_capacity(rng.usize(1..500));
                }
            }
            _ => receiver.read(),
        }
        drop(receiver);
        std::thread::yield_now();
    }
}

/// One run: some producers as tasks beside each other, and one whose runtimes come and go. In half
/// of the runs somebody closes the sink while all are busy.
fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let (link, peer) = MemorySink::pair(rng.usize(50..2000));
    let now = Backoff::new().with_initial(Duration::ZERO);
    let stack = Lazy::new(Buffered::with_capacity(link, rng.usize(160..2000)))
        .with_backoff(now)
        .with_max_attempts(rng.u32(0..4))
        .with_close_deadline(Duration::from_secs(3600));
    let mut sink = Shared::with_capacity(stack, rng.usize(160..2000));
    if rng.bool() {
        // Longer than any run: whoever is not let out by something else would wait for ever.
        sink = sink.with_max_delay(Duration::from_secs(3600), rng.usize(0..2500));
    }
    let receiver = Receiver { peer, streams: Vec::new(), next: [0; PRODUCERS], fault: None };
    let receiver = Arc::new(Mutex::new(receiver));
    let mut producers = (0..PRODUCERS as u8).map(|id| {
        let (sink, receiver, rng) = (sink.clone(), receiver.clone(), rng.fork());
        Producer { sink, receiver, id, accepted: 0, rng }
    });
    let mut nomad = producers.next().expect("some");
    let settled: Vec<_> = producers.collect();
    let (behave, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let steps = Arc::new(AtomicU64::new(0));
    let close_at = rng.bool().then(|| rng.u64(..STEPS));

    let accepted = std::thread::scope(|scope| {
        let ways = rng.fork();
        scope.spawn(|| receive(&receiver, ways, &behave, &over));
        let nomad = scope.spawn(move || {
            for _ in 0..STEPS / 20 {
                // Its driver, if it has started one, goes with the runtime.
                let runtime = Builder::new_current_thread().enable_all().build();
                let open = runtime.expect("a runtime").block_on(async {
                    for _ in 0..20 {
                        if !nomad.step().await {
                            return false;
                        }
                    }
                    true
                });
                if !open {
                    break;
                }
            }
            nomad.accepted
        });
        let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut accepted = runtime.block_on(async {
            let tasks: Vec<_> = settled
                .into_iter()
                .map(|mut producer| {
                    let steps = steps.clone();
                    tokio::spawn(async move {
                        for _ in 0..STEPS {
                            if close_at == Some(steps.fetch_add(1, Ordering::SeqCst)) {
                                // Somebody else waits for it.
                                let _ = poll_once(&mut producer.sink.close()).await;
                            }
                            if !producer.step().await {
                                break;
                            }
                        }
                        producer.accepted
                    })
                })
                .collect();
            let mut accepted = Vec::new();
            for task in tasks {
                accepted.push(task.await.expect("no panic"));
            }
            accepted
        });
        accepted.insert(0, nomad.join().expect("no panic"));
        behave.store(true, Ordering::SeqCst);
        let report = runtime.block_on(sink.close()).expect("closed");
        over.store(true, Ordering::SeqCst);
        assert!(report.is_complete(), "seed {seed}: {report}");
        accepted
    });
    let mut receiver = lock(&receiver);
    receiver.read();
    assert_eq!((&receiver.fault, receiver.next.as_slice()), (&None, &*accepted), "seed {seed}");
}

#[test]
fn whatever_is_done_at_once_each_message_arrives_once_and_in_order() {
    let runs = std::env::var("CHAOS_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(20);
    let first = std::env::var("CHAOS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    for seed in first..first + runs {
        run(seed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PRODUCERS: usize = 5;
const STEPS: u64 = 400;
