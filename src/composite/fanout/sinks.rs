//! The fan-out over whole sinks: a message goes to all children or to none.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::Fanout;
use crate::composite::each::each_child;
use crate::composite::{SinkSet, VisitSinkMut};
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

    each_child! {
        fits accepts room try_ready poll_ready poll_flush poll_close poll_disconnect poll_connect
        hurry end state is_connected accepted_bytes outstanding_bytes report_into take_events
        set_policy due close_deadline
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

    /// Gives the message to all children, which have room for it, or to none. A child that
    /// breaks its promise is alone in that: what another has taken is accepted, and is not to be fed
    /// once more.
    #[inline(always)]
    fn hand_over<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Result<(), TryFeedError> {
        if !self.accepts(msg, len) {
            return Err(TryFeedError::Invalid);
        }
        let mut feed = Feed { msg, len, taken: false, refusal: None };
        self.children.visit_mut(&mut feed);
        match feed.refusal {
            Some(refusal) if !feed.taken => Err(refusal),
            _ => Ok(()),
        }
    }
}

struct Feed<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    taken: bool,
    refusal: Option<TryFeedError>,
}

impl<M: Encode + ?Sized> VisitSinkMut for Feed<'_, M> {
    #[inline(always)]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if sink.append(self.msg, self.len) {
            self.taken = true;
            return;
        }
        // A sink that never appends has promised room all the same.
        match sink.try_feed(self.msg) {
            Ok(()) => self.taken = true,
            Err(refusal) => self.refusal = Some(refusal),
        }
    }
}
