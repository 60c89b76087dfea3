//! The fan-out that waits for some of its children, whichever they are.

mod links;
mod sinks;

use std::task::Poll;

use smallvec::SmallVec;

use super::Fanout;
use crate::error::SinkError;
use crate::sink::Count;

/// A [`Fanout`] that goes on when any `k` of its children have everything: replicas of which a
/// number must have each message, whichever they are.
///
/// Over links, a flush is done and the shared buffer is free when `k` children have taken
/// everything. The others may lag behind, as [`BestEffort`](crate::BestEffort) children do: they
/// miss what `k` others have when the room is needed or their peer is away. Children that are
/// `BestEffort` do not count among the `k`.
///
/// Over whole sinks, a message is accepted when `k` children have room for it and can carry it, and
/// a flush is done when `k` have flushed; a child without room misses the message. A `BestEffort`
/// sink would count as one that always has room: put it beside the quorum,
/// `Fanout::new((Quorum::new(2, replicas), BestEffort::new(monitor)))`.
///
/// More than there are children are all of them; of 0 nobody waits for any. Each message that a
/// child misses is counted, in [`Dropped::skipped`](crate::Dropped::skipped) of its leaves (a whole
/// sink's in bytes of the messages alone). A `close` and a `disconnect` go on for every child that
/// is connected or connecting, up to their deadline.
///
/// It is as connected, asleep or backing off as the `k`th best of its children.
///
/// # Errors
///
/// The first error, when so many children fail that there cannot be `k`.
///
/// # Cost
///
/// Over links nothing per message; per flush a look at each child. No allocation up to 16 children.
///
/// # Examples
///
/// Two of three replicas:
///
/// ```
/// use torq_message_sink::{Buffered, MemorySink, MessageSink, Quorum};
///
/// # tokio_test::block_on(async {
/// let [(a, at_a), (b, away), (c, at_c)] = std::array::from_fn(|_| MemorySink::pair(64));
/// away.refuse(true);
/// let mut sink = Buffered::new(Quorum::new(2, [a, b, c]));
/// sink.send("tick").await?;
/// for replica in [at_a, at_c] {
///     assert_eq!(replica.accept().expect("connected").read(), b"\0\0\0\x04tick");
/// }
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Quorum<T> {
    inner: Fanout<T>,
    needed: usize,
    /// Over sinks: what each child has missed, counted in payloads.
    skipped: SmallVec<[Count; 4]>,
}

impl<T> Quorum<T> {
    /// A fan-out to `children`, all links or all sinks, that waits for `needed` of them.
    pub fn new(needed: usize, children: T) -> Self {
        Self { inner: Fanout::new(children), needed, skipped: SmallVec::new() }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        self.inner.get_ref()
    }

    /// How many of them it waits for.
    pub const fn needed(&self) -> usize {
        self.needed
    }
}

/// What the children have come to that count.
struct Tally {
    needed: usize,
    count: usize,
    done: usize,
    failed: usize,
    error: Option<SinkError>,
}

impl Tally {
    fn of(needed: usize) -> Self {
        Self { needed, count: 0, done: 0, failed: 0, error: None }
    }

    fn add(&mut self, one: Poll<Result<(), SinkError>>) {
        self.count += 1;
        match one {
            Poll::Ready(Ok(())) => self.done += 1,
            Poll::Ready(Err(error)) => {
                self.failed += 1;
                self.error.get_or_insert(error);
            }
            Poll::Pending => {}
        }
    }

    /// Done when enough are, and failed when there cannot be enough any more.
    fn outcome(self) -> Poll<Result<(), SinkError>> {
        let needed = self.needed.min(self.count);
        match self.error {
            _ if self.done >= needed => Poll::Ready(Ok(())),
            Some(error) if self.count - self.failed < needed => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    }
}

/// The `needed`th of `all`, in their order; the last of them where there are fewer. None where none
/// is needed.
fn nth<T: Copy + Ord>(needed: usize, mut all: SmallVec<[T; 16]>) -> Option<T> {
    // By insertion: they are few, nearly in order already, and it is a tenth of the code of a sort.
    for end in 1..all.len() {
        let mut at = end;
        while at > 0 && all[at - 1] > all[at] {
            all.swap(at - 1, at);
            at -= 1;
        }
    }
    all.get(needed.min(all.len()).checked_sub(1)?).copied()
}
