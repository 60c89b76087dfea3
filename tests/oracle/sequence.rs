//! The operations, and what is checked after each.

use std::fmt::Debug;
use std::future::Future;
use std::io::ErrorKind as Io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use torq_message_sink::testing::Step;
use torq_message_sink::{
    End, ErrorKind, Event, LazyPolicy, MessageSink, Report, SinkError, SinkState, TryFeedError,
};

use crate::peers::{Log, Receiver};

/// Operations of one sequence.
pub(crate) const OPERATIONS: u64 = 200;

/// Numbers of the stack that the checks need.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) capacity: usize,
    pub(crate) max_frame: usize,
    pub(crate) policy: LazyPolicy,
}

/// One sink, its receivers, and the truth.
pub(crate) struct Sequence<'a, S> {
    sink: S,
    capacity: usize,
    /// The longest payload.
    longest: usize,
    /// Whether attempts to connect can be used up.
    limited: bool,
    /// Whether links reconnect by themselves, and may have given up so unheard.
    eager: bool,
    deadline: Duration,
    world: World<'a>,
    woken: Arc<Woken>,
    closed: bool,
    /// A disconnect was begun and dropped: the links may be on their way to sleep.
    half_asleep: bool,
    trace: bool,
}

/// Everything that is not the sink: can be used while a future borrows the sink.
struct World<'a> {
    log: Log,
    receivers: Vec<Receiver>,
    rng: &'a mut fastrand::Rng,
}

impl<'a, S: MessageSink> Sequence<'a, S> {
    pub(crate) fn new(
        sink: S,
        setting: Setting,
        receivers: Vec<Receiver>,
        rng: &'a mut fastrand::Rng,
        trace: bool,
    ) -> Self {
        let policy = format!("{:?}", setting.policy);
        Self {
            deadline: sink.close_deadline(),
            sink,
            capacity: setting.capacity,
            longest: (setting.capacity - 4).min(setting.max_frame),
            limited: !policy.contains("max_attempts: 0"),
            eager: policy.contains("Eager"),
            world: World { log: Log::default(), receivers, rng },
            woken: Arc::default(),
            closed: false,
            half_asleep: false,
            trace,
        }
    }

    /// Runs `most` operations, or less where the sink ends before; answers how many.
    pub(crate) async fn run(mut self, most: u64) -> u64 {
        for operation in 1..=most {
            self.operation().await;
            self.observe();
            if self.closed && self.world.rng.u8(..4) == 0 {
                self.finish().await;
                return operation;
            }
        }
        self.finish().await;
        most
    }

    async fn operation(&mut self) {
        let choice = self.world.rng.u8(..64);
        if self.trace {
            println!("{choice:2} {:?} buffered {}", self.sink.state(), self.buffered());
        }
        match choice {
            0..=11 => self.try_feed(),
            12..=16 => self.feed().await,
            17..=19 => self.send().await,
            20..=21 => self.send_batch().await,
            22..=27 => drop(self.poll_flush()),
            28 => self.poll_connect(),
            29 => self.disconnect().await,
            30 if self.world.rng.u8(..4) == 0 => self.close().await,
            31 => self.ready_then_feed(),
            32 => self.rest_without_a_busy_loop().await,
            33 if self.world.rng.u8(..3) == 0 => self.quiet().await,
            34 if self.world.rng.u8(..3) == 0 => self.end_asleep(),
            35..=50 => self.world.peer_acts(),
            51..=56 => self.world.let_tasks_run().await,
            57..=60 => {
                let millis = self.world.rng.u64(..60);
                self.world.pass(Duration::from_millis(millis)).await;
            }
            61 => self.sink.hurry(),
            62 => {
                let size = self.world.rng.usize(..=self.longest);
                let _ = self.sink.room(size);
            }
            _ => {}
        }
    }

    fn buffered(&self) -> u64 {
        self.sink.report().buffered_bytes()
    }

    // Feeding

