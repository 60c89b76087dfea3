//! The priority layer: under pressure what is urgent goes first.

use crate::buffer::{Backlog, Marks, Record};
use crate::encode::Encode;
use crate::forward_sink;
use crate::layer::hold::{Below, Hold, Queue, held};
use crate::sink::{Count, Dropped, MessageSink};

/// Lets urgent messages overtake others while the sink below has no room: `N` lanes, of which each
/// message names [one](Encode::lane), the higher the more urgent.
///
/// Without pressure all messages pass in the order in which they come. When the sink below refuses
/// one, it and all after it wait, each in its lane, until they have gone down. Lanes have shares by
/// [weight](Self::with_weights): by default each twice that of the lane below it, so that none
/// starves. [`strict`](Self::strict) lanes have none: a message goes when no more urgent one waits.
/// Within a lane the order stays.
///
/// Each lane has a bound of its own, so a flood in one does not shut out another: feeding waits for
/// the lane of its message only. [`room`](MessageSink::room) and
/// [`poll_ready`](MessageSink::poll_ready), which know no message, speak for all lanes. What waits
/// here is counted as [`unfed`](crate::Report::unfed), as frames of the default framing.
///
/// # Place
///
/// Over a buffer, which should be small: what it holds is overtaken by nothing. Above a
/// [`Deadline`](crate::Deadline) or a [`Conflate`](crate::Conflate), which would keep the messages
/// that should wait here.
///
/// # Cost
///
/// A comparison and a count per message; one that waits is copied twice. The memory of a lane is
/// taken when messages begin to wait, and given back with a disconnect: at most three times its
/// capacity.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{InLane, Lanes, MessageSink};
///
/// # tokio_test::block_on(async {
/// let (inner, peer) = ScriptedSink::pair(1);
/// let mut sink: Lanes<_, 2> = Lanes::new(inner);
/// for (lane, message) in [(0, "quote"), (0, "quote"), (1, "cancel")] {
///     sink.try_feed(&InLane(lane, message))?;
/// }
/// peer.set_room(8);
/// sink.flush().await?;
/// assert_eq!(peer.messages(), ["quote".as_bytes(), b"cancel", b"quote"]);
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct Lanes<S: MessageSink, const N: usize> {
    hold: Hold<S, ByLane<N>>,
}

impl<S: MessageSink, const N: usize> Lanes<S, N> {
    /// Bytes of messages that can wait in each lane unless another capacity is asked for: 64 KiB.
    pub const DEFAULT_CAPACITY: usize = 64 * 1024;

    /// Puts `N` lanes, at least one, before `inner`. A message in a higher lane than there is goes
    /// into the highest.
    pub fn new(inner: S) -> Self {
        Self::with_capacity(inner, Self::DEFAULT_CAPACITY)
    }

    /// As [`new`](Self::new), with room for `capacity_bytes` bytes of messages that wait in each
    /// lane, each counted with 80 bytes more than it has.
    pub fn with_capacity(inner: S, capacity_bytes: usize) -> Self {
        const { assert!(N > 0, "there must be a lane") };
        let lanes = std::array::from_fn(|_| Backlog::new(capacity_bytes));
        let weights = std::array::from_fn(|lane| 1 << lane.min(16));
        let queue = ByLane { lanes, shares: Some(weights), left: weights, turn: 0 };
        Self { hold: Hold::new(inner, queue) }
    }

    /// Gives each lane its share: so many messages go, the most urgent first, before the next round.
    /// 0 counts as 1: no lane starves.
    pub fn with_weights(mut self, weights: [u32; N]) -> Self {
        let weights = weights.map(|weight| weight.max(1));
        let queue = self.hold.queue_mut();
        (queue.shares, queue.left) = (Some(weights), weights);
        self
    }

    /// Sends nothing while something more urgent waits, however long that takes.
    pub fn strict(mut self) -> Self {
        self.hold.queue_mut().shares = None;
        self
    }

    /// The sink below.
    pub fn get_ref(&self) -> &S {
        self.hold.get_ref()
    }
}

impl<S: MessageSink, const N: usize> MessageSink for Lanes<S, N> {
    forward_sink! { hold:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_flush poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}

/// A queue for each lane, and whose turn it is.
#[derive(Debug)]
struct ByLane<const N: usize> {
    lanes: [Backlog; N],
    /// Messages of each lane in one round; none where the lanes are strict.
    shares: Option<[u32; N]>,
    /// Those that have not gone yet in this round.
    left: [u32; N],
    /// The lane of the message that `front` has answered.
    turn: usize,
}

impl<const N: usize> ByLane<N> {
    /// The lane that a message goes into.
    fn index(marks: &Marks) -> usize {
        usize::from(marks.lane).min(N - 1)
    }

    /// The most urgent lane with a message, of those that have something left of their share.
    fn next(&self) -> Option<usize> {
        let has_turn = |lane: &usize| self.shares.is_none() || self.left[*lane] > 0;
        (0..N).rev().filter(|lane| !self.lanes[*lane].is_empty()).find(has_turn)
    }
}

impl<S: MessageSink, const N: usize> Queue<S> for ByLane<N> {
    #[inline(always)]
    fn admit<M: Encode + ?Sized>(&self, msg: &M) -> Option<Marks> {
        Some(Marks::of(msg))
    }

    #[inline(always)]
    fn remembers(&self, _: &Marks) -> bool {
        false
    }

    #[inline]
    fn is_stale(&self, _: &Below) -> bool {
        false
    }

    fn outdates(&self) -> bool {
        false
    }

    /// Nothing: what is below has had its turn.
    fn take_back(&mut self, _: &mut S, _: &mut Below, _: &mut Dropped) -> usize {
        0
    }

    fn allocate(&mut self) -> Option<()> {
        self.lanes.iter_mut().try_for_each(Backlog::allocate)
    }

    fn fits(&self, len: usize) -> bool {
        self.lanes.iter().all(|lane| lane.fits(len))
    }

    fn makes_room(&mut self, len: usize, marks: Option<&Marks>, _: &mut Dropped) -> bool {
        match marks {
            Some(marks) => self.lanes[Self::index(marks)].fits(len),
            None => self.lanes.iter().all(|lane| lane.fits(len)),
        }
    }

    fn push<M: Encode + ?Sized>(&mut self, msg: &M, len: usize, marks: Marks, _: &mut Dropped) {
        self.lanes[Self::index(&marks)].push(msg, len, marks);
    }

    fn front(&mut self, _: &mut Dropped) -> Option<Record<'_>> {
        let turn = self.next().or_else(|| {
            self.left = self.shares?;
            self.next()
        });
        self.turn = turn?;
        self.lanes[self.turn].front()
    }

    fn pop(&mut self) {
        self.lanes[self.turn].pop();
        self.left[self.turn] = self.left[self.turn].saturating_sub(1);
    }

    fn held(&self) -> Count {
        self.lanes.iter().map(held).fold(Count::default(), Count::plus)
    }

    fn len(&self) -> usize {
        self.lanes.iter().map(Backlog::len).sum()
    }

    fn clear(&mut self) {
        self.lanes.iter_mut().for_each(Backlog::clear);
    }
}
