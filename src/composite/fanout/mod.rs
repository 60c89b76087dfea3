//! The fan-out: every child gets everything.

mod links;
mod sinks;

/// Brings every message to each of its children: links below one buffer, or whole sinks.
///
/// What it is made of decides what it is:
///
/// | | over links | over whole sinks |
/// |---|---|---|
/// | such as | `Buffered<Fanout<(TcpSink, UnixSink)>>` | `Fanout<(Lazy<Buffered<TcpSink>>, Lazy<Buffered<UnixSink>>)>` |
/// | it is | a link | a sink |
/// | a message is encoded | once, whatever the number of children | once per child |
/// | each child has | its place in the buffer, its connection, its back-off | besides, a buffer, a framing and a policy of its own |
/// | memory | one buffer | a buffer per child |
///
/// Over links it costs least; take it unless the children differ in what only a whole sink has: the
/// size of the buffer, the framing, the policy, a layer that concerns one of them.
///
/// All children gate. Over links the buffer keeps a frame until the slowest has it; over sinks a
/// message goes to all children or to none, so the fullest one says when there is room. A flush
/// waits for all. A child that shall not hold up the others is wrapped in a
/// [`BestEffort`](crate::BestEffort); where some of the children are enough, there is
/// [`Quorum`](crate::Quorum). Which child has failed, why, and what it misses is told by
/// [`Report::branches`](crate::Report::branches), a word for each link, in their order.
///
/// Being what its children are, it nests: in itself, and at either level
/// (`Fanout<(Lazy<Buffered<Fanout<(TcpSink, TcpSink)>>>, Lazy<Buffered<UnixSink>>)>`). A
/// [`Lazy`](crate::Lazy) around it hands its policy to the children that have none. One without
/// children takes everything and brings it nowhere.
///
/// # Errors
///
/// Every child takes its step before the first error is reported; the error names its link. A
/// message that one child refuses is refused: too large for one, it is too large for all.
///
/// # Cost
///
/// Over links nothing per message, one or more writes per link and flush. Over sinks a look at every
/// child's room, then one encoding per child (two where the child's framing may refuse a message,
/// such as [`NewlineDelimited`](crate::NewlineDelimited)); no allocation.
///
/// # Examples
///
/// Over links, which share a buffer:
///
/// ```
/// use torq_message_sink::{Buffered, Fanout, MessageSink, MemorySink};
///
/// # tokio_test::block_on(async {
/// let ((left, left_peer), (right, right_peer)) = (MemorySink::pair(64), MemorySink::pair(64));
/// let mut sink = Buffered::new(Fanout::new((left, right)));
/// sink.send("tick").await?;
/// for peer in [left_peer, right_peer] {
///     assert_eq!(peer.accept().expect("connected").read(), b"\0\0\0\x04tick");
/// }
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
///
/// Over sinks, which have a buffer and a policy each:
///
/// ```
/// use std::time::Duration;
/// use torq_message_sink::{Buffered, Fanout, Lazy, TcpSink, UnixSink};
///
/// let near = Lazy::new(Buffered::new(UnixSink::new("/run/torq/market_data.sock")?));
/// let far = Lazy::new(Buffered::with_capacity(TcpSink::new("10.0.0.7:9001")?, 4 << 20))
///     .with_idle_timeout(Some(Duration::from_secs(300)));
/// let sink: Fanout<(Lazy<Buffered<UnixSink>>, Lazy<Buffered<TcpSink>>)> =
///     Fanout::new((near, far));
/// # Ok::<(), torq_message_sink::SinkError>(())
/// ```
#[derive(Debug)]
pub struct Fanout<T> {
    pub(super) children: T,
    /// Over links: what the slowest child had taken after the last write.
    taken: u64,
}

impl<T> Fanout<T> {
    /// A fan-out to `children`, all links or all sinks: a tuple, an array or a vector of them.
    pub const fn new(children: T) -> Self {
        Self { children, taken: 0 }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }
}
