//! The circuit breaker: counts failures, and lets nothing through for a while after too many.

mod switch;

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use self::switch::{Position, Switch};
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::forward_sink;
use crate::policy::Backoff;
use crate::sink::{
    Circuit, Event, EventQueue, HandBack, HandedBack, MessageSink, Report, SinkState, first_link,
};
use crate::timer::Alarm;

/// Stops trying a peer that fails too often, and tries it again after a while: callers learn at
/// once that it is away, instead of one time-out after the other.
///
/// The circuit is *closed* while all is well. It *opens* after so many
/// [`failures`](Self::with_failures) in a row and refuses messages, as
/// [`CircuitOpen`](TryFeedError::CircuitOpen), for the [open time](Self::with_open_time). The first
/// call after that finds it *half-open*: one message goes through (or what is still buffered, by a
/// flush; or a `connect`), and it decides. Written or connected, the circuit closes, after
/// [as many such probes](Self::with_probes) as are asked for; failed, it opens again, for longer.
///
/// A failure is that the attempts to connect are used up, so the stack below needs a limit of them
/// ([`Lazy::with_max_attempts`](crate::Lazy::with_max_attempts), which is none by default), or a
/// [stall time-out](Self::with_stall_timeout) is set here. A flush that is done, or a connection
/// made, ends the row.
///
/// What was accepted before the circuit opened stays in the sink below and is written when the peer
/// is back. While the circuit is open, flushes that have something to write fail at once, and so do
/// `connect` and `feed`, which can also [wait](Self::with_waiting). `disconnect` and `close` do not
/// ask the circuit: they have a deadline of their own.
///
/// Each change of the circuit is an [event](crate::Event::Circuit).
///
/// It stands around a whole sink, below a [`RateLimit`](crate::RateLimit) if there is one,
/// typically around each child of a composite: an open circuit shows as
/// [`BackingOff`](SinkState::BackingOff), so [`RoundRobin`](crate::RoundRobin) and
/// [`LeastLoaded`](crate::LeastLoaded) pass it over, and one that may be tried again gets a
/// message.
///
/// # Errors
///
/// Those of the sink below; `CircuitOpen`; `Unreachable` for a stall; and `NoRuntime` where it
/// would have to wait outside a tokio runtime with timers.
///
/// # Cost
///
/// Per message one comparison. The clock is read only while the circuit is not closed and, with a
/// stall time-out, while a call waits.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{Circuit, CircuitBreaker, ErrorKind, MessageSink, TryFeedError};
///
/// let (sink, peer) = ScriptedSink::pair(9);
/// let mut sink = CircuitBreaker::new(sink).with_failures(2);
/// peer.fail(Some(ErrorKind::Unreachable));
/// for _ in 0..2 {
///     assert_eq!(sink.try_feed("tick"), Err(TryFeedError::NotConnected));
/// }
/// assert_eq!(sink.circuit(), Circuit::Open);
/// assert_eq!(sink.try_feed("tick"), Err(TryFeedError::CircuitOpen));
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
// As in `Lazy`: the sink first, at the address of the layer, is an instruction less per message.
#[repr(C)]
pub struct CircuitBreaker<S> {
    inner: S,
    switch: Switch,
    stall_timeout: Option<Duration>,
    waiting: bool,
    /// Since when a call waits without progress, and what was written by then.
    stall: Option<(Instant, u64)>,
    alarm: Alarm,
    events: EventQueue,
}

impl<S> CircuitBreaker<S> {
    /// Wraps `inner`. The circuit opens after 5 failures in a row, for 1 s and then for twice as
    /// long each time, at most 30 s; one probe closes it.
    pub fn new(inner: S) -> Self {
        let (switch, alarm, events) = (Switch::new(), Alarm::default(), EventQueue::new());
        Self { inner, switch, stall_timeout: None, waiting: false, stall: None, alarm, events }
    }

    /// How many failures in a row open the circuit; 0 counts as 1. Default: 5.
    pub fn with_failures(mut self, failures: u32) -> Self {
        self.switch.max_failures = failures.max(1);
        self
    }

