//! The round-robin over whole sinks: each message to one child, in turn.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;

use crate::composite::each::{Step, each_child};
use crate::composite::{SinkSet, VisitSink, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// Brings each message to one of its children, in turn: work that any of several peers can do.
///
/// The order is that of the children. One that has no room is passed over, and so is one whose peer
/// is away: whose last attempt to connect failed, or who connects for the first time while another
/// is connected. When all are away, all are as good as any. With no room in any child whose peer is
/// there, the message waits for one of those: it is never put where nobody may come for it.
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
    /// Messages that each child has accepted, of the children that were fed so far.
    fed: SmallVec<[u64; 8]>,
}

impl<T> RoundRobin<T> {
    /// A round-robin over `children`: a tuple, an array or a vector of sinks.
    pub fn new(children: T) -> Self {
        Self { children, next: 0, fed: SmallVec::new() }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }

    /// Messages that each child has accepted, in the order of the children. Ends with the last child
    /// that has accepted any.
    #[must_use]
    pub fn distribution(&self) -> &[u64] {
        &self.fed
    }

    /// Child `index` of `children` has accepted a message.
    #[inline]
    fn count(&mut self, index: usize, children: usize) {
        self.next = if index + 1 < children { index + 1 } else { 0 };
        match self.fed.get_mut(index) {
            Some(fed) => *fed += 1,
            None => self.count_first(index),
        }
    }

    #[cold]
    fn count_first(&mut self, index: usize) {
        self.fed.resize(index, 0);
        self.fed.push(1);
    }
}

impl<T: SinkSet> RoundRobin<T> {
    /// Feeds the first child in turn that takes the message.
    #[cold]
    #[inline(never)]
    fn feed_any<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Result<(), TryFeedError> {
        let class = self.class();
        let mut refusal = None;
        // From the one whose turn it is to the last, then from the first on.
        for turn in [self.next..usize::MAX, 0..self.next] {
            let mut feed = FeedAny { msg, len, class, turn, at: 0, fed: None, refusal };
            self.children.visit_mut(&mut feed);
            if let Some(index) = feed.fed {
                self.count(index, feed.at);
                return Ok(());
            }
            refusal = feed.refusal;
        }
        Err(refusal.unwrap_or(TryFeedError::Full))
    }

    /// The class of children that take turns now.
    fn class(&self) -> Class {
        Class::of(self.state())
    }
}

impl<T: SinkSet> MessageSink for RoundRobin<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) { Ok(()) } else { self.feed_any(msg, len) }
    }

    /// Only by the child whose turn it is, and only if that is connected.
    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let mut append = Append { msg, len, next: self.next, at: 0, appended: false };
        self.children.visit_mut(&mut append);
        if append.appended {
            self.count(self.next, append.at);
        }
        append.appended
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        let mut fits = Fits { len, next: self.next, at: 0, fits: false };
        self.children.visit(&mut fits);
        fits.fits
    }

    fn room(&self, len: usize) -> bool {
        let mut room = Room { len, class: self.class(), any: false };
        self.children.visit(&mut room);
        room.any
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        let mut ready = TryReady { len, class: self.class(), ready: false, refusal: None };
        self.children.visit_mut(&mut ready);
        match ready.refusal {
            _ if ready.ready => Ok(()),
            refusal => Err(refusal.unwrap_or(TryFeedError::Full)),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        let mut poll = PollAny::new(cx, Step::Ready(len));
        self.children.visit_mut(&mut poll);
        let none_ready = poll.none_ready();
        // The step may have changed which children count, so it is they who are asked.
        if self.room(len) { Poll::Ready(Ok(())) } else { none_ready }
    }

    /// Waits for one child.
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let mut poll = PollAny::new(cx, Step::Connect);
        self.children.visit_mut(&mut poll);
        if poll.ready { Poll::Ready(Ok(())) } else { poll.none_ready() }
    }

    /// The best state of any child.
    fn state(&self) -> SinkState {
        let mut best = Best(SinkState::Closed);
        self.children.visit(&mut best);
        best.0
    }

    /// Whether a child is.
    fn is_connected(&self) -> bool {
        let mut connected = AnyConnected(false);
        self.children.visit(&mut connected);
        connected.0
    }

    each_child! {
        accepts poll_flush poll_close poll_disconnect hurry end accepted_bytes report_into
        take_events set_policy close_deadline
    }
}

