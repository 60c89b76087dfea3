//! The conflating layer: under pressure only the latest message of each key is kept.

mod index;

use self::index::Index;
use crate::buffer::{Backlog, Marks, Record};
use crate::encode::Encode;
use crate::forward_sink;
use crate::layer::hold::{Below, Hold, Queue, count, held};
use crate::sink::{Count, DropReason, Dropped, HandBack, HandedBack, MessageSink};

/// Keeps only the latest message of each [key](Encode::key) while the sink below has no room or is
/// away: for state, such as prices, of which a slow receiver wants the newest and no backlog.
///
/// The newest message takes the place of the one of its key that waits, so keys arrive in the order
/// in which they first came. Messages without a key are never conflated. Without pressure all pass.
/// A message that was replaced is counted as [`conflated`](Dropped::conflated) in
/// [`Report::dropped`](crate::Report::dropped), and what waits here as
/// [`unfed`](crate::Report::unfed), both as frames of the default framing.
///
/// Under pressure the sink below hands back what nobody has seen of it, to be conflated too. It
/// gets messages in batches then, each when the one before is written, so that what waits for a slow
/// receiver waits where it can be replaced. A message for a key that waits finds room also when no
/// other does, if it is no longer than the one it replaces; other messages wait for room.
///
/// # Place
///
/// Over the buffer of one peer: `Lazy<Conflate<Buffered<TcpSink>>>`. Choose a capacity for as many
/// messages as there are keys. It knows its messages again by counting those that come back: no layer
/// that drops any stands between it and the buffer, the buffer does not
/// [drop the newest](crate::WhenFull::DropNewest), and it stands neither above nor below a
/// [`Deadline`](crate::Deadline). A [`Failover`](crate::Failover) above it takes the keys along to the
/// next target.
///
/// # Cost
///
/// Without pressure a comparison, a count and 56 bytes remembered of each message that has a key,
/// until the next flush that writes everything. Under pressure two copies of the message and a look
/// into a hash table; no allocation.
///
/// The memory is taken when messages begin to wait, and given back with a disconnect: at most four
/// times the capacity, and as much for what the buffer below can hold, each of whose messages counts
/// with 80 bytes more than it has.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{Conflate, Keyed, MessageSink};
///
/// # tokio_test::block_on(async {
/// let (inner, peer) = ScriptedSink::pair(1);
/// let mut sink = Conflate::new(inner);
/// for (instrument, price) in [(1, "1: 10"), (1, "1: 11"), (2, "2: 20"), (1, "1: 12")] {
///     sink.try_feed(&Keyed(instrument, price))?;
/// }
/// peer.set_room(8);
/// sink.flush().await?;
/// assert_eq!(peer.messages(), [b"1: 12", b"2: 20"]);
/// assert_eq!(sink.report().dropped.conflated.messages, Some(2));
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct Conflate<S: HandBack> {
    hold: Hold<S, Latest>,
}

impl<S: HandBack> Conflate<S> {
    /// Bytes of messages that can wait unless another capacity is asked for: 256 KiB.
    pub const DEFAULT_CAPACITY: usize = 256 * 1024;

    /// Conflates what `inner` has no room for.
    pub fn new(inner: S) -> Self {
        Self::with_capacity(inner, Self::DEFAULT_CAPACITY)
    }

    /// As [`new`](Self::new), with room for `capacity_bytes` bytes of messages that wait, each
    /// counted with 80 bytes more than it has: for 10,000 keys and messages of 64 bytes, 1,440,000.
    /// What `inner` hands back counts too.
    pub fn with_capacity(inner: S, capacity_bytes: usize) -> Self {
        const { assert!(!S::MARKED, "a `Conflate` cannot stand above a `Deadline` or `Conflate`") };
        let backlog = Backlog::new(capacity_bytes);
        Self { hold: Hold::new(inner, Latest { backlog, index: Index::default() }) }
    }

    /// The sink below.
    pub fn get_ref(&self) -> &S {
        self.hold.get_ref()
    }
}

impl<S: HandBack> MessageSink for Conflate<S> {
    forward_sink! { hold:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_flush poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}

impl<S: HandBack> HandBack for Conflate<S> {
    const MARKED: bool = true;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.hold.hand_back(each);
    }
}

/// The latest message of each key, in the order in which the keys first came, and all that have
/// none.
#[derive(Debug)]
struct Latest {
    backlog: Backlog,
    index: Index,
}

impl Latest {
    /// The slot of the message that one with this key replaces.
    fn outdated(&self, key: Option<u64>) -> Option<u64> {
        if self.backlog.is_empty() {
            return None;
        }
        self.index.get(key?, &self.backlog)
    }
}

impl<S: HandBack> Queue<S> for Latest {
    #[inline(always)]
    fn admit<M: Encode + ?Sized>(&self, msg: &M) -> Option<Marks> {
        Some(Marks::of(msg))
    }

    #[inline(always)]
    fn remembers(&self, marks: &Marks) -> bool {
        *marks != Marks::default()
    }

    #[inline]
    fn is_stale(&self, _: &Below) -> bool {
        false
    }

    fn outdates(&self) -> bool {
        true
    }

    /// Older messages come before newer ones, in whose place the latest of their key goes.
    fn take_back(&mut self, inner: &mut S, below: &mut Below, dropped: &mut Dropped) -> usize {
        let back = below.take_back(inner, &mut self.backlog);
        for number in (back.first..back.first + back.count as u64).rev() {
            let Some(old) = self.backlog.get(number) else { continue };
            let Some(key) = old.marks.key else { continue };
            let len = old.payload.len();
            let newer = self.index.get(key, &self.backlog);
            if let Some(newer) = newer {
                dropped.add(DropReason::Conflated, count(len));
                self.backlog.swap(number, newer);
            }
            self.index.set(key, number, &self.backlog);
            if let Some(newer) = newer {
                self.backlog.remove(newer);
            }
        }
        if self.backlog.is_sparse() {
            self.backlog.retain(|_| true);
            self.index.rebuild(&self.backlog);
        }
        back.count
    }

    fn allocate(&mut self) -> Option<()> {
        self.index.allocate(self.backlog.most())?;
        self.backlog.allocate()
    }

    fn fits(&self, len: usize) -> bool {
        self.backlog.fits(len)
    }

    fn makes_room(&mut self, len: usize, marks: Option<&Marks>, _: &mut Dropped) -> bool {
        let outdated = self.outdated(marks.and_then(|marks| marks.key));
        let instead = outdated.is_some_and(|number| self.backlog.fits_instead(number, len));
        instead || self.backlog.fits(len)
    }

    fn push<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
        marks: Marks,
        dropped: &mut Dropped,
    ) {
        if let Some(number) = self.outdated(marks.key) {
            let old = self.backlog.get(number).map_or(0, |old| old.payload.len());
            if self.backlog.replace(number, msg, len, marks) {
                dropped.add(DropReason::Conflated, count(old));
            }
        } else if let Some(number) = self.backlog.push(msg, len, marks)
            && let Some(key) = marks.key
        {
            self.index.set(key, number, &self.backlog);
        }
    }

    fn front(&mut self, _: &mut Dropped) -> Option<Record<'_>> {
        self.backlog.front()
    }

    fn pop(&mut self) {
        if let Some(key) = self.backlog.front().and_then(|first| first.marks.key) {
            self.index.remove(key, &self.backlog);
        }
        self.backlog.pop();
    }

    fn held(&self) -> Count {
        held(&self.backlog)
    }

    fn len(&self) -> usize {
        self.backlog.len()
    }

    fn clear(&mut self) {
        self.backlog.clear();
        self.index.clear();
    }
}
