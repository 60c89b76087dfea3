//! Layers, composites and links still to come, as small as they can be: proof that the public
//! traits suffice for them. Not examples of good ones.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    Buffered, Connect, Encode, End, Endpoint, ErrorKind, Event, Framing, Io, Keyed, LazyPolicy,
    Link, MemoryPeer, MemorySink, MessageSink, Pending, Report, SinkError, SinkState, Skip,
    StreamLink, TryFeedError, WithDeadline,
};

/// While the child has no room, the latest message of each key stands for the earlier ones.
struct Conflating<S> {
    inner: S,
    latest: HashMap<u64, Vec<u8>>,
    order: std::collections::VecDeque<u64>,
    conflated: u64,
}

impl<S: MessageSink> Conflating<S> {
    fn drain(&mut self) -> Result<(), TryFeedError> {
        while let Some(key) = self.order.front() {
            self.inner.try_feed(&self.latest[key])?;
            self.latest.remove(key);
            self.order.pop_front();
        }
        Ok(())
    }
}

impl<S: MessageSink> MessageSink for Conflating<S> {
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let Some(key) = msg.key() else { return self.inner.try_feed(msg) };
        match self.drain().and_then(|()| self.inner.try_feed(msg)) {
            Err(refusal) if refusal.is_full() => {
                let mut bytes = vec![0; msg.encoded_len()];
                msg.encode(&mut bytes);
                match self.latest.insert(key, bytes) {
                    Some(_) => self.conflated += 1,
                    None => self.order.push_back(key),
                }
                Ok(())
            }
            other => other,
        }
    }

    fn room(&self, len: usize) -> bool {
        self.inner.room(len)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        self.inner.poll_ready(cx, len)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        while let Err(refusal) = self.drain() {
            if !refusal.is_full() {
                return Poll::Ready(Err(refusal.into()));
            }
            let next = self.order.front().map_or(0, |key| self.latest[key].len());
            ready!(self.inner.poll_ready(cx, next))?;
        }
        self.inner.poll_flush(cx)
    }
}

#[tokio::test]
async fn conflating_layer_keeps_the_latest_of_each_key() {
    let (inner, peer) = ScriptedSink::pair(1);
    let (latest, order) = Default::default();
    let mut sink = Conflating { inner, latest, order, conflated: 0 };
    for (key, number) in [(1, 10), (1, 11), (2, 20), (1, 12), (1, 13)] {
        sink.try_feed(&Keyed(key, [number])).expect("always room for the latest");
    }
    peer.set_room(9);
    sink.flush().await.expect("flushed");
    assert_eq!(peer.messages(), numbers([10, 13, 20]));
    assert_eq!(sink.conflated, 2);
}

/// What is too late when it is fed goes nowhere.
struct Deadlined<S> {
    inner: S,
    expired: u64,
}

impl<S: MessageSink> MessageSink for Deadlined<S> {
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        if msg.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.expired += 1;
            return Ok(());
        }
        self.inner.try_feed(msg)
    }

    fn room(&self, len: usize) -> bool {
        self.inner.room(len)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        self.inner.poll_ready(cx, len)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.inner.poll_flush(cx)
    }
}

#[tokio::test]
async fn deadline_layer_drops_what_is_late() {
    let (inner, peer) = ScriptedSink::pair(9);
    let mut sink = Deadlined { inner, expired: 0 };
    let now = Instant::now();
    sink.send(&WithDeadline(now, [1])).await.expect("sent");
    sink.send(&WithDeadline(now + Duration::from_secs(3600), [2])).await.expect("sent");
    assert_eq!((peer.messages(), sink.expired), (numbers([2]), 1));
}

/// Uses the second sink while the first one fails.
struct FailoverSinks<A, B>(A, B);

impl<A: MessageSink, B: MessageSink> MessageSink for FailoverSinks<A, B> {
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        match self.0.try_feed(msg) {
            Err(refusal) if refusal.is_not_connected() => self.1.try_feed(msg),
            other => other,
        }
    }

    fn room(&self, len: usize) -> bool {
        self.0.room(len)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        match ready!(self.0.poll_ready(cx, len)) {
            Err(error) if error.kind() == ErrorKind::Unreachable => self.1.poll_ready(cx, len),
            other => Poll::Ready(other),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        match ready!(self.0.poll_flush(cx)) {
            Err(error) if error.kind() == ErrorKind::Unreachable => self.1.poll_flush(cx),
            other => Poll::Ready(other),
        }
    }
}

#[tokio::test]
async fn failover_over_sinks_uses_the_second() {
    let ((a, first), (b, second)) = (ScriptedSink::pair(9), ScriptedSink::pair(9));
    let mut sink = FailoverSinks(a, b);
    sink.send(&[1]).await.expect("sent");
    first.fail(Some(ErrorKind::Unreachable));
    sink.send(&[2]).await.expect("sent");
    assert_eq!((first.messages(), second.messages()), (numbers([1]), numbers([2])));
}

/// Below a buffer: the next link goes on where the failed one has stopped, at a frame's start. Each
/// link sees positions of its own, shifted by `shift`.
struct FailoverLinks<L> {
    links: Vec<L>,
    active: usize,
    shift: u64,
}

impl<L: Link> FailoverLinks<L> {
    fn shifted<'a, F: Framing>(&self, pending: Pending<'a, F>) -> Pending<'a, F> {
        let bytes = pending.from(pending.start());
        Pending::new(bytes, pending.start() - self.shift, pending.framing())
    }

    fn fail_over(&mut self) {
        let taken = self.taken();
        self.active = (self.active + 1) % self.links.len();
        self.shift = taken - self.links[self.active].taken();
    }
}

