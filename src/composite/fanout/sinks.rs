//! The fan-out over whole sinks: a message goes to all children or to none.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Fanout, gather};
use crate::composite::{SinkSet, VisitSink, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

impl<T: SinkSet> MessageSink for Fanout<T> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) { Ok(()) } else { self.feed_refused(msg, len) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.fits(len) && self.hand_over(msg, len).is_ok()
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        let mut fits = Fits { len, all: true };
        self.children.visit(&mut fits);
        fits.all
    }

    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let mut accepts = Accepts { msg, len, all: true };
        self.children.visit_mut(&mut accepts);
        accepts.all
    }

    fn room(&self, len: usize) -> bool {
        let mut room = Room { len, all: true };
        self.children.visit(&mut room);
        room.all
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        let mut ready = TryReady { len, all: Ok(()) };
        self.children.visit_mut(&mut ready);
        ready.all
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        self.poll_each(cx, Step::Ready(len))
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

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_each(cx, Step::Flush)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_each(cx, Step::Close)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_each(cx, Step::Disconnect)
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.poll_each(cx, Step::Connect)
    }

    fn hurry(&mut self) {
        self.children.visit_mut(&mut Hurry);
    }

    fn end(&mut self, end: End) {
        self.children.visit_mut(&mut EndEach(end));
    }

    /// The worst state of any child.
    fn state(&self) -> SinkState {
        let mut worst = Worst(SinkState::Connected);
        self.children.visit(&mut worst);
        worst.0
    }

    fn is_connected(&self) -> bool {
        let mut connected = AllConnected(true);
        self.children.visit(&mut connected);
        connected.0
    }

    /// The sum over the children, each of which has its own frame of a message.
    fn accepted_bytes(&self) -> u64 {
        let mut accepted = Accepted(0);
        self.children.visit(&mut accepted);
        accepted.0
    }

    fn report_into(&self, report: &mut Report) {
        self.children.visit(&mut ReportEach(report));
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.children.visit_mut(&mut TakeEvents(each));
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.children.visit_mut(&mut SetPolicy(policy));
    }

    /// The longest of any child.
    fn close_deadline(&self) -> Duration {
        let mut longest = Longest(Duration::ZERO);
        self.children.visit(&mut longest);
        longest.0
    }
}

impl<T: SinkSet> Fanout<T> {
    /// Feeds a message that does not fit every child as it is, if room can be made for it in all.
    #[cold]
    #[inline(never)]
    fn feed_refused<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
    ) -> Result<(), TryFeedError> {
        self.try_ready(len)?;
        self.hand_over(msg, len)
    }

    /// Gives the message to all children, which have room for it, or to none.
    #[inline(always)]
    fn hand_over<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Result<(), TryFeedError> {
        if !self.accepts(msg, len) {
            return Err(TryFeedError::Invalid);
        }
        let mut feed = Feed { msg, len, all: Ok(()) };
        self.children.visit_mut(&mut feed);
        feed.all
    }

    #[inline]
    fn poll_each(&mut self, cx: &mut Context<'_>, step: Step) -> Poll<Result<(), SinkError>> {
        let mut poll = PollEach { cx, step, all: Poll::Ready(Ok(())) };
        self.children.visit_mut(&mut poll);
        poll.all
    }
}

/// What all children do at once.
#[derive(Clone, Copy)]
enum Step {
    Ready(usize),
    Flush,
    Close,
    Disconnect,
    Connect,
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
        let polled = match self.step {
            Step::Ready(len) => sink.poll_ready(self.cx, len),
            Step::Flush => sink.poll_flush(self.cx),
            Step::Close => sink.poll_close(self.cx),
            Step::Disconnect => sink.poll_disconnect(self.cx),
            Step::Connect => sink.poll_connect(self.cx),
        };
        match polled {
            Poll::Ready(Ok(())) => {}
            other => gather(&mut self.all, other),
        }
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

struct Feed<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    all: Result<(), TryFeedError>,
}

impl<M: Encode + ?Sized> VisitSinkMut for Feed<'_, M> {
    #[inline(always)]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if sink.append(self.msg, self.len) {
            return;
        }
        // A sink that never appends has promised room all the same. One that breaks its promise is
        // alone in that: the others get the message.
        let fed = sink.try_feed(self.msg);
        if self.all.is_ok() {
            self.all = fed;
        }
    }
}

struct Hurry;

impl VisitSinkMut for Hurry {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.hurry();
    }
}

struct EndEach(End);

impl VisitSinkMut for EndEach {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.end(self.0);
    }
}

struct SetPolicy<'a>(&'a Arc<LazyPolicy>);

impl VisitSinkMut for SetPolicy<'_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.set_policy(self.0);
    }
}

struct TakeEvents<'a, E>(&'a mut E);

impl<E: FnMut(Event)> VisitSinkMut for TakeEvents<'_, E> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        sink.take_events(self.0);
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

struct Accepted(u64);

impl VisitSink for Accepted {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.wrapping_add(sink.accepted_bytes());
    }
}

struct Longest(Duration);

impl VisitSink for Longest {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.max(sink.close_deadline());
    }
}

struct ReportEach<'a>(&'a mut Report);

impl VisitSink for ReportEach<'_> {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        sink.report_into(self.0);
    }
}
