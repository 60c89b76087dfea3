//! The named futures of [`MessageSink`](crate::MessageSink)'s methods.
//!
//! They borrow the sink, allocate nothing, and are `Send` when the sink is `Send` and
//! the message, which is borrowed, is `Sync`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::Sleep;

use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError};
use crate::sink::{End, MessageSink, Report};
use crate::timer;

/// The future of [`MessageSink::feed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Feed<'a, S: ?Sized, M: ?Sized> {
    sink: &'a mut S,
    msg: &'a M,
}

impl<'a, S: ?Sized, M: ?Sized> Feed<'a, S, M> {
    #[inline]
    pub(crate) fn new(sink: &'a mut S, msg: &'a M) -> Self {
        Self { sink, msg }
    }
}

impl<S: MessageSink + ?Sized, M: Encode + ?Sized> Future for Feed<'_, S, M> {
    type Output = Result<(), SinkError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.sink.append(this.msg, this.msg.encoded_len()) {
            return Poll::Ready(Ok(()));
        }
        wait_for_room(this.sink, this.msg, cx)
    }
}

/// The future of [`MessageSink::flush`].
#[must_use = "futures do nothing unless awaited"]
pub struct Flush<'a, S: ?Sized> {
    sink: &'a mut S,
}

impl<'a, S: ?Sized> Flush<'a, S> {
    #[inline]
    pub(crate) fn new(sink: &'a mut S) -> Self {
        Self { sink }
    }
}

impl<S: MessageSink + ?Sized> Future for Flush<'_, S> {
    type Output = Result<(), SinkError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        spend(cx, |cx| self.get_mut().sink.poll_flush(cx))
    }
}

/// The future of [`MessageSink::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a, S: ?Sized, M: ?Sized> {
    sink: &'a mut S,
    msg: &'a M,
    accepted: bool,
}

impl<'a, S: ?Sized, M: ?Sized> Send<'a, S, M> {
    #[inline]
    pub(crate) fn new(sink: &'a mut S, msg: &'a M) -> Self {
        Self { sink, msg, accepted: false }
    }

    /// Whether the sink has accepted the message. If so, only the flush is outstanding.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.accepted
    }
}

impl<S: MessageSink + ?Sized, M: Encode + ?Sized> Future for Send<'_, S, M> {
    type Output = Result<(), SinkError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if !this.accepted {
            if !this.sink.append(this.msg, this.msg.encoded_len()) {
                ready!(wait_for_room(this.sink, this.msg, cx))?;
            }
            this.accepted = true;
        }
        spend(cx, |cx| this.sink.poll_flush(cx))
    }
}

/// The future of [`MessageSink::send_batch`].
#[must_use = "futures do nothing unless awaited"]
pub struct SendBatch<'a, S: ?Sized, I: Iterator> {
    sink: &'a mut S,
    msgs: I,
    /// The message that waits for room.
    waiting: Option<I::Item>,
    accepted: usize,
}

impl<'a, S: ?Sized, I: Iterator> SendBatch<'a, S, I> {
    #[inline]
    pub(crate) fn new(sink: &'a mut S, msgs: I) -> Self {
        Self { sink, msgs, waiting: None, accepted: 0 }
    }

    /// How many messages the sink has accepted: always the first ones.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted
    }
}

// The iterator and the message are never pinned, only moved.
impl<S: ?Sized, I: Iterator> Unpin for SendBatch<'_, S, I> {}

impl<S: MessageSink + ?Sized, I: Iterator<Item: Encode>> Future for SendBatch<'_, S, I> {
    type Output = Result<(), SinkError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some(msg) = this.waiting.take().or_else(|| this.msgs.next()) {
            if !this.sink.append(&msg, msg.encoded_len()) {
                match wait_for_room(this.sink, &msg, cx) {
                    Poll::Ready(Ok(())) => {}
                    refused_or_pending => {
                        this.waiting = Some(msg);
                        return refused_or_pending;
                    }
                }
            }
            this.accepted += 1;
        }
        spend(cx, |cx| this.sink.poll_flush(cx))
    }
}

