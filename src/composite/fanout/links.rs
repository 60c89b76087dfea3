//! The fan-out over links: one buffer above, a cursor per child, every child gets every frame.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Fanout;
use crate::buffer::Pending;
use crate::composite::each::gather;
use crate::composite::visit::Furthest;
use crate::composite::visit::{Hurry, LongestDeadline, SetPolicy, TakeEvents};
use crate::composite::{LinkSet, VisitLink, VisitLinkMut};
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::{Link, Skip, not_a_sink};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, Report, SinkState};

not_a_sink!([T: LinkSet] Fanout<T>);

impl<T: LinkSet> Link for Fanout<T> {
    fn wake(&mut self) -> Result<(), SinkError> {
        let mut wake = Wake(Ok(()));
        self.children.visit_mut(&mut wake);
        wake.0
    }

    #[inline]
    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        let mut write = TryWrite { pending, slowest: u64::MAX, result: Ok(()) };
        self.children.visit_mut(&mut write);
        self.taken = write.slowest;
        write.result
    }

    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        let mut write = WriteAround { start, frame, slowest: u64::MAX, tried: false };
        self.children.visit_mut(&mut write);
        self.taken = write.slowest;
        write.tried
    }

    #[inline]
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        let mut write = PollWrite { cx, pending, slowest: u64::MAX, all: Poll::Ready(Ok(())) };
        self.children.visit_mut(&mut write);
        self.taken = write.slowest;
        write.all
    }

    /// What the slowest child has taken.
    #[inline]
    fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether any child does.
    #[inline]
    fn gates(&self) -> bool {
        let mut gates = Gates(false);
        self.children.visit(&mut gates);
        gates.0
    }

    /// What the slowest child has taken that gates.
    #[inline]
    fn required(&self) -> u64 {
        let mut required = Required(u64::MAX);
        self.children.visit(&mut required);
        required.0
    }

    fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
        let mut each = GiveWay { pending, to, needed, slowest: u64::MAX };
        self.children.visit_mut(&mut each);
        self.taken = each.slowest;
    }

    /// What the fastest child has reached.
    fn reached(&self) -> u64 {
        let mut furthest = Furthest(0);
        self.children.visit(&mut furthest);
        furthest.0
    }

    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        let mut each = SkipEach { pending, to, skip, slowest: u64::MAX };
        self.children.visit_mut(&mut each);
        self.taken = each.slowest;
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let mut connect = PollConnect { cx, all: Poll::Ready(Ok(())) };
        self.children.visit_mut(&mut connect);
        connect.all
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        let mut shutdown =
            PollShutdown { cx, pending, slowest: u64::MAX, all: Poll::Ready(Ok(())) };
        self.children.visit_mut(&mut shutdown);
        self.taken = shutdown.slowest;
        shutdown.all
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        self.children.visit_mut(&mut EndEach { end, pending });
        if end == End::Close {
            // What was left was given up.
            self.taken = pending.end();
        }
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        self.children.visit_mut(&mut Hurry(pending));
    }

    /// The worst state of any child that gates: connected only when all these are. The best of all
    /// where none gates.
    #[inline]
    fn state(&self) -> SinkState {
        let mut states = States { worst: None, best: None };
        self.children.visit(&mut states);
        states.worst.or(states.best).unwrap_or(SinkState::Connected)
    }

    /// The smallest that any child asks for.
    #[inline]
    fn write_size(&self) -> usize {
        let mut smallest = SmallestWrite(usize::MAX);
        self.children.visit(&mut smallest);
        smallest.0
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

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        self.children.visit(&mut ReportEach { pending, report });
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.children.visit_mut(&mut TakeEvents(each));
    }
}

impl<T: LinkSet> Fanout<T> {
    /// Visits every child with what may move it, and sees what the slowest has taken then.
    pub(in crate::composite) fn visit_links<V: VisitLinkMut>(&mut self, visitor: &mut V) {
        self.children.visit_mut(visitor);
        let mut slowest = Slowest(u64::MAX);
        self.children.visit(&mut slowest);
        self.taken = slowest.0;
    }
}

// One visitor per question: what it carries, and what it does with each link.

struct Wake(Result<(), SinkError>);

impl VisitLinkMut for Wake {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let woken = link.wake();
        if self.0.is_ok() {
            self.0 = woken;
        }
    }
}

