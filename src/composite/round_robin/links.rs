//! The round-robin over links: one buffer above, of which each child in turn writes a batch. One
//! child writes at a time; the next goes on from the first frame that no kernel has taken whole.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::RoundRobin;
use super::visit::*;
use crate::buffer::Pending;
use crate::composite::LinkSet;
use crate::composite::visit::*;
use crate::error::{ErrorKind, SinkError};
use crate::framing::Framing;
use crate::link::{Link, Skip, not_a_sink};
use crate::policy::LazyPolicy;
use crate::sink::{DropReason, End, Event, Report, SinkState};

not_a_sink!([T: LinkSet] RoundRobin<T>);

impl<T: LinkSet> RoundRobin<T> {
    /// Lets one child after the other write a batch, until everything is written or none of them
    /// takes any more.
    // Out of line, so that the other stacks of the factory stay in line beside it.
    #[inline(never)]
    fn drive<F: Framing>(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        let (children, end) = (self.links(), pending.end());
        if self.round.taken < pending.start() {
            // It was added to a stream that had begun.
            self.round.taken = pending.start();
            nth_mut(&mut self.children, self.next, JoinOne(pending.start()));
        }
        if self.round.taken == end || children == 0 {
            self.round.taken = end;
            return self.listen(cx, pending);
        }
        let (mut failed, mut passed) = (None, 0);
        while self.round.taken != end && passed < children {
            let before = self.round.taken;
            if !self.is_passed_over(end) {
                let done = self.write(cx.as_deref_mut(), self.batch(pending), Some(self.next));
                let stands = self.stands();
                let gives_up = match &done {
                    Poll::Ready(Err(_)) => true,
                    // It gates nobody, and has given up.
                    Poll::Ready(Ok(())) => before == self.round.taken && stands.is_asleep(),
                    Poll::Pending => false,
                };
                if gives_up {
                    self.round.give_up(self.next, end);
                }
                if let Poll::Ready(Err(error)) = done {
                    failed = Some(error);
                }
                if self.is_in_mid_frame(pending, &stands)
                    && self.waits(cx.as_deref_mut(), &stands, end)
                {
                    return Poll::Pending;
                }
            }
            passed = if self.round.taken == before { passed + 1 } else { 0 };
            if passed == 0 {
                self.fed.count(self.next);
            }
            self.pass_turn(children);
        }
        if self.round.taken == end {
            return if self.round.owes { self.listen(cx, pending) } else { DONE };
        }
        if (0..children).all(|index| self.round.has_given_up(index, end)) {
            self.round.begin_anew();
            return Poll::Ready(Err(failed.unwrap_or_else(|| ErrorKind::Unreachable.into())));
        }
        if let Some(cx) = cx {
            self.round.wait(cx, false);
        }
        Poll::Pending
    }

    /// What the child whose turn it is may write: the rest of the frame that it is in the middle of,
    /// or one write's worth of whole frames.
    fn batch<'a, F: Framing>(&self, pending: Pending<'a, F>) -> Pending<'a, F> {
        let (taken, stands) = (self.round.taken, self.stands());
        if stands.reached > taken {
            return pending.until(pending.boundary_behind(stands.reached));
        }
        let most = taken.saturating_add(self.write_size().max(1) as u64);
        if pending.end() <= most {
            return pending;
        }
        let (end, _) = pending.boundary(taken, most);
        pending.until(if end > taken { end } else { pending.boundary_behind(most) })
    }

    /// One call to child `only`, which is that whose turn it is, or to all of them, to which there
    /// is nothing to write. Without a `cx` pending is what has not written everything.
    // The one place where children are called to write: for many of them that is a lot of code.
    #[inline(never)]
    fn write<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
        only: Option<usize>,
    ) -> Poll<Result<(), SinkError>> {
        let mut write = Write { cx, pending, only, at: 0, taken: self.round.taken, all: DONE };
        self.children.visit_mut(&mut write);
        if only.is_some() {
            // A link that claims more than it was shown has taken what it was shown.
            self.round.taken = self.round.taken.max(write.taken.min(pending.end()));
        }
        write.all
    }

    /// Whether the child whose turn it is has begun a frame that it has not taken whole. What it has
    /// begun of links that nobody waits for, these finish by themselves, or miss.
    fn is_in_mid_frame<F: Framing>(&mut self, pending: Pending<'_, F>, stands: &Stands) -> bool {
        if stands.reached <= self.round.taken {
            return false;
        }
        let begun = pending.boundary_behind(stands.reached);
        if stands.required < begun {
            return true;
        }
        self.skip(pending, begun, Skip::Dropped(DropReason::Skipped));
        false
    }

    /// Whether to wait for the child whose turn it is, which is in the middle of a frame: while it is
    /// connected, and not stuck for so long that another should go on. The others connect
    /// meanwhile.
    #[cold]
    #[inline(never)]
    fn waits(&mut self, mut cx: Option<&mut Context<'_>>, stands: &Stands, end: u64) -> bool {
        if stands.state == SinkState::Connected {
            let connected = self.connect_others(cx.as_deref_mut(), end);
            if !self.round.is_stuck(stands.reached) || !connected {
                if let Some(cx) = cx {
                    self.round.wait(cx, connected);
                }
                return true;
            }
            self.round.send_to_rest(self.next);
        }
        // What it has not taken whole is not its own any more.
        nth_mut(&mut self.children, self.next, EndOne);
        false
    }

    /// Lets all but the child whose turn it is connect, and says whether one of them is connected.
    fn connect_others(&mut self, cx: Option<&mut Context<'_>>, end: u64) -> bool {
        let (next, round) = (self.next, &mut self.round);
        let mut others = ConnectOthers { cx, next, round, end, at: 0, connected: false };
        self.children.visit_mut(&mut others);
        others.connected
    }

    /// Whether the child whose turn it is gets nothing now.
    fn is_passed_over(&mut self, end: u64) -> bool {
        let rests = self.round.rests(self.next) && self.connect_others(None, end);
        let gave_up = self.round.has_given_up(self.next, end);
        if rests || (gave_up && self.stands().state != SinkState::Connected) {
            return true;
        }
        self.round.try_again(self.next);
        false
    }

    /// The next child goes on where all have come to.
    fn pass_turn(&mut self, children: usize) {
        self.pass(self.next, children);
        self.round.pass();
        nth_mut(&mut self.children, self.next, JoinOne(self.round.taken));
    }

    /// Nothing to write: each child listens to its peer, and finishes what it may have to.
    #[cold]
    fn listen<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        // Without a `cx` nobody says whether there is something to finish.
        let asks = cx.is_some();
        let all = self.write(cx, pending, None);
        self.round.owes &= all.is_pending() || !asks;
        all
    }

    fn links(&self) -> usize {
        let mut count = Count(0);
        self.children.visit(&mut count);
        count.0
    }

    /// How the child whose turn it is stands.
    fn stands(&self) -> Stands {
        let (taken, state) = (self.round.taken, SinkState::Asleep);
        nth(&self.children, self.next, Stands { state, reached: taken, required: taken })
    }
}

