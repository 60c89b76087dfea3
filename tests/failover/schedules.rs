//! Seeded schedules of kills and restarts, in virtual time: 1,000 of them. `FAILOVER_SEED=n` runs
//! one again, `FAILOVER_SCHEDULES=n` runs n of each kind of stack.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, advance};
use torq_message_sink::{
    Backoff, Buffered, Event, Failover, FailoverPolicy, Lazy, LazyPolicy, LeafReport, MemorySink,
    MessageSink, SwitchCause,
};

use crate::numbered::message;
use crate::target::{Target, check};

#[test]
fn schedules_over_links() {
    schedules(250, |house| {
        let links = (0..house.rng.usize(2..5)).map(|_| house.link()).collect::<Vec<_>>();
        let failover = Failover::with_policy(links, house.policy.clone());
        let capacity = house.rng.usize(64..500);
        Lazy::with_policy(Buffered::with_capacity(failover, capacity), house.lazy.clone())
    });
}

#[test]
fn schedules_over_links_in_links() {
    schedules(250, |house| {
        house.is_flat = false;
        let inner = Failover::with_policy((house.link(), house.link()), house.policy.clone());
        let failover = Failover::with_policy((inner, house.link()), house.policy.clone());
        let capacity = house.rng.usize(64..500);
        Lazy::with_policy(Buffered::with_capacity(failover, capacity), house.lazy.clone())
    });
}

#[test]
fn schedules_over_sinks() {
    schedules(250, |house| {
        let sinks = (0..house.rng.usize(2..5)).map(|_| house.sink()).collect::<Vec<_>>();
        Failover::with_policy(sinks, house.policy.clone())
    });
}

#[test]
fn schedules_over_sinks_of_links() {
    schedules(250, |house| {
        house.is_flat = false;
        let links = Failover::with_policy([house.link(), house.link()], house.policy.clone());
        let inner = Failover::with_policy((house.sink(), house.sink()), house.policy.clone());
        let lazy = house.lazy.clone().with_max_attempts(2);
        let buffered = Lazy::with_policy(Buffered::with_capacity(links, 200), lazy);
        Lazy::with_policy(
            Failover::with_policy(
                (buffered, Lazy::with_policy(inner, house.lazy.clone())),
                house.policy.clone(),
            ),
            house.lazy.clone(),
        )
    });
}

/// Runs `count` schedules, each with a stack that `make` makes.
fn schedules<S: MessageSink>(count: u64, make: impl Fn(&mut House) -> S) {
    let (only, count) = (number("FAILOVER_SEED"), number("FAILOVER_SCHEDULES").unwrap_or(count));
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    let mut switches = HashMap::new();
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let on_panic = OnPanic(seed);
        runtime.block_on(async {
            let mut house = House::new(seed);
            let sink = make(&mut house);
            Schedule::new(sink, house, &mut switches).run().await;
        });
        drop(on_panic);
    }
    println!("{switches:?} in {count} schedules");
    assert!(only.is_some() || switches.len() == 4, "each cause occurs");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

/// Where a stack is made: its targets and policies.
struct House {
    rng: fastrand::Rng,
    policy: FailoverPolicy,
    lazy: LazyPolicy,
    targets: Vec<Target>,
    /// Whether each target is one link.
    is_flat: bool,
}

impl House {
    fn new(seed: u64) -> Self {
        fastrand::seed(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let millis = Duration::from_millis;
        let policy = FailoverPolicy::new()
            .with_attempts(rng.u32(0..3))
            .with_stall_timeout((rng.u8(..4) > 0).then_some(millis(100)))
            .with_probes(rng.u32(0..4))
            .with_probe_interval(INTERVAL)
            .with_hold(HOLD);
        let backoff = Backoff::new().with_initial(millis(rng.u64(0..10))).with_max(millis(40));
        let lazy = LazyPolicy::new()
            .with_connect_timeout(millis(50))
            .with_backoff(backoff)
            .with_min_uptime(millis(10))
            .with_close_deadline(millis(rng.u64(1..100)))
            .with_counting(true);
        Self { rng, policy, lazy, targets: Vec::new(), is_flat: true }
    }

    fn link(&mut self) -> MemorySink {
        let (link, target) = Target::link(self.rng.usize(20..300));
        let name = self.targets.len().to_string();
        self.targets.push(target);
        link.with_service(name)
    }

    fn sink(&mut self) -> Lazy<Buffered<MemorySink>> {
        let capacity = self.rng.usize(64..500);
        let lazy = self.lazy.clone().with_max_attempts(self.rng.u32(1..3));
        Lazy::with_policy(Buffered::with_capacity(self.link(), capacity), lazy)
    }
}

const INTERVAL: Duration = Duration::from_millis(20);
const HOLD: Duration = Duration::from_millis(70);

struct Schedule<'a, S> {
    sink: S,
    house: House,
    /// Bytes of each frame that was accepted.
    sizes: Vec<usize>,
    /// How often the target has changed, by cause.
    switches: &'a mut HashMap<String, u64>,
    /// When the last change of target was seen.
    switched: Option<Instant>,
    /// Since when each target is connected.
    connected: Vec<Option<Instant>>,
}

