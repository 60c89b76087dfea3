//! The failover over links: one buffer above, which is the replay. The active child writes; when it
//! has failed, the next one goes on from the first frame that no kernel has taken whole.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::Failover;
use super::visit::*;
use crate::buffer::Pending;
use crate::composite::LinkSet;
use crate::composite::each::gather;
use crate::composite::visit::*;
use crate::error::{ErrorKind, SinkError};
use crate::framing::Framing;
use crate::link::{Link, Skip, not_a_sink};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, Report, SinkState, SwitchCause};

not_a_sink!([T: LinkSet] Failover<T>);

impl<T: LinkSet> Failover<T> {
    /// Lets the active child write, and goes on with the next when it fails.
    #[inline]
    fn drive<F: Framing>(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if !self.is_settled {
            return self.drive_on(cx, pending, None);
        }
        // The usual case: the active child is connected, and takes everything.
        let before = self.taken;
        match self.write(cx.as_deref_mut(), pending) {
            Poll::Ready(Ok(())) if self.taken != before => Poll::Ready(Ok(())),
            done => self.drive_on(cx, pending, Some(done)),
        }
    }

    /// Goes on where the active child may need to be looked at, or has `done` something else than
    /// to write everything.
    #[cold]
    fn drive_on<F: Framing>(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
        mut done: Option<Poll<Result<(), SinkError>>>,
    ) -> Poll<Result<(), SinkError>> {
        self.hand_down_to_links();
        let (now, targets) = (Instant::now(), self.links());
        if targets == 0 {
            self.taken = pending.end();
            return Poll::Ready(Ok(()));
        }
        // Each target has one turn in a call, and two changes may be returns, before the first of
        // which one looks twice.
        for _ in 0..targets + 3 {
            // Who only tries is not told what is left to finish, so others do that.
            let is_handing_over = done.is_none() && cx.is_some() && self.duty.returning().is_some();
            let came_to = match done.take() {
                Some(done) => done,
                None if is_handing_over => self.write(cx.as_deref_mut(), self.shown(pending)),
                None => self.write(cx.as_deref_mut(), pending),
            };
            let state = self.active_state();
            let came_to =
                if is_handing_over { came_to } else { self.seen(came_to, state, pending) };
            if let Some(cause) = self.duty.judge(&came_to, state, self.active_reached(), now) {
                self.give_up_link(cause, targets, now);
                if let (Poll::Ready(Err(error)), true) = (came_to, self.duty.is_used_up(targets)) {
                    return Poll::Ready(Err(error));
                }
                if self.duty.is_first_round(targets) {
                    nth_mut(&mut self.children, self.duty.active, Hurry(pending));
                }
                continue;
            }
            let is_done = came_to.is_ready() && self.taken == pending.end();
            if is_done && state == SinkState::Asleep {
                // Its peer has gone, and there is nothing left: all of it sleeps.
                self.end(End::Sleep, pending);
                return came_to;
            }
            if let Some(cx) = cx.as_deref_mut() {
                self.see_off_link(cx, pending, now);
                self.probe(cx, pending, now);
            }
            match self.duty.returning() {
                Some(to) if cx.is_some() && self.active_reached() <= self.taken => {
                    // Ready, it has also finished what was left out under it in the middle.
                    if came_to.is_ready() {
                        self.return_to_link(to, now);
                        continue;
                    }
                    if !is_handing_over {
                        continue;
                    }
                }
                // It has seen no more than one frame, since it was to hand over; but a probe has found
                // that the preferred one is not well any more.
                None if is_handing_over && came_to.is_ready() && self.taken != pending.end() => {
                    continue;
                }
                _ => {}
            }
            if let Some(cx) = cx {
                self.duty.wait(cx);
            }
            self.is_settled = self.duty.is_settled();
            return came_to;
        }
        // Nobody has waited for anything by now; somebody else may run.
        if let Some(cx) = cx {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// One call to the active child. Without a `cx` pending is what has not written everything.
    #[inline(always)]
    fn write<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        let write = WriteOne { cx, pending, done: Poll::Pending, taken: self.taken };
        let write = nth_mut(&mut self.children, self.duty.active, write);
        self.taken = write.taken;
        write.done
    }

    /// What a call to the active child has come to. A child none of whose links gates is done at
    /// once, there or not; here it is waited for like any other.
    fn seen<F: Framing>(
        &self,
        came_to: Poll<Result<(), SinkError>>,
        state: SinkState,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        match (&came_to, state) {
            (Poll::Ready(Ok(())), _) if self.taken == pending.end() => came_to,
            (Poll::Ready(Ok(())), SinkState::Asleep) => {
                Poll::Ready(Err(ErrorKind::Unreachable.into()))
            }
            (Poll::Ready(Ok(())), SinkState::Connecting | SinkState::BackingOff) => Poll::Pending,
            _ => came_to,
        }
    }

    /// What the active child may write that is to hand over at a frame's end.
    fn shown<'a, F: Framing>(&self, pending: Pending<'a, F>) -> Pending<'a, F> {
        if self.active_reached() <= self.taken {
            return pending.until(self.taken);
        }
        let begun = pending.framing().frame_len(pending.from(self.taken)).ok().flatten();
        pending.until(self.taken.saturating_add(begun.unwrap_or(0) as u64))
    }

    /// The active child has failed. It sleeps from now on, and the next one is on duty.
    fn give_up_link(&mut self, cause: SwitchCause, targets: usize, now: Instant) {
        let (from, to) = (self.duty.active, self.duty.fail(targets));
        // Also if it is the only one: its connection is of no use any more.
        self.end_link(from);
        self.switch_link(to, cause, now);
    }

    /// Returns to a preferred child that is well again, once the active one is between two frames.
    fn return_to_link(&mut self, to: usize, now: Instant) {
        if let Some((index, _)) = self.duty.leaving.take() {
            self.end_link(index);
        }
        self.duty.leave(now);
        self.switch_link(to, SwitchCause::Returned, now);
    }

    fn switch_link(&mut self, to: usize, cause: SwitchCause, now: Instant) {
        let from = self.duty.active;
        self.is_settled = false;
        self.duty.switch(to, now);
        if let Some((index, _)) = self.duty.leaving
            && index == to
        {
            self.duty.leaving = None;
            self.end_link(to);
        }
        self.end_probes(from.max(to));
        nth_mut(&mut self.children, to, JoinOne(self.taken));
        if from != to {
            let report = nth(&self.children, to, ReportOne(Report::default())).0;
            self.duty.tell(from, report, cause, self.taken);
        }
    }

    /// Drives the farewell of a child that was left in good order.
    fn see_off_link<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
        now: Instant,
    ) {
        let Some((index, until)) = self.duty.leaving else { return };
        let leave = LeaveOne { cx, framing: pending.framing(), done: Poll::Pending };
        let left = nth_mut(&mut self.children, index, leave).done.is_ready();
        if left || until.is_some_and(|until| now >= until) {
            self.duty.leaving = None;
            self.end_link(index);
        }
    }

    /// Looks after the children that are preferred to the active one, when it is time to.
    fn probe<F: Framing>(&mut self, cx: &mut Context<'_>, pending: Pending<'_, F>, now: Instant) {
        if !self.duty.is_probe_due(now) {
            return;
        }
        let (position, framing) = (self.taken, pending.framing());
        let mut probe = ProbePreferred { cx, position, framing, now, at: 0, duty: &mut self.duty };
        self.children.visit_mut(&mut probe);
    }

    /// Ends the connections to children that were preferred to child `active`, but for that of the
    /// one which is on duty now, and of the one that is being left.
    fn end_probes(&mut self, active: usize) {
        let left = self.duty.leaving.map(|(index, _)| index);
        for index in 0..active {
            if index != self.duty.active && Some(index) != left {
                self.end_link(index);
            }
        }
    }

    /// Ends the connection or the attempt of one child. What it has not taken is not its own.
    fn end_link(&mut self, index: usize) {
        nth_mut(&mut self.children, index, EndOne);
    }

    fn hand_down_to_links(&mut self) {
        if let Some(policy) = self.duty.default_to_hand_down() {
            self.children.visit_mut(&mut SetPolicy(&policy));
        }
    }

    fn links(&self) -> usize {
        let mut count = Count(0);
        self.children.visit(&mut count);
        count.0
    }

    fn active_state(&self) -> SinkState {
        nth(&self.children, self.duty.active, StateOne(SinkState::Asleep)).0
    }

    fn active_reached(&self) -> u64 {
        nth(&self.children, self.duty.active, ReachedOne(self.taken)).0
    }
}

