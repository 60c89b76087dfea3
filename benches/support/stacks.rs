//! The stacks of this library that are measured.

use std::time::{Duration, Instant};

use torq_message_sink::{
    Buffered, CircuitBreaker, Conflate, Deadline, Encode, Fanout, Keyed, Lanes, Lazy, Link,
    MessageSink, Rate, RateLimit, Shared, SinkError, SinkFactory, SinkStack, TcpSink, TryFeedError,
    UnixSink, WhenFull, WithDeadline, forward_sink,
};

use super::peers::SEND_BUFFER;
use super::{CAPACITY, Feed, Flush, Peers, TryFeed, spin};

/// The typed stack of every comparison.
pub(crate) type Typed = Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>>;

/// The typed stack, connected to both peers.
pub(crate) async fn typed(peers: &Peers) -> Sink<Typed> {
    let tcp = TcpSink::new(peers.tcp.to_string()).expect("an address");
    let unix = UnixSink::new(&peers.unix).expect("a short path");
    connected(Fanout::new((tcp, unix.with_send_buffer(Some(SEND_BUFFER))))).await
}

/// The typed stack below limits that are never met.
pub(crate) async fn limited(peers: &Peers) -> Sink<RateLimit<Typed>> {
    let rate = Rate::per_second(1 << 40);
    Sink(RateLimit::new(typed(peers).await.0).with_messages(rate).with_bytes(rate))
}

/// The typed stack below a circuit that stays closed.
pub(crate) async fn breaker(peers: &Peers) -> Sink<CircuitBreaker<Typed>> {
    Sink(CircuitBreaker::new(typed(peers).await.0))
}
/// A fan-out over so many unix sockets, all to the same receiver, as they are made at run time.
pub(crate) async fn unix_fanout(peers: &Peers, children: usize) -> Sink<Fanned> {
    let unix = || UnixSink::new(&peers.unix).expect("a short path");
    let links = (0..children).map(|_| unix().with_send_buffer(Some(SEND_BUFFER)));
    connected(Fanout::new(links.collect())).await
}

/// A fan-out over links of one kind.
pub(crate) type Fanned = Lazy<Buffered<Fanout<Vec<UnixSink>>>>;

/// The same stack, told to drop and to tell of its marks, connected to both peers.
pub(crate) async fn dropping(peers: &Peers) -> Sink<Typed> {
    let tcp = TcpSink::new(peers.tcp.to_string()).expect("an address");
    let unix = UnixSink::new(&peers.unix).expect("a short path");
    let links = Fanout::new((tcp, unix.with_send_buffer(Some(SEND_BUFFER))));
    let buffered = Buffered::with_capacity(links, CAPACITY)
        .with_when_full(WhenFull::DropOldest)
        .with_water_marks(CAPACITY - 1, CAPACITY / 2);
    let mut sink = Lazy::new(buffered);
    sink.connect().await.expect("the receivers listen");
    Sink(sink)
}

/// A fan-out over whole sinks.
pub(crate) type Sinks = Lazy<Fanout<(Buffered<TcpSink>, Buffered<UnixSink>)>>;

/// A stack with a buffer for each peer, connected to both.
pub(crate) async fn sinks(peers: &Peers) -> Sink<Sinks> {
    let tcp = TcpSink::new(peers.tcp.to_string()).expect("an address");
    let unix = UnixSink::new(&peers.unix).expect("a short path");
    let unix = unix.with_send_buffer(Some(SEND_BUFFER));
    let mut sink = Lazy::new(Fanout::new((
        Buffered::with_capacity(tcp, CAPACITY),
        Buffered::with_capacity(unix, CAPACITY),
    )));
    sink.connect().await.expect("the receivers listen");
    Sink(sink)
}

/// The typed stack below a layer that looks at deadlines, for messages that have none.
pub(crate) async fn deadline(peers: &Peers) -> Sink<Deadline<Typed>> {
    Sink(Deadline::new(typed(peers).await.0))
}

/// The typed stack below a layer that looks at keys, for messages that have none.
pub(crate) async fn conflate(peers: &Peers) -> Sink<Conflate<Typed>> {
    Sink(Conflate::new(typed(peers).await.0))
}

/// The typed stack below a layer that looks at lanes.
pub(crate) async fn lanes(peers: &Peers) -> Sink<Lanes<Typed, 3>> {
    Sink(Lanes::new(typed(peers).await.0))
}

/// As `deadline`, for messages that have one.
pub(crate) async fn dated(peers: &Peers) -> Sink<Dated<Deadline<Typed>>> {
    let later = Instant::now() + Duration::from_secs(3600);
    Sink(Dated { inner: deadline(peers).await.0, later })
}

