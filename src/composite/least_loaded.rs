//! The least loaded of two: each message to one child, by how much each has yet to write.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use fastrand::Rng;

use crate::composite::each::{self, each_child};
use crate::composite::pick::{self, Distribution, any_child};
use crate::composite::{SinkSet, VisitSink};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// Brings each message to the less loaded of two of its children, drawn at random: work that any of
/// several peers can do, where some are slower than others.
///
/// Load is what a child has accepted and not yet written
/// ([`outstanding_bytes`](MessageSink::outstanding_bytes)). To compare two is nearly as good as to
/// compare all, and does not send everything to the one that was emptiest a moment ago. A child
/// that cannot say what it has outstanding counts as idle.
///
/// Children that have no room or whose peer is away are passed over as a
/// [`RoundRobin`](crate::RoundRobin) does it, and its other rules hold here too: what a child has
/// accepted stays with it, messages of different children arrive in no order, it is connected when
/// one child is, and a flush, a disconnect and a close are for all children and wait for all. Take
/// the round-robin where the peers are alike: it is cheaper, and its order can be foretold.
///
/// Load shows as long as it waits to be written, so flush it regularly and not only when all is
/// fed.
///
/// Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
///
/// # Errors
///
/// Feeding fails when all children that count refuse: the error is [`Full`](TryFeedError::Full) if
/// one of them is only full. All children take their step in the other calls before the first error
/// is reported.
///
/// # Cost
///
/// Per message two random numbers, a look at two children, one encoding, and a count.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{LeastLoaded, MessageSink};
///
/// let ((slow, slow_peer), (fast, fast_peer)) = (ScriptedSink::pair(99), ScriptedSink::pair(99));
/// let mut sink = LeastLoaded::new((slow, fast));
/// slow_peer.hold(true);
/// for message in ["a", "b", "c", "d", "e"] {
///     sink.try_feed(message)?;
///     let _flushed_by_the_fast_one = tokio_test::task::spawn(sink.flush()).poll();
/// }
/// // At most one went to the slow peer, before it was known to be slow.
/// assert!(slow_peer.messages().len() <= 1 && fast_peer.messages().len() >= 4);
/// # Ok::<(), torq_message_sink::TryFeedError>(())
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct LeastLoaded<T> {
    children: T,
    count: usize,
    /// The two children of which one gets the next message; drawn ahead, so that `fits` and
    /// `append` speak of the same ones.
    pair: [usize; 2],
    random: Rng,
    fed: Distribution,
    /// Whether room was promised for the next message.
    promised: bool,
}

impl<T: SinkSet> LeastLoaded<T> {
    /// Chooses between `children`: a tuple, an array or a vector of sinks.
    pub fn new(children: T) -> Self {
        Self::with_seed(children, fastrand::u64(..))
    }

    /// As [`new`](Self::new), with the seed of what is drawn: the same calls with the same loads
    /// make the same choices.
    pub fn with_seed(children: T, seed: u64) -> Self {
        let (count, random) = (each::count(&children), Rng::with_seed(seed));
        let fed = Distribution::default();
        let mut this = Self { children, count, pair: [0; 2], random, fed, promised: false };
        this.draw();
        this
    }

    /// Draws two different children, if there are two.
    #[inline]
    fn draw(&mut self) {
        if self.count > 1 {
            let one = self.random.usize(..self.count);
            let other = self.random.usize(..self.count - 1);
            self.pair = [one, if other < one { other } else { other + 1 }];
        }
    }

    #[inline]
    fn look(&self, len: usize) -> Look {
        let mut look = Look { len, pair: self.pair, at: 0, loads: [0; 2], fits: [false; 2] };
        self.children.visit(&mut look);
        look
    }

    /// The less loaded of the two that is connected and takes a message of `len` bytes as it is.
    #[inline]
    fn choose(&self, len: usize) -> Option<usize> {
        let look = self.look(len);
        match look.fits {
            [true, true] => Some(look.lesser()),
            [true, false] => Some(self.pair[0]),
            [false, true] => Some(self.pair[1]),
            [false, false] => None,
        }
    }

    #[inline]
    fn count(&mut self, index: usize) {
        self.fed.count(index);
        self.draw();
    }
}

impl<T> LeastLoaded<T> {
    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }

    /// Messages that each child has accepted, in the order of the children. Ends with the last
    /// child that has accepted any.
    #[must_use]
    pub fn distribution(&self) -> &[u64] {
        self.fed.as_slice()
    }
}

impl<T: SinkSet> MessageSink for LeastLoaded<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) {
            return Ok(());
        }
        let first = self.look(len).lesser();
        let promised = std::mem::take(&mut self.promised);
        let (index, _) = pick::feed(&mut self.children, first, msg, len, promised)?;
        self.count(index);
        Ok(())
    }

    /// Only by one of the two that are drawn, and only if that is connected.
    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let Some(index) = self.choose(len) else { return false };
        let appended = pick::append(&mut self.children, index, msg, len).is_some();
        if appended {
            self.count(index);
        }
        appended
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.choose(len).is_some()
    }

    any_child! { room try_ready poll_ready poll_connect state is_connected }

    each_child! {
        accepts poll_flush poll_close poll_disconnect hurry end accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}

/// A look at the two drawn children.
struct Look {
    len: usize,
    pair: [usize; 2],
    at: usize,
    loads: [u64; 2],
    /// Whether it is connected and takes the message as it is.
    fits: [bool; 2],
}

impl Look {
    /// The less loaded; of equals the one drawn first.
    #[inline]
    fn lesser(&self) -> usize {
        self.pair[usize::from(self.loads[1] < self.loads[0])]
    }
}

impl VisitSink for Look {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        for place in 0..2 {
            if self.pair[place] == self.at {
                self.loads[place] = sink.outstanding_bytes();
                self.fits[place] = sink.state() == SinkState::Connected && sink.fits(self.len);
            }
        }
        self.at += 1;
    }
}