pub(super) const DONE: Poll<Result<(), SinkError>> = Poll::Ready(Ok(()));

impl<T: LinkSet> Link for RoundRobin<T> {
    /// Wakes every child. It is awake if one is.
    fn wake(&mut self) -> Result<(), SinkError> {
        let mut wake = WakeAny { woken: false, error: None };
        self.children.visit_mut(&mut wake);
        match wake.error {
            Some(error) if !wake.woken => Err(error),
            _ => Ok(()),
        }
    }

    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        match self.drive(None, pending) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        self.drive(Some(cx), pending)
    }

    #[inline]
    fn taken(&self) -> u64 {
        self.round.taken
    }

    /// Of all children: one whose turn it was may be several links, of which one has taken frames
    /// that another has not.
    fn reached(&self) -> u64 {
        let mut furthest = Furthest(self.round.taken);
        self.children.visit(&mut furthest);
        furthest.0
    }

    /// Only the child whose turn it is leaves anything out: the others have not begun any of it.
    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        self.round.owes |= self.stands().reached > self.round.taken;
        let skip = SkipOne { pending, to, skip, taken: to };
        let taken = nth_mut(&mut self.children, self.next, skip).taken;
        self.round.taken = self.round.taken.max(taken.min(pending.end()));
    }

    /// Waits for the first child that can be connected to.
    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let mut connect = PollConnectAny { cx, any: None };
        self.children.visit_mut(&mut connect);
        connect.any.unwrap_or(DONE)
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if self.round.taken != pending.end() {
            ready!(self.drive(Some(cx), pending))?;
        }
        let mut shutdown = PollShutdown { cx, framing: pending.framing(), all: DONE };
        self.children.visit_mut(&mut shutdown);
        if shutdown.all.is_ready() {
            self.round.rest();
        }
        shutdown.all
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        let active = self.next;
        self.children.visit_mut(&mut EndEach { end, pending, active, at: 0 });
        self.round.rest();
        if end == End::Close {
            // What was left was given up.
            self.round.taken = pending.end();
        }
    }

    /// Any child may write what is left.
    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        if self.round.taken != pending.end() {
            self.round.begin_anew();
            self.children.visit_mut(&mut Hurry(pending));
        }
    }

    /// The best state of any child; asleep only when all are.
    fn state(&self) -> SinkState {
        let mut best = Best(SinkState::Asleep);
        self.children.visit(&mut best);
        best.0
    }

    /// That of the child whose turn it is.
    fn write_size(&self) -> usize {
        nth(&self.children, self.next, WriteSizeOne(64 * 1024)).0
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.children.visit_mut(&mut SetPolicy(policy));
    }

    /// The longest of any child's.
    fn close_deadline(&self) -> Duration {
        let mut longest = LongestDeadline(Duration::ZERO);
        self.children.visit(&mut longest);
        longest.0
    }

    /// What is pending is the child's whose turn it is. The others report what they have written.
    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        let active = self.next;
        self.children.visit(&mut ReportEach { pending, active, at: 0, report });
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.children.visit_mut(&mut TakeEvents(each));
    }
}
