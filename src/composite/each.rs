//! What a composite over whole sinks asks of all its children alike.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::composite::{SinkSet, VisitSink, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// Within `impl MessageSink` of a composite over sinks, defines the named methods: each asks all
/// children, which are in the field `children`.
macro_rules! each_child {
    ($($method:ident)+) => { $(each_child!(@$method);)+ };
    (@fits) => {
        /// Whether it fits every child.
        #[inline]
        fn fits(&self, len: usize) -> bool {
            $crate::composite::each::fits(&self.children, len)
        }
    };
    (@room) => {
        fn room(&self, len: usize) -> bool {
            $crate::composite::each::room(&self.children, len)
        }
    };
    (@try_ready) => {
        fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
            $crate::composite::each::try_ready(&mut self.children, len)
        }
    };
    (@poll_ready) => {
        fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
            let step = $crate::composite::each::Step::Ready(len);
            $crate::composite::each::poll(&mut self.children, cx, step)
        }
    };
    (@state) => {
        /// The worst state of any child.
        fn state(&self) -> SinkState {
            $crate::composite::each::worst_state(&self.children)
        }
    };
    (@is_connected) => {
        fn is_connected(&self) -> bool {
            $crate::composite::each::all_connected(&self.children)
        }
    };
    (@accepts) => {
        #[inline]
        fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
            $crate::composite::each::accepts(&mut self.children, msg, len)
        }
    };
    (@poll_flush) => { each_child!(@@ poll_flush Flush); };
    (@poll_close) => { each_child!(@@ poll_close Close); };
    (@poll_disconnect) => { each_child!(@@ poll_disconnect Disconnect); };
    (@poll_connect) => { each_child!(@@ poll_connect Connect); };
    (@@ $poll:ident $step:ident) => {
        #[inline]
        fn $poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
            let step = $crate::composite::each::Step::$step;
            $crate::composite::each::poll(&mut self.children, cx, step)
        }
    };
    (@hurry) => {
        fn hurry(&mut self) {
            $crate::composite::SinkSet::visit_mut(
                &mut self.children,
                &mut $crate::composite::each::Hurry,
            );
        }
    };
    (@end) => {
        fn end(&mut self, end: End) {
            $crate::composite::SinkSet::visit_mut(
                &mut self.children,
                &mut $crate::composite::each::EndEach(end),
            );
        }
    };
    (@accepted_bytes) => {
        /// The sum over the children, each of which has its own frames.
        fn accepted_bytes(&self) -> u64 {
            $crate::composite::each::accepted_bytes(&self.children)
        }
    };
    (@outstanding_bytes) => {
        /// The sum over the children.
        fn outstanding_bytes(&self) -> u64 {
            $crate::composite::each::outstanding_bytes(&self.children)
        }
    };
    (@report_into) => {
        fn report_into(&self, report: &mut Report) {
            $crate::composite::SinkSet::visit(
                &self.children,
                &mut $crate::composite::each::ReportEach(report),
            );
        }
    };
    (@take_events) => {
        fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
            $crate::composite::SinkSet::visit_mut(
                &mut self.children,
                &mut $crate::composite::each::TakeEvents(each),
            );
        }
    };
    (@set_policy) => {
        fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
            $crate::composite::SinkSet::visit_mut(
                &mut self.children,
                &mut $crate::composite::each::SetPolicy(policy),
            );
        }
    };
    (@due) => {
        /// The earliest of any child.
        fn due(&self) -> Option<std::time::Instant> {
            $crate::composite::each::earliest_due(&self.children)
        }
    };
    (@close_deadline) => {
        /// The longest of any child.
        fn close_deadline(&self) -> Duration {
            $crate::composite::each::longest_deadline(&self.children)
        }
    };
}
pub(super) use each_child;

/// What all children do at once.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Ready(usize),
    Flush,
    Close,
    Disconnect,
    Connect,
}