impl<'a, S: MessageSink> Schedule<'a, S> {
    fn new(sink: S, house: House, switches: &'a mut HashMap<String, u64>) -> Self {
        let connected = vec![None; house.targets.len()];
        Self { sink, house, sizes: Vec::new(), switches, switched: None, connected }
    }

    async fn run(mut self) {
        for _ in 0..self.house.rng.usize(40..160) {
            self.step().await;
            self.observe();
        }
        self.house.targets.iter_mut().for_each(Target::restart);
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
        assert!(is_done, "targets that behave get everything: {}", self.sink.report());
        self.close().await;
        let report = self.sink.report();
        assert!(report.is_complete(), "nothing is dropped: {report}");
        self.house.targets.iter_mut().for_each(|target| target.read(usize::MAX));
        check(&self.house.targets, &self.sizes);
    }

    async fn step(&mut self) {
        let rng = &mut self.house.rng;
        let index = rng.usize(..self.house.targets.len());
        let target = &mut self.house.targets[index];
        match rng.u8(..32) {
            0 | 1 => target.kill(rng.bool()),
            2..=5 => target.restart(),
            6 => target.stall(),
            7 => target.is_stuck = true,
            8..=12 => {
                let len = if rng.bool() { usize::MAX } else { rng.usize(..40) };
                self.house.targets.iter_mut().for_each(|target| target.read(len));
            }
            13..=17 => {
                let millis = rng.u64(0..30);
                self.turn(Duration::from_millis(millis)).await;
            }
            18..=23 => drop(poll_fn(|cx| Poll::Ready(self.sink.poll_flush(cx))).await),
            24 => drop(poll_fn(|cx| Poll::Ready(self.sink.poll_connect(cx))).await),
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
        self.house.targets.iter_mut().for_each(|target| target.read(usize::MAX));
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
            house.targets.iter_mut().for_each(|target| target.read(usize::MAX));
            advance(Duration::from_millis(5)).await;
            tokio::task::yield_now().await;
        }
        panic!("a close among targets that behave ends");
    }

    /// Checks the law, and the rules by which targets change.
    fn observe(&mut self) {
        let report = self.sink.report();
        assert!(report.leaves.iter().all(|leaf| leaf.is_conserved()), "{report}");
        let accepted = |leaf: &LeafReport| leaf.accepted.messages;
        let accepted: u64 = report.leaves.iter().filter_map(accepted).sum();
        assert_eq!(accepted, self.sizes.len() as u64, "each message is one target's: {report}");
        let now = Instant::now();
        let Self { sink, house, switched, connected, switches, .. } = self;
        let mut ended = Vec::new();
        let index = |service: &Option<std::sync::Arc<str>>| {
            service.as_ref().and_then(|name| name.parse::<usize>().ok()).expect("links have names")
        };
        sink.take_events(&mut |event| match &event {
            Event::Connected { service, .. } => connected[index(service)] = Some(now),
            Event::Ended(end) => ended.push(index(&end.service)),
            Event::Switched { service, from, to, cause, .. } => {
                *switches.entry(format!("{cause:?}")).or_default() += 1;
                assert_ne!(from, to);
                if *cause == SwitchCause::Returned {
                    assert!(to < from, "it returns to what it prefers");
                    assert!(house.policy.probes() > 0, "without probes it stays");
                }
                if *cause == SwitchCause::Returned && house.is_flat {
                    let since = connected[index(service)].expect("it returns to a connection");
                    let probed = INTERVAL * (house.policy.probes() - 1);
                    assert!(now - since >= probed, "so many good probes in a row");
                    let switched = switched.expect("it has left the target once");
                    assert!(now - switched >= HOLD, "no flapping");
                }
                *switched = Some(now);
            }
            _ => {}
        });
        // A connection may end in the very call that has returned to it.
        ended.into_iter().for_each(|index| connected[index] = None);
    }
}

/// Words for when a schedule has found something.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with: FAILOVER_SEED={} cargo test --test failover", self.0);
        }
    }
}
