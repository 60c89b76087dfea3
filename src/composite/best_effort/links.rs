//! Best effort around a link: what it holds up alone in the shared buffer, it is made to leave out.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{BestEffort, has_failed, is_away};
use crate::buffer::Pending;
use crate::error::SinkError;
use crate::framing::Framing;
use crate::link::{Link, Skip, not_a_sink};
use crate::policy::LazyPolicy;
use crate::sink::{DropReason, End, Event, Report, SinkState};

not_a_sink!([L: Link] BestEffort<L>);

impl<L: Link> Link for BestEffort<L> {
    fn wake(&mut self) -> Result<(), SinkError> {
        self.inner.wake()
    }

    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        if self.has_given_up(pending.end()) {
            return Ok(());
        }
        let written = self.inner.try_write(pending);
        if self.gates {
            return written;
        }
        self.gave_up = written.is_err().then_some(pending.end());
        Ok(())
    }

    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        self.inner.try_write_around(start, frame)
    }

    /// One attempt, and nobody waits for what comes of it.
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if self.has_given_up(pending.end()) {
            return Poll::Ready(Ok(()));
        }
        let written = self.inner.poll_write(cx, pending);
        if self.gates {
            return written;
        }
        self.gave_up = has_failed(&written).then_some(pending.end());
        Poll::Ready(Ok(()))
    }

    fn taken(&self) -> u64 {
        self.inner.taken()
    }

    fn gates(&self) -> bool {
        self.gates && self.inner.gates()
    }

    fn required(&self) -> u64 {
        if self.gates { self.inner.required() } else { u64::MAX }
    }

    fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
        if self.gates {
            self.inner.give_way(pending, to, needed);
        } else if needed || is_away(self.inner.state()) {
            self.inner.skip(pending, to, Skip::Dropped(DropReason::Skipped));
        }
    }

    fn reached(&self) -> u64 {
        self.inner.reached()
    }

    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        self.inner.skip(pending, to, skip);
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let connected = self.inner.poll_connect(cx);
        if self.gates { connected } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        match self.inner.poll_shutdown(cx, pending) {
            ended if self.gates => ended,
            Poll::Pending if !is_away(self.inner.state()) => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        self.inner.end(end, pending);
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        self.inner.hurry(pending);
    }

    fn state(&self) -> SinkState {
        self.inner.state()
    }

    fn write_size(&self) -> usize {
        self.inner.write_size()
    }

    fn close_deadline(&self) -> Duration {
        self.inner.close_deadline()
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.inner.set_policy(policy);
    }

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        let first = report.leaves.len();
        self.inner.report_into(pending, report);
        if !self.gates {
            report.leaves.iter_mut().skip(first).for_each(|leaf| leaf.gates = false);
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.inner.take_events(each);
    }
}
