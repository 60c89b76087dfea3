//! A layer over a buffer and one link, through random operations, faults and cancelled calls,
//! against what may become of each message.
//!
//! The clock stands still but for the step that moves it. So a frame was begun at the instant at
//! which its first byte turned up at the peer's.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;
use torq_message_sink::testing::{Script, Scripted, Step};
use torq_message_sink::{
    Backoff, Buffered, Encode, End, Lazy, LazyPolicy, MemoryConnector, MemoryPeer, MemorySink,
    MemoryStream, MessageSink, StreamLink, TryFeedError,
};

/// What the layer under test stands on.
pub(crate) type Below = Lazy<Buffered<StreamLink<Scripted<MemoryConnector>>>>;

/// Bytes of the buffer below.
pub(crate) const BUFFER: usize = 256;

/// What the layer promises, and what the messages look like.
pub(crate) struct Rules {
    /// Each this often has a deadline, a key, a lane. 0: none.
    pub(crate) deadlines: u64,
    pub(crate) keys: u64,
    pub(crate) lanes: u8,
    /// What the layer was made with.
    pub(crate) max_age: Option<Duration>,
    pub(crate) capacity: usize,
    /// Whether messages arrive in the order in which they were accepted.
    pub(crate) in_order: bool,
}

/// A message that says who it is.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) number: u64,
    pub(crate) key: Option<u64>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) lane: u8,
    len: usize,
}

impl Encode for Message {
    fn encoded_len(&self) -> usize {
        self.len
    }

    fn encode(&self, buf: &mut [u8]) {
        buf.fill(self.number as u8);
        buf[..8].copy_from_slice(&self.number.to_le_bytes());
    }

    fn key(&self) -> Option<u64> {
        self.key
    }

    fn deadline(&self) -> Option<std::time::Instant> {
        self.deadline.map(Instant::into_std)
    }

    fn lane(&self) -> u8 {
        self.lane
    }
}

/// One connection from the peer's side.
struct Stream {
    /// None once the peer has ended it.
    io: Option<MemoryStream>,
    got: Vec<u8>,
    /// How much had been written at which instant.
    progress: Vec<(u64, Instant)>,
    /// Bytes of `got` that were checked.
    checked: usize,
}

struct Run<'a, S> {
    rng: Rng,
    rules: &'a Rules,
    sink: S,
    peer: MemoryPeer,
    script: Script,
    streams: Vec<Stream>,
    accepted: Vec<Message>,
    accepted_bytes: u64,
    /// Numbers of messages that were written whole, each with the connection.
    seen: Vec<(usize, u64)>,
    woken: Arc<Woken>,
    next: u64,
}

/// Runs `operations` random operations from `seed`.
pub(crate) async fn run<S: MessageSink>(
    seed: u64,
    rules: &Rules,
    make: impl FnOnce(Below) -> S,
    operations: usize,
) {
    let mut rng = Rng::with_seed(seed);
    let (link, peer) = MemorySink::pair(rng.usize(16..200));
    let (connector, script) = Scripted::new(link.connector().clone());
    let millis = Duration::from_millis;
    let policy = LazyPolicy::new()
        .with_connect_timeout(millis(50))
        .with_backoff(Backoff::new().with_initial(millis(5)).with_max(millis(40)))
        .with_max_attempts(*rng.choice(&[0, 0, 2]).expect("some"))
        .with_idle_timeout(*rng.choice(&[None, Some(millis(40))]).expect("some"))
        .with_counting(true);
    let below = Buffered::with_capacity(StreamLink::with_connector(connector), BUFFER);
    let mut run = Run {
        rng,
        rules,
        sink: make(Lazy::with_policy(below, policy)),
        peer,
        script,
        streams: Vec::new(),
        accepted: Vec::new(),
        accepted_bytes: 0,
        seen: Vec::new(),
        woken: Arc::new(Woken::default()),
        next: 0,
    };
    for _ in 0..operations {
        run.operation().await;
        run.observe();
    }
    run.finish().await;
}

