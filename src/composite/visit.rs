//! What composites of links ask of them: of one of them, mostly.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buffer::Pending;
use crate::composite::set::nth;
use crate::composite::{LinkSet, VisitLink, VisitLinkMut};
use crate::error::SinkError;
use crate::framing::{Framing, LengthPrefixed};
use crate::link::{Link, Skip};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, Report, SinkState};

nth!(LinkSet of Link, VisitLink, VisitLinkMut);

/// What a child that is not on duty is shown: nothing, where it stands.
pub(super) fn nothing<'a, L: Link, F: Framing>(link: &L, framing: &'a F) -> Pending<'a, F> {
    Pending::new(&[], link.taken(), framing)
}

pub(super) struct WriteOne<'a, 'cx, 'w, F> {
    pub(super) cx: Option<&'cx mut Context<'w>>,
    pub(super) pending: Pending<'a, F>,
    pub(super) done: Poll<Result<(), SinkError>>,
    pub(super) taken: u64,
}

impl<F: Framing> VisitLinkMut for WriteOne<'_, '_, '_, F> {
    #[inline(always)]
    fn visit<L: Link>(&mut self, link: &mut L) {
        self.done = match &mut self.cx {
            Some(cx) => link.poll_write(cx, self.pending),
            None => match link.try_write(self.pending) {
                Err(error) => Poll::Ready(Err(error)),
                Ok(()) if link.taken() == self.pending.end() => Poll::Ready(Ok(())),
                Ok(()) => Poll::Pending,
            },
        };
        self.taken = link.taken();
    }
}

/// Goes on at a position; what lies before was another child's.
pub(super) struct JoinOne(pub(super) u64);

impl VisitLinkMut for JoinOne {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let framing = LengthPrefixed::new();
        link.skip(Pending::new(&[], self.0, &framing), self.0, Skip::Elsewhere);
    }
}

pub(super) struct SkipOne<'a, F> {
    pub(super) pending: Pending<'a, F>,
    pub(super) to: u64,
    pub(super) skip: Skip,
    pub(super) taken: u64,
}

impl<F: Framing> VisitLinkMut for SkipOne<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.skip(self.pending, self.to, self.skip);
        self.taken = link.taken();
    }
}

/// Ends a connection or attempt, of which nothing is kept.
pub(super) struct EndOne;

impl VisitLinkMut for EndOne {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.end(End::Sleep, nothing(link, &LengthPrefixed::new()));
    }
}

/// Ends all children; what is left was the active one's.
pub(super) struct EndEach<'a, F> {
    pub(super) end: End,
    pub(super) pending: Pending<'a, F>,
    pub(super) active: usize,
    pub(super) at: usize,
}

impl<F: Framing> VisitLinkMut for EndEach<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        let nothing = nothing(link, self.pending.framing());
        link.end(self.end, if self.at == self.active { self.pending } else { nothing });
        self.at += 1;
    }
}

pub(super) struct Hurry<'a, F>(pub(super) Pending<'a, F>);

impl<F: Framing> VisitLinkMut for Hurry<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.hurry(self.0);
    }
}

pub(super) struct SetPolicy<'a>(pub(super) &'a Arc<LazyPolicy>);

impl VisitLinkMut for SetPolicy<'_> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.set_policy(self.0);
    }
}

pub(super) struct TakeEvents<'a, E>(pub(super) &'a mut E);

impl<E: FnMut(Event)> VisitLinkMut for TakeEvents<'_, E> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.take_events(self.0);
    }
}

pub(super) struct Count(pub(super) usize);

impl VisitLink for Count {
    fn visit<L: Link>(&mut self, _: &L) {
        self.0 += 1;
    }
}

pub(super) struct StateOne(pub(super) SinkState);

impl VisitLink for StateOne {
    #[inline]
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = link.state();
    }
}

pub(super) struct ReachedOne(pub(super) u64);

impl VisitLink for ReachedOne {
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = link.reached();
    }
}

/// How far the furthest link has come.
pub(super) struct Furthest(pub(super) u64);

impl VisitLink for Furthest {
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = self.0.max(link.reached());
    }
}

pub(super) struct RequiredOne(pub(super) u64);

impl VisitLink for RequiredOne {
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = link.required();
    }
}

/// One link makes those of its own links leave frames out that do not gate.
pub(super) struct GiveWayOne<'a, F> {
    pub(super) pending: Pending<'a, F>,
    pub(super) to: u64,
    pub(super) needed: bool,
    pub(super) taken: u64,
}

impl<F: Framing> VisitLinkMut for GiveWayOne<'_, F> {
    fn visit<L: Link>(&mut self, link: &mut L) {
        link.give_way(self.pending, self.to, self.needed);
        self.taken = link.taken();
    }
}

pub(super) struct WriteSizeOne(pub(super) usize);

impl VisitLink for WriteSizeOne {
    #[inline]
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = link.write_size();
    }
}

pub(super) struct ReportEach<'a, 'r, F> {
    pub(super) pending: Pending<'a, F>,
    pub(super) active: usize,
    pub(super) at: usize,
    pub(super) report: &'r mut Report,
}

impl<F: Framing> VisitLink for ReportEach<'_, '_, F> {
    fn visit<L: Link>(&mut self, link: &L) {
        let nothing = nothing(link, self.pending.framing());
        let pending = if self.at == self.active { self.pending } else { nothing };
        link.report_into(pending, self.report);
        self.at += 1;
    }
}

/// The longest deadline of any child.
pub(super) struct LongestDeadline(pub(super) Duration);

impl VisitLink for LongestDeadline {
    fn visit<L: Link>(&mut self, link: &L) {
        self.0 = self.0.max(link.close_deadline());
    }
}
