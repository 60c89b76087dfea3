//! The sharded composite: each message to the child that its key belongs to.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::composite::each::{self, Step, each_child};
use crate::composite::{SinkSet, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// Brings each message to the child that its key belongs to: the work of several peers, each of
/// which has all messages of its keys, in order.
///
/// The key is [`Encode::key`]; a message without one counts as key 0. Key `k` belongs to child
/// `k % n` of `n`, always: while its child is full or away its messages wait, and the other
/// children's go on. So the keys should be spread evenly; where they are not, hash them first.
///
/// [`poll_ready`](MessageSink::poll_ready) and [`room`](MessageSink::room) do not know the key and
/// speak for all children; `feed` and `try_feed` look at the message's own only. The state is the
/// worst of any child; a flush, a disconnect and a close are for all and wait for all.
///
/// # Cost
///
/// Per message a division and one encoding.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{Keyed, MessageSink, Sharded};
///
/// let ((even, even_peer), (odd, odd_peer)) = (ScriptedSink::pair(9), ScriptedSink::pair(9));
/// let mut sink = Sharded::new((even, odd));
/// for key in [2, 3, 4, 3] {
///     sink.try_feed(&Keyed(key, [key as u8]))?;
/// }
/// assert_eq!(even_peer.messages(), [[2], [4]]);
/// assert_eq!(odd_peer.messages(), [[3], [3]]);
/// # Ok::<(), torq_message_sink::TryFeedError>(())
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct Sharded<T> {
    children: T,
}

impl<T> Sharded<T> {
    /// Shards over `children`: a tuple, an array or a vector of sinks. Their order is what keys
    /// belong to; without any, every message is refused as not connected.
    pub const fn new(children: T) -> Self {
        Self { children }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }
}

impl<T: SinkSet> Sharded<T> {
    #[inline]
    fn is_empty(&self) -> bool {
        each::count(&self.children) == 0
    }

    /// The index of the child that `msg` belongs to.
    #[inline]
    fn shard<M: Encode + ?Sized>(&self, msg: &M) -> u64 {
        let children = each::count(&self.children) as u64;
        msg.key().unwrap_or(0).checked_rem(children).unwrap_or(0)
    }
}

impl<T: SinkSet> MessageSink for Sharded<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let shard = self.shard(msg);
        let mut feed = TryFeed { msg, shard, at: 0, fed: Err(TryFeedError::NotConnected) };
        self.children.visit_mut(&mut feed);
        feed.fed
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let shard = self.shard(msg);
        let mut append = Append { msg, len, shard, at: 0, appended: false };
        self.children.visit_mut(&mut append);
        append.appended
    }

    /// Waits for the message's own child only.
    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        let shard = self.shard(msg);
        let nobody = Poll::Ready(Err(TryFeedError::NotConnected.into()));
        let mut feed = PollFeed { cx, msg, shard, at: 0, fed: nobody };
        self.children.visit_mut(&mut feed);
        feed.fed
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        !self.is_empty() && each::fits(&self.children, len)
    }

    fn room(&self, len: usize) -> bool {
        !self.is_empty() && each::room(&self.children, len)
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        if self.is_empty() {
            return Err(TryFeedError::NotConnected);
        }
        each::try_ready(&mut self.children, len)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        if self.is_empty() {
            return Poll::Ready(Err(TryFeedError::NotConnected.into()));
        }
        each::poll(&mut self.children, cx, Step::Ready(len))
    }

    each_child! {
        accepts poll_flush poll_close poll_disconnect poll_connect hurry end state is_connected
        accepted_bytes outstanding_bytes report_into take_events set_policy due close_deadline
    }
}

// One visitor per question: what it carries, and what it does with each sink.

struct TryFeed<'a, M: ?Sized> {
    msg: &'a M,
    shard: u64,
    at: u64,
    fed: Result<(), TryFeedError>,
}

impl<M: Encode + ?Sized> VisitSinkMut for TryFeed<'_, M> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.at == self.shard {
            self.fed = sink.try_feed(self.msg);
        }
        self.at += 1;
    }
}

struct Append<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    shard: u64,
    at: u64,
    appended: bool,
}

impl<M: Encode + ?Sized> VisitSinkMut for Append<'_, M> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.at == self.shard {
            self.appended = sink.append(self.msg, self.len);
        }
        self.at += 1;
    }
}

struct PollFeed<'a, 'cx, 'w, M: ?Sized> {
    cx: &'cx mut Context<'w>,
    msg: &'a M,
    shard: u64,
    at: u64,
    fed: Poll<Result<(), SinkError>>,
}

impl<M: Encode + ?Sized> VisitSinkMut for PollFeed<'_, '_, '_, M> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.at == self.shard {
            self.fed = sink.poll_feed(self.cx, self.msg);
        }
        self.at += 1;
    }
}
