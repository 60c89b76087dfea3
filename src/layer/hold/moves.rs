//! Moving messages between the queue and the sink below.

use std::task::{Context, Poll, ready};

use crate::buffer::Record;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::layer::hold::{Hold, Queue};
use crate::sink::MessageSink;

impl<S: MessageSink, Q: Queue<S>> Hold<S, Q> {
    /// From now on messages wait, behind what nobody has seen yet. False when there is no memory.
    #[cold]
    pub(super) fn hold(&mut self) -> bool {
        if self.queue.allocate().is_none() {
            return false;
        }
        (self.through, self.batch) = (false, 1);
        self.take_back();
        true
    }

    /// Looks through what is below before more is written.
    pub(super) fn hold_and_push_down(&mut self) -> Result<(), TryFeedError> {
        if !self.hold() {
            return Err(TryFeedError::Full);
        }
        self.push_down();
        Ok(())
    }

    /// Messages go straight through again, if none waits.
    pub(super) fn resume(&mut self) {
        if self.queue.len() == 0 && !self.closed {
            self.through = true;
        }
    }

    /// Whether what is below must be looked through before more is written.
    pub(super) fn must_take_back(&self) -> bool {
        let away = !self.below.is_empty() && !self.inner.is_connected();
        away || self.queue.is_stale(&self.below)
    }

    /// Moves messages between here and below: what was accepted stays accepted.
    pub(super) fn moving<T>(&mut self, moves: impl FnOnce(&mut Self) -> T) -> T {
        let accepted = self.accepted_bytes();
        let moved = moves(self);
        self.above = accepted.wrapping_sub(self.inner.accepted_bytes());
        moved
    }

    /// Takes back from below what nobody has seen; answers how many messages.
    #[cold]
    pub(super) fn take_back(&mut self) -> usize {
        self.moving(|this| {
            let Self { inner, queue, below, dropped, .. } = this;
            queue.take_back(inner, below, dropped)
        })
    }

    /// Takes back what is below if some of that must not be written any more.
    pub(super) fn take_back_stale(&mut self) {
        if self.queue.is_stale(&self.below) {
            self.take_back();
        }
    }

    /// Takes back what is below if something that was accepted since makes it worth nothing.
    pub(super) fn take_back_outdated(&mut self) {
        if self.waiting > 0 && self.queue.outdates() && !self.below.is_written() {
            self.take_back();
        }
        self.waiting = 0;
    }

    /// Feeds the sink below what waits, at most `most` messages, until it refuses one.
    pub(super) fn feed_down(
        &mut self,
        most: usize,
        mut feed: impl FnMut(&mut S, &Record<'_>) -> Result<(), TryFeedError>,
    ) -> usize {
        self.moving(|this| {
            let Self { inner, queue, below, dropped, .. } = this;
            let mut fed = 0;
            while fed < most
                && let Some(record) = queue.front(dropped)
            {
                if feed(inner, &record).is_err() {
                    break;
                }
                let marks = record.marks;
                below.passed();
                if queue.remembers(&marks) {
                    below.remember(marks);
                }
                queue.pop();
                fed += 1;
            }
            fed
        })
    }

    /// Moves on without waiting: the sink below gets what it takes.
    #[cold]
    pub(super) fn push_down(&mut self) {
        self.take_back_stale();
        self.take_back_outdated();
        self.feed_down(usize::MAX, |inner, record| inner.try_feed(record));
        self.resume();
    }

    /// Asks the sink below whether it could ever take a message of `len` bytes. Wakes it.
    pub(super) fn ask_below(&mut self, len: usize) -> Result<(), TryFeedError> {
        self.take_back_stale();
        match self.inner.try_ready(len) {
            Ok(()) => {
                self.carries = self.carries.max(len);
                Ok(())
            }
            Err(refusal) => self.judge_refusal(refusal, len),
        }
    }

    /// The sink below has refused a message of `len` bytes. Fails if that is for good, or may be:
    /// otherwise it can wait here.
    pub(super) fn judge_refusal(
        &mut self,
        refusal: TryFeedError,
        len: usize,
    ) -> Result<(), TryFeedError> {
        match refusal {
            TryFeedError::Full | TryFeedError::NotConnected => self.carries = self.carries.max(len),
            // Whoever is not there to ask has carried as much before.
            TryFeedError::CircuitOpen if len <= self.carries => {}
            refusal => return Err(refusal),
        }
        Ok(())
    }

    /// Writes everything, here and below, in an order in which nothing is written too late.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.through {
            if !self.hold() {
                return Poll::Ready(Err(ErrorKind::OutOfMemory.into()));
            }
            self.resume();
        }
        if !self.through {
            return self.poll_down(cx, |_| false);
        }
        ready!(self.inner.poll_flush(cx))?;
        self.below.forget();
        Poll::Ready(Ok(()))
    }

    /// Brings what waits down in batches, until there is room for a message of `len` bytes, or
    /// until everything is written.
    pub(super) fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        enough: impl Fn(&mut Self) -> bool,
    ) -> Poll<Result<(), SinkError>> {
        self.take_back_outdated();
        loop {
            if enough(self) {
                return Poll::Ready(Ok(()));
            }
            self.take_back_stale();
            if self.queue.len() > 0 && !self.inner.is_connected() {
                match self.inner.poll_connect(cx) {
                    // Nothing lies in the way of what comes first on a new connection.
                    Poll::Ready(Ok(())) => self.batch = usize::MAX,
                    other => {
                        self.take_back();
                        return other;
                    }
                }
            }
            let next = self.queue.front(&mut self.dropped).map(|next| next.payload.len());
            // With nothing new below a flush would only find that the sink is idle.
            if next.is_none() || !self.below.is_written() {
                let flushed = self.inner.poll_flush(cx);
                if !matches!(flushed, Poll::Ready(Ok(()))) {
                    if self.batch > 2 {
                        self.take_back();
                    }
                    self.batch = 1;
                    return flushed;
                }
                self.below.forget();
            }
            let Some(len) = next else {
                self.resume();
                return Poll::Ready(Ok(()));
            };
            ready!(self.inner.poll_ready(cx, len))?;
            let fed = self.feed_down(self.batch, |inner, record| inner.try_feed(record));
            if fed == 0 && self.queue.len() > 0 {
                // A sink that is ready for a message and refuses it contradicts itself.
                return Poll::Ready(Err(ErrorKind::Other.into()));
            }
            self.batch = self.batch.saturating_mul(2);
        }
    }
}
