//! The named futures of what is ordered from the driver.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::error::{ErrorKind, SinkError};
use crate::layer::shared::core::Core;
use crate::layer::shared::front::Front;
use crate::layer::shared::waiting::{Connects, Ends, Waiting};
use crate::sink::{End, MessageSink, Report};

/// The future of [`Shared::connect`](super::Shared::connect).
#[must_use = "futures do nothing unless awaited"]
pub struct Connect<'a, S> {
    core: &'a Arc<Core<S>>,
    waiting: Option<Waiting<'a, S, Connects>>,
}

impl<'a, S> Connect<'a, S> {
    pub(super) fn new(core: &'a Arc<Core<S>>) -> Self {
        Self { core, waiting: None }
    }
}

impl<S: MessageSink + Send + 'static> Future for Connect<'_, S> {
    type Output = Result<(), SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(waiting) = &mut this.waiting {
            return waiting.poll(cx);
        }
        let mut front = this.core.front();
        if front.closed {
            return Poll::Ready(Err(ErrorKind::Closed.into()));
        }
        let rouse = front.summon()?;
        this.waiting = Some(Waiting::enter(this.core, &mut front, (), cx.waker()));
        drop(front);
        this.core.perform(rouse);
        Poll::Pending
    }
}

/// The future of [`Shared::close`](super::Shared::close) and
/// [`Shared::disconnect`](super::Shared::disconnect).
#[must_use = "futures do nothing unless awaited"]
pub struct Shutdown<'a, S> {
    core: &'a Arc<Core<S>>,
    end: End,
    /// None is the stack's own.
    deadline: Option<Duration>,
    waiting: Option<Waiting<'a, S, Ends>>,
}

impl<'a, S> Shutdown<'a, S> {
    pub(super) fn new(core: &'a Arc<Core<S>>, end: End, deadline: Option<Duration>) -> Self {
        Self { core, end, deadline, waiting: None }
    }
}

impl<S: MessageSink + Send + 'static> Future for Shutdown<'_, S> {
    type Output = Result<Report, SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(waiting) = &mut this.waiting {
            ready!(waiting.poll(cx))?;
            return Poll::Ready(Ok(this.core.report().with_error()));
        }
        let deadline = this.deadline.unwrap_or(this.core.close_deadline);
        let core = this.core;
        let enter = |front: &mut Front| Waiting::enter(core, front, (), cx.waker());
        this.waiting = core.order(this.end, deadline, enter)?;
        match this.waiting {
            Some(_) => Poll::Pending,
            None => Poll::Ready(Ok(this.core.report().with_error())),
        }
    }
}

impl<S> fmt::Debug for Connect<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Shutdown<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("end", &self.end).finish_non_exhaustive()
    }
}