    fn try_feed(&mut self) {
        let payload = self.payload();
        let fits = payload.len() <= self.longest;
        let room = self.sink.room(payload.len());
        match self.sink.try_feed(&payload) {
            Ok(()) => {
                self.accept(&payload);
                // A child whose peer went while it waited for a sibling's connection comes back
                // with the next push, as the sibling does.
                let sleeps = self.sink.state() == SinkState::Asleep;
                assert!(
                    !sleeps || self.half_asleep || self.eager,
                    "data wakes the sink: {}",
                    self.sink.report()
                );
            }
            Err(refusal) => {
                assert!(!room, "room is a promise, but {refusal:?}");
                match refusal {
                    TryFeedError::TooLarge => assert!(!fits),
                    TryFeedError::Closed => assert!(self.closed),
                    TryFeedError::Full => {
                        let left = self.capacity as u64 - self.buffered();
                        assert!(left < payload.len() as u64 + 4, "full means no room");
                    }
                    TryFeedError::NotConnected => assert!(self.may_fail()),
                    other => panic!("no reason for {other:?}"),
                }
            }
        }
        assert_eq!(self.sink.accepted_bytes(), self.world.log.len(), "a refusal leaves no trace");
    }

    /// Polls a feed a few times, and drops it if it is not ready then.
    async fn feed(&mut self) {
        let payload = self.payload();
        for _ in 0..self.world.rng.u8(1..4) {
            match poll(pin!(self.sink.feed(&payload)), &self.woken) {
                Poll::Ready(Ok(())) => {
                    self.accept(&payload);
                    return;
                }
                Poll::Ready(Err(error)) => return self.failed(&error, payload.len()),
                Poll::Pending => {}
            }
            let len = self.world.log.len();
            assert_eq!(self.sink.accepted_bytes(), len, "a pending feed accepted nothing");
            self.observe();
            self.world.something_happens().await;
        }
    }

    async fn send(&mut self) {
        let payload = self.payload();
        let mut send = pin!(self.sink.send(&payload));
        let mut outcome = Poll::Pending;
        for _ in 0..self.world.rng.u8(1..4) {
            outcome = poll(send.as_mut(), &self.woken);
            if outcome.is_ready() {
                break;
            }
            self.world.something_happens().await;
        }
        let accepted = send.accepted();
        if accepted {
            self.accept(&payload);
        }
        match outcome {
            Poll::Ready(Ok(())) => self.flushed(),
            Poll::Ready(Err(error)) if !accepted => self.failed(&error, payload.len()),
            Poll::Ready(Err(error)) => self.failed(&error, 0),
            Poll::Pending => {}
        }
    }

    async fn send_batch(&mut self) {
        let payloads: Vec<_> = (0..self.world.rng.usize(..6)).map(|_| self.payload()).collect();
        let mut send = pin!(self.sink.send_batch(&payloads));
        let mut outcome = Poll::Pending;
        for _ in 0..self.world.rng.u8(1..4) {
            outcome = poll(send.as_mut(), &self.woken);
            if outcome.is_ready() {
                break;
            }
            self.world.something_happens().await;
        }
        let accepted = send.accepted();
        for payload in &payloads[..accepted] {
            self.accept(payload);
        }
        match outcome {
            Poll::Ready(Ok(())) => {
                assert_eq!(accepted, payloads.len());
                self.flushed();
            }
            Poll::Ready(Err(error)) => {
                self.failed(&error, payloads.get(accepted).map_or(0, Vec::len));
            }
            Poll::Pending => {}
        }
    }

    fn ready_then_feed(&mut self) {
        let payload = self.payload();
        let longer = (payload.len() + self.world.rng.usize(..8)).min(self.longest);
        let mut cx = Context::from_waker(Waker::noop());
        match self.sink.poll_ready(&mut cx, longer.max(payload.len())) {
            Poll::Ready(Ok(())) => {
                assert!(self.sink.room(payload.len()), "ready means room");
                assert_eq!(self.sink.try_feed(&payload), Ok(()), "ready is a promise");
                self.accept(&payload);
            }
            Poll::Ready(Err(error)) => self.failed(&error, payload.len()),
            Poll::Pending => {}
        }
    }

    fn accept(&mut self, payload: &[u8]) {
        assert!(payload.len() <= self.longest && !self.closed, "accepts only what it may");
        self.world.log.push(payload);
        assert!(self.sink.accepted_bytes() >= self.world.log.len());
    }

    /// A number, a checksum of it, and noise: but most are as long as chance will have it.
    fn payload(&mut self) -> Vec<u8> {
        let rng = &mut self.world.rng;
        let len = match rng.u8(..16) {
            0 => 0,
            1 => self.longest + rng.usize(..3),
            2 | 3 => rng.usize(..=self.longest),
            _ => rng.usize(..24).min(self.longest),
        };
        let number = self.world.log.ends.len() as u64;
        let sum = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut payload: Vec<_> =
            number.to_le_bytes().into_iter().chain(sum.to_le_bytes()).collect();
        payload.resize_with(payload.len().max(len), || rng.u8(..));
        payload.truncate(len);
        payload
    }

