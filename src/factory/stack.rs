//! The stack that the factory builds: one type for all that a configuration can say.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::factory::route::Route;
use crate::layer::{Buffered, Lazy};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// A sink built by name: one of the stacks that the factory knows, statically dispatched.
///
/// The stacks differ only below the buffer. Feeding is the same code for all of them, as if the stack
/// was written out in types; which one it is matters when bytes leave.
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct SinkStack {
    inner: Lazy<Buffered<Route>>,
}

impl SinkStack {
    pub(crate) fn new(inner: Lazy<Buffered<Route>>) -> Self {
        Self { inner }
    }
}

impl MessageSink for SinkStack {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        self.inner.try_feed(msg)
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M) -> bool {
        self.inner.append(msg)
    }

    #[inline]
    fn room(&self, len: usize) -> bool {
        self.inner.room(len)
    }

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        self.inner.poll_ready(cx, len)
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.inner.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.inner.poll_close(cx)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.inner.poll_disconnect(cx)
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.inner.poll_connect(cx)
    }

    fn hurry(&mut self) {
        self.inner.hurry();
    }

    fn end(&mut self, end: End) {
        self.inner.end(end);
    }

    fn state(&self) -> SinkState {
        self.inner.state()
    }

    fn accepted_bytes(&self) -> u64 {
        self.inner.accepted_bytes()
    }

    fn report_into(&self, report: &mut Report) {
        self.inner.report_into(report);
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.inner.take_events(each);
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.inner.set_policy(policy);
    }

    fn close_deadline(&self) -> Duration {
        self.inner.close_deadline()
    }
}
