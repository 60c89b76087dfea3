//! A buffer over a link as a sink.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::{Buffered, Phase};
use crate::buffer::Pending;
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::framing::{FrameError, Framing};
use crate::link::Link;
use crate::policy::LazyPolicy;
use crate::sink::{self, End, Event, MessageSink, Report, SinkState};

impl<L: Link, F: Framing> MessageSink for Buffered<L, F> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) { Ok(()) } else { self.feed_refused(msg, len) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let frame = self.framing.frame_size(len);
        self.store.append(frame, |bytes| self.framing.write_frame(msg, len, bytes)).is_ok()
    }

    /// Tries the message in the free part of the window, where the framing may refuse any; one that
    /// there is no room for now, in other memory.
    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        if !F::REFUSES {
            return true;
        }
        let (size, mut accepts) = (self.framing.frame_size(len), None);
        // An error keeps the store from appending, whatever the framing said.
        let _ = self.store.append(size, |bytes| {
            accepts = Some(self.framing.write_frame(msg, len, bytes).is_ok());
            Err(FrameError::Invalid("only tried"))
        });
        accepts.unwrap_or_else(|| {
            self.frame_size(len).map_or(true, |frame| self.carries(msg, len, frame))
        })
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.store.fits(self.framing.frame_size(len))
    }

    fn room(&self, len: usize) -> bool {
        let left = self.capacity - self.required_len();
        self.frame_size(len).is_ok_and(|frame| frame <= left || self.when_full.drops())
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        match self.framing.frame_size(len) {
            Some(frame) if self.store.has(frame) => Ok(()),
            _ => self.make_ready(len),
        }
    }

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        match self.framing.frame_size(len) {
            Some(frame) if self.store.has(frame) => Poll::Ready(Ok(())),
            _ => self.poll_room(cx, len),
        }
    }

    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        let len = msg.encoded_len();
        if self.is_large(len) && self.feed_around(msg, len) {
            return Poll::Ready(Ok(()));
        }
        sink::poll_feed(self, cx, msg)
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.phase != Phase::Awake {
            if self.store.is_empty() {
                // Nothing to do, in particular nothing that would set an eager link going again.
                return Poll::Ready(Ok(()));
            }
            if self.phase == Phase::Asleep {
                self.wake()?;
            }
        }
        self.poll_push(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closing;
            self.store.close();
            ready!(self.poll_shutdown(cx))?;
            self.end(End::Close);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.poll_shutdown(cx))?;
        self.fall_asleep();
        Poll::Ready(Ok(()))
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        match self.phase {
            Phase::Closing | Phase::Closed => return Poll::Ready(Err(ErrorKind::Closed.into())),
            Phase::Asleep => self.wake()?,
            Phase::Awake => {}
        }
        let connected = self.link.poll_connect(cx);
        if let Poll::Ready(Err(_)) = connected {
            self.fall_asleep();
        }
        connected
    }

    fn hurry(&mut self) {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        self.link.hurry(pending);
    }

    fn end(&mut self, end: End) {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        self.link.end(end, pending);
        match end {
            End::Sleep => {
                self.release(usize::MAX);
                self.fall_asleep();
            }
            End::Close => {
                self.start += self.store.len() as u64;
                self.store.free();
                self.fall();
                self.phase = Phase::Closed;
            }
        }
    }

    fn state(&self) -> SinkState {
        match self.phase {
            Phase::Closed => SinkState::Closed,
            _ => self.link.state(),
        }
    }

    fn accepted_bytes(&self) -> u64 {
        let dropped = self.extra.as_ref().map_or(0, |extra| extra.overflow.bytes());
        self.start + self.store.len() as u64 + dropped
    }

    #[inline]
    fn outstanding_bytes(&self) -> u64 {
        self.store.len() as u64
    }

    fn report_into(&self, report: &mut Report) {
        let first = report.leaves.len();
        self.link.report_into(self.pending(), report);
        if let (Some(water), Some(leaf)) = (self.water(), report.leaves.get_mut(first)) {
            leaf.events_lost += water.events.lost();
        }
        for leaf in report.leaves.iter_mut().skip(first) {
            if let Some(extra) = &self.extra {
                extra.overflow.report_to(leaf);
            }
            if self.phase == Phase::Closed {
                leaf.state = SinkState::Closed;
            }
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.link.take_events(each);
        if let Some(water) = self.water_mut() {
            water.events.take(each);
        }
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.link.set_policy(policy);
    }

    fn close_deadline(&self) -> Duration {
        self.link.close_deadline()
    }
}