impl<L: Link> Link for FailoverLinks<L> {
    fn wake(&mut self) -> Result<(), SinkError> {
        self.links[self.active].wake()
    }

    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        let shifted = self.shifted(pending);
        self.links[self.active].try_write(shifted)
    }

    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        for _ in 0..self.links.len() {
            let shifted = self.shifted(pending);
            match ready!(self.links[self.active].poll_write(cx, shifted)) {
                Err(error) if error.kind() == ErrorKind::Unreachable => self.fail_over(),
                other => return Poll::Ready(other),
            }
        }
        Poll::Ready(Err(ErrorKind::Unreachable.into()))
    }

    fn taken(&self) -> u64 {
        self.links[self.active].taken() + self.shift
    }

    fn reached(&self) -> u64 {
        self.links[self.active].reached() + self.shift
    }

    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        let shifted = self.shifted(pending);
        self.links[self.active].skip(shifted, to - self.shift, skip);
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.links[self.active].poll_connect(cx)
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if self.taken() != pending.end() {
            ready!(self.poll_write(cx, pending))?;
        }
        let nothing = Pending::new(&[], self.links[self.active].taken(), pending.framing());
        self.links[self.active].poll_shutdown(cx, nothing)
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        let shifted = self.shifted(pending);
        self.links[self.active].end(end, shifted);
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        let shifted = self.shifted(pending);
        self.links[self.active].hurry(shifted);
    }

    fn state(&self) -> SinkState {
        self.links[self.active].state()
    }

    fn write_size(&self) -> usize {
        self.links[self.active].write_size()
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.links.iter_mut().for_each(|link| link.set_policy(policy));
    }

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        let shifted = self.shifted(pending);
        self.links[self.active].report_into(shifted, report);
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.links.iter_mut().for_each(|link| link.take_events(each));
    }
}

#[tokio::test]
async fn failover_over_links_replays_what_was_not_taken() {
    let ((a, first), (b, second)) = (MemorySink::pair(9), MemorySink::pair(64));
    let links = FailoverLinks { links: vec![a, b], active: 0, shift: 0 };
    let mut sink = Buffered::new(links);
    sink.set_policy(&Arc::new(LazyPolicy::new().with_max_attempts(1)));
    sink.feed("one").await.expect("fed");
    sink.feed("two").await.expect("fed");
    // Nine bytes fit: one frame whole, and the beginning of the next.
    poll_fn(|cx| Poll::Ready(sink.poll_flush(cx).is_pending())).await;
    tokio::task::yield_now().await;
    poll_fn(|cx| Poll::Ready(sink.poll_flush(cx).is_pending())).await;
    let stream = first.accept().expect("connected");
    assert_eq!(stream.read(), b"\0\0\0\x03one\0\0");
    first.refuse(true);
    drop(stream);
    sink.flush().await.expect("by the second link");
    assert_eq!(second.accept().expect("connected").read(), b"\0\0\0\x03two");
}

/// One sink for many tasks.
struct Handle<S>(Arc<Mutex<S>>);

impl<S: MessageSink> Handle<S> {
    async fn send<M: Encode + ?Sized>(&self, msg: &M) -> Result<(), SinkError> {
        poll_fn(|cx| {
            let mut sink = self.0.lock().expect("not poisoned");
            ready!(sink.poll_ready(cx, msg.encoded_len()))?;
            Poll::Ready(sink.try_feed(msg).map_err(SinkError::from))
        })
        .await?;
        poll_fn(|cx| self.0.lock().expect("not poisoned").poll_flush(cx)).await
    }
}

#[tokio::test]
async fn shared_handle_serves_many_tasks() {
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Arc::new(Mutex::new(inner));
    let tasks = (0..10).map(|number| {
        let handle = Handle(sink.clone());
        tokio::spawn(async move { handle.send(&[number]).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("ended").expect("sent");
    }
    assert_eq!((peer.messages().len(), peer.flushed()), (10, 10));
}

/// Says something first on every connection, as a relay wants it.
#[derive(Clone)]
struct WithPreamble<C>(C, &'static [u8]);

impl<C: Connect> Connect for WithPreamble<C> {
    type Io = C::Io;

    fn connect(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = io::Result<C::Io>> + Send + 'static {
        let Self(inner, mut preamble) = self.clone();
        async move {
            let mut io = inner.connect(timeout).await?;
            while !preamble.is_empty() {
                match io.try_write(preamble) {
                    Ok(len) => preamble = &preamble[len..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        poll_fn(|cx| io.poll_write_ready(cx)).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(io)
        }
    }

    fn endpoint(&self) -> Endpoint {
        self.0.endpoint()
    }
}

#[tokio::test]
async fn relay_link_says_its_preamble_on_each_connection() {
    let (link, peer) = MemorySink::pair(64);
    let connector = WithPreamble(link.connector().clone(), b"TORQ1");
    let mut sink = Buffered::new(StreamLink::with_connector(connector));
    for message in ["a", "b"] {
        sink.send(message).await.expect("sent");
        let expected = [b"TORQ1\0\0\0\x01", message.as_bytes()].concat();
        assert_eq!(next_connection(&peer), expected);
    }
}

/// What the next connection carried; its peer closes.
fn next_connection(peer: &MemoryPeer) -> Vec<u8> {
    peer.accept().expect("connected").read()
}

fn numbers<const N: usize>(numbers: [u8; N]) -> Vec<Vec<u8>> {
    numbers.map(|number| vec![number]).to_vec()
}
