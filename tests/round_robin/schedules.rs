//! Seeded schedules of kills and restarts, in virtual time. `ROUND_ROBIN_SEED=n` runs one again,
//! `ROUND_ROBIN_SCHEDULES=n` runs n of each kind of stack.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::advance;
use torq_message_sink::{
    Backoff, BestEffort, Buffered, Failover, FailoverPolicy, Fanout, Lazy, LazyPolicy, Link,
    MemorySink, MessageSink, RoundRobin, WhenFull,
};

use crate::numbered::message;
use crate::receiver::Receiver;

#[test]
fn schedules_over_links() {
    schedules(250, |house| {
        let links = (0..house.rng.usize(2..5)).map(|_| house.link()).collect::<Vec<_>>();
        let links = house.in_turn(links);
        house.stack(links)
    });
}

#[test]
fn schedules_that_drop_the_oldest() {
    schedules(250, |house| {
        let links = (0..house.rng.usize(2..5)).map(|_| house.link()).collect::<Vec<_>>();
        let links = house.in_turn(links);
        let capacity = house.rng.usize(64..300);
        let buffered = Buffered::with_capacity(links, capacity);
        Lazy::with_policy(buffered.with_when_full(WhenFull::DropOldest), house.lazy.clone())
    });
}

#[test]
fn schedules_over_links_in_links() {
    schedules(150, |house| {
        let links = (house.link(), house.link());
        let inner = house.in_turn(links);
        let link = house.link();
        let failover = house.failover();
        let links = house.in_turn((inner, link, failover));
        house.stack(links)
    });
}

#[test]
fn schedules_of_a_failover_to_it() {
    schedules(150, |house| {
        let links = (house.link(), house.link(), house.link());
        let inner = house.in_turn(links);
        let policy = FailoverPolicy::new().with_stall_timeout(Some(Duration::from_millis(200)));
        let links = Failover::with_policy((inner, house.link()), policy);
        house.stack(links)
    });
}

#[test]
fn schedules_below_a_fanout() {
    schedules(150, |house| {
        house.copies = 2;
        let [first, second] = [0, 2].map(|_| {
            let links = [house.link(), house.link()];
            house.in_turn(links)
        });
        house.stack(Fanout::new((first, second)))
    });
}

#[test]
fn schedules_that_nobody_waits_for() {
    schedules(150, |house| {
        let links = [house.link(), house.link(), house.link()];
        let links = house.in_turn(links);
        house.stack(BestEffort::new(links).with_gating(true))
    });
}

/// Runs `count` schedules, each with a stack that `make` makes.
fn schedules<S: MessageSink>(count: u64, make: impl Fn(&mut House) -> S) {
    let (only, count) =
        (number("ROUND_ROBIN_SEED"), number("ROUND_ROBIN_SCHEDULES").unwrap_or(count));
    let mut connections = 0;
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let on_panic = OnPanic(seed);
        connections += runtime.block_on(async {
            let mut house = House::new(seed);
            let sink = make(&mut house);
            Schedule { sink, house, sizes: Vec::new() }.run().await
        });
        drop(on_panic);
    }
    assert!(connections as u64 > 3 * count, "connections come and go: {connections}");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

/// Where a stack is made: its receivers and policies.
struct House {
    rng: fastrand::Rng,
    stall_timeout: Option<Duration>,
    lazy: LazyPolicy,
    receivers: Vec<Receiver>,
    /// How many receivers each message is for: the first is one of the first so many, and so on.
    copies: usize,
}

impl House {
    fn new(seed: u64) -> Self {
        fastrand::seed(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let millis = Duration::from_millis;
        let backoff = Backoff::new().with_initial(millis(rng.u64(0..10))).with_max(millis(40));
        let lazy = LazyPolicy::new()
            .with_connect_timeout(millis(50))
            .with_backoff(backoff)
            .with_min_uptime(millis(10))
            .with_max_attempts(rng.u32(0..4))
            .with_close_deadline(millis(rng.u64(1..100)))
            .with_counting(true);
        let stall_timeout = (rng.u8(..4) > 0).then_some(millis(rng.u64(0..50)));
        Self { rng, stall_timeout, lazy, receivers: Vec::new(), copies: 1 }
    }

    fn link(&mut self) -> MemorySink {
        let (link, receiver) = Receiver::link(self.rng.usize(20..300));
        self.receivers.push(receiver);
        link
    }

    fn in_turn<T>(&mut self, links: T) -> RoundRobin<T> {
        RoundRobin::new(links).with_stall_timeout(self.stall_timeout)
    }

    fn failover(&mut self) -> Failover<[MemorySink; 2]> {
        let policy = FailoverPolicy::new()
            .with_stall_timeout(Some(Duration::from_millis(100)))
            .with_probe_interval(Duration::from_millis(20))
            .with_hold(Duration::from_millis(70));
        Failover::with_policy([self.link(), self.link()], policy)
    }

    fn stack<L: Link>(&mut self, links: L) -> Lazy<Buffered<L>> {
        let capacity = self.rng.usize(64..500);
        Lazy::with_policy(Buffered::with_capacity(links, capacity), self.lazy.clone())
    }
}

struct Schedule<S> {
    sink: S,
    house: House,
    /// Bytes of each frame that was accepted.
    sizes: Vec<usize>,
}

impl<S: MessageSink> Schedule<S> {
    /// Says how many connections there were.
    async fn run(mut self) -> usize {
        for _ in 0..self.house.rng.usize(40..160) {
            self.step().await;
            self.observe();
        }
        self.house.receivers.iter_mut().for_each(Receiver::restart);
        let mut is_done = false;
        for _ in 0..2_000 {
            let flushed = poll_fn(|cx| Poll::Ready(self.sink.poll_flush(cx))).await;
            self.observe();
            if let Poll::Ready(Ok(())) = flushed {
                is_done = true;
                break;
            }
            self.turn(Duration::from_millis(5)).await;
        }
        assert!(is_done, "receivers that behave get everything: {}", self.sink.report());
        self.close().await;
        self.house.receivers.iter_mut().for_each(|receiver| receiver.read(usize::MAX));
        self.check();
        self.house.receivers.iter().map(Receiver::connections).sum()
    }