    /// How long the circuit stays open: the initial time, then longer each time that a probe fails.
    /// It is not random. Default: 1 s, doubling, at most 30 s.
    pub fn with_open_time(mut self, open_time: Backoff) -> Self {
        self.switch.open_time = open_time;
        self
    }

    /// How many probes in a row must go well to close the circuit; 0 counts as 1. Default: 1.
    pub fn with_probes(mut self, probes: u32) -> Self {
        self.switch.probes = probes.max(1);
        self
    }

    /// Counts it as a failure when a call waits for so long and not one frame is written meanwhile;
    /// the call ends with the error. Zero is as good as no waiting at all. Default: `None`, never.
    pub fn with_stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Whether `feed`, `flush` and `connect` wait while the circuit is open. Default: no, they fail
    /// at once.
    pub fn with_waiting(mut self, waiting: bool) -> Self {
        self.waiting = waiting;
        self
    }

    /// The sink below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// What it does with messages, as of the last call.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        self.switch.circuit()
    }

    /// How often the circuit has opened.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.switch.openings
    }

    /// Failures in a row so far, while the circuit is closed.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.switch.failures
    }
}

impl<S: MessageSink> CircuitBreaker<S> {
    /// Tells the circuit of something, and the owner if that changes it.
    #[cold]
    fn switch<T>(&mut self, change: impl FnOnce(&mut Switch) -> T) -> T {
        let before = self.switch.circuit();
        let changed = change(&mut self.switch);
        let circuit = self.switch.circuit();
        if before != circuit {
            let (service, endpoint) = first_link(self.inner.report());
            let open_time = self.switch.time_open();
            self.events.push(Event::Circuit { service, endpoint, circuit, open_time });
        }
        changed
    }

    /// Half-opens the circuit when it is time. A closed sink is asked itself: it says so.
    #[cold]
    fn try_pass(&mut self) -> Result<(), TryFeedError> {
        let passes = self.inner.state() == SinkState::Closed || self.switch(Switch::try_pass);
        if passes { Ok(()) } else { Err(TryFeedError::CircuitOpen) }
    }

    /// As `try_pass`, for a call that can wait; it passes also while there is a probe.
    #[cold]
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        while let Position::Open { until } = self.switch.position
            && let Err(refusal) = self.try_pass()
        {
            if !self.waiting {
                return Poll::Ready(Err(refusal.into()));
            }
            ready!(self.alarm.poll(cx, until))?;
        }
        Poll::Ready(Ok(()))
    }

    /// As `poll_pass`, for a call that wants to feed a message: it waits for what becomes of a
    /// probe.
    #[cold]
    fn poll_pass_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.poll_pass(cx))?;
        while self.switch.is_probing() && self.inner.state() != SinkState::Closed {
            ready!(self.poll_probe(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// A flush while not all is well: what comes of it decides.
    #[cold]
    fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let flushed = self.inner.poll_flush(cx);
        ready!(self.judge(cx, flushed))?;
        // With nothing to write a flush is done also where nobody listens.
        let proven = match self.switch.position {
            Position::HalfOpen { probing: true, .. } => true,
            Position::HalfOpen { probes: 1.., .. } => false,
            _ => self.inner.is_connected(),
        };
        if proven {
            self.switch(Switch::succeed);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes note of a failure or a stall.
    #[cold]
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<Result<(), SinkError>>,
    ) -> Poll<Result<(), SinkError>> {
        let Poll::Ready(done) = polled else { return self.watch(cx) };
        self.stall = None;
        if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unreachable) {
            self.switch(Switch::fail);
        }
        Poll::Ready(done)
    }

    /// `judge`, where it is room that is waited for: with nothing to write that is not the peer's
    /// doing.
    #[cold]
    fn judge_room(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<Result<(), SinkError>>,
    ) -> Poll<Result<(), SinkError>> {
        if polled.is_pending() && self.inner.outstanding_bytes() == 0 {
            return Poll::Pending;
        }
        self.judge(cx, polled)
    }

    fn judge_refusal(&mut self, refusal: TryFeedError) -> TryFeedError {
        if refusal == TryFeedError::NotConnected {
            self.switch(Switch::fail);
        }
        refusal
    }

    /// A call waits: fails when it does so for too long without progress.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let Some(timeout) = self.stall_timeout else { return Poll::Pending };
        let written = self.inner.accepted_bytes().saturating_sub(self.inner.outstanding_bytes());
        let now = Instant::now();
        let since = match self.stall {
            // If nobody has looked for much longer, nobody knows since when it waits.
            Some((since, before))
                if before == written && now.duration_since(since) / 2 <= timeout =>
            {
                since
            }
            _ => now,
        };
        self.stall = Some((since, written));
        let Some(until) = since.checked_add(timeout) else { return Poll::Pending };
        ready!(self.alarm.poll(cx, until))?;
        self.stall = None;
        self.switch(Switch::fail);
        let help = format!("nothing was written for {timeout:?}");
        Poll::Ready(Err(SinkError::new(ErrorKind::Unreachable).with_help(help)))
    }
}

