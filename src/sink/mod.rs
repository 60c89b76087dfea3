//! What a sink is: accepting messages, pushing them out, and the states in between.

mod branch;
mod event;
mod events;
mod forward;
pub mod future;
mod hand_back;
mod report;
mod state;

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

pub use self::branch::{Branch, BranchOutcome};
pub(crate) use self::event::first_link;
pub use self::event::{Circuit, ConnectionEnd, EndCause, Event, SwitchCause};
pub(crate) use self::events::EventQueue;
pub use self::hand_back::{HandBack, HandedBack};
pub use self::report::{Count, DropReason, Dropped, LeafReport, Report};
pub use self::state::SinkState;
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::policy::LazyPolicy;

/// Accepts messages and brings them to where they go.
///
/// The one import for using any sink. Messages go in by [`feed`](Self::feed) (waits for room),
/// [`try_feed`](Self::try_feed) (never waits) or [`send`](Self::send) (feeds and flushes); they
/// leave when a buffer is full and at [`flush`](Self::flush). A sink that is asleep wakes when it
/// is fed.
///
/// # Guarantees
///
/// - An accepted message belongs to the sink. On one link it is written whole, in order, and by
///   the sink's doing never twice; see [`LeafReport`] for what is known of each byte.
/// - After [`poll_ready`](Self::poll_ready) with a length, or while [`room`](Self::room) answers
///   true for it, the next `try_feed` of at most that length succeeds.
///
/// # Implementer notes
///
/// Four methods are required of a sink that ends a stack: `try_feed`, `room`, `poll_ready`,
/// `poll_flush`; the others have defaults that suit a sink without a connection. A *layer* must
/// forward every method, the provided ones too: a forgotten one is a silent slow path or a lost
/// policy. `send_batch` and the other named futures are built on these and are not overridden.
///
/// The `poll_` methods spend none of the runtime's cooperative budget; the futures do, once for all
/// that is below. Whoever polls in a loop of their own sees to it that others have their turn.
///
/// # Examples
///
/// A sink of one's own, which counts bytes, and its use:
///
/// ```
/// use std::task::{Context, Poll, ready};
/// use torq_message_sink::{Encode, MessageSink, SinkError, TryFeedError};
///
/// #[derive(Default)]
/// struct Tally(usize);
///
/// impl MessageSink for Tally {
///     fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
///         self.0 += msg.encoded_len();
///         Ok(())
///     }
///     fn room(&self, _len: usize) -> bool {
///         true
///     }
///     fn poll_ready(&mut self, _: &mut Context<'_>, _: usize) -> Poll<Result<(), SinkError>> {
///         Poll::Ready(Ok(()))
///     }
///     fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
///         Poll::Ready(Ok(()))
///     }
/// }
///
/// # tokio_test::block_on(async {
/// let mut sink = Tally::default();
/// sink.send("four").await?;
/// sink.send_batch(["a", "bc"]).await?;
/// assert_eq!(sink.0, 7);
/// # Ok::<(), SinkError>(())
/// # }).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message sink",
    label = "no messages can be fed to this",
    note = "links (`TcpSink`, `UnixSink` and any other `StreamLink`, a `Fanout` of links) become \
            sinks under a buffer: `Buffered::new(link)`, and `Lazy::new(Buffered::new(link))` to \
            give it a policy",
    note = "below a `Fanout` are either links only, under one `Buffered` around it, or whole sinks \
            only, with a `Buffered` each"
)]
pub trait MessageSink {
    /// Accepts `msg` without waiting, or refuses it. Wakes a sleeping sink. With no room left it
    /// makes one non-blocking attempt to write, then accepts or refuses.
    ///
    /// # Errors
    ///
    /// [`TryFeedError`]; the message was not accepted and is still the caller's.
    ///
    /// # Examples
    ///
    /// ```
    /// # use torq_message_sink::{Buffered, MessageSink, TcpSink, SinkError};
    /// # fn tick(sink: &mut Buffered<TcpSink>) -> Result<(), SinkError> {
    /// match sink.try_feed("tick") {
    ///     Ok(()) => {}
    ///     Err(refusal) if refusal.is_full() => {} // the peer is slow: skip this one
    ///     Err(refusal) => return Err(refusal.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError>;