    async fn step(&mut self) {
        let rng = &mut self.house.rng;
        let index = rng.usize(..self.house.receivers.len());
        let receiver = &mut self.house.receivers[index];
        match rng.u8(..32) {
            0 | 1 => receiver.kill(rng.bool()),
            2..=5 => receiver.restart(),
            6 => receiver.stall(),
            7 => receiver.is_stuck = true,
            8..=12 => {
                let len = if rng.bool() { usize::MAX } else { rng.usize(..40) };
                self.house.receivers.iter_mut().for_each(|receiver| receiver.read(len));
            }
            13..=17 => {
                let millis = rng.u64(0..30);
                self.turn(Duration::from_millis(millis)).await;
            }
            18..=22 => drop(poll_fn(|cx| Poll::Ready(self.sink.poll_flush(cx))).await),
            23 => drop(poll_fn(|cx| Poll::Ready(self.sink.poll_connect(cx))).await),
            24 => self.sink.hurry(),
            _ => self.feed(),
        }
    }

    fn feed(&mut self) {
        let message = message(self.sizes.len(), self.house.rng.usize(..30));
        match self.sink.try_feed(&message) {
            Ok(()) => self.sizes.push(4 + message.len()),
            Err(refusal) => assert!(refusal.is_full() || refusal.is_not_connected(), "{refusal:?}"),
        }
    }

    /// Tasks run, time passes, who reads reads.
    async fn turn(&mut self, time: Duration) {
        advance(time).await;
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        self.house.receivers.iter_mut().for_each(|receiver| receiver.read(usize::MAX));
    }

    async fn close(&mut self) {
        let Self { sink, house, .. } = self;
        let mut close = pin!(sink.close_within(Duration::from_secs(60)));
        for _ in 0..2_000 {
            let closed = poll_fn(|cx| Poll::Ready(close.as_mut().poll(cx))).await;
            if let Poll::Ready(closed) = closed {
                closed.expect("there is a runtime");
                return;
            }
            house.receivers.iter_mut().for_each(|receiver| receiver.read(usize::MAX));
            advance(Duration::from_millis(5)).await;
            tokio::task::yield_now().await;
        }
        panic!("a close among receivers that behave ends");
    }

    /// Checks the law, and that each message is that of one child.
    fn observe(&mut self) {
        let report = self.sink.report();
        assert!(report.leaves.iter().all(|leaf| leaf.is_conserved()), "{report}");
        let accepted: u64 = report.leaves.iter().filter_map(|leaf| leaf.accepted.messages).sum();
        assert_eq!(accepted, (self.sizes.len() * self.house.copies) as u64, "{report}");
        self.sink.take_events(&mut |_| {});
    }

    /// Each message was written whole to one child, once, and to each in order; or was dropped, and
    /// counted.
    fn check(&self) {
        let Self { sink, house, sizes } = self;
        let report = sink.report();
        let each = house.receivers.len() / house.copies;
        for (receivers, leaves) in house.receivers.chunks(each).zip(report.leaves.chunks(each)) {
            let mut all: Vec<_> = receivers.iter().flat_map(Receiver::numbers).collect();
            all.sort_unstable();
            let once = all.is_sorted_by(|one, next| one < next);
            assert!(once && all.last().is_none_or(|last| *last < sizes.len()), "{all:?}");
            let written: u64 = leaves.iter().filter_map(|leaf| leaf.written.messages).sum();
            assert_eq!(written, all.len() as u64, "what is counted was written: {report}");
            let dropped: u64 = leaves.iter().filter_map(|leaf| leaf.dropped.total().messages).sum();
            assert_eq!(written + dropped, sizes.len() as u64, "nothing is lost: {report}");
            let overflow: u64 =
                leaves.iter().filter_map(|leaf| leaf.dropped.overflow.messages).sum();
            assert_eq!(dropped, overflow, "nothing but what was chosen to be: {report}");
            for (receiver, leaf) in receivers.iter().zip(leaves) {
                assert_eq!(leaf.written.messages, Some(receiver.numbers().len() as u64));
            }
        }
    }
}

/// Words for when a schedule has found something.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "run it again with: ROUND_ROBIN_SEED={} cargo test --test round_robin",
                self.0
            );
        }
    }
}
