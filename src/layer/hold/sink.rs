//! The queue and the sink below as one sink.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::forward_sink;
use crate::layer::hold::{Hold, Queue, sooner};
use crate::sink::{DropReason, End, MessageSink, Report, SinkState};

impl<S: MessageSink, Q: Queue<S>> MessageSink for Hold<S, Q> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append_through(msg, len) { Ok(()) } else { self.feed_held(msg, len) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.append_through(msg, len) || !self.closed && self.append_held(msg, len)
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        if self.through {
            return self.inner.fits(len);
        }
        let awake = self.inner.state() != SinkState::Asleep;
        !self.closed && (self.is_promised(len) || awake && self.can_wait(len))
    }

    fn room(&self, len: usize) -> bool {
        !self.closed && (self.can_wait(len) || self.through && self.inner.room(len))
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        if self.closed {
            return Err(TryFeedError::Closed);
        }
        let promised = self.room(len);
        if promised {
            // What there is room for below could go there.
            self.carries = self.carries.max(len);
        }
        let mut refusal = TryFeedError::Full;
        if self.through && self.must_take_back() {
            self.hold_and_push_down()?;
        } else if !self.through {
            self.ask_below(len)?;
            if !promised && !self.queue.makes_room(len, None, &mut self.dropped) {
                self.push_down();
            }
        }
        if self.through {
            match self.inner.try_ready(len) {
                Ok(()) => {
                    self.promised = Some(len);
                    return Ok(());
                }
                Err(refused) => refusal = refused,
            }
            self.judge_refusal(refusal, len)?;
            if !self.hold() {
                return Err(refusal);
            }
        }
        if len > self.carries {
            self.ask_below(len)?;
        }
        if !promised && !self.can_wait(len) {
            return Err(refusal);
        }
        self.promised = Some(len);
        Ok(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        if self.closed {
            return Poll::Ready(Err(ErrorKind::Closed.into()));
        }
        if self.room(len) && !self.through {
            self.promised = Some(len);
            return Poll::Ready(Ok(()));
        }
        let straight = self.through && !self.must_take_back();
        if self.through && !straight && !self.hold() {
            return Poll::Ready(Err(ErrorKind::OutOfMemory.into()));
        }
        if !straight {
            self.take_back_stale();
        }
        // That it lets somebody wait need not mean that it could ever take such a message: it may
        // not have come to look. Where it refuses for good it says so below.
        if len > self.carries {
            let _ = self.ask_below(len);
        }
        let ready = self.inner.poll_ready(cx, len)?;
        if ready.is_ready() {
            self.carries = self.carries.max(len);
        }
        if straight {
            if ready.is_ready() || self.can_wait(len) {
                self.promised = Some(len);
            }
            if ready.is_ready() || !self.hold() {
                return ready.map(Ok);
            }
        }
        ready!(self.poll_down(cx, |this| {
            this.is_promised(len)
                || len <= this.carries && this.queue.makes_room(len, None, &mut this.dropped)
        }))?;
        if self.through {
            ready!(self.inner.poll_ready(cx, len))?;
        }
        self.promised = Some(len);
        Poll::Ready(Ok(()))
    }

    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        // A message that says another length each time it is asked gets a few chances.
        for _ in 0..8 {
            let len = msg.encoded_len();
            match self.try_feed(msg) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(refusal @ TryFeedError::Invalid) => return Poll::Ready(Err(refusal.into())),
                Err(TryFeedError::Full | TryFeedError::NotConnected) if !self.through => {
                    let marks = self.queue.admit(msg);
                    ready!(self.poll_down(cx, |this| {
                        let Self { queue, dropped, .. } = this;
                        marks.is_none_or(|marks| queue.makes_room(len, Some(&marks), dropped))
                    }))?;
                    // Where nothing can wait here it waits for the sink below.
                    if self.through {
                        ready!(self.inner.poll_ready(cx, len))?;
                    }
                }
                // With the numbers and the names that a refusal has not.
                Err(_) => ready!(self.poll_ready(cx, len))?,
            }
        }
        Poll::Ready(Err(ErrorKind::InvalidMessage.into()))
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.through && !self.queue.is_stale(&self.below) {
            let flushed = self.inner.poll_flush(cx);
            match &flushed {
                Poll::Ready(Ok(())) => self.below.forget(),
                Poll::Pending if self.must_take_back() => return self.poll_written(cx),
                _ => {}
            }
            return flushed;
        }
        self.poll_written(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        (self.closed, self.through) = (true, false);
        // All of it, before the sink below takes nothing more: what comes back has to go again.
        ready!(self.poll_written(cx))?;
        ready!(self.inner.poll_close(cx))?;
        self.queue.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if !self.through || self.queue.is_stale(&self.below) {
            ready!(self.poll_written(cx))?;
        }
        ready!(self.inner.poll_disconnect(cx))?;
        self.below.forget();
        self.queue.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.closed {
            return Poll::Ready(Err(ErrorKind::Closed.into()));
        }
        self.inner.poll_connect(cx)
    }

    /// With something to write, or the sink below would see no reason to.
    fn hurry(&mut self) {
        if !self.through {
            self.take_back_stale();
            self.feed_down(1, |inner, record| inner.try_feed(record));
        }
        self.inner.hurry();
    }

    fn end(&mut self, end: End) {
        if end == End::Close {
            self.dropped.add(DropReason::Closed, self.queue.held());
            self.queue.clear();
            self.below.forget();
            (self.closed, self.through) = (true, false);
        }
        self.inner.end(end);
    }

    fn accepted_bytes(&self) -> u64 {
        self.inner.accepted_bytes().wrapping_add(self.above)
    }

    fn outstanding_bytes(&self) -> u64 {
        self.inner.outstanding_bytes() + self.queue.held().bytes
    }

    fn report_into(&self, report: &mut Report) {
        self.inner.report_into(report);
        report.unfed = report.unfed.plus(self.queue.held());
        for reason in DropReason::ALL {
            report.dropped.add(reason, self.dropped.get(reason));
        }
    }

    /// Who waits for room looks again when something makes some.
    fn due(&self) -> Option<Instant> {
        sooner(self.inner.due(), self.queue.due())
    }

    forward_sink! { inner: accepts state is_connected take_events set_policy close_deadline }
}

/// Leaves what it can to the sink below, which makes one attempt to write.
impl<S: MessageSink, Q: Queue<S>> Drop for Hold<S, Q> {
    fn drop(&mut self) {
        if self.queue.len() > 0 || self.queue.is_stale(&self.below) {
            self.push_down();
        }
    }
}