    /// Accepts `msg`, of `len` bytes, if that takes nothing but writing it into the buffer. False
    /// says that it takes a closer look, and nothing else: ask [`poll_ready`](Self::poll_ready),
    /// which is what [`feed`](Self::feed) does. Never wakes the sink, never writes to a link.
    /// The default never does.
    ///
    /// `len` is what `msg.encoded_len()` answered. It is not asked again, so whoever feeds several
    /// sinks feeds them all the same length.
    #[inline]
    #[must_use = "a message that was not appended still has to be fed"]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let _ = (msg, len);
        false
    }

    /// Whether [`append`](Self::append) would take a message of `len` bytes that the sink
    /// [`accepts`](Self::accepts). For composites, which hand a message to all children at once if
    /// it fits all. The default says no, as `append` does.
    #[inline]
    fn fits(&self, len: usize) -> bool {
        let _ = len;
        false
    }

    /// Whether this sink can carry `msg`, of `len` bytes, apart from its size: a framing may refuse
    /// what it cannot delimit, such as a line break within newline framing. For composites, which
    /// ask every child once all have room and before they hand the message to any. The default says
    /// yes.
    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let _ = (msg, len);
        true
    }

    /// Whether a message of `len` bytes would be accepted now, without doing anything. A sleeping
    /// sink has room for what fits its capacity (outside a tokio runtime it refuses all the same,
    /// since it cannot wake).
    fn room(&self, len: usize) -> bool;

    /// Makes room for a message of `len` bytes without waiting, as [`try_feed`](Self::try_feed)
    /// does: wakes a sleeping sink, and makes one non-blocking attempt to write. For composites,
    /// which ask every child before they hand the message to any.
    ///
    /// # Errors
    ///
    /// As `try_feed` would refuse the message.
    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        match self.state() {
            _ if self.room(len) => Ok(()),
            SinkState::Closed => Err(TryFeedError::Closed),
            _ => Err(TryFeedError::Full),
        }
    }

    /// Waits until a message of `len` bytes will be accepted. Wakes a sleeping sink.
    ///
    /// # Errors
    ///
    /// [`SinkError`]: closed, too large for this sink, no runtime, or the attempts to connect are
    /// used up. Nothing that was accepted is lost.
    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>>;

    /// Accepts `msg`, waiting for room: what [`feed`](Self::feed) does when
    /// [`append`](Self::append) did not. The default waits for room of the message's size; layers
    /// that look at the message itself (its key, its deadline) may know better.
    ///
    /// # Errors
    ///
    /// As [`poll_ready`](Self::poll_ready) and [`try_feed`](Self::try_feed). The message was not
    /// accepted.
    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        poll_feed(self, cx, msg)
    }

    /// Pushes out everything accepted, until kernels have taken it.
    ///
    /// # Errors
    ///
    /// [`SinkError`]: no runtime, or the attempts to connect are used up. What was not written is
    /// kept; flushing again tries again.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>;

    /// Flushes, then ends for good: no message is accepted from the first call on. Call
    /// [`end`](Self::end) afterwards, or instead when time is up.
    ///
    /// # Errors
    ///
    /// As [`poll_flush`](Self::poll_flush).
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_flush(cx)
    }

    /// Flushes, then sleeps; data wakes it again.
    ///
    /// # Errors
    ///
    /// As [`poll_flush`](Self::poll_flush).
    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_flush(cx)
    }

    /// Wakes and waits until connected.
    ///
    /// # Errors
    ///
    /// [`SinkError`]: closed, no runtime, or the attempts to connect are used up.
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Cuts a running back-off short: one attempt to connect at once, if there is data to write.
    fn hurry(&mut self) {}

    /// Ends now, without waiting: connections and attempts are dropped. By [`End::Close`] what is
    /// left is given up and counted as dropped; by [`End::Sleep`] it is kept for the next waking.
    fn end(&mut self, end: End) {
        let _ = end;
    }

    /// What the sink is doing about its connection, as of the last call.
    fn state(&self) -> SinkState {
        SinkState::Connected
    }

    /// Whether every connection that counts is up, as of the last call.
    fn is_connected(&self) -> bool {
        self.state() == SinkState::Connected
    }

    /// All bytes of frames accepted since the sink was made.
    fn accepted_bytes(&self) -> u64 {
        0
    }

    /// Bytes of frames accepted and not yet taken by a kernel, as far as the sink can say without a
    /// closer look: whole frames, and of several links below one buffer what the slowest has left.
    /// For whoever chooses between sinks. The default says none.
    #[inline]
    fn outstanding_bytes(&self) -> u64 {
        0
    }

    /// What became of everything accepted, leaf by leaf. Reads counters; with counting on, also
    /// the headers of what is buffered.
    fn report(&self) -> Report {
        let mut report = Report::default();
        self.report_into(&mut report);
        report
    }

    /// Adds this sink's leaves to `report`.
    fn report_into(&self, report: &mut Report) {
        let _ = report;
    }

    /// Hands over what happened to the links since the last call, in order per link. A link keeps
    /// its latest 64 events for a caller who is slow to ask, and so does each layer or composite
    /// that tells of something itself; attempts to connect go first, and
    /// [`LeafReport::events_lost`] counts what goes besides.
    ///
    /// Nothing waits for events here, since a sink moves in the calls of its owner: ask after those.
    /// To wait for them, share the sink: [`Shared::events`](crate::Shared::events).
    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        let _ = each;
    }

    /// Hands down the policy of the lazy layer above. The nearest one wins.
    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        let _ = policy;
    }

    /// When a driver should flush next, though nothing is fed: layers look at the time in flushes
    /// (idle sleep). `None`, the default, is when something is fed or the sink's waker asks for it.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// How long [`close`](Self::close) and [`disconnect`](Self::disconnect) go on trying.
    fn close_deadline(&self) -> Duration {
        LazyPolicy::new().close_deadline
    }

    /// Accepts `msg`, waiting for room as long as it takes. It is in the sink's buffer then, not
    /// yet written: [`flush`](Self::flush) sees to that.
    ///
    /// # Errors
    ///
    /// As [`poll_ready`](Self::poll_ready). The message was not accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it was ready, it has accepted nothing.
    #[inline]
    fn feed<'a, M: Encode + ?Sized>(&'a mut self, msg: &'a M) -> future::Feed<'a, Self, M> {
        future::Feed::new(self, msg)
    }

    /// Pushes out everything accepted, until kernels have taken it.
    ///
    /// # Errors
    ///
    /// As [`poll_flush`](Self::poll_flush).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; a frame begun is finished by the next call.
    #[inline]
    fn flush(&mut self) -> future::Flush<'_, Self> {
        future::Flush::new(self)
    }

    /// Feeds `msg` and flushes.
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed) and [`flush`](Self::flush);
    /// [`accepted`](future::Send::accepted) tells the two apart.
    ///
    /// # Cancel safety
    ///
    /// The message may have been accepted: [`accepted`](future::Send::accepted) says so. Sending it
    /// again then sends it twice; flush instead.
    #[inline]
    fn send<'a, M: Encode + ?Sized>(&'a mut self, msg: &'a M) -> future::Send<'a, Self, M> {
        future::Send::new(self, msg)
    }

    /// Feeds all messages, waiting for room where it must, then flushes once.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`accepted`](future::SendBatch::accepted) says how many messages
    /// the sink has.
    ///
    /// # Cancel safety
    ///
    /// The first [`accepted`](future::SendBatch::accepted) messages belong to the sink, the others
    /// were not taken.
    #[inline]
    fn send_batch<I>(&mut self, msgs: I) -> future::SendBatch<'_, Self, I::IntoIter>
    where
        I: IntoIterator<Item: Encode>,
    {
        future::SendBatch::new(self, msgs.into_iter())
    }

    /// Wakes the sink and waits until it is connected.
    ///
    /// # Errors
    ///
    /// As [`poll_connect`](Self::poll_connect).
    ///
    /// # Cancel safety
    ///
    /// The attempt goes on by itself.
    fn connect(&mut self) -> future::Connect<'_, Self> {
        future::Connect::new(self)
    }

    /// Flushes, closes the connections and sleeps; data wakes the sink again. Gives up at the
    /// configured deadline (by default 5 s): what is left then is kept.
    ///
    /// A connection ends when the peer has read to our end and closes in turn, so that nothing that
    /// was written is destroyed under way. A TCP peer that never closes is waited for until the
    /// deadline if it has ever sent something or was sent more than its kernel takes unread (64
    /// KiB), any other peer for 250 ms. With nothing left to write and no connection it returns at
    /// once.
    ///
    /// # Errors
    ///
    /// No runtime, or one without timers: nothing is given up then. A peer that cannot be reached is
    /// no error here but [`error`](Report::error) in the report.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; the next call goes on.
    fn disconnect(&mut self) -> future::Shutdown<'_, Self> {
        let deadline = self.close_deadline();
        self.disconnect_within(deadline)
    }

    /// [`disconnect`](Self::disconnect) with a deadline of its own.
    fn disconnect_within(&mut self, deadline: Duration) -> future::Shutdown<'_, Self> {
        future::Shutdown::new(self, End::Sleep, deadline)
    }

    /// Flushes and ends for good. Gives up at the configured deadline (by default 5 s): what is
    /// left then is dropped, and counted.
    ///
    /// # Errors
    ///
    /// As [`disconnect`](Self::disconnect).
    ///
    /// # Cancel safety
    ///
    /// The sink accepts no more messages; calling it again goes on.
    fn close(&mut self) -> future::Shutdown<'_, Self> {
        let deadline = self.close_deadline();
        self.close_within(deadline)
    }

    /// [`close`](Self::close) with a deadline of its own.
    fn close_within(&mut self, deadline: Duration) -> future::Shutdown<'_, Self> {
        future::Shutdown::new(self, End::Close, deadline)
    }
}

/// How a sink ends when nobody waits any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It sleeps; what is left is kept, and data wakes it again.
    Sleep,
    /// It is closed for good; what is left is dropped and counted.
    Close,
}

/// Feeds when there is room: the default of [`MessageSink::poll_feed`].
#[cold]
pub(crate) fn poll_feed<S: MessageSink + ?Sized, M: Encode + ?Sized>(
    sink: &mut S,
    cx: &mut Context<'_>,
    msg: &M,
) -> Poll<Result<(), SinkError>> {
    // Room was promised for the length asked about. A message that says another length each time it
    // is asked gets a few more chances, then the refusal.
    for _ in 0..8 {
        ready!(sink.poll_ready(cx, msg.encoded_len()))?;
        match sink.try_feed(msg) {
            Ok(()) => return Poll::Ready(Ok(())),
            Err(refusal) if refusal.is_full() => {}
            Err(refusal) => return Poll::Ready(Err(refusal.into())),
        }
    }
    Poll::Ready(Err(ErrorKind::InvalidMessage.into()))
}
