//! What the layers with a queue of their own have in common: messages go straight to the sink below
//! while that takes them, and wait here while it does not.

mod below;
mod hand_back;
mod moves;
mod queue;
mod sink;

pub(super) use self::below::{Below, sooner};
pub(super) use self::queue::{Queue, count, held};
use crate::buffer::Marks;
use crate::encode::Encode;
use crate::error::TryFeedError;
use crate::sink::{DropReason, Dropped, MessageSink, SinkState};

/// A sink with a queue above it.
///
/// While messages go straight through, nothing waits. When the sink below has no room or is away
/// they wait, with what it can hand back before them. From then on they go down in batches, each
/// when the kernels have taken the one before, and the first of one message: so what waits for a
/// slow peer waits here and not below, where nothing could be done about it. When all are gone
/// messages go straight through again.
#[derive(Debug)]
pub(super) struct Hold<S: MessageSink, Q: Queue<S>> {
    inner: S,
    queue: Q,
    below: Below,
    /// Whether messages go straight through.
    through: bool,
    /// No message is accepted any more.
    closed: bool,
    /// The longest message that the sink below is known to carry.
    carries: usize,
    /// The length for which room was promised, whatever else comes to wait here.
    promised: Option<usize>,
    /// Bytes accepted that the sink below does not count. May wrap.
    above: u64,
    /// Messages accepted to wait since the sink below was last offered some.
    waiting: usize,
    /// How many messages go down at once.
    batch: usize,
    dropped: Dropped,
}

impl<S: MessageSink, Q: Queue<S>> Hold<S, Q> {
    pub(super) fn new(inner: S, queue: Q) -> Self {
        Self {
            inner,
            queue,
            below: Below::default(),
            through: true,
            closed: false,
            carries: 0,
            promised: None,
            above: 0,
            waiting: 0,
            batch: 1,
            dropped: Dropped::default(),
        }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }

    pub(super) fn queue_mut(&mut self) -> &mut Q {
        &mut self.queue
    }

    /// Feeds the sink below straight, if that takes nothing but writing into its buffer.
    #[inline(always)]
    fn append_through<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        if !self.through {
            return false;
        }
        let Some(marks) = self.queue.admit(msg) else { return false };
        let remembers = self.queue.remembers(&marks);
        if remembers && self.below.is_full() && !self.look_below(len) {
            return false;
        }
        if !self.inner.append(msg, len) {
            return false;
        }
        self.below.passed();
        if remembers {
            self.below.remember(marks);
        }
        true
    }

    /// Finds out which marks are worth their memory still: the sink below hands back what nobody has
    /// seen, and gets it again. True while messages go straight through.
    #[cold]
    fn look_below(&mut self, len: usize) -> bool {
        let mut count = 0;
        if !self.below.is_empty() {
            if self.inner.fits(len) {
                self.promised = Some(len);
            }
            count = self.take_back();
            self.feed_down(usize::MAX, |inner, record| {
                let appended = inner.append(record, record.payload.len());
                if appended { Ok(()) } else { Err(TryFeedError::Full) }
            });
            self.through = self.queue.len() == 0;
        }
        self.below.make_room(count);
        self.through
    }

    /// Feeds the sink below straight, which may write.
    fn feed_through<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        marks: Marks,
    ) -> Result<(), TryFeedError> {
        self.inner.try_feed(msg)?;
        self.below.passed();
        if self.queue.remembers(&marks) {
            self.below.remember(marks);
        }
        Ok(())
    }

    /// Feeds a message for which there is more to do than to append it.
    #[cold]
    #[inline(never)]
    fn feed_held<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Result<(), TryFeedError> {
        if self.closed {
            return Err(TryFeedError::Closed);
        }
        let Some(marks) = self.queue.admit(msg) else {
            self.drop_late(len);
            return Ok(());
        };
        let promised = self.room(len);
        if promised {
            // What there is room for below could go there.
            self.carries = self.carries.max(len);
        }
        let mut refusal = TryFeedError::Full;
        if self.through && self.must_take_back() {
            self.hold_and_push_down()?;
        } else if !self.through {
            self.ask_below(len)?;
            let room = promised || self.queue.makes_room(len, Some(&marks), &mut self.dropped);
            if !room || self.waiting > 2 * self.queue.len() {
                self.push_down();
            }
        }
        if self.through {
            match self.feed_through(msg, marks) {
                Ok(()) => return Ok(()),
                Err(refused) => refusal = refused,
            }
            self.judge_refusal(refusal, len)?;
            if !self.hold() {
                return Err(refusal);
            }
        }
        if len > self.carries {
            self.ask_below(len)?;
        }
        if !self.inner.accepts(msg, len) {
            return Err(TryFeedError::Invalid);
        }
        if !promised && !self.queue.makes_room(len, Some(&marks), &mut self.dropped) {
            return Err(refusal);
        }
        self.push(msg, len, marks);
        Ok(())
    }

    /// Appends a message to what waits, or drops one that comes too late.
    #[cold]
    #[inline(never)]
    fn append_held<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let Some(marks) = self.queue.admit(msg) else {
            self.drop_late(len);
            return true;
        };
        let promised = self.is_promised(len);
        // A sink that sleeps is to be woken, which is not for `append` to do.
        let awake = len <= self.carries && self.inner.state() != SinkState::Asleep;
        let room = !self.through
            && (promised || awake && self.queue.makes_room(len, Some(&marks), &mut self.dropped))
            && self.inner.accepts(msg, len);
        if room {
            self.push(msg, len, marks);
        }
        room
    }

    /// Takes a message to wait, for which there is room.
    fn push<M: Encode + ?Sized>(&mut self, msg: &M, len: usize, marks: Marks) {
        self.queue.push(msg, len, marks, &mut self.dropped);
        self.above = self.above.wrapping_add(count(len).bytes);
        self.waiting += 1;
        self.promised = None;
    }

    /// A message was worth nothing any more when it came.
    fn drop_late(&mut self, len: usize) {
        self.above = self.above.wrapping_add(count(len).bytes);
        self.dropped.add(DropReason::Expired, count(len));
    }

    fn is_promised(&self, len: usize) -> bool {
        self.promised.is_some_and(|promised| len <= promised)
    }

    /// Whether a message of `len` bytes can wait here.
    fn can_wait(&self, len: usize) -> bool {
        self.is_promised(len) || len <= self.carries && self.queue.fits(len)
    }
}
