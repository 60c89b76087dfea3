//! The shared layer: one stack for many producers, by a buffer that is swapped and a task that
//! drives.

mod core;
mod driver;
mod events;
mod front;
mod future;
mod order;
mod queue;
mod record;
mod stage;
mod waiting;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use self::core::Core;
pub use self::events::Events;
use self::front::Driver;
pub use self::future::{Feed, Flush, Send, SendBatch};
pub use self::order::{Connect, Shutdown};
use self::record::Draft;
use crate::encode::Encode;
use crate::error::TryFeedError;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// One stack for many tasks and threads: a handle that is cloned, and whose methods take `&self`.
///
/// Producers write their messages into a buffer under a lock that is held for no longer than that.
/// A task, the *driver*, swaps the buffer for an empty one, feeds it to the stack and flushes;
/// while it does so the next batch gathers. So many messages leave by one write, and whoever
/// waits for a flush waits for one that carries the messages of all.
///
/// The methods are those of [`MessageSink`], which it does not implement itself: with other
/// producers about, room that was seen is not room that will be there.
///
/// # Guarantees
///
/// - The messages of one producer (of one task that feeds one after the other) keep their order.
/// - Who waits for room gets it in order of arrival, and nobody overtakes: while somebody waits,
///   [`try_feed`](Self::try_feed) refuses.
/// - Memory is bounded by twice the [capacity](Self::with_capacity) and what the stack itself
///   takes: `2 * capacity_bytes + stack`. Asleep it holds neither buffer nor task.
/// - Errors of the stack reach those who wait at that time. What was accepted is kept, and new
///   data, or a flush, tries again.
/// - What is promised for driven stacks happens by itself: a flush of what was fed, at once or
///   [a little later](Self::with_max_delay), idle sleep, probes of a failover, the notice of a peer
///   that has closed.
///
/// # Driver
///
/// The first message starts the driver on the runtime of whoever feeds it, and it ends when the
/// stack sleeps. While that runtime stands still, so does the stack; should it end, the next call
/// starts another driver on its own. The last handle that is dropped closes the stack, and the
/// driver sees to that, within the stack's close deadline.
///
/// # Encoding
///
/// [`Encode::encode`] runs under the lock: others wait for as long as it takes, and it must not use
/// the same sink, which would wait for itself. Should it panic, nothing was accepted and nobody
/// else notices. What the stack below looks at ([`key`](Encode::key),
/// [`deadline`](Encode::deadline), [`lane`](Encode::lane)) comes along, to the nanosecond.
///
/// # Cost
///
/// Per message a lock that is free most of the time, the encoding, and one more copy by the driver.
/// No allocation per message; a task that waits takes a place in a queue, which keeps its memory.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{Buffered, MemorySink, Shared};
///
/// # tokio_test::block_on(async {
/// let (link, peer) = MemorySink::pair(1024);
/// let sink = Shared::new(Buffered::new(link));
/// let producers: Vec<_> = (0..3)
///     .map(|number: u32| {
///         let sink = sink.clone();
///         tokio::spawn(async move { sink.send(&number.to_be_bytes()).await })
///     })
///     .collect();
/// for producer in producers {
///     producer.await.expect("no panic")?;
/// }
/// assert_eq!(peer.accept().expect("connected").read().len(), 3 * 8);
/// sink.close().await?;
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[must_use = "a sink does nothing unless it is fed"]
pub struct Shared<S: MessageSink + std::marker::Send + 'static> {
    core: Arc<Core<S>>,
}