    // Everything else

    fn poll_flush(&mut self) -> Poll<()> {
        match poll(pin!(self.sink.flush()), &self.woken) {
            Poll::Ready(Ok(())) => {
                self.flushed();
                Poll::Ready(())
            }
            Poll::Ready(Err(error)) => {
                self.failed(&error, 0);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_connect(&mut self) {
        match poll(pin!(self.sink.connect()), &self.woken) {
            Poll::Ready(Ok(())) => {
                assert!(self.sink.is_connected(), "connected is what it says");
                assert!(!self.closed);
            }
            Poll::Ready(Err(error)) => self.failed(&error, 0),
            Poll::Pending => assert!(!self.closed),
        }
    }

    /// Puts it to sleep, or gives up half-way.
    async fn disconnect(&mut self) {
        let steps = *choose(self.world.rng, &[1, 2, 4, 1000]);
        let begin = Instant::now();
        let done = drive(pin!(self.sink.disconnect()), &self.woken, &mut self.world, steps).await;
        self.half_asleep = done.is_none();
        self.observe();
        match done {
            Some(Ok(report)) => {
                self.in_time(begin);
                if !self.closed && !report.leaves.iter().any(|leaf| leaf.buffered.bytes > 0) {
                    assert_eq!(self.sink.state(), SinkState::Asleep, "disconnected means asleep");
                }
            }
            Some(Err(error)) => self.failed(&error, 0),
            None => assert!(steps < 1000, "a disconnect ends at its deadline"),
        }
    }

    /// Closes, or gives up half-way: closed it is in any case.
    async fn close(&mut self) {
        let steps = *choose(self.world.rng, &[1, 2, 4, 1000]);
        let tried = self.attempts_that_should_hurry();
        let begin = Instant::now();
        self.closed = true;
        let mut close = pin!(self.sink.close());
        if poll(close.as_mut(), &self.woken).is_pending() {
            // One task's turn, and the attempt must have been made.
            yield_now().await;
            for (index, before) in tried {
                let attempts = self.world.receivers[index].peer.attempts();
                assert!(attempts > before, "a close cuts back-off short");
            }
            let done = drive(close, &self.woken, &mut self.world, steps).await;
            if let Some(done) = done {
                let report = done.expect("there is a runtime");
                self.in_time(begin);
                self.ended(&report);
            } else {
                assert!(steps < 1000, "a close ends at its deadline");
            }
        } else {
            let report = self.sink.report();
            self.ended(&report);
        }
        self.observe();
    }

    /// Receivers whose link has something to write and waits for its next attempt, and how many
    /// attempts each has seen. None when the deadline would pass first.
    fn attempts_that_should_hurry(&mut self) -> Vec<(usize, u64)> {
        let report = self.sink.report();
        let receivers = self.world.receivers.iter().enumerate();
        receivers
            .zip(&report.leaves)
            .filter(|(_, leaf)| {
                let waits = matches!(leaf.state, SinkState::BackingOff);
                waits && leaf.buffered.bytes > 0 && !self.deadline.is_zero() && !self.closed
            })
            .filter(|((_, receiver), _)| receiver.is_well())
            .map(|((index, receiver), _)| (index, receiver.peer.attempts()))
            .collect()
    }

    fn in_time(&self, begin: Instant) {
        let slack = Duration::from_millis(100);
        assert!(begin.elapsed() <= self.deadline + slack, "a shutdown is bounded");
    }

    fn ended(&self, report: &Report) {
        for leaf in &report.leaves {
            assert_eq!(leaf.buffered.bytes, 0, "closed means nothing is left");
            assert_eq!(leaf.state, SinkState::Closed);
        }
    }

    fn end_asleep(&mut self) {
        self.sink.end(End::Sleep);
        self.half_asleep = false;
        self.observe();
        if !self.closed {
            assert_eq!(self.sink.state(), SinkState::Asleep);
        }
    }

    /// Somebody who waits, and whom nothing new reaches, is not woken again and again.
    async fn rest_without_a_busy_loop(&mut self) {
        self.world.receivers.iter_mut().for_each(|receiver| receiver.script.clear());
        for _ in 0..16 {
            let pending = self.poll_flush().is_pending();
            self.observe();
            self.woken.take();
            self.world.let_tasks_run().await;
            yield_now().await;
            if !pending || !self.woken.take() {
                return;
            }
        }
        panic!("a busy loop");
    }

    /// Everybody behaves from now on, so everything that was accepted gets through, and who waits
    /// is polled only when it was woken.
    async fn quiet(&mut self) {
        self.world.receivers.iter_mut().for_each(Receiver::behave);
        // What was in the making may still fail; each series of attempts costs one error.
        for _ in 0..20 {
            let flush = pin!(self.sink.flush());
            let done = drive_kindly(flush, &self.woken, &mut self.world).await;
            self.observe();
            match done {
                Ok(()) => {
                    self.flushed();
                    self.world.receivers.iter_mut().for_each(|receiver| {
                        receiver.read_all();
                    });
                    self.observe();
                    for receiver in &self.world.receivers {
                        let all = receiver.has_last_of(&self.world.log);
                        assert!(all || self.closed, "what is flushed arrives");
                    }
                    return;
                }
                Err(error) => self.failed(&error, 0),
            }
        }
        panic!("receivers that behave are reached");
    }

    /// The end of the sink, in one of the ways there are.
    async fn finish(mut self) {
        let kind = self.world.rng.u8(..4);
        if self.trace {
            println!("finish {kind}");
        }
        if kind < 2 && !self.closed {
            self.quiet().await;
        }
        match kind {
            0 => {
                self.world.receivers.iter_mut().for_each(Receiver::behave);
                let close = pin!(self.sink.close_within(Duration::from_secs(60)));
                let done = drive_kindly(close, &self.woken, &mut self.world).await;
                let report = done.expect("there is a runtime");
                assert!(self.closed || report.is_complete(), "a close delivers all: {report}");
                self.closed = true;
                self.ended(&report);
                self.observe();
            }
            1 | 2 => {
                self.closed = true;
                self.sink.end(End::Close);
                self.observe();
                self.ended(&self.sink.report());
                assert_eq!(self.sink.try_feed("x"), Err(TryFeedError::Closed));
            }
            _ => {}
        }
        self.observe();
        let Self { sink, mut world, .. } = self;
        drop(sink);
        if kind != 3 {
            world.receivers.iter_mut().for_each(Receiver::accept);
            world.receivers.iter_mut().for_each(|receiver| receiver.check_end(&world.log));
        }
    }

    /// A flush or a shutdown has succeeded.
    fn flushed(&mut self) {
        for leaf in self.sink.report().leaves {
            assert_eq!(leaf.buffered.bytes, 0, "flushed means everything");
        }
    }

    fn failed(&self, error: &SinkError, len: usize) {
        match error.kind() {
            ErrorKind::Unreachable => assert!(self.may_fail(), "attempts go on for ever: {error}"),
            ErrorKind::TooLarge { .. } => assert!(len > self.longest, "{error}"),
            ErrorKind::Closed => assert!(self.closed, "{error}"),
            _ => panic!("no reason for {error:?}"),
        }
    }

    /// Whether callers can get an error: attempts are used up, or one has panicked.
    fn may_fail(&self) -> bool {
        self.limited || self.world.receivers.iter().any(|receiver| receiver.panics)
    }

    /// Checks everything that holds at any time.
    fn observe(&mut self) {
        let World { log, receivers, .. } = &mut self.world;
        receivers.iter_mut().for_each(Receiver::accept);
        self.sink.take_events(&mut |event| {
            let service = match &event {
                Event::Connected { service, .. } => service,
                Event::Ended(end) => &end.service,
                _ => &None,
            };
            let index = service.as_ref().and_then(|name| name.parse::<usize>().ok());
            receivers[index.expect("links have names")].observe(&event, log);
        });
        let report = self.sink.report();
        assert_eq!(report.leaves.len(), receivers.len());
        for (receiver, leaf) in receivers.iter_mut().zip(&report.leaves) {
            receiver.check(leaf, log);
        }
        assert!(report.buffered_bytes() <= self.capacity as u64, "memory is bounded");
        assert_eq!(self.sink.accepted_bytes(), log.len());
    }
}

impl World<'_> {
    fn peer_acts(&mut self) {
        let index = self.rng.usize(..self.receivers.len());
        let receiver = &mut self.receivers[index];
        receiver.accept();
        let rng = &mut *self.rng;
        match rng.u8(..24) {
            0 => receiver.refuse(!receiver.refusing),
            1 => receiver.stall(!receiver.stalling),
            2 => {
                let kind = *choose(rng, &[Io::ConnectionRefused, Io::PermissionDenied]);
                receiver.push(Step::FailConnect(kind));
            }
            3 => receiver.push(Step::StallConnect),
            4 => receiver.push(*choose(rng, &[Step::PanicConnect, Step::ZeroWrite])),
            5 => {
                let kind = *choose(
                    rng,
                    &[Io::WouldBlock, Io::Interrupted, Io::ConnectionReset, Io::BrokenPipe],
                );
                receiver.push(Step::FailWrite(kind));
            }
            6 => {
                let kind = *choose(rng, &[Io::Interrupted, Io::ConnectionReset]);
                receiver.push(Step::FailRead(kind));
            }
            7 if rng.bool() => receiver.push(Step::EndRead),
            8 => receiver.push(Step::SpuriousWriteReady),
            9 => receiver.push(Step::SpuriousReadReady),
            10 | 11 => receiver.push(Step::ShortWrite(rng.usize(1..12))),
            12 => {
                receiver.behave();
            }
            13 => {
                receiver.read_all();
            }
            action => {
                let len = rng.usize(1..64);
                let Some(stream) = receiver.open_stream(rng) else { return };
                match action {
                    14 => stream.reset(),
                    15 => stream.close(),
                    16 => stream.shut(),
                    17 => stream.say(len),
                    18 => stream.limit(len % 8),
                    19 => stream.set_capacity(len * 4),
                    _ => drop(stream.read(len)),
                }
            }
        }
    }

    /// What may happen between two polls of one future.
    async fn something_happens(&mut self) {
        match self.rng.u8(..4) {
            0 => self.let_tasks_run().await,
            1 => self.pass(Duration::from_millis(20)).await,
            _ => self.peer_acts(),
        }
    }

    async fn let_tasks_run(&mut self) {
        yield_now().await;
        self.receivers.iter_mut().for_each(Receiver::accept);
    }

    async fn pass(&mut self, time: Duration) {
        advance(time).await;
        self.let_tasks_run().await;
    }
}

/// Drives a future while the world does what it likes. Polls it only when it was woken.
async fn drive<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    woken: &Arc<Woken>,
    world: &mut World<'_>,
    steps: usize,
) -> Option<T> {
    woken.set();
    for step in 0..steps {
        if woken.take()
            && let Poll::Ready(done) = poll(future.as_mut(), woken)
        {
            return Some(done);
        }
        if step < 40 {
            world.something_happens().await;
        } else {
            world.pass(Duration::from_millis(10)).await;
        }
    }
    None
}

/// Drives a future while all receivers behave and read everything. Polls it only when it was woken,
/// so a lost wake-up is found.
async fn drive_kindly<T: Debug>(
    mut future: Pin<&mut impl Future<Output = T>>,
    woken: &Arc<Woken>,
    world: &mut World<'_>,
) -> T {
    woken.set();
    let (mut idle, mut steps) = (0, 0);
    let mut shuts = world.rng.u8(..3);
    while idle < 60 && steps < 5_000 {
        (idle, steps) = (idle + 1, steps + 1);
        if woken.take() {
            if let Poll::Ready(done) = poll(future.as_mut(), woken) {
                return done;
            }
            yield_now().await;
        }
        for receiver in &mut world.receivers {
            receiver.accept();
            if shuts > 0
                && world.rng.u8(..16) == 0
                && let Some(stream) = receiver.open_stream(world.rng)
            {
                stream.shut();
                shuts -= 1;
            }
            if receiver.read_all_open() {
                idle = 0;
            }
        }
        if !woken.is_set() {
            world.pass(Duration::from_millis(10)).await;
        }
    }
    panic!("a wake-up was lost, or nothing moves");
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>, woken: &Arc<Woken>) -> Poll<T> {
    future.poll(&mut Context::from_waker(&Waker::from(woken.clone())))
}

fn choose<'a, T>(rng: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

/// A waker that remembers.
#[derive(Default)]
struct Woken(AtomicBool);

impl Woken {
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.set();
    }
}