/// The future of [`MessageSink::connect`].
#[must_use = "futures do nothing unless awaited"]
pub struct Connect<'a, S: ?Sized> {
    sink: &'a mut S,
}

impl<'a, S: ?Sized> Connect<'a, S> {
    pub(crate) fn new(sink: &'a mut S) -> Self {
        Self { sink }
    }
}

impl<S: MessageSink + ?Sized> Future for Connect<'_, S> {
    type Output = Result<(), SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        spend(cx, |cx| self.get_mut().sink.poll_connect(cx))
    }
}

pin_project! {
    /// The future of [`MessageSink::close`] and [`MessageSink::disconnect`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Shutdown<'a, S: ?Sized> {
        sink: &'a mut S,
        end: End,
        deadline: Duration,
        begun: bool,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<'a, S: ?Sized> Shutdown<'a, S> {
    pub(crate) fn new(sink: &'a mut S, end: End, deadline: Duration) -> Self {
        Self { sink, end, deadline, begun: false, timer: None }
    }
}

impl<S: MessageSink + ?Sized> Future for Shutdown<'_, S> {
    type Output = Result<Report, SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if !*this.begun {
            *this.begun = true;
            this.sink.hurry();
        }
        let done = match spend(cx, |cx| poll_end(*this.sink, *this.end, cx)) {
            Poll::Ready(Ok(())) => true,
            // A series of attempts is used up, but not the time: the next poll starts another one,
            // which waits out its back-off before it tries.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::Unreachable => {
                cx.waker().wake_by_ref();
                false
            }
            // Nothing is given up: the caller can try again, or end the sink.
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => false,
        };
        if !done {
            if this.timer.is_none() {
                // Without a deadline nobody knows how long.
                let timer = timer::sleep(*this.deadline).ok_or(ErrorKind::NoRuntime)?;
                this.timer.set(Some(timer));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
        }
        this.sink.end(*this.end);
        Poll::Ready(Ok(this.sink.report().with_error()))
    }
}

/// Feeds a message that the sink did not append. Out of line, so that appending is all there is to a
/// feed that finds room.
#[cold]
#[inline(never)]
fn wait_for_room<S, M>(sink: &mut S, msg: &M, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>
where
    S: MessageSink + ?Sized,
    M: Encode + ?Sized,
{
    spend(cx, |cx| sink.poll_feed(cx, msg))
}

/// Takes a step that may write, and spends one unit of the runtime's budget if it is ready: writes
/// that succeed at once never yield by themselves, and whoever sends in a loop would starve its
/// neighbours. Who waits has spent nothing: many that wait must not use up what one needs.
///
/// It is spent here and not further down, or the first hundred children of a composite would use it
/// up in every poll anew, and the others would never have their turn.
#[inline]
fn spend<R>(cx: &mut Context<'_>, step: impl FnOnce(&mut Context<'_>) -> Poll<R>) -> Poll<R> {
    let budget = ready!(coop::poll_proceed(cx));
    let polled = step(cx);
    if polled.is_ready() {
        budget.made_progress();
    }
    polled
}

fn poll_end<S: MessageSink + ?Sized>(
    sink: &mut S,
    end: End,
    cx: &mut Context<'_>,
) -> Poll<Result<(), SinkError>> {
    match end {
        End::Sleep => sink.poll_disconnect(cx),
        End::Close => sink.poll_close(cx),
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
    "Feed" [S: ?Sized, M: ?Sized] Feed<'_, S, M>;
    "Flush" [S: ?Sized] Flush<'_, S>;
    "Send" [S: ?Sized, M: ?Sized] Send<'_, S, M>;
    "SendBatch" [S: ?Sized, I: Iterator] SendBatch<'_, S, I>;
    "Connect" [S: ?Sized] Connect<'_, S>;
    "Shutdown" [S: ?Sized] Shutdown<'_, S>;
}