impl<S: MessageSink + std::marker::Send + 'static> Shared<S> {
    /// Bytes of each of the two buffers unless another capacity is asked for: 64 KiB.
    pub const DEFAULT_CAPACITY: usize = 64 * 1024;

    /// Shares `stack`, with [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) bytes for what gathers.
    pub fn new(stack: S) -> Self {
        Self::with_capacity(stack, Self::DEFAULT_CAPACITY)
    }

    /// Shares `stack`, with `capacity_bytes` for what gathers, and as many for what is being fed.
    ///
    /// A message takes its own bytes and four more there, 22 if it has a key, a deadline or a lane.
    /// The longest message that is taken is the longest that fits that and that the stack has
    /// [room](MessageSink::room) for when it is shared.
    pub fn with_capacity(stack: S, capacity_bytes: usize) -> Self {
        Self { core: Arc::new(Core::new(stack, capacity_bytes)) }
    }

    /// Lets messages that were only fed wait for more, so that more of them leave by one write: the
    /// driver takes and flushes them when the oldest has waited for `max_delay`, or at once when
    /// `flush_at_bytes` of them stand there, counted as [`capacity`](Self::with_capacity) is.
    ///
    /// Nobody waits for it: a [`send`](Self::send), a [`flush`](Self::flush), a feed that finds no
    /// room and an ordered end each take along what has gathered. A stack that sleeps wakes when
    /// that is taken. Half of the capacity is a good size: in the other half stands what comes
    /// while the driver is on its way. One above the capacity counts as the capacity; a delay of
    /// zero, or a size of 0, is as if there were none.
    ///
    /// Without a delay what was fed is flushed as soon as the driver has its turn, and only what
    /// comes meanwhile leaves by the same write.
    ///
    /// # Cost
    ///
    /// Nothing per message. Per batch a look at the clock, and two wakes of the driver instead of
    /// one per message that comes alone. The runtime's timers count milliseconds, rounded up.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use torq_message_sink::{Buffered, Shared, UnixSink};
    /// let stack = Buffered::new(UnixSink::new("/run/torq/market_data.sock")?);
    /// let sink = Shared::new(stack).with_max_delay(Duration::from_millis(5), 32 * 1024);
    /// # Ok::<(), torq_message_sink::SinkError>(())
    /// ```
    pub fn with_max_delay(self, max_delay: Duration, flush_at_bytes: usize) -> Self {
        self.core.front().set_delay(max_delay, flush_at_bytes);
        self
    }

    /// Gives messages that have no deadline one of this long after they were accepted here: for a
    /// stack with a [`Deadline`](crate::Deadline), which counts from when the driver feeds it. What
    /// stands in the two buffers before it is no older then, either. The first one set counts.
    ///
    /// # Cost
    ///
    /// A look at the clock and 18 bytes for each such message, and all of them take the longer way
    /// in.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use torq_message_sink::{Buffered, Deadline, Shared, UnixSink};
    /// let stack = Deadline::new(Buffered::new(UnixSink::new("/run/torq/market_data.sock")?));
    /// let sink = Shared::new(stack).with_max_age(Duration::from_millis(250));
    /// # Ok::<(), torq_message_sink::SinkError>(())
    /// ```
    pub fn with_max_age(self, max_age: Duration) -> Self {
        let _ = self.core.max_age.set(max_age);
        self.core.front().stamp();
        self
    }

    /// Accepts `msg` without waiting, or refuses it. Wakes a sleeping stack.
    ///
    /// # Errors
    ///
    /// [`TryFeedError`]; the message was not accepted. It is [`Full`](TryFeedError::Full) also
    /// while others wait for room, and [`NotConnected`](TryFeedError::NotConnected) when there is
    /// none and the attempts to connect were used up; the call starts new ones then.
    #[inline]
    pub fn try_feed<M: Encode + ?Sized>(&self, msg: &M) -> Result<(), TryFeedError> {
        if self.core.front().append(&Draft::new(msg)) {
            return Ok(());
        }
        self.core.try_admit(msg)
    }

    /// Accepts `msg`, waiting for room as long as it takes. The driver flushes it by and by.
    ///
    /// # Errors
    ///
    /// [`SinkError`](crate::SinkError): closed, too large, no runtime to wake on, or, while it
    /// waits, whatever the stack fails with. The message was not accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was ready, it has accepted nothing. One that has been woken holds its room
    /// until it is polled or dropped.
    #[inline]
    pub fn feed<'a, M: Encode + ?Sized>(&'a self, msg: &'a M) -> Feed<'a, S, M> {
        Feed::new(&self.core, msg)
    }

    /// Waits until kernels have taken everything that was accepted before, by whomever.
    ///
    /// # Errors
    ///
    /// What the stack fails with meanwhile; what was not written is kept. Or why the stack has
    /// refused a message among them for good, whoever fed it ([`refused`](Self::refused)).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn flush(&self) -> Flush<'_, S> {
        Flush::new(&self.core)
    }

    /// Feeds `msg` and waits for the flush that covers it: one for all who wait at the time.
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed) and [`flush`](Self::flush); [`accepted`](Send::accepted) tells the
    /// two apart. A message that the stack refuses for good ([`refused`](Self::refused)) fails here
    /// with the stack's reason, those of others do not.
    ///
    /// # Cancel safety
    ///
    /// The message may have been accepted: [`accepted`](Send::accepted) says so. Sending it again
    /// then sends it twice; flush instead.
    #[inline]
    pub fn send<'a, M: Encode + ?Sized>(&'a self, msg: &'a M) -> Send<'a, S, M> {
        Send::new(&self.core, msg)
    }

    /// Feeds all messages, waiting for room where it must, then waits for the flush that covers the
    /// last one. Messages of others may come between.
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed) and [`flush`](Self::flush); [`accepted`](SendBatch::accepted) says
    /// how many messages the sink has.
    ///
    /// # Cancel safety
    ///
    /// The first [`accepted`](SendBatch::accepted) messages belong to the sink, the others were not
    /// taken.
    pub fn send_batch<I>(&self, msgs: I) -> SendBatch<'_, S, I::IntoIter>
    where
        I: IntoIterator<Item: Encode>,
    {
        SendBatch::new(&self.core, msgs.into_iter())
    }

    /// Wakes the stack and waits until it is connected.
    ///
    /// # Errors
    ///
    /// Closed; no runtime; the attempts to connect are used up.
    ///
    /// # Cancel safety
    ///
    /// The attempt goes on by itself.
    pub fn connect(&self) -> Connect<'_, S> {
        Connect::new(&self.core)
    }

    /// Flushes what was accepted before, closes the connections and sleeps; data wakes the stack
    /// again, also while it is at it. Gives up at the stack's close deadline: what is left then is
    /// kept.
    ///
    /// # Errors
    ///
    /// No runtime. A peer that cannot be reached is no error but [`error`](Report::error) in the
    /// report.
    ///
    /// # Cancel safety
    ///
    /// The driver goes on with it. Nothing is lost.
    pub fn disconnect(&self) -> Shutdown<'_, S> {
        Shutdown::new(&self.core, End::Sleep, None)
    }

    /// [`disconnect`](Self::disconnect) with a deadline of its own. Of two that run, the earlier
    /// deadline counts.
    pub fn disconnect_within(&self, deadline: Duration) -> Shutdown<'_, S> {
        Shutdown::new(&self.core, End::Sleep, Some(deadline))
    }

    /// Ends for good, for all handles: nothing is accepted from the first poll on, what was
    /// accepted before is flushed. Gives up at the stack's close deadline: what is left then is
    /// dropped and counted, by the leaves or [above them](Report::dropped).
    ///
    /// # Errors
    ///
    /// As [`disconnect`](Self::disconnect).
    ///
    /// # Cancel safety
    ///
    /// The driver goes on with it.
    pub fn close(&self) -> Shutdown<'_, S> {
        Shutdown::new(&self.core, End::Close, None)
    }

    /// [`close`](Self::close) with a deadline of its own. Of two that run, the earlier deadline
    /// counts.
    pub fn close_within(&self, deadline: Duration) -> Shutdown<'_, S> {
        Shutdown::new(&self.core, End::Close, Some(deadline))
    }

    /// What the stack is doing about its connection, now or when the driver last looked.
    pub fn state(&self) -> SinkState {
        self.core.seen().0
    }

    /// Whether every connection that counts is up, now or when the driver last looked.
    pub fn is_connected(&self) -> bool {
        self.core.seen().1
    }

    /// What became of everything accepted, leaf by leaf; what has not reached the leaves is
    /// [`unfed`](Report::unfed). Waits for the driver's turn to end: no longer than one batch takes
    /// to be fed and written.
    pub fn report(&self) -> Report {
        self.core.report()
    }

    /// Hands over what happened to the links since the last call, as
    /// [`MessageSink::take_events`] does. Waits for the driver's turn to end, as
    /// [`report`](Self::report).
    pub fn take_events<E: FnMut(Event)>(&self, each: &mut E) {
        let mut events = Vec::new();
        // Under the lock, so that no turn of the driver comes between the older and the newer.
        let mut stage = self.core.stage();
        self.core.heard.take(&mut |event| events.push(event));
        stage.stack.take_events(&mut |event| events.push(event));
        drop(stage);
        // The driver goes on meanwhile, and `each` may use the sink.
        events.into_iter().for_each(each);
    }

    /// What happens to the links from now on, and what has happened that nobody has taken yet: for a
    /// task that waits for it. Waits for the driver's turn to end, as [`report`](Self::report).
    ///
    /// The driver brings the events of each of its turns; an attempt to connect that has failed may
    /// be told 100 ms late. It keeps 1024 events for a listener who is slow, and then drops some as
    /// a link does ([`MessageSink::take_events`]). While nobody listens there is nothing to pay.
    ///
    /// # Examples
    ///
    /// ```
    /// use torq_message_sink::{Buffered, MemorySink, Shared};
    ///
    /// # tokio_test::block_on(async {
    /// let (link, peer) = MemorySink::pair(64);
    /// let sink = Shared::new(Buffered::new(link.with_service("strategy")));
    /// let mut events = sink.events();
    /// let told = tokio::spawn(async move {
    ///     let mut told = Vec::new();
    ///     while let Some(event) = events.next().await {
    ///         told.extend(event.state().map(|state| format!("{}: {state}", event.endpoint())));
    ///     }
    ///     told
    /// });
    /// sink.send("tick").await?;
    /// drop(peer.accept());
    /// sink.close().await?;
    /// let states = ["connecting", "connected", "asleep", "closed"];
    /// assert_eq!(told.await.expect("no panic"), states.map(|state| format!("memory: {state}")));
    /// # Ok::<(), torq_message_sink::SinkError>(())
    /// # }).unwrap();
    /// ```
    pub fn events(&self) -> Events<S> {
        Events::new(&self.core)
    }

    /// How many messages were accepted and then refused by the stack for good: its framing cannot
    /// carry them, say. They were skipped.
    pub fn refused(&self) -> u64 {
        self.core.front().refused
    }

    /// Bytes of each of the two buffers.
    pub fn capacity_bytes(&self) -> usize {
        self.core.capacity
    }

    /// A handle that keeps nothing alive.
    pub(crate) fn downgrade(&self) -> WeakShared<S> {
        WeakShared(Arc::downgrade(&self.core))
    }
}

