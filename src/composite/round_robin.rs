//! The round-robin over whole sinks: each message to one child, in turn.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::composite::SinkSet;
use crate::composite::each::each_child;
use crate::composite::pick::{self, Distribution, any_child};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// Brings each message to one of its children, in turn: work that any of several peers can do.
///
/// The order is that of the children. One that has no room is passed over, and so is one whose peer
/// is away: whose last attempt to connect failed, or who connects for the first time while another
/// is connected. When all are away, all are as good as any; of those, one that still connects goes
/// before one whose attempt failed. With no room in any child whose peer is there, the message waits
/// for one of those: it is not put where nobody may come for it.
///
/// What a child has accepted stays with it, also when its peer goes away then; messages of different
/// children arrive in no order. To keep what belongs together on one child, use
/// [`Sharded`](crate::Sharded).
///
/// It is connected when one child is. A flush, a disconnect and a close are for all children and
/// wait for all.
///
/// # Errors
///
/// Feeding fails when all children whose turn it could be refuse: the error is
/// [`Full`](TryFeedError::Full) if one of them is only full. All children take their step in the
/// other calls before the first error is reported.
///
/// # Cost
///
/// Per message a look at the child whose turn it is and one encoding, and a count.
///
/// # Examples
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
#[must_use = "a sink does nothing unless it is fed"]
pub struct RoundRobin<T> {
    children: T,
    /// The child whose turn it is.
    next: usize,
    fed: Distribution,
    /// Whether room was promised for the next message.
    promised: bool,
}

impl<T> RoundRobin<T> {
    /// A round-robin over `children`: a tuple, an array or a vector of sinks.
    pub fn new(children: T) -> Self {
        Self { children, next: 0, fed: Distribution::default(), promised: false }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }

    /// Messages that each child has accepted, in the order of the children. Ends with the last child
    /// that has accepted any.
    #[must_use]
    pub fn distribution(&self) -> &[u64] {
        self.fed.as_slice()
    }

    /// Child `index` of `children` has accepted a message.
    #[inline]
    fn count(&mut self, index: usize, children: usize) {
        self.next = if index + 1 < children { index + 1 } else { 0 };
        self.fed.count(index);
    }
}

impl<T: SinkSet> MessageSink for RoundRobin<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) {
            return Ok(());
        }
        let promised = std::mem::take(&mut self.promised);
        let (index, children) = pick::feed(&mut self.children, self.next, msg, len, promised)?;
        self.count(index, children);
        Ok(())
    }

    /// Only by the child whose turn it is, and only if that is connected.
    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let Some(children) = pick::append(&mut self.children, self.next, msg, len) else {
            return false;
        };
        self.count(self.next, children);
        true
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        pick::fits(&self.children, self.next, len)
    }

    any_child! { room try_ready poll_ready poll_connect state is_connected }

    each_child! {
        accepts poll_flush poll_close poll_disconnect hurry end accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}
