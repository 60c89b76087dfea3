//! The named futures that bring messages in and out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::coop;

use crate::encode::Encode;
use crate::error::SinkError;
use crate::layer::shared::core::Core;
use crate::layer::shared::front::{Driver, Front, Span};
use crate::layer::shared::waiting::{Admission, Flushes, Waiting};
use crate::sink::MessageSink;

/// The future of [`Shared::feed`](super::Shared::feed).
#[must_use = "futures do nothing unless awaited"]
pub struct Feed<'a, S, M: ?Sized> {
    admission: Admission<'a, S>,
    msg: &'a M,
}

impl<'a, S, M: ?Sized> Feed<'a, S, M> {
    #[inline]
    pub(super) fn new(core: &'a Arc<Core<S>>, msg: &'a M) -> Self {
        Self { admission: Admission::new(core), msg }
    }
}

impl<S, M> Future for Feed<'_, S, M>
where
    S: MessageSink + std::marker::Send + 'static,
    M: Encode + ?Sized,
{
    type Output = Result<(), SinkError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.admission.poll(cx, this.msg, |_, _, _| ())
    }
}

/// The future of [`Shared::flush`](super::Shared::flush).
#[must_use = "futures do nothing unless awaited"]
pub struct Flush<'a, S> {
    core: &'a Arc<Core<S>>,
    waiting: Option<Waiting<'a, S, Flushes>>,
}

impl<'a, S> Flush<'a, S> {
    pub(super) fn new(core: &'a Arc<Core<S>>) -> Self {
        Self { core, waiting: None }
    }
}

impl<S: MessageSink + std::marker::Send + 'static> Future for Flush<'_, S> {
    type Output = Result<(), SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(waiting) = &mut this.waiting {
            return waiting.poll(cx);
        }
        let budget = ready!(coop::poll_proceed(cx));
        let mut front = this.core.front();
        let (from, until) = (front.flushed, front.accepted());
        if from == until {
            budget.made_progress();
            return Poll::Ready(Ok(()));
        }
        let waiting = enter_flush(this.core, &mut front, from, until, cx);
        drop(front);
        this.waiting.insert(waiting).poll(cx)
    }
}

/// Waits for the flush of what lies between two positions.
fn enter_flush<'a, S>(
    core: &'a Arc<Core<S>>,
    front: &mut Front,
    from: u64,
    until: u64,
    cx: &mut Context<'_>,
) -> Waiting<'a, S, Flushes> {
    front.hurry();
    Waiting::enter(core, front, Span { from, until, refused: None }, cx.waker())
}

/// The future of [`Shared::send`](super::Shared::send).
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, S, M: ?Sized> {
    admission: Admission<'a, S>,
    msg: &'a M,
    core: &'a Arc<Core<S>>,
    /// Once the message was accepted.
    waiting: Option<Waiting<'a, S, Flushes>>,
}

impl<'a, S, M: ?Sized> Send<'a, S, M> {
    #[inline]
    pub(super) fn new(core: &'a Arc<Core<S>>, msg: &'a M) -> Self {
        Self { admission: Admission::new(core), msg, core, waiting: None }
    }

    /// Whether the message was accepted. If so, only its flush is outstanding.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.waiting.is_some()
    }
}

impl<S, M> Future for Send<'_, S, M>
where
    S: MessageSink + std::marker::Send + 'static,
    M: Encode + ?Sized,
{
    type Output = Result<(), SinkError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(waiting) = &mut this.waiting {
            return waiting.poll(cx);
        }
        let core = this.core;
        let (waiting, gathering) = ready!(this.admission.poll(cx, this.msg, |front, from, cx| {
            let until = front.accepted();
            let gathering = front.driver == Driver::Gathering;
            (enter_flush(core, front, from, until, cx), gathering)
        }))?;
        let waiting = this.waiting.insert(waiting);
        if gathering {
            return waiting.poll(cx);
        }
        // There is a driver, and it has seen that somebody waits, or will.
        Poll::Pending
    }
}

/// The future of [`Shared::send_batch`](super::Shared::send_batch).
#[must_use = "futures do nothing unless awaited"]
pub struct SendBatch<'a, S, I: Iterator> {
    admission: Admission<'a, S>,
    msgs: I,
    /// The message that waits for room.
    next: Option<I::Item>,
    accepted: usize,
    /// Position of the first message.
    from: Option<u64>,
    /// Position behind the last one.
    until: u64,
    core: &'a Arc<Core<S>>,
    waiting: Option<Waiting<'a, S, Flushes>>,
}

impl<'a, S, I: Iterator> SendBatch<'a, S, I> {
    pub(super) fn new(core: &'a Arc<Core<S>>, msgs: I) -> Self {
        let admission = Admission::new(core);
        let (next, from, waiting) = (None, None, None);
        Self { admission, msgs, next, accepted: 0, from, until: 0, core, waiting }
    }

    /// How many messages were accepted: always the first ones.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted
    }
}

// The iterator and the message are never pinned, only moved.
impl<S, I: Iterator> Unpin for SendBatch<'_, S, I> {}

impl<S, I> Future for SendBatch<'_, S, I>
where
    S: MessageSink + std::marker::Send + 'static,
    I: Iterator<Item: Encode>,
{
    type Output = Result<(), SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(waiting) = &mut this.waiting {
            return waiting.poll(cx);
        }
        while let Some(msg) = this.next.take().or_else(|| this.msgs.next()) {
            let span = |front: &mut Front, from, _: &mut Context<'_>| (from, front.accepted());
            let (from, until) = match this.admission.poll(cx, &msg, span) {
                Poll::Ready(Ok(span)) => span,
                Poll::Ready(Err(error)) => {
                    this.next = Some(msg);
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    this.next = Some(msg);
                    return Poll::Pending;
                }
            };
            this.accepted += 1;
            this.from.get_or_insert(from);
            this.until = until;
        }
        let Some(from) = this.from else { return Poll::Ready(Ok(())) };
        let mut front = this.core.front();
        if front.flushed >= this.until {
            return Poll::Ready(Ok(()));
        }
        let waiting = enter_flush(this.core, &mut front, from, this.until, cx);
        drop(front);
        this.waiting.insert(waiting).poll(cx)
    }
}

/// Implements `Debug` for futures, whose sink and messages need not have it.
macro_rules! debug_future {
    ($($name:literal [$($generics:tt)*] $future:ty;)*) => {
        $(impl<$($generics)*> fmt::Debug for $future {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        })*
    };
}

debug_future! {
    "Feed" [S, M: ?Sized] Feed<'_, S, M>;
    "Flush" [S] Flush<'_, S>;
    "Send" [S, M: ?Sized] Send<'_, S, M>;
    "SendBatch" [S, I: Iterator] SendBatch<'_, S, I>;
}
