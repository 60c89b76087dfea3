//! The failover over whole sinks: the active child gets every message. When it has failed, it hands
//! back what nobody has seen, and the next one gets that first.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::ask::*;
use super::spill::Spill;
use super::{Failover, HandBackSet};
use crate::composite::each::{self, Step, each_child};
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{
    Count, DropReason, End, Event, HandBack, HandedBack, MessageSink, Report, SinkState,
    SwitchCause,
};

impl<T: HandBackSet> MessageSink for Failover<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) { Ok(()) } else { self.try_any(TryFeed(msg)) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.is_straight
            && nth_mut(&mut self.children, self.duty.active, Append { msg, len, appended: false })
                .appended
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.is_straight && nth(&self.children, self.duty.active, Fits { len, fits: false }).fits
    }

    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        nth_mut(&mut self.children, self.duty.active, Accepts { msg, len, accepts: true }).accepts
    }

    fn room(&self, len: usize) -> bool {
        let room = Room { len, room: false };
        self.is_straight && nth(&self.children, self.duty.active, room).room
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        let ready = self.try_any(TryReady(len));
        if self.spill.is_empty() || ready != Err(TryFeedError::Full) {
            return ready;
        }
        // What is on its way comes first, but what can never follow it is not to wait for that.
        let attempt = Try { attempt: &TryReady(len), done: Ok(()) };
        match nth_mut(&mut self.children, self.duty.active, attempt).done {
            Ok(()) | Err(TryFeedError::NotConnected) => ready,
            refused => refused,
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        self.step(cx, Step::Ready(len))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.step(cx, Step::Flush)
    }

    /// Waits for the first child that can be connected to.
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.step(cx, Step::Connect)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        (self.is_closing, self.is_straight) = (true, false);
        ready!(self.step(cx, Step::Flush))?;
        self.duty.rest();
        each::poll(&mut self.children, cx, Step::Close)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.step(cx, Step::Flush))?;
        self.duty.rest();
        each::poll(&mut self.children, cx, Step::Disconnect)
    }

    fn hurry(&mut self) {
        nth_mut(&mut self.children, self.duty.active, Hurry);
    }

    fn end(&mut self, end: End) {
        self.duty.rest();
        self.children.visit_mut(&mut each::EndEach(end));
        if end == End::Close {
            (self.is_closing, self.is_straight) = (true, false);
            self.dropped = self.dropped.plus(self.spill.count());
            self.spill = Spill::default();
        }
    }

    /// That of the active child.
    fn state(&self) -> SinkState {
        nth(&self.children, self.duty.active, StateOne(SinkState::Asleep)).0
    }

    /// Whether the active child is.
    fn is_connected(&self) -> bool {
        nth(&self.children, self.duty.active, IsConnected(false)).0
    }

    /// The sum over the children, and the messages that are on their way from one to another.
    fn accepted_bytes(&self) -> u64 {
        each::accepted_bytes(&self.children) + self.spill.count().bytes + self.dropped.bytes
    }

    /// What is on its way from one child to another counts as the active one's.
    fn report_into(&self, report: &mut Report) {
        let first = report.leaves.len();
        let mut each = ReportEach { active: self.duty.active, at: 0, leaf: first, report };
        self.children.visit(&mut each);
        let leaf = each.leaf;
        if let Some(leaf) = report.leaves.get_mut(leaf) {
            let (spilled, dropped) =
                (like(leaf.accepted, self.spill.count()), like(leaf.accepted, self.dropped));
            leaf.accepted = leaf.accepted.plus(spilled).plus(dropped);
            leaf.buffered = leaf.buffered.plus(spilled);
            leaf.dropped.add(DropReason::Closed, dropped);
        }
        self.duty.report_into(report.leaves.get_mut(first));
    }

    /// Those of the children, then the switches.
    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.children.visit_mut(&mut each::TakeEvents(each));
        self.duty.take_events(each);
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        let policy = self.duty.hand_down(policy);
        self.children.visit_mut(&mut each::SetPolicy(&policy));
    }

    each_child! { outstanding_bytes due close_deadline }
}

impl<T: HandBackSet> HandBack for Failover<T> {
    const MARKED: bool = T::MARKED;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.children.hand_back_of(self.duty.active, each);
        self.spill.drain(each);
        self.look_for_spill();
    }
}

