//! The driver: a task that drives a stack while it is awake.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker, ready};

use tokio::task::coop;
use tokio::time::{Instant, sleep_until};

use crate::error::{ErrorKind, SinkError};
use crate::layer::shared::core::Core;
use crate::layer::shared::stage::Turn;
use crate::sink::MessageSink;

/// Drives the stack until it sleeps or is closed.
pub(super) async fn drive<S: MessageSink + Send>(mut present: Present<S>) {
    let core = present.core.clone();
    loop {
        let turn = poll_fn(|cx| {
            // Writes that succeed at once never yield by themselves.
            let budget = ready!(coop::poll_proceed(cx));
            let mut stage = core.stage();
            let turn = stage.turn(&core, cx);
            let turn = stage.tell(&core, turn);
            drop(stage);
            if let Turn::Again = turn {
                budget.made_progress();
            }
            Poll::Ready(turn)
        });
        match turn.await {
            Turn::Again => {}
            Turn::Yield => behind_the_others().await,
            Turn::Wait(time) => woken_or_at(time).await,
            Turn::End => break,
        }
    }
    present.dismissed = true;
    core.heard.wake_all();
}

/// Lets all tasks run that are ready on this thread. Not by tokio's `yield_now`, which looks for
/// events first, a system call.
async fn behind_the_others() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until the task is woken, by whoever it is, or until the time has come.
async fn woken_or_at(time: Option<Instant>) {
    let mut alarm = pin!(time.map(sleep_until));
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        alarm.as_mut().as_pin_mut().map_or(Poll::Pending, |alarm| alarm.poll(cx))
    })
    .await;
}

/// Says goodbye for a driver that is dropped: its runtime ends, perhaps before the first turn, or
/// the stack has panicked.
pub(super) struct Present<S> {
    core: Arc<Core<S>>,
    /// Whether the last turn has done so.
    dismissed: bool,
}

impl<S> Present<S> {
    pub(super) fn new(core: Arc<Core<S>>) -> Self {
        Self { core, dismissed: false }
    }
}

impl<S> Drop for Present<S> {
    fn drop(&mut self) {
        if self.dismissed {
            return;
        }
        let mut woken = Vec::new();
        let mut front = self.core.front();
        if std::thread::panicking() {
            // Or those who wait would start one that panics in turn.
            let error = SinkError::new(ErrorKind::Other).with_help("the stack has panicked");
            front.fail(&error, &mut woken);
            front.order = None;
            front.ends.settle_all(&Err(error), &mut woken);
        }
        front.dismiss(&mut woken);
        drop(front);
        self.core.heard.wake_all();
        woken.into_iter().for_each(Waker::wake);
    }
}