/// A handle that does not count: the stack closes when all others are gone.
pub(crate) struct WeakShared<S>(Weak<Core<S>>);

impl<S: MessageSink + std::marker::Send + 'static> WeakShared<S> {
    /// A handle, unless the last one is gone or the sink was closed.
    pub(crate) fn upgrade(&self) -> Option<Shared<S>> {
        let core = self.0.upgrade()?;
        let mut front = core.front();
        if front.handles == 0 || front.closed {
            return None;
        }
        front.handles += 1;
        drop(front);
        Some(Shared { core })
    }
}

impl<S> fmt::Debug for WeakShared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakShared").finish()
    }
}

/// Another handle to the same stack.
impl<S: MessageSink + std::marker::Send + 'static> Clone for Shared<S> {
    fn clone(&self) -> Self {
        self.core.front().handles += 1;
        Self { core: self.core.clone() }
    }
}

/// The last handle closes the stack: the driver sees it through, within the close deadline. Outside
/// of a runtime, and without a driver, what has not reached the stack is lost, and the stack is
/// dropped as it is.
impl<S: MessageSink + std::marker::Send + 'static> Drop for Shared<S> {
    fn drop(&mut self) {
        let mut front = self.core.front();
        front.handles -= 1;
        let last = front.handles == 0;
        let idle = front.driver == Driver::Absent && front.flushed == front.accepted();
        drop(front);
        if last && !idle {
            let _ = self.core.order(End::Close, self.core.close_deadline, |_| ());
        }
        if last {
            self.core.heard.wake_all();
        }
    }
}

impl<S: MessageSink + std::marker::Send + 'static> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, front) = (self.state(), self.core.front());
        f.debug_struct("Shared")
            .field("state", &state)
            .field("accepted_bytes", &front.accepted())
            .field("flushed_bytes", &front.flushed)
            .field("handles", &front.handles)
            .finish_non_exhaustive()
    }
}
