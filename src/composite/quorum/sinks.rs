//! The quorum over whole sinks: a message goes to all children that have room, and to `k` at least.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::{Quorum, Tally, nth};
use crate::composite::best_effort::is_away;
use crate::composite::each::Step;
use crate::composite::{SinkSet, VisitSink, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{Count, End, Event, MessageSink, Report, SinkState};

impl<T: SinkSet> MessageSink for Quorum<T> {
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) {
            return Ok(());
        }
        self.try_ready(len)?;
        self.hand_over(msg, len)
    }

    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.fits(len) && self.hand_over(msg, len).is_ok()
    }

    /// Whether it fits as many children as are needed.
    fn fits(&self, len: usize) -> bool {
        let mut fits = Fits { len, enough: Enough::of(self.needed) };
        self.inner.children.visit(&mut fits);
        fits.enough.reached()
    }

    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let mut accepts = Accepts { msg, len, enough: Enough::of(self.needed) };
        self.inner.children.visit_mut(&mut accepts);
        accepts.enough.reached()
    }

    fn room(&self, len: usize) -> bool {
        let mut room = Room { len, enough: Enough::of(self.needed) };
        self.inner.children.visit(&mut room);
        room.enough.reached()
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        let enough = Enough::of(self.needed);
        let mut ready = TryReady { len, enough, refusal: TryFeedError::Full };
        self.inner.children.visit_mut(&mut ready);
        if ready.enough.reached() { Ok(()) } else { Err(ready.refusal) }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        self.poll(cx, Step::Ready(len))
    }

    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        let len = msg.encoded_len();
        ready!(self.poll_ready(cx, len))?;
        Poll::Ready(self.hand_over(msg, len).map_err(SinkError::from))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll(cx, Step::Flush)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_end(cx, Step::Close)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_end(cx, Step::Disconnect)
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll(cx, Step::Connect)
    }

    /// That of the `k`th best child.
    fn state(&self) -> SinkState {
        let mut states = States(SmallVec::new());
        self.inner.children.visit(&mut states);
        nth(self.needed.max(1), states.0).unwrap_or(SinkState::Connected)
    }

    fn is_connected(&self) -> bool {
        self.state() == SinkState::Connected
    }

    fn report_into(&self, report: &mut Report) {
        self.inner.children.visit(&mut ReportEach { skipped: &self.skipped, at: 0, report });
    }

    fn hurry(&mut self) {
        self.inner.hurry();
    }

    fn end(&mut self, end: End) {
        self.inner.end(end);
    }

    /// The sum over the children, each of which has its own frames.
    fn accepted_bytes(&self) -> u64 {
        self.inner.accepted_bytes()
    }

    /// The sum over the children.
    fn outstanding_bytes(&self) -> u64 {
        self.inner.outstanding_bytes()
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.inner.take_events(each);
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.inner.set_policy(policy);
    }

    /// The earliest of any child.
    fn due(&self) -> Option<Instant> {
        self.inner.due()
    }

    /// The longest of any child.
    fn close_deadline(&self) -> Duration {
        self.inner.close_deadline()
    }
}

impl<T: SinkSet> Quorum<T> {
    /// Gives the message to all children that take it, if enough will.
    fn hand_over<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Result<(), TryFeedError> {
        let mut takes = Takes { msg, len, enough: Enough::of(self.needed) };
        self.inner.children.visit_mut(&mut takes);
        if !takes.enough.reached() {
            return Err(TryFeedError::Invalid);
        }
        let mut feed = Feed { msg, len, skipped: &mut self.skipped, at: 0 };
        self.inner.children.visit_mut(&mut feed);
        Ok(())
    }

    /// Lets every child take its step.
    fn poll(&mut self, cx: &mut Context<'_>, step: Step) -> Poll<Result<(), SinkError>> {
        let mut poll = PollEach { cx, step, tally: Tally::of(self.needed), expected: false };
        self.inner.children.visit_mut(&mut poll);
        poll.tally.outcome()
    }

    /// The same for an end, which is also for the children that are behind and there.
    fn poll_end(&mut self, cx: &mut Context<'_>, step: Step) -> Poll<Result<(), SinkError>> {
        let mut poll = PollEach { cx, step, tally: Tally::of(self.needed), expected: false };
        self.inner.children.visit_mut(&mut poll);
        match poll.tally.outcome() {
            Poll::Ready(Ok(())) if poll.expected => Poll::Pending,
            outcome => outcome,
        }
    }
}

/// Whether as many children say yes as are needed.
struct Enough {
    needed: usize,
    count: usize,
    yes: usize,
}

impl Enough {
    fn of(needed: usize) -> Self {
        Self { needed, count: 0, yes: 0 }
    }

    fn add(&mut self, yes: bool) {
        self.count += 1;
        self.yes += usize::from(yes);
    }

    fn reached(&self) -> bool {
        self.yes >= self.needed.min(self.count)
    }
}

// One visitor per question: what it carries, and what it does with each sink.

struct Fits {
    len: usize,
    enough: Enough,
}

impl VisitSink for Fits {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.enough.add(sink.fits(self.len));
    }
}

struct Accepts<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    enough: Enough,
}

impl<M: Encode + ?Sized> VisitSinkMut for Accepts<'_, M> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.enough.add(sink.accepts(self.msg, self.len));
    }
}

struct Room {
    len: usize,
    enough: Enough,
}

impl VisitSink for Room {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.enough.add(sink.room(self.len));
    }
}

struct TryReady {
    len: usize,
    enough: Enough,
    refusal: TryFeedError,
}

impl VisitSinkMut for TryReady {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let ready = sink.try_ready(self.len);
        self.enough.add(ready.is_ok());
        if let Err(refusal) = ready {
            self.refusal = refusal;
        }
    }
}

/// Who has room for the message and can carry it.
struct Takes<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    enough: Enough,
}

impl<M: Encode + ?Sized> VisitSinkMut for Takes<'_, M> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let room = sink.fits(self.len) || sink.room(self.len);
        self.enough.add(room && sink.accepts(self.msg, self.len));
    }
}

struct Feed<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    skipped: &'a mut SmallVec<[Count; 4]>,
    at: usize,
}

impl<M: Encode + ?Sized> VisitSinkMut for Feed<'_, M> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let at = self.at;
        self.at += 1;
        if sink.append(self.msg, self.len) || sink.try_feed(self.msg).is_ok() {
            return;
        }
        if self.skipped.len() <= at {
            self.skipped.resize(at + 1, Count::default());
        }
        let missed = Count { bytes: self.len as u64, messages: Some(1) };
        self.skipped[at] = self.skipped[at].plus(missed);
    }
}

struct PollEach<'cx, 'w> {
    cx: &'cx mut Context<'w>,
    step: Step,
    tally: Tally,
    /// Whether somebody who is there, or on the way, is not done.
    expected: bool,
}

impl VisitSinkMut for PollEach<'_, '_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let polled = self.step.poll(sink, self.cx);
        self.expected |= polled.is_pending() && !is_away(sink.state());
        self.tally.add(polled);
    }
}

/// The states of all children.
struct States(SmallVec<[SinkState; 16]>);

impl VisitSink for States {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0.push(sink.state());
    }
}

struct ReportEach<'a> {
    skipped: &'a [Count],
    at: usize,
    report: &'a mut Report,
}

impl VisitSink for ReportEach<'_> {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        let first = self.report.leaves.len();
        sink.report_into(self.report);
        if let Some(missed) = self.skipped.get(self.at) {
            self.report.leaves.iter_mut().skip(first).for_each(|leaf| leaf.add_missed(*missed));
        }
        self.at += 1;
    }
}
