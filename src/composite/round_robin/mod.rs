//! The round-robin: to each child in turn.

mod links;
mod round;
mod sinks;
mod visit;

use std::time::Duration;

use self::round::Round;
use crate::composite::pick::Distribution;

/// Brings what it is given to its children in turn: work that any of several peers can do.
///
/// Whole sinks get a message each. Links below one buffer get a *batch* each: what stands in the
/// buffer when it is written, or the part of it that makes one write (64 KiB, or what the link
/// says) or that the child's socket takes, always whole frames.
///
/// | | over links | over whole sinks |
/// |---|---|---|
/// | such as | `Buffered<RoundRobin<(TcpSink, UnixSink)>>` | `RoundRobin<(Lazy<Buffered<TcpSink>>, Lazy<Buffered<UnixSink>>)>` |
/// | it is | a link | a sink |
/// | a turn is | a batch | a message |
/// | passed over is | a child that is not connected, or whose socket is full | a child whose peer is away, or whose buffer is full |
/// | when a child's peer goes away | what no kernel has taken whole goes to the next child | what it has accepted stays with it |
/// | a slow child holds up the others | while its socket has the first part of a frame and no room for the rest | never |
/// | memory | one buffer | a buffer for each child that is awake |
///
/// The order is that of the children. Over links it costs least and nothing waits for a peer that
/// has gone; take whole sinks where peers differ in speed, in the size of the buffer, the framing or
/// the policy, or where single messages should be spread evenly and not batches.
///
/// Messages of different children arrive in no order. To keep what belongs together on one child,
/// use [`Sharded`](crate::Sharded).
///
/// # Over links
///
/// - What a kernel has not taken whole goes to the next child, and nothing else does: no frame is
///   written whole to two children, and none is lost that no kernel has taken. What a receiver misses
///   is a suffix of what was written on a connection that has ended. (A child of several peers is
///   lost as soon as it is not connected as a whole. It has taken a frame when all of its peers have;
///   if it fails in between, some of them get what the next child gets too.)
/// - The frames of each receiver are in order.
/// - So a frame that a socket has taken in part is finished by that child before anybody goes on:
///   another could not be given frames that come after it, and then that one, when the connection
///   ends. A peer that takes nothing for a second then, while another child is connected, loses its
///   connection, the frame goes to the next child, and it is passed over for ten seconds
///   ([`with_stall_timeout`](Self::with_stall_timeout)).
/// - A child that is not connected is on its way, by its own back-off: its turn comes when it is
///   connected. Events tell positions in the stream of all children.
/// - What no child has begun is in the report of the one whose turn it is.
///
/// It is connected when one child is. Callers get an error when the attempts to connect to all of them
/// are used up; nothing is lost, and what is fed or flushed then begins anew. One without children
/// takes what it is given, and brings it nowhere.
///
/// # Over whole sinks
///
/// A child that has no room is passed over, and so is one whose peer is away: whose last attempt to
/// connect failed, or who connects for the first time while another is connected. When all are away,
/// all are as good as any; of those, one that still connects goes before one whose attempt failed.
/// With no room in any child whose peer is there, the message waits for one of those: it is not put
/// where nobody may come for it.
///
/// It is connected when one child is. A flush, a disconnect and a close are for all children and
/// wait for all.
///
/// Feeding fails when all children whose turn it could be refuse: the error is
/// [`Full`](crate::TryFeedError::Full) if one of them is only full. All children take their step in
/// the other calls before the first error is reported.
///
/// # Cost
///
/// Over links nothing per message. Over sinks a look at the child whose turn it is and one encoding,
/// and a count.
///
/// # Examples
///
/// Over links, each flush is a turn:
///
/// ```
/// use torq_message_sink::{Buffered, MemorySink, MessageSink, RoundRobin};
///
/// # tokio_test::block_on(async {
/// let ((left, one), (right, other)) = (MemorySink::pair(64), MemorySink::pair(64));
/// let mut sink = Buffered::new(RoundRobin::new((left, right)));
/// sink.send("a").await?;
/// sink.send_batch(["b", "c"]).await?;
/// assert_eq!(one.accept().expect("connected").read(), b"\0\0\0\x01a");
/// assert_eq!(other.accept().expect("connected").read(), b"\0\0\0\x01b\0\0\0\x01c");
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
///
/// Over whole sinks:
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{MessageSink, RoundRobin};
///
/// let ((left, left_peer), (right, right_peer)) = (ScriptedSink::pair(2), ScriptedSink::pair(1));
/// let mut sink = RoundRobin::new((left, right));
/// for message in ["a", "b", "c"] {
///     sink.try_feed(message)?;
/// }
/// assert_eq!(left_peer.messages(), [b"a", b"c"]);
/// assert_eq!(right_peer.messages(), [b"b"]);
/// assert_eq!(sink.distribution(), [2, 1]);
/// # Ok::<(), torq_message_sink::TryFeedError>(())
/// ```
#[derive(Debug)]
pub struct RoundRobin<T> {
    children: T,
    /// The child whose turn it is.
    next: usize,
    fed: Distribution,
    /// Over sinks: whether room was promised for the next message.
    promised: bool,
    /// Over links: what the children have taken, and how they do.
    round: Round,
}

impl<T> RoundRobin<T> {
    /// A round-robin over `children`, all links or all sinks: a tuple, an array or a vector of them.
    pub fn new(children: T) -> Self {
        let (fed, round) = (Distribution::default(), Round::default());
        Self { children, next: 0, fed, promised: false, round }
    }

    /// Over links: how long a child may take nothing in the middle of a frame, while another is
    /// connected; `None` is for ever. Default: 1 s, at least 1 ms. It is passed over for ten times as
    /// long, then, while another is connected.
    #[must_use]
    pub fn with_stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.round.stall_timeout = timeout;
        self
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }

    /// What each child has had, in the order of the children: messages that it has accepted, over
    /// sinks; over links, batches of which it has taken any. Ends with the last child that has had
    /// anything.
    #[must_use]
    pub fn distribution(&self) -> &[u64] {
        self.fed.as_slice()
    }

    /// Child `index` of `children` has had its turn.
    #[inline]
    fn pass(&mut self, index: usize, children: usize) {
        self.next = if index + 1 < children { index + 1 } else { 0 };
    }

    /// Child `index` of `children` has accepted a message.
    #[inline]
    fn count(&mut self, index: usize, children: usize) {
        self.pass(index, children);
        self.fed.count(index);
    }
}