impl<T: HandBackSet> Failover<T> {
    /// Lets the active child take a step, and goes on with the next when it fails.
    fn step(&mut self, cx: &mut Context<'_>, step: Step) -> Poll<Result<(), SinkError>> {
        let feeds = !matches!(step, Step::Flush);
        if feeds && self.is_closing {
            return Poll::Ready(Err(ErrorKind::Closed.into()));
        }
        self.hand_down_to_sinks();
        let (now, targets) = (Instant::now(), self.sinks());
        if targets == 0 {
            let nowhere = ErrorKind::Unreachable.into();
            return Poll::Ready(if feeds { Err(nowhere) } else { Ok(()) });
        }
        for _ in 0..targets + 2 {
            let done = match self.poll_unspill(cx) {
                Poll::Ready(Ok(())) => {
                    let poll = PollOne { cx, step, done: Poll::Pending };
                    nth_mut(&mut self.children, self.duty.active, poll).done
                }
                waits => waits,
            };
            if let Some(cause) = self.judge(&done, now) {
                self.give_up_sink(cause, targets, now);
                match done {
                    Poll::Ready(Err(error)) if self.duty.is_used_up(targets) => {
                        return Poll::Ready(Err(error));
                    }
                    _ => continue,
                }
            }
            let is_flushed = matches!((step, &done), (Step::Flush, Poll::Ready(Ok(()))));
            if is_flushed && self.state() == SinkState::Asleep {
                // Its peer has gone, and there is nothing left: all of it sleeps.
                self.end(End::Sleep);
                return done;
            }
            self.see_off_sink(cx, now);
            if self.duty.is_probe_due(now) {
                let probe = &mut ProbePreferred { cx, now, at: 0, duty: &mut self.duty };
                self.children.visit_mut(probe);
            }
            // Only then has it nothing left that must not come after what the next one gets.
            if is_flushed && self.return_to_sink(now) {
                continue;
            }
            self.duty.wait(cx);
            return done;
        }
        // Nobody has waited for anything by now; somebody else may run.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what can be done without waiting, with the active child or, where that fails, the next.
    #[cold]
    #[inline(never)]
    fn try_any(&mut self, attempt: impl Attempt) -> Result<(), TryFeedError> {
        if self.is_closing {
            return Err(TryFeedError::Closed);
        }
        self.hand_down_to_sinks();
        let (now, targets) = (Instant::now(), self.sinks());
        for _ in 0..targets + 1 {
            let done = match self.try_unspill() {
                Ok(()) => {
                    let attempt = Try { attempt: &attempt, done: Err(TryFeedError::NotConnected) };
                    nth_mut(&mut self.children, self.duty.active, attempt).done
                }
                refused => refused,
            };
            let came_to = match done {
                Ok(()) => return Ok(()),
                Err(TryFeedError::Full) => Poll::Pending,
                Err(refusal) => Poll::Ready(Err(refusal.into())),
            };
            let Some(cause) = self.judge(&came_to, now) else { return done };
            self.give_up_sink(cause, targets, now);
            if cause == SwitchCause::Unreachable && self.duty.is_used_up(targets) {
                return done;
            }
        }
        Err(if targets == 0 { TryFeedError::NotConnected } else { TryFeedError::Full })
    }

    fn judge(&mut self, done: &Poll<Result<(), SinkError>>, now: Instant) -> Option<SwitchCause> {
        let state = self.state();
        // A report is an allocation; it is asked for only when it has to decide.
        let known = self.duty.known_place(now);
        let place = known.unwrap_or_else(|| {
            let report = nth(&self.children, self.duty.active, ReportOne(Report::default())).0;
            report.leaves.iter().map(|leaf| leaf.written.bytes).fold(0, u64::wrapping_add)
        });
        self.duty.judge(done, state, place, now)
    }

    /// The active child has failed. It sleeps from now on, and the next one gets what nobody has
    /// seen.
    #[cold]
    fn give_up_sink(&mut self, cause: SwitchCause, targets: usize, now: Instant) {
        let (from, to) = (self.duty.active, self.duty.fail(targets));
        self.end_sink(from);
        let mut spill = Spill::default();
        let accepted = each::accepted_bytes(&self.children);
        self.children.hand_back_of(from, &mut |message: HandedBack<'_>| spill.push(message));
        let handed_back = accepted.saturating_sub(each::accepted_bytes(&self.children));
        spill.set_frames(handed_back + self.spill.count().bytes);
        // What was on its way to it comes behind what it had already.
        self.spill.drain(|message| spill.push(message));
        self.spill = spill;
        self.look_for_spill();
        self.switch_sink(to, cause, now);
        // As much as goes in; the rest goes in before anything else does.
        let _ = self.try_unspill();
        if self.duty.is_first_round(targets) {
            self.hurry();
        }
    }

    /// Returns to a preferred child that is well again. The active one has written everything.
    fn return_to_sink(&mut self, now: Instant) -> bool {
        let Some(to) = self.duty.returning() else { return false };
        if let Some((index, _)) = self.duty.leaving.take() {
            self.end_sink(index);
        }
        self.duty.leave(now);
        self.switch_sink(to, SwitchCause::Returned, now);
        true
    }

    fn switch_sink(&mut self, to: usize, cause: SwitchCause, now: Instant) {
        let from = self.duty.active;
        self.duty.switch(to, now);
        let left = self.duty.leaving.map(|(index, _)| index);
        if left == Some(to) {
            self.duty.leaving = None;
            self.end_sink(to);
        }
        // Those that were probed and are not needed.
        for index in 0..from.max(to) {
            if index != to && Some(index) != left {
                self.end_sink(index);
            }
        }
        if from != to {
            let report = nth(&self.children, to, ReportOne(Report::default())).0;
            self.duty.tell(from, report, cause, each::accepted_bytes(&self.children));
        }
    }

    /// Drives the farewell of a child that was left in good order.
    fn see_off_sink(&mut self, cx: &mut Context<'_>, now: Instant) {
        let Some((index, until)) = self.duty.leaving else { return };
        let leave = PollOne { cx, step: Step::Disconnect, done: Poll::Pending };
        let left = nth_mut(&mut self.children, index, leave).done.is_ready();
        if left || until.is_some_and(|until| now >= until) {
            self.duty.leaving = None;
            self.end_sink(index);
        }
    }

    /// Brings what was on its way to the active child, waiting for room.
    fn poll_unspill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        while let Some(message) = self.spill.first() {
            let before = each::accepted_bytes(&self.children);
            let feed = PollFeed { cx, message: &message, done: Poll::Pending };
            ready!(nth_mut(&mut self.children, self.duty.active, feed).done)?;
            self.unspilled(before);
        }
        Poll::Ready(Ok(()))
    }

    fn try_unspill(&mut self) -> Result<(), TryFeedError> {
        while let Some(message) = self.spill.first() {
            let before = each::accepted_bytes(&self.children);
            let attempt = &TryFeed(&message);
            let attempt = Try { attempt, done: Err(TryFeedError::NotConnected) };
            nth_mut(&mut self.children, self.duty.active, attempt).done?;
            self.unspilled(before);
        }
        Ok(())
    }

    /// The first of what was on its way has arrived; `before` that the children had so many bytes.
    fn unspilled(&mut self, before: u64) {
        let frame = each::accepted_bytes(&self.children).saturating_sub(before);
        self.spill.pop(frame);
        self.look_for_spill();
    }

    fn look_for_spill(&mut self) {
        self.is_straight = self.spill.is_empty() && !self.is_closing;
    }

    /// Ends the connection or the attempt of one child.
    fn end_sink(&mut self, index: usize) {
        nth_mut(&mut self.children, index, EndAsleep);
    }

    fn hand_down_to_sinks(&mut self) {
        if let Some(policy) = self.duty.default_to_hand_down() {
            self.children.visit_mut(&mut each::SetPolicy(&policy));
        }
    }

    fn sinks(&self) -> usize {
        let mut count = CountSinks(0);
        self.children.visit(&mut count);
        count.0
    }
}

/// `count` with messages only where `other` counts them.
fn like(other: Count, count: Count) -> Count {
    Count { messages: count.messages.filter(|_| other.messages.is_some()), ..count }
}
