//! What the failover asks of its sinks: of one of them, mostly.

use std::task::{Context, Poll};

use tokio::time::Instant;

use super::duty::Duty;
use crate::composite::each::Step;
use crate::composite::set::nth;
use crate::composite::{SinkSet, VisitSink, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::sink::{End, HandedBack, MessageSink, Report, SinkState};

nth!(SinkSet of MessageSink, VisitSink, VisitSinkMut);

pub(super) struct Append<'a, M: ?Sized> {
    pub(super) msg: &'a M,
    pub(super) len: usize,
    pub(super) appended: bool,
}

impl<M: Encode + ?Sized> VisitSinkMut for Append<'_, M> {
    #[inline(always)]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.appended = sink.append(self.msg, self.len);
    }
}

pub(super) struct Accepts<'a, M: ?Sized> {
    pub(super) msg: &'a M,
    pub(super) len: usize,
    pub(super) accepts: bool,
}

impl<M: Encode + ?Sized> VisitSinkMut for Accepts<'_, M> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.accepts = sink.accepts(self.msg, self.len);
    }
}

/// Something that a sink does without waiting, or refuses.
pub(super) trait Attempt {
    fn make<S: MessageSink>(&self, sink: &mut S) -> Result<(), TryFeedError>;
}

pub(super) struct TryFeed<'a, M: ?Sized>(pub(super) &'a M);

impl<M: Encode + ?Sized> Attempt for TryFeed<'_, M> {
    fn make<S: MessageSink>(&self, sink: &mut S) -> Result<(), TryFeedError> {
        sink.try_feed(self.0)
    }
}

pub(super) struct TryReady(pub(super) usize);

impl Attempt for TryReady {
    fn make<S: MessageSink>(&self, sink: &mut S) -> Result<(), TryFeedError> {
        sink.try_ready(self.0)
    }
}

pub(super) struct Try<'a, A> {
    pub(super) attempt: &'a A,
    pub(super) done: Result<(), TryFeedError>,
}

impl<A: Attempt> VisitSinkMut for Try<'_, A> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.done = self.attempt.make(sink);
    }
}

pub(super) struct PollFeed<'a, 'cx, 'w> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) message: &'a HandedBack<'a>,
    pub(super) done: Poll<Result<(), SinkError>>,
}

impl VisitSinkMut for PollFeed<'_, '_, '_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.done = sink.poll_feed(self.cx, self.message);
    }
}

pub(super) struct PollOne<'cx, 'w> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) step: Step,
    pub(super) done: Poll<Result<(), SinkError>>,
}

impl VisitSinkMut for PollOne<'_, '_> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.done = self.step.poll(sink, self.cx);
    }
}

/// Connects to the children before the active one, or finds them connected.
pub(super) struct ProbePreferred<'a, 'cx, 'w> {
    pub(super) cx: &'cx mut Context<'w>,
    pub(super) now: Instant,
    pub(super) at: usize,
    pub(super) duty: &'a mut Duty,
}

impl VisitSinkMut for ProbePreferred<'_, '_, '_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.at < self.duty.active {
            let good = matches!(sink.poll_connect(self.cx), Poll::Ready(Ok(())));
            self.duty.probed(self.at, good, self.now);
        }
        self.at += 1;
    }
}

pub(super) struct EndAsleep;

impl VisitSinkMut for EndAsleep {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.end(End::Sleep);
    }
}

pub(super) struct Hurry;

impl VisitSinkMut for Hurry {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.hurry();
    }
}

pub(super) struct Fits {
    pub(super) len: usize,
    pub(super) fits: bool,
}

impl VisitSink for Fits {
    #[inline(always)]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.fits = sink.fits(self.len);
    }
}

pub(super) struct Room {
    pub(super) len: usize,
    pub(super) room: bool,
}

impl VisitSink for Room {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.room = sink.room(self.len);
    }
}

pub(super) struct StateOne(pub(super) SinkState);

impl VisitSink for StateOne {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = sink.state();
    }
}

pub(super) struct IsConnected(pub(super) bool);

impl VisitSink for IsConnected {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = sink.is_connected();
    }
}

pub(super) struct CountSinks(pub(super) usize);

impl VisitSink for CountSinks {
    fn visit<S: MessageSink>(&mut self, _: &S) {
        self.0 += 1;
    }
}

pub(super) struct ReportOne(pub(super) Report);

impl VisitSink for ReportOne {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        sink.report_into(&mut self.0);
    }
}

/// Reports every child, and finds the active one's first leaf.
pub(super) struct ReportEach<'r> {
    pub(super) active: usize,
    pub(super) at: usize,
    pub(super) leaf: usize,
    pub(super) report: &'r mut Report,
}

impl VisitSink for ReportEach<'_> {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        if self.at == self.active {
            self.leaf = self.report.leaves.len();
        }
        sink.report_into(self.report);
        self.at += 1;
    }
}