/// As `conflate`, for messages that have a key.
pub(crate) async fn keyed(peers: &Peers) -> Sink<WithKeys<Conflate<Typed>>> {
    Sink(WithKeys { inner: conflate(peers).await.0, key: 0 })
}

/// Gives each message a deadline far ahead.
#[derive(Debug)]
pub(crate) struct Dated<S> {
    inner: S,
    later: Instant,
}

/// Gives each message the next key.
#[derive(Debug)]
pub(crate) struct WithKeys<S> {
    pub(crate) inner: S,
    pub(crate) key: u64,
}

impl<S: MessageSink> MessageSink for Dated<S> {
    #[inline(always)]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        self.inner.try_feed(&WithDeadline(self.later, msg))
    }

    forward_sink! { inner: room poll_ready poll_flush }
}

impl<S: MessageSink> MessageSink for WithKeys<S> {
    #[inline(always)]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        self.key += 1;
        self.inner.try_feed(&Keyed(self.key, msg))
    }

    forward_sink! { inner: room poll_ready poll_flush }
}

/// The typed stack under a shared handle, connected to both peers.
pub(crate) async fn shared(peers: &Peers) -> Handle<Typed> {
    let handle = Shared::with_capacity(typed(peers).await.0, CAPACITY);
    handle.connect().await.expect("the receivers listen");
    Handle(handle)
}

/// The same stack as the factory makes it, connected to both peers.
pub(crate) async fn factory(peers: &Peers) -> Sink<SinkStack> {
    let services = format!(
        r#"
        [services.by_tcp]
        type = "direct"
        endpoint = "tcp://{}"

        [services.by_unix]
        type = "direct"
        endpoint = "unix://{}"
        unix.send_buffer = {SEND_BUFFER}

        [services.both]
        type = "composite"
        pattern = "fanout"
        targets = ["by_tcp", "by_unix"]
        "#,
        peers.tcp,
        peers.unix.display(),
    );
    let factory = SinkFactory::from_str(&services).expect("the services are valid");
    let mut sink = factory.create_sink("both").expect("it is among them");
    sink.connect().await.expect("the receivers listen");
    Sink(sink)
}

/// A stack over TCP alone.
pub(crate) async fn by_tcp(peers: &Peers) -> Sink<Lazy<Buffered<TcpSink>>> {
    connected(TcpSink::new(peers.tcp.to_string()).expect("an address")).await
}

/// A stack over a unix socket alone.
pub(crate) async fn by_unix(peers: &Peers) -> Sink<Lazy<Buffered<UnixSink>>> {
    connected(UnixSink::new(&peers.unix).expect("a short path")).await
}

/// A stack over any link, connected.
pub(crate) async fn connected<L: Link>(link: L) -> Sink<Lazy<Buffered<L>>> {
    let mut sink = Lazy::new(Buffered::with_capacity(link, CAPACITY));
    sink.connect().await.expect("the receivers listen");
    Sink(sink)
}

/// A sink of this library, in the shape of the twins.
#[derive(Debug)]
pub(crate) struct Sink<S>(pub(crate) S);

impl<S: MessageSink, M: Encode + ?Sized> TryFeed<M> for Sink<S> {
    #[inline(always)]
    fn try_feed(&mut self, msg: &M) -> bool {
        self.0.try_feed(msg).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn refused(&mut self, msg: &M) {
        spin(self.0.feed(msg)).expect("the receivers read");
    }
}

impl<S: MessageSink, M: Encode + ?Sized> Feed<M> for Sink<S> {
    #[inline]
    fn feed<'a>(&'a mut self, msg: &'a M) -> impl Future<Output = Result<(), SinkError>> {
        self.0.feed(msg)
    }
}

impl<S: MessageSink> Flush for Sink<S> {
    type Error = SinkError;

    #[inline]
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkError>> {
        self.0.flush()
    }
}

/// A shared sink, in the shape of the twins.
pub(crate) struct Handle<S: MessageSink + Send + 'static>(Shared<S>);

impl<S: MessageSink + Send + 'static, M: Encode + ?Sized> TryFeed<M> for Handle<S> {
    #[inline(always)]
    fn try_feed(&mut self, msg: &M) -> bool {
        self.0.try_feed(msg).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn refused(&mut self, _: &M) {
        unreachable!("what is counted fits the buffer, and the driver has no turn meanwhile")
    }
}

impl<S: MessageSink + Send + 'static> Flush for Handle<S> {
    type Error = SinkError;

    #[inline]
    fn flush(&mut self) -> impl Future<Output = Result<(), SinkError>> {
        self.0.flush()
    }
}