impl Step {
    #[inline]
    pub(super) fn poll<S: MessageSink>(
        self,
        sink: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SinkError>> {
        match self {
            Self::Ready(len) => sink.poll_ready(cx, len),
            Self::Flush => sink.poll_flush(cx),
            Self::Close => sink.poll_close(cx),
            Self::Disconnect => sink.poll_disconnect(cx),
            Self::Connect => sink.poll_connect(cx),
        }
    }
}

/// Lets every child take its step; the first error wins, then whoever is pending.
#[inline]
pub(super) fn poll<T: SinkSet>(
    children: &mut T,
    cx: &mut Context<'_>,
    step: Step,
) -> Poll<Result<(), SinkError>> {
    let mut poll = PollEach { cx, step, all: Poll::Ready(Ok(())) };
    children.visit_mut(&mut poll);
    poll.all
}

/// Whether every child can carry `msg`, of `len` bytes.
#[inline]
pub(super) fn accepts<T, M>(children: &mut T, msg: &M, len: usize) -> bool
where
    T: SinkSet,
    M: Encode + ?Sized,
{
    let mut accepts = Accepts { msg, len, all: true };
    children.visit_mut(&mut accepts);
    accepts.all
}

#[inline]
pub(super) fn fits<T: SinkSet>(children: &T, len: usize) -> bool {
    let mut fits = Fits { len, all: true };
    children.visit(&mut fits);
    fits.all
}

pub(super) fn room<T: SinkSet>(children: &T, len: usize) -> bool {
    let mut room = Room { len, all: true };
    children.visit(&mut room);
    room.all
}

pub(super) fn try_ready<T: SinkSet>(children: &mut T, len: usize) -> Result<(), TryFeedError> {
    let mut ready = TryReady { len, all: Ok(()) };
    children.visit_mut(&mut ready);
    ready.all
}

pub(super) fn worst_state<T: SinkSet>(children: &T) -> SinkState {
    let mut worst = Worst(SinkState::Connected);
    children.visit(&mut worst);
    worst.0
}

pub(super) fn all_connected<T: SinkSet>(children: &T) -> bool {
    let mut connected = AllConnected(true);
    children.visit(&mut connected);
    connected.0
}

pub(super) fn accepted_bytes<T: SinkSet>(children: &T) -> u64 {
    let mut accepted = Accepted(0);
    children.visit(&mut accepted);
    accepted.0
}

pub(super) fn outstanding_bytes<T: SinkSet>(children: &T) -> u64 {
    let mut outstanding = Outstanding(0);
    children.visit(&mut outstanding);
    outstanding.0
}

/// How many children there are.
#[inline]
pub(super) fn count<T: SinkSet>(children: &T) -> usize {
    let mut count = Count(0);
    children.visit(&mut count);
    count.0
}

pub(super) fn earliest_due<T: SinkSet>(children: &T) -> Option<Instant> {
    let mut earliest = Earliest(None);
    children.visit(&mut earliest);
    earliest.0
}

pub(super) fn longest_deadline<T: SinkSet>(children: &T) -> Duration {
    let mut longest = Longest(Duration::ZERO);
    children.visit(&mut longest);
    longest.0
}

/// The first error wins, then whoever is pending.
#[cold]
pub(super) fn gather(all: &mut Poll<Result<(), SinkError>>, one: Poll<Result<(), SinkError>>) {
    match (&all, &one) {
        (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Ok(()))) | (Poll::Pending, Poll::Pending) => {}
        _ => *all = one,
    }
}

// One visitor per question: what it carries, and what it does with each sink.

struct PollEach<'cx, 'w> {
    cx: &'cx mut Context<'w>,
    step: Step,
    all: Poll<Result<(), SinkError>>,
}

impl VisitSinkMut for PollEach<'_, '_> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        match self.step.poll(sink, self.cx) {
            Poll::Ready(Ok(())) => {}
            other => gather(&mut self.all, other),
        }
    }
}

struct Accepts<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    all: bool,
}

impl<M: Encode + ?Sized> VisitSinkMut for Accepts<'_, M> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        self.all = self.all && sink.accepts(self.msg, self.len);
    }
}

pub(super) struct Hurry;

impl VisitSinkMut for Hurry {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.hurry();
    }
}

pub(super) struct EndEach(pub(super) End);

impl VisitSinkMut for EndEach {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.end(self.0);
    }
}

pub(super) struct SetPolicy<'a>(pub(super) &'a Arc<LazyPolicy>);

impl VisitSinkMut for SetPolicy<'_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.set_policy(self.0);
    }
}

pub(super) struct TakeEvents<'a, E>(pub(super) &'a mut E);

impl<E: FnMut(Event)> VisitSinkMut for TakeEvents<'_, E> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.take_events(self.0);
    }
}

struct Accepted(u64);

impl VisitSink for Accepted {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.wrapping_add(sink.accepted_bytes());
    }
}

struct Outstanding(u64);

impl VisitSink for Outstanding {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.saturating_add(sink.outstanding_bytes());
    }
}

struct Count(usize);

impl VisitSink for Count {
    #[inline]
    fn visit<S: MessageSink>(&mut self, _: &S) {
        self.0 += 1;
    }
}

struct Earliest(Option<Instant>);

impl VisitSink for Earliest {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.into_iter().chain(sink.due()).min();
    }
}

struct Longest(Duration);

impl VisitSink for Longest {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.max(sink.close_deadline());
    }
}

pub(super) struct ReportEach<'a>(pub(super) &'a mut Report);

impl VisitSink for ReportEach<'_> {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        sink.report_into(self.0);
    }
}

struct TryReady {
    len: usize,
    all: Result<(), TryFeedError>,
}

impl VisitSinkMut for TryReady {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let ready = sink.try_ready(self.len);
        if self.all.is_ok() {
            self.all = ready;
        }
    }
}

struct Fits {
    len: usize,
    all: bool,
}

impl VisitSink for Fits {
    #[inline(always)]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.all = self.all && sink.fits(self.len);
    }
}

struct Room {
    len: usize,
    all: bool,
}

impl VisitSink for Room {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.all = self.all && sink.room(self.len);
    }
}

struct Worst(SinkState);

impl VisitSink for Worst {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.max(sink.state());
    }
}

struct AllConnected(bool);

impl VisitSink for AllConnected {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0 && sink.is_connected();
    }
}
