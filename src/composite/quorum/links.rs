//! The quorum over links: the buffer keeps what fewer than `k` have taken.

use std::cmp::Reverse;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;

use super::{Quorum, Tally, nth};
use crate::buffer::Pending;
use crate::composite::best_effort::is_away;
use crate::composite::{LinkSet, VisitLink, VisitLinkMut};
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::{Link, Skip, not_a_sink};
use crate::policy::LazyPolicy;
use crate::sink::{DropReason, End, Event, Report, SinkState};

not_a_sink!([T: LinkSet] Quorum<T>);

impl<T: LinkSet> Link for Quorum<T> {
    fn wake(&mut self) -> Result<(), SinkError> {
        self.inner.wake()
    }

    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        let mut write = TryWrite { pending, tally: Tally::of(self.needed) };
        self.inner.visit_links(&mut write);
        match write.tally.outcome() {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        self.inner.try_write_around(start, frame)
    }

    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        let mut write = PollWrite { cx, pending, tally: Tally::of(self.needed) };
        self.inner.visit_links(&mut write);
        write.tally.outcome()
    }

    /// What the slowest child has taken.
    fn taken(&self) -> u64 {
        self.inner.taken()
    }

    /// Whether any child is waited for.
    fn gates(&self) -> bool {
        self.needed > 0 && self.inner.gates()
    }

    /// What so many children have taken as are needed.
    fn required(&self) -> u64 {
        let mut positions = Positions(SmallVec::new());
        self.get_ref().visit(&mut positions);
        nth(self.needed, positions.0).map_or(u64::MAX, |Reverse(position)| position)
    }

    fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
        self.inner.visit_links(&mut GiveWay { pending, to, needed });
    }

    fn reached(&self) -> u64 {
        self.inner.reached()
    }

    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        self.inner.skip(pending, to, skip);
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let mut connect = PollConnect { cx, tally: Tally::of(self.needed) };
        self.inner.visit_links(&mut connect);
        connect.tally.outcome()
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        let tally = Tally::of(self.needed);
        let mut shutdown = PollShutdown { cx, pending, tally, expected: false };
        self.inner.visit_links(&mut shutdown);
        match shutdown.tally.outcome() {
            Poll::Ready(Ok(())) if shutdown.expected => Poll::Pending,
            outcome => outcome,
        }
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        self.inner.end(end, pending);
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        self.inner.hurry(pending);
    }

    fn state(&self) -> SinkState {
        let mut states = States(SmallVec::new());
        self.get_ref().visit(&mut states);
        nth(self.needed.max(1), states.0).unwrap_or_else(|| self.inner.state())
    }

    fn write_size(&self) -> usize {
        self.inner.write_size()
    }

    fn close_deadline(&self) -> Duration {
        self.inner.close_deadline()
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.inner.set_policy(policy);
    }

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        self.inner.report_into(pending, report);
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.inner.take_events(each);
    }
}

// One visitor per question: what it carries, and what it does with each link.

struct TryWrite<'a, F> {
    pending: Pending<'a, F>,
    tally: Tally,
}

impl<F: Framing> VisitLinkMut for TryWrite<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let written = link.try_write(self.pending);
        if link.gates() {
            self.tally.add(Poll::Ready(written));
        }
    }
}

struct PollWrite<'a, 'cx, 'w, F> {
    cx: &'cx mut Context<'w>,
    pending: Pending<'a, F>,
    tally: Tally,
}

impl<F: Framing> VisitLinkMut for PollWrite<'_, '_, '_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let written = link.poll_write(self.cx, self.pending);
        if link.gates() {
            self.tally.add(written);
        }
    }
}

/// Lets go of what enough children have, without asking whether it is one of these that lags.
struct GiveWay<'a, F> {
    pending: Pending<'a, F>,
    to: u64,
    needed: bool,
}

impl<F: Framing> VisitLinkMut for GiveWay<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        if self.needed || is_away(link.state()) {
            link.skip(self.pending, self.to, Skip::Dropped(DropReason::Skipped));
        }
    }
}

struct PollConnect<'cx, 'w> {
    cx: &'cx mut Context<'w>,
    tally: Tally,
}

impl VisitLinkMut for PollConnect<'_, '_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let connected = link.poll_connect(self.cx);
        if link.gates() {
            self.tally.add(connected);
        }
    }
}

struct PollShutdown<'a, 'cx, 'w, F> {
    cx: &'cx mut Context<'w>,
    pending: Pending<'a, F>,
    tally: Tally,
    /// Whether somebody who is there, or on the way, is not done.
    expected: bool,
}

impl<F: Framing> VisitLinkMut for PollShutdown<'_, '_, '_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let ended = link.poll_shutdown(self.cx, self.pending);
        self.expected |= ended.is_pending() && !is_away(link.state());
        if link.gates() {
            self.tally.add(ended);
        }
    }
}

/// Where the children stand that count, the furthest first.
struct Positions(SmallVec<[Reverse<u64>; 16]>);

impl VisitLink for Positions {
    fn visit<L: Link>(&mut self, link: &L) {
        if link.gates() {
            self.0.push(Reverse(link.required()));
        }
    }
}

/// The states of the children that count.
struct States(SmallVec<[SinkState; 16]>);

impl VisitLink for States {
    fn visit<L: Link>(&mut self, link: &L) {
        if link.gates() {
            self.0.push(link.state());
        }
    }
}