/// How good it is to be given a message: the best class that there is takes turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// The peer is there, or nobody has looked yet.
    There,
    Connecting,
    Away,
    Closed,
}

impl Class {
    #[inline]
    fn of(state: SinkState) -> Self {
        match state {
            SinkState::Connected | SinkState::Asleep => Self::There,
            SinkState::Connecting => Self::Connecting,
            SinkState::BackingOff => Self::Away,
            SinkState::Closed => Self::Closed,
        }
    }
}

// One visitor per question: what it carries, and what it does with each sink.

struct Append<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    next: usize,
    at: usize,
    appended: bool,
}

impl<M: Encode + ?Sized> VisitSinkMut for Append<'_, M> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.at == self.next {
            self.appended = sink.state() == SinkState::Connected && sink.append(self.msg, self.len);
        }
        self.at += 1;
    }
}

struct FeedAny<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    class: Class,
    /// The children to be asked.
    turn: std::ops::Range<usize>,
    at: usize,
    fed: Option<usize>,
    refusal: Option<TryFeedError>,
}

impl<M: Encode + ?Sized> VisitSinkMut for FeedAny<'_, M> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let at = self.at;
        self.at += 1;
        let asked = self.turn.contains(&at) && Class::of(sink.state()) == self.class;
        if self.fed.is_some() || !asked {
            return;
        }
        if sink.append(self.msg, self.len) {
            self.fed = Some(at);
            return;
        }
        match sink.try_feed(self.msg) {
            Ok(()) => self.fed = Some(at),
            Err(refusal) => gather_refusal(&mut self.refusal, refusal),
        }
    }
}

/// To be full passes; the other refusals may not, and the first of them says why.
fn gather_refusal(all: &mut Option<TryFeedError>, one: TryFeedError) {
    if all.is_none() || one.is_full() {
        *all = Some(one);
    }
}

struct TryReady {
    len: usize,
    class: Class,
    ready: bool,
    refusal: Option<TryFeedError>,
}

impl VisitSinkMut for TryReady {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.ready || Class::of(sink.state()) != self.class {
            return;
        }
        match sink.try_ready(self.len) {
            Ok(()) => self.ready = true,
            Err(refusal) => gather_refusal(&mut self.refusal, refusal),
        }
    }
}

/// Lets every child take its step. One that is ready will do.
struct PollAny<'cx, 'w> {
    cx: &'cx mut Context<'w>,
    step: Step,
    ready: bool,
    pending: bool,
    error: Option<SinkError>,
}

impl<'cx, 'w> PollAny<'cx, 'w> {
    fn new(cx: &'cx mut Context<'w>, step: Step) -> Self {
        Self { cx, step, ready: false, pending: false, error: None }
    }

    /// What there is to say when none is ready.
    fn none_ready(self) -> Poll<Result<(), SinkError>> {
        match self.error {
            _ if self.pending => Poll::Pending,
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(Err(TryFeedError::Full.into())),
        }
    }
}

impl VisitSinkMut for PollAny<'_, '_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        match self.step.poll(sink, self.cx) {
            Poll::Ready(Ok(())) => self.ready = true,
            Poll::Ready(Err(error)) => {
                self.error.get_or_insert(error);
            }
            Poll::Pending => self.pending = true,
        }
    }
}

struct Fits {
    len: usize,
    next: usize,
    at: usize,
    fits: bool,
}

impl VisitSink for Fits {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        if self.at == self.next {
            self.fits = sink.state() == SinkState::Connected && sink.fits(self.len);
        }
        self.at += 1;
    }
}

struct Room {
    len: usize,
    class: Class,
    any: bool,
}

impl VisitSink for Room {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.any |= Class::of(sink.state()) == self.class && sink.room(self.len);
    }
}

struct Best(SinkState);

impl VisitSink for Best {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.min(sink.state());
    }
}

struct AnyConnected(bool);

impl VisitSink for AnyConnected {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 |= sink.is_connected();
    }
}
