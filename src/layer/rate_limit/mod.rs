//! The rate limit: token buckets for messages and bytes, in front of everything that feeds.

mod bucket;

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use self::bucket::Bucket;
pub use self::bucket::Rate;
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::forward_sink;
use crate::sink::{HandBack, HandedBack, MessageSink, SinkState};
use crate::timer::Alarm;

/// Lets messages in no faster than a peer has agreed to take them: so many messages, so many bytes,
/// or both, per time, with bursts.
///
/// Below the limit it does nothing. Above it, `feed` waits until the message may pass, and
/// `try_feed` refuses it as [`Full`](TryFeedError::Full). Nothing is dropped and the order is kept;
/// flushes are not limited, so what was accepted leaves at any speed. Bytes are those of the
/// messages, without their frames.
///
/// In any span of time it lets in at most the burst and what the rate allows in that span. A
/// message of more bytes than seven eighths of the burst waits until all that has passed before is
/// paid off, then passes whole, and is paid off before the next one. What
/// [`poll_ready`](MessageSink::poll_ready) has promised room for is paid for at that time, also if
/// it is fed only later.
///
/// That it holds back is no event: at its limit a sink would tell of every burst.
/// [`is_limiting`](Self::is_limiting) and [`times_limited`](Self::times_limited) say it.
///
/// It stands around a whole sink: around the stack to limit all of it, around one child of a
/// composite to limit that one. Several stacks do not share a limit.
///
/// # Errors
///
/// Those of the sink below, and `NoRuntime` where `feed` would have to wait outside a tokio runtime
/// with timers.
///
/// # Cost
///
/// Per message a comparison and a subtraction for each of the two limits. A few messages are paid
/// for ahead (an eighth of a burst), and the clock is read only when those are used up; a timer
/// runs only while `feed` waits. Timers ring to the millisecond, so a burst of less than two
/// milliseconds' worth limits the rate of who waits.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{MessageSink, Rate, RateLimit};
///
/// let mut sink = RateLimit::new(ScriptedSink::with_room(100))
///     .with_messages(Rate::per_second(50).with_burst(2))
///     .with_bytes(Rate::per_second(1_000_000));
/// sink.try_feed("a")?;
/// sink.try_feed("b")?;
/// assert!(sink.try_feed("c").is_err_and(|refusal| refusal.is_full()));
/// assert!(sink.is_limiting() && sink.wait(1) <= std::time::Duration::from_millis(20));
/// # Ok::<(), torq_message_sink::TryFeedError>(())
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct RateLimit<S> {
    inner: S,
    messages: Bucket,
    bytes: Bucket,
    /// Whether it held back a message when it last looked at the clock.
    limiting: bool,
    limited: u64,
    alarm: Alarm,
}

impl<S> RateLimit<S> {
    /// Wraps `inner`, with no limit yet.
    pub fn new(inner: S) -> Self {
        let (messages, bytes) = (Bucket::unlimited(), Bucket::unlimited());
        Self { inner, messages, bytes, limiting: false, limited: 0, alarm: Alarm::default() }
    }

    /// Limits the number of messages. Default: no limit.
    pub fn with_messages(mut self, rate: Rate) -> Self {
        self.messages = Bucket::full(rate);
        self
    }

    /// Limits their bytes. Default: no limit.
    pub fn with_bytes(mut self, rate: Rate) -> Self {
        self.bytes = Bucket::full(rate);
        self
    }

    /// The sink below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// How long the limit would hold back a message of `len` bytes now; zero if not at all.
    #[must_use]
    pub fn wait(&self, len: usize) -> Duration {
        if self.has(len) {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let nanos = self.messages.wait(1, now).max(self.bytes.wait(len as u64, now));
        Duration::from_nanos(nanos)
    }

    /// Whether it held back a message when it last looked at the clock, which it does whenever what
    /// is paid for does not suffice.
    #[must_use]
    pub fn is_limiting(&self) -> bool {
        self.limiting
    }

    /// How often it has begun to hold back messages, after it had let them in.
    #[must_use]
    pub fn times_limited(&self) -> u64 {
        self.limited
    }

    /// Whether a message of `len` bytes is paid for.
    #[inline]
    fn has(&self, len: usize) -> bool {
        self.messages.left > 0 && self.bytes.left >= len as u64
    }

    /// A message of `len` bytes was accepted.
    #[inline]
    fn spend(&mut self, len: usize) {
        // Who feeds without asking is in debt to nobody.
        self.messages.left = self.messages.left.saturating_sub(1);
        self.bytes.left = self.bytes.left.saturating_sub(len as u64);
    }

    /// Pays for a message of `len` bytes, or says when that can be done.
    #[cold]
    fn pay(&mut self, len: usize) -> Result<(), Instant> {
        let now = Instant::now();
        let paid = match (self.messages.pay(1, now), self.bytes.pay(len as u64, now)) {
            (Err(one), Err(other)) => Err(one.max(other)),
            (paid, Ok(())) | (Ok(()), paid) => paid,
        };
        self.limited += u64::from(paid.is_err() && !self.limiting);
        self.limiting = paid.is_err();
        paid
    }

    /// Waits until a message of `len` bytes is paid for.
    #[inline]
    fn poll_pay(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        while !self.has(len) {
            if let Err(at) = self.pay(len) {
                ready!(self.alarm.poll(cx, at))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: MessageSink> RateLimit<S> {
    /// Feeds a message that is not paid for, or that the sink below did not append.
    #[cold]
    #[inline(never)]
    fn feed_refused<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
    ) -> Result<(), TryFeedError> {
        self.try_ready(len)?;
        self.inner.try_feed(msg)?;
        self.spend(len);
        Ok(())
    }
}

impl<S: MessageSink> MessageSink for RateLimit<S> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) { Ok(()) } else { self.feed_refused(msg, len) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        // Subtracted before and stored after: between them is a copy, behind which nobody knows what
        // was left.
        let Some(messages) = self.messages.left.checked_sub(1) else { return false };
        let Some(bytes) = self.bytes.left.checked_sub(len as u64) else { return false };
        let appended = self.inner.append(msg, len);
        if appended {
            (self.messages.left, self.bytes.left) = (messages, bytes);
        }
        appended
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.has(len) && self.inner.fits(len)
    }

    fn room(&self, len: usize) -> bool {
        self.inner.room(len) && self.wait(len).is_zero()
    }

    /// The sink below is asked first: what it refuses for good is not held back.
    #[cold]
    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        self.inner.try_ready(len)?;
        if self.has(len) { Ok(()) } else { self.pay(len).map_err(|_| TryFeedError::Full) }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        ready!(self.inner.poll_ready(cx, len))?;
        self.poll_pay(cx, len)
    }

    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        let len = msg.encoded_len();
        // A closed sink says so at once.
        if self.inner.state() != SinkState::Closed {
            ready!(self.poll_pay(cx, len))?;
        }
        let fed = ready!(self.inner.poll_feed(cx, msg));
        match fed {
            Ok(()) => self.spend(len),
            // It was paid for before anybody knew that it is too large.
            Err(_) => self.bytes.give_back(),
        }
        Poll::Ready(fed)
    }

    forward_sink! { inner:
        accepts poll_flush poll_close poll_disconnect poll_connect hurry end state is_connected
        accepted_bytes outstanding_bytes report_into take_events set_policy due close_deadline
    }
}

impl<S: HandBack> HandBack for RateLimit<S> {
    const MARKED: bool = S::MARKED;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.inner.hand_back(each);
    }
}