impl<S: MessageSink> MessageSink for CircuitBreaker<S> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        if !self.switch.is_closed() {
            self.try_pass()?;
        }
        match self.inner.try_feed(msg) {
            Ok(()) => self.switch.accepted(),
            Err(refusal) => return Err(self.judge_refusal(refusal)),
        }
        Ok(())
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.switch.is_closed() && self.inner.append(msg, len)
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.switch.is_closed() && self.inner.fits(len)
    }

    fn room(&self, len: usize) -> bool {
        self.inner.room(len) && !self.switch.is_open() && !self.switch.is_probing()
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        if !self.switch.is_closed() {
            self.try_pass()?;
        }
        self.inner.try_ready(len).map_err(|refusal| self.judge_refusal(refusal))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        if !self.switch.is_closed() {
            ready!(self.poll_pass_message(cx))?;
        }
        match self.inner.poll_ready(cx, len) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            polled => self.judge_room(cx, polled),
        }
    }

    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        if !self.switch.is_closed() {
            ready!(self.poll_pass_message(cx))?;
        }
        let fed = self.inner.poll_feed(cx, msg);
        ready!(self.judge_room(cx, fed))?;
        self.switch.accepted();
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.switch.is_closed() && self.switch.failures == 0 && self.stall_timeout.is_none() {
            return match self.inner.poll_flush(cx) {
                Poll::Ready(Err(error)) => self.judge(cx, Poll::Ready(Err(error))),
                flushed => flushed,
            };
        }
        if let Position::Open { .. } = self.switch.position {
            if self.inner.outstanding_bytes() == 0 {
                return self.inner.poll_flush(cx);
            }
            ready!(self.poll_pass(cx))?;
        }
        self.poll_probe(cx)
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.poll_pass(cx))?;
        let connected = self.inner.poll_connect(cx);
        ready!(self.judge(cx, connected))?;
        // After the first probe it takes a message: the connection is there.
        if !matches!(self.switch.position, Position::HalfOpen { probes: 1.., .. }) {
            self.switch(Switch::succeed);
        }
        Poll::Ready(Ok(()))
    }

    /// That of the sink below; while the circuit is open, `BackingOff` at best.
    fn state(&self) -> SinkState {
        let state = self.inner.state();
        if self.switch.is_open() { state.max(SinkState::BackingOff) } else { state }
    }

    /// Not while the circuit is open.
    fn is_connected(&self) -> bool {
        self.circuit() != Circuit::Open && self.inner.is_connected()
    }

    /// Counts lost events with the first leaf's.
    fn report_into(&self, report: &mut Report) {
        let first = report.leaves.len();
        self.inner.report_into(report);
        if let Some(leaf) = report.leaves.get_mut(first) {
            leaf.events_lost += self.events.lost();
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.inner.take_events(each);
        self.events.take(each);
    }

    forward_sink! { inner:
        accepts poll_close poll_disconnect hurry end accepted_bytes outstanding_bytes set_policy due
        close_deadline
    }
}

impl<S: HandBack> HandBack for CircuitBreaker<S> {
    const MARKED: bool = S::MARKED;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.inner.hand_back(each);
    }
}
