//! Best effort around a whole sink: what it has no room for, it misses.

use std::task::{Context, Poll};

use super::lag::Lag;
use super::{BestEffort, has_failed, is_away};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::forward_sink;
use crate::sink::{Count, End, Event, MessageSink, Report};

impl<S: MessageSink> MessageSink for BestEffort<S> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.inner.append(msg, len) { Ok(()) } else { self.feed_or_skip(msg, len) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.inner.append(msg, len) || (!self.gates && self.feed_or_skip(msg, len).is_ok())
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.takes_all() || self.inner.fits(len)
    }

    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.takes_all() || self.inner.accepts(msg, len)
    }

    fn room(&self, len: usize) -> bool {
        self.takes_all() || self.inner.room(len)
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        if self.takes_all() { Ok(()) } else { self.inner.try_ready(len) }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        if self.takes_all() { Poll::Ready(Ok(())) } else { self.inner.poll_ready(cx, len) }
    }

    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        if self.gates {
            return self.inner.poll_feed(cx, msg);
        }
        Poll::Ready(self.feed_or_skip(msg, msg.encoded_len()).map_err(SinkError::from))
    }

    /// One attempt, and nobody waits for what comes of it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let accepted = self.inner.accepted_bytes();
        if self.has_given_up(accepted) {
            return Poll::Ready(Ok(()));
        }
        let flushed = self.inner.poll_flush(cx);
        if self.gates {
            return flushed;
        }
        self.gave_up = has_failed(&flushed).then_some(accepted);
        if flushed.is_ready() && self.gave_up.is_none() && self.inner.is_connected() {
            self.catch_up();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.closed = true;
        let closed = self.inner.poll_close(cx);
        self.unless_away(closed)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let ended = self.inner.poll_disconnect(cx);
        self.unless_away(ended)
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let connected = self.inner.poll_connect(cx);
        if self.takes_all() { Poll::Ready(Ok(())) } else { connected }
    }

    fn end(&mut self, end: End) {
        self.closed |= end == End::Close;
        self.inner.end(end);
    }

    /// True unless it is closed: its connection does not count.
    fn is_connected(&self) -> bool {
        self.takes_all() || self.inner.is_connected()
    }

    fn report_into(&self, report: &mut Report) {
        let first = report.leaves.len();
        self.inner.report_into(report);
        if let (Some(lag), Some(leaf)) = (&self.lag, report.leaves.get_mut(first)) {
            leaf.events_lost += lag.events.lost();
        }
        if self.gates {
            return;
        }
        for leaf in report.leaves.iter_mut().skip(first) {
            leaf.gates = false;
            leaf.add_missed(self.skipped);
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.inner.take_events(each);
        if let Some(lag) = &mut self.lag {
            lag.events.take(each);
        }
    }

    forward_sink! { inner:
        hurry state accepted_bytes outstanding_bytes set_policy due close_deadline
    }
}

impl<S> BestEffort<S> {
    /// Whether it takes every message, if only to skip it.
    #[inline]
    fn takes_all(&self) -> bool {
        !self.gates && !self.closed
    }
}

impl<S: MessageSink> BestEffort<S> {
    /// Feeds a message that cannot just be appended, or counts it as missed.
    #[cold]
    #[inline(never)]
    fn feed_or_skip<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
    ) -> Result<(), TryFeedError> {
        match self.inner.try_feed(msg) {
            Err(refusal) if self.gates || refusal.is_closed() => Err(refusal),
            Err(_) => {
                self.fall_behind();
                self.skipped = self.skipped.plus(Count { bytes: len as u64, messages: Some(1) });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// It misses a message.
    fn fall_behind(&mut self) {
        let lag = self.lag.get_or_insert_with(|| Box::new(Lag::new()));
        if !lag.is_behind() {
            lag.begin(self.inner.report(), self.skipped);
        }
    }

    /// It has written all that it has.
    #[inline]
    fn catch_up(&mut self) {
        if let Some(lag) = self.lag.as_mut().filter(|lag| lag.is_behind()) {
            lag.end(self.inner.report(), self.skipped);
        }
    }

    /// An end is waited for as long as somebody is there, or expected.
    fn unless_away(&self, ended: Poll<Result<(), SinkError>>) -> Poll<Result<(), SinkError>> {
        match ended {
            ended if self.gates => ended,
            Poll::Pending if !is_away(self.inner.state()) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}