struct TryWrite<'a, F> {
    pending: Pending<'a, F>,
    slowest: u64,
    result: Result<(), SinkError>,
}

impl<F: Framing> VisitLinkMut for TryWrite<'_, F> {
    #[inline]
    fn visit<L: Link>(&mut self, link: &mut L) {
        let written = link.try_write(self.pending);
        self.slowest = self.slowest.min(link.taken());
        if self.result.is_ok() {
            self.result = written;
        }
    }
}

struct WriteAround<'a> {
    start: u64,
    frame: [&'a [u8]; 2],
    slowest: u64,
    tried: bool,
}

impl VisitLinkMut for WriteAround<'_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        self.tried |= link.try_write_around(self.start, self.frame);
        self.slowest = self.slowest.min(link.taken());
    }
}

struct PollWrite<'a, 'cx, 'w, F> {
    cx: &'cx mut Context<'w>,
    pending: Pending<'a, F>,
    slowest: u64,
    all: Poll<Result<(), SinkError>>,
}

impl<F: Framing> VisitLinkMut for PollWrite<'_, '_, '_, F> {
    #[inline]
    fn visit<L: Link>(&mut self, link: &mut L) {
        match link.poll_write(self.cx, self.pending) {
            Poll::Ready(Ok(())) => {}
            other => gather(&mut self.all, other),
        }
        self.slowest = self.slowest.min(link.taken());
    }
}

struct SkipEach<'a, F> {
    pending: Pending<'a, F>,
    to: u64,
    skip: Skip,
    slowest: u64,
}

impl<F: Framing> VisitLinkMut for SkipEach<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.skip(self.pending, self.to, self.skip);
        self.slowest = self.slowest.min(link.taken());
    }
}

struct GiveWay<'a, F> {
    pending: Pending<'a, F>,
    to: u64,
    needed: bool,
    slowest: u64,
}

impl<F: Framing> VisitLinkMut for GiveWay<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.give_way(self.pending, self.to, self.needed);
        self.slowest = self.slowest.min(link.taken());
    }
}

struct PollConnect<'cx, 'w> {
    cx: &'cx mut Context<'w>,
    all: Poll<Result<(), SinkError>>,
}

impl VisitLinkMut for PollConnect<'_, '_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        gather(&mut self.all, link.poll_connect(self.cx));
    }
}

struct PollShutdown<'a, 'cx, 'w, F> {
    cx: &'cx mut Context<'w>,
    pending: Pending<'a, F>,
    slowest: u64,
    all: Poll<Result<(), SinkError>>,
}

impl<F: Framing> VisitLinkMut for PollShutdown<'_, '_, '_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        gather(&mut self.all, link.poll_shutdown(self.cx, self.pending));
        self.slowest = self.slowest.min(link.taken());
    }
}

struct EndEach<'a, F> {
    end: End,
    pending: Pending<'a, F>,
}

impl<F: Framing> VisitLinkMut for EndEach<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.end(self.end, self.pending);
    }
}

struct SmallestWrite(usize);

impl VisitLink for SmallestWrite {
    #[inline]
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = self.0.min(link.write_size());
    }
}

struct States {
    /// Of those that gate.
    worst: Option<SinkState>,
    /// Of the others.
    best: Option<SinkState>,
}

impl VisitLink for States {
    #[inline]
    fn visit<L: Link>(&mut self, link: &L) {
        let state = link.state();
        if link.gates() {
            self.worst = self.worst.max(Some(state));
        } else {
            self.best = Some(self.best.map_or(state, |best| best.min(state)));
        }
    }
}

struct Slowest(u64);

impl VisitLink for Slowest {
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = self.0.min(link.taken());
    }
}

struct Gates(bool);

impl VisitLink for Gates {
    #[inline]
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = self.0 || link.gates();
    }
}

struct Required(u64);

impl VisitLink for Required {
    #[inline]
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = self.0.min(link.required());
    }
}

struct ReportEach<'a, 'r, F> {
    pending: Pending<'a, F>,
    report: &'r mut Report,
}

impl<F: Framing> VisitLink for ReportEach<'_, '_, F> {
    fn visit<L: Link>(&mut self, link: &L) {
        link.report_into(self.pending, self.report);
    }
}