impl<S: MessageSink> Run<'_, S> {
    async fn operation(&mut self) {
        match self.rng.u8(..32) {
            0..=7 => self.try_feed(),
            8..=10 => self.feed().await,
            11 | 12 => self.send().await,
            13 | 14 => self.ready_then_feed(),
            15..=17 => {
                let woken = self.woken.clone();
                let flushed = self.sink.poll_flush(&mut Context::from_waker(&Waker::from(woken)));
                if matches!(flushed, Poll::Ready(Ok(()))) {
                    self.is_flushed();
                }
            }
            18 => {
                let mut cx = Context::from_waker(Waker::noop());
                let _ = self.sink.poll_disconnect(&mut cx);
            }
            19 => {
                let mut cx = Context::from_waker(Waker::noop());
                let _ = self.sink.poll_connect(&mut cx);
            }
            20 => self.sink.hurry(),
            21 if self.rng.u8(..4) == 0 => self.sink.end(End::Sleep),
            _ => self.something_happens().await,
        }
    }

    fn message(&mut self) -> Message {
        let Self { rng, rules, .. } = self;
        let one_in = |rng: &mut Rng, often: u64| often > 0 && rng.u64(..often) == 0;
        let keyed = rules.keys > 0 && rng.u8(..4) > 0;
        let number = self.next;
        self.next += 1;
        Message {
            number,
            key: keyed.then(|| rng.u64(..rules.keys)),
            deadline: one_in(rng, rules.deadlines)
                .then(|| Instant::now() + Duration::from_millis(rng.u64(..60))),
            lane: if rules.lanes > 0 { rng.u8(..rules.lanes) } else { 0 },
            len: if rng.u8(..8) == 0 { rng.usize(8..=100) } else { rng.usize(8..20) },
        }
    }

    fn accept(&mut self, mut message: Message) {
        self.accepted_bytes += message.len as u64 + 4;
        message.deadline = message.deadline.or_else(|| Some(Instant::now() + self.rules.max_age?));
        self.accepted.push(message);
    }

    fn try_feed(&mut self) {
        let message = self.message();
        let room = self.sink.room(message.len);
        match self.sink.try_feed(&message) {
            Ok(()) => self.accept(message),
            Err(refusal) => {
                assert!(!room, "room is a promise, but {refusal:?}");
                let expected = matches!(refusal, TryFeedError::Full | TryFeedError::NotConnected);
                assert!(expected, "no reason for {refusal:?}");
            }
        }
        assert_eq!(self.sink.accepted_bytes(), self.accepted_bytes, "a refusal leaves no trace");
    }

    /// Polls a feed a few times, and drops it if it is not ready then.
    async fn feed(&mut self) {
        let message = self.message();
        for _ in 0..=self.rng.u8(..3) {
            let fed = {
                let mut feed = pin!(self.sink.feed(&message));
                poll_once(feed.as_mut(), &self.woken)
            };
            match fed {
                Poll::Ready(Ok(())) => return self.accept(message),
                Poll::Ready(Err(_)) => return,
                Poll::Pending => {}
            }
            let accepted = self.sink.accepted_bytes();
            assert_eq!(accepted, self.accepted_bytes, "a pending feed accepted nothing");
            self.something_happens().await;
            self.observe();
        }
    }

    async fn send(&mut self) {
        let message = self.message();
        let (accepted, sent) = {
            let mut send = pin!(self.sink.send(&message));
            let sent = poll_once(send.as_mut(), &self.woken);
            (send.accepted(), sent)
        };
        if accepted {
            self.accept(message);
        }
        if matches!(sent, Poll::Ready(Ok(()))) {
            self.is_flushed();
        }
    }

    fn ready_then_feed(&mut self) {
        let message = self.message();
        let len = message.len + self.rng.usize(..4);
        let mut cx = Context::from_waker(Waker::noop());
        let ready = if self.rng.bool() {
            matches!(self.sink.poll_ready(&mut cx, len), Poll::Ready(Ok(())))
        } else {
            self.sink.try_ready(len).is_ok()
        };
        if !ready {
            return;
        }
        assert!(self.sink.room(message.len), "ready means room");
        if self.rng.bool() {
            let fits = self.sink.fits(len);
            let appended = self.sink.append(&message, message.len);
            assert!(!fits || appended, "what fits is appended");
            if appended {
                return self.accept(message);
            }
        }
        assert_eq!(self.sink.try_feed(&message), Ok(()), "ready is a promise");
        self.accept(message);
    }

    fn is_seen(&self, number: u64) -> bool {
        self.seen.iter().any(|(_, seen)| *seen == number)
    }

    fn is_flushed(&self) {
        let report = self.sink.report();
        assert_eq!((report.unfed.bytes, report.buffered_bytes()), (0, 0), "flushed: {report}");
    }

    /// The peer, the script or the clock takes a step.
    async fn something_happens(&mut self) {
        self.observe_streams();
        let millis = Duration::from_millis;
        match self.rng.u8(..16) {
            0..=2 => tokio::time::advance(millis(self.rng.u64(..30))).await,
            3 | 4 => tokio::task::yield_now().await,
            5..=8 => {
                let most = *self.rng.choice(&[1, 7, 50, usize::MAX]).expect("some");
                self.read(most);
            }
            9 => self.peer.refuse(self.rng.bool()),
            10 => self.peer.stall(self.rng.u8(..4) == 0),
            11 => self.script.push(Step::ShortWrite(self.rng.usize(1..9))),
            12 => self.script.push(Step::FailWrite(io::ErrorKind::WouldBlock)),
            13 => self.script.push(Step::FailConnect(io::ErrorKind::ConnectionRefused)),
            14 => self.script.push(Step::FailWrite(io::ErrorKind::ConnectionReset)),
            _ => self.leave(),
        }
    }

    fn read(&mut self, most: usize) {
        self.observe_streams();
        for stream in &mut self.streams {
            if let Some(io) = &stream.io {
                stream.got.extend(io.read_at_most(most));
                if io.is_finished() && most == usize::MAX {
                    stream.io = None;
                }
            }
        }
    }

    /// The peer closes its newest connection, or breaks it; what had been written is known.
    fn leave(&mut self) {
        self.observe_streams();
        let breaks = self.rng.bool();
        if let Some(stream) = self.streams.last_mut()
            && let Some(io) = stream.io.take()
        {
            stream.got.extend(io.read());
            if breaks {
                io.reset();
            }
        }
    }

    fn observe_streams(&mut self) {
        while let Some(io) = self.peer.accept() {
            self.streams.push(Stream {
                io: Some(io),
                got: Vec::new(),
                progress: Vec::new(),
                checked: 0,
            });
        }
        let now = Instant::now();
        for stream in &mut self.streams {
            if let Some(io) = &stream.io {
                let written = io.written_bytes();
                if stream.progress.last().is_none_or(|(last, _)| *last < written) {
                    stream.progress.push((written, now));
                }
            }
        }
    }

    /// Checks what can be known after each operation.
    fn observe(&mut self) {
        self.observe_streams();
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let begins = |at: usize| {
                let mut later = stream.progress.iter().filter(|(written, _)| *written > at as u64);
                later.next().expect("bytes are noticed when they are written").1
            };
            // A frame is known by its number, whole or not.
            while let Some((number, len)) = frame(&stream.got[stream.checked..]) {
                let message = self.accepted.iter().find(|message| message.number == number);
                let message = message.expect("only what was accepted is written");
                let begun = begins(stream.checked);
                let late = message.deadline.is_some_and(|deadline| deadline <= begun);
                assert!(!late, "message {number} was begun after its deadline");
                if stream.got.len() < stream.checked + len {
                    break;
                }
                let twice = self.seen.iter().any(|(_, seen)| *seen == number);
                assert!(!twice, "message {number} was written twice");
                self.seen.push((index, number));
                stream.checked += len;
            }
        }
        // What was written on an older connection may be read later.
        self.seen.sort_by_key(|(stream, _)| *stream);
        if self.rules.in_order {
            let numbers = self.seen.iter().map(|(_, number)| number);
            assert!(numbers.is_sorted(), "in order: {:?}", self.seen);
        }
        for lane in 0..self.rules.lanes {
            self.check_lane(lane);
        }
        let accepted = self.sink.accepted_bytes();
        assert_eq!(accepted, self.accepted_bytes, "accepted is what was accepted");
        let report = self.sink.report();
        let leaf = &report.leaves[0];
        assert!(leaf.is_conserved(), "nothing disappears: {leaf:?}");
        let above = report.unfed.plus(report.dropped.total());
        let all = leaf.accepted.plus(above);
        assert_eq!(all.bytes, self.accepted_bytes, "nothing disappears above: {report}");
        assert_eq!(all.messages, Some(self.accepted.len() as u64), "nor any message: {report}");
        let most = self.rules.capacity + 2 * BUFFER;
        assert!(report.unfed.bytes <= most as u64, "what waits is bounded: {report}");
    }

    /// Messages of a lane stay in order.
    fn check_lane(&self, lane: u8) {
        // There are fewer lanes than lanes are asked for.
        let lane_of = |number: &u64| {
            let message = self.accepted.iter().find(|message| message.number == *number);
            message.is_some_and(|message| message.lane.min(self.rules.lanes - 2) == lane)
        };
        let numbers = self.seen.iter().map(|(_, number)| *number).filter(lane_of);
        assert!(numbers.is_sorted(), "lane {lane} is in order: {:?}", self.seen);
    }

    /// Everybody behaves from now on, so everything that is worth it gets through, and who waits is
    /// polled only when it was woken. Then the sink is closed.
    async fn finish(mut self) {
        self.script.clear();
        self.peer.refuse(false);
        self.peer.stall(false);
        let mut flushed = false;
        for _ in 0..10 {
            flushed |= self.kindly(|sink, cx| sink.poll_flush(cx)).await;
        }
        assert!(flushed, "a peer that behaves is reached");
        self.is_flushed();
        self.read(usize::MAX);
        self.observe();
        self.account();
        let last = self.message();
        if self.sink.try_feed(&last).is_ok() {
            self.accept(last);
        }
        while !self.kindly(|sink, cx| sink.poll_close(cx)).await {}
        self.read(usize::MAX);
        self.observe();
        self.account();
        assert_eq!(self.sink.try_feed(b"x"), Err(TryFeedError::Closed));
    }

    /// Each message was written, or was not worth it any more.
    fn account(&self) {
        let mut newest = BTreeMap::new();
        for message in &self.accepted {
            let newest = newest.entry(message.key).or_insert(0);
            *newest = message.number.max(*newest);
        }
        for message in &self.accepted {
            if self.is_seen(message.number) {
                continue;
            }
            let late = message.deadline.is_some_and(|deadline| deadline <= Instant::now());
            let replaced = self.rules.keys > 0
                && message.key.is_some()
                && newest[&message.key] > message.number;
            assert!(late || replaced, "{message:?} did not get through");
        }
        let report = self.sink.report();
        let gone = report.dropped.total().messages.unwrap_or(0);
        assert_eq!(gone as usize, self.accepted.len() - self.seen.len(), "{report}");
    }

    /// Polls while the peer reads and the clock moves, only when woken. Whether it succeeded.
    async fn kindly<E>(
        &mut self,
        mut call: impl FnMut(&mut S, &mut Context<'_>) -> Poll<Result<(), E>>,
    ) -> bool {
        self.woken.set();
        for _ in 0..2000 {
            if self.woken.take() {
                let waker = Waker::from(self.woken.clone());
                let polled = call(&mut self.sink, &mut Context::from_waker(&waker));
                self.observe();
                if let Poll::Ready(done) = polled {
                    return done.is_ok();
                }
            }
            tokio::task::yield_now().await;
            self.read(usize::MAX);
            self.observe();
            if !self.woken.is_set() {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        }
        panic!("a wake-up was lost, or nothing moves: {}", self.sink.report());
    }
}

/// The number and the length of the first frame, if so much of it is there.
fn frame(bytes: &[u8]) -> Option<(u64, usize)> {
    let (header, rest) = bytes.split_first_chunk::<4>()?;
    let len = u32::from_be_bytes(*header) as usize;
    rest.first_chunk::<8>().map(|bytes| (u64::from_le_bytes(*bytes), 4 + len))
}

fn poll_once<T>(
    future: std::pin::Pin<&mut impl Future<Output = T>>,
    woken: &Arc<Woken>,
) -> Poll<T> {
    future.poll(&mut Context::from_waker(&Waker::from(woken.clone())))
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

/// Says which seed it was when a run panics.
pub(crate) struct OnPanic(pub(crate) u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// One seed by `FRESHNESS_SEED`, else the first `FRESHNESS_SEQUENCES`, or 150.
pub(crate) fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    match number("FRESHNESS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FRESHNESS_SEQUENCES").unwrap_or(150),
    }
}

/// Polls a sink's flush once.
pub(crate) async fn flush_once<S: MessageSink>(sink: &mut S) -> bool {
    poll_fn(|cx| Poll::Ready(matches!(sink.poll_flush(cx), Poll::Ready(Ok(()))))).await
}