impl<T: LinkSet> Link for Failover<T> {
    fn wake(&mut self) -> Result<(), SinkError> {
        self.hand_down_to_links();
        nth_mut(&mut self.children, self.duty.active, WakeOne(Ok(()))).0
    }

    #[inline]
    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        match self.drive(None, pending) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    // Out of line, so that the other stacks of the factory stay in line beside it.
    #[inline(never)]
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        self.drive(Some(cx), pending)
    }

    #[inline]
    fn taken(&self) -> u64 {
        self.taken
    }

    /// What the active child has taken as far as it gates. One that is away gives way to the next,
    /// and to nobody else.
    fn required(&self) -> u64 {
        if self.active_state() != SinkState::Connected {
            return self.taken;
        }
        nth(&self.children, self.duty.active, RequiredOne(self.taken)).0.max(self.taken)
    }

    fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
        if self.active_state() != SinkState::Connected {
            return;
        }
        let give_way = GiveWayOne { pending, to, needed, taken: self.taken };
        let taken = nth_mut(&mut self.children, self.duty.active, give_way).taken;
        self.taken = self.taken.max(taken.min(pending.end()));
    }

    /// Of all children, since one that was on duty before may be several links, of which one has
    /// taken frames that another has not.
    fn reached(&self) -> u64 {
        let mut furthest = Furthest(self.taken);
        self.children.visit(&mut furthest);
        furthest.0
    }

    /// Only the active child leaves anything out: the others have passed it by.
    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        let skip = SkipOne { pending, to, skip, taken: to };
        let taken = nth_mut(&mut self.children, self.duty.active, skip).taken;
        self.taken = self.taken.max(taken);
    }

    /// Waits for the first child that can be connected to.
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.hand_down_to_links();
        let (now, targets) = (Instant::now(), self.links());
        for _ in 0..targets {
            let connect = PollConnectOne { cx, done: Poll::Pending };
            let done = nth_mut(&mut self.children, self.duty.active, connect).done;
            let state = self.active_state();
            let Some(cause) = self.duty.judge(&done, state, self.active_reached(), now) else {
                self.duty.wait_for_progress(cx);
                return done;
            };
            self.give_up_link(cause, targets, now);
            if let (Poll::Ready(Err(error)), true) = (done, self.duty.is_used_up(targets)) {
                return Poll::Ready(Err(error));
            }
        }
        match targets {
            0 => Poll::Ready(Ok(())),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if self.taken != pending.end() {
            ready!(self.drive(Some(cx), pending))?;
        }
        self.is_settled = false;
        self.end_probes(self.duty.active);
        let now = Instant::now();
        self.see_off_link(cx, pending, now);
        let framing = pending.framing();
        let leave = LeaveOne { cx, framing, done: Poll::Ready(Ok(())) };
        let mut all = nth_mut(&mut self.children, self.duty.active, leave).done;
        if self.duty.leaving.is_some() {
            gather(&mut all, Poll::Pending);
        }
        if all.is_ready() {
            self.duty.rest();
        }
        all
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        let active = self.duty.active;
        self.children.visit_mut(&mut EndEach { end, pending, active, at: 0 });
        self.duty.rest();
        self.is_settled = false;
        if end == End::Close {
            // What was left was given up.
            self.taken = pending.end();
        }
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        nth_mut(&mut self.children, self.duty.active, Hurry(pending));
    }

    /// That of the active child.
    #[inline]
    fn state(&self) -> SinkState {
        self.active_state()
    }

    #[inline]
    fn write_size(&self) -> usize {
        nth(&self.children, self.duty.active, WriteSizeOne(64 * 1024)).0
    }

    /// The longest of any child's.
    fn close_deadline(&self) -> Duration {
        let mut longest = LongestDeadline(Duration::ZERO);
        self.children.visit(&mut longest);
        longest.0
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        let policy = self.duty.hand_down(policy);
        self.children.visit_mut(&mut SetPolicy(&policy));
    }

    /// What is pending is the active child's. The others report what they have written.
    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        let first = report.leaves.len();
        let active = self.duty.active;
        self.children.visit(&mut ReportEach { pending, active, at: 0, report });
        self.duty.report_into(report.leaves.get_mut(first));
    }

    /// Those of the children, then the switches.
    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.children.visit_mut(&mut TakeEvents(each));
        self.duty.take_events(each);
    }
}
