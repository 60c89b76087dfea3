//! Waiting for events: the driver brings them to those who listen.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::layer::shared::core::Core;
use crate::layer::shared::front::Driver;
use crate::layer::shared::stage::{Stage, Turn};
use crate::sink::{Event, EventQueue, MessageSink, SinkState};

/// What happens to the links of a [`Shared`](crate::Shared) sink, as it happens: see
/// [`Shared::events`](crate::Shared::events).
///
/// It keeps no connection alive: it does not count as a handle, and ends when the sink was closed.
/// Of several, each gets some of the events.
pub struct Events<S> {
    core: Arc<Core<S>>,
}

impl<S: MessageSink + Send + 'static> Events<S> {
    pub(super) fn new(core: &Arc<Core<S>>) -> Self {
        core.heard.listeners.fetch_add(1, Ordering::Relaxed);
        let events = Self { core: core.clone() };
        // What has happened by now, and what a driver that rests would not look at.
        core.heard.take_in(&mut core.stage().stack);
        let driver = core.front().waker.clone();
        driver.into_iter().for_each(Waker::wake);
        events
    }

    /// Waits for the next event. `None` when the sink was closed, or its last handle dropped, and
    /// everything was told.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for a stream of one's own.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.core.heard.queue();
        if let Some(event) = queue.events.pop() {
            return Poll::Ready(Some(event));
        }
        if !self.core.is_over() {
            queue.wakers.retain(|waker| !waker.will_wake(cx.waker()));
            if queue.wakers.len() >= self.core.heard.listeners.load(Ordering::Relaxed) {
                // Somebody waits no longer. If it is not this one, it comes back.
                queue.wakers.remove(0).wake();
            }
            queue.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        drop(queue);
        // The last turn may have ended the sink and not yet told of it.
        self.core.heard.take_in(&mut self.core.stage().stack);
        Poll::Ready(self.core.heard.queue().events.pop())
    }
}

impl<S> Core<S> {
    /// Whether nothing will happen any more.
    fn is_over(&self) -> bool {
        let front = self.front();
        front.ended || (front.handles == 0 && front.driver == Driver::Absent)
    }
}

impl<S> Drop for Events<S> {
    fn drop(&mut self) {
        self.core.heard.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> fmt::Debug for Events<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// What the driver has brought and nobody has taken yet. Its lock is taken with the stage's held,
/// never the other way round.
pub(super) struct Heard {
    listeners: AtomicUsize,
    queue: Mutex<Queue>,
}

/// Events, and who waits for one.
pub(super) struct Queue {
    events: EventQueue,
    wakers: Vec<Waker>,
}

impl Heard {
    pub(super) fn new() -> Self {
        let queue = Queue { events: EventQueue::with_limit(MAX_EVENTS), wakers: Vec::new() };
        Self { listeners: AtomicUsize::new(0), queue: Mutex::new(queue) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_listened_to(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// How many did not fit.
    pub(super) fn lost(&self) -> u64 {
        self.queue().events.lost()
    }

    /// Hands over what nobody has waited for.
    pub(super) fn take<E: FnMut(Event)>(&self, each: &mut E) {
        self.queue().events.take(each);
    }

    /// Takes in what has happened to the stack.
    fn take_in<S: MessageSink>(&self, stack: &mut S) {
        let mut queue = self.queue();
        stack.take_events(&mut |event| queue.events.push(event));
        if !queue.events.is_empty() {
            wake(queue);
        }
    }

    /// Has whoever waits look for itself: nothing more may come.
    pub(super) fn wake_all(&self) {
        wake(self.queue());
    }
}

/// Wakes who waits, once the lock is released.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let wakers = std::mem::take(&mut queue.wakers);
    drop(queue);
    wakers.into_iter().for_each(Waker::wake);
}

impl<S: MessageSink> Stage<S> {
    /// After a turn: brings those who listen what has happened in it. While a link tries to connect
    /// there are turns for that alone, since its attempts wake nobody who waits to write.
    pub(super) fn tell(&mut self, core: &Core<S>, turn: Turn) -> Turn {
        if !core.heard.is_listened_to() {
            return turn;
        }
        core.heard.take_in(&mut self.stack);
        match turn {
            Turn::Wait(until) if is_connecting(&self.stack) => {
                let look = Instant::now() + LOOK;
                Turn::Wait(Some(until.map_or(look, |until| until.min(look))))
            }
            turn => turn,
        }
    }
}

fn is_connecting<S: MessageSink>(stack: &S) -> bool {
    let leaves = stack.report().leaves;
    leaves.iter().any(|leaf| matches!(leaf.state, SinkState::Connecting | SinkState::BackingOff))
}

/// Events that are kept for a listener who is slow: as many as 16 links keep.
const MAX_EVENTS: usize = 1024;

/// How late a listener learns of an attempt to connect that has failed.
const LOOK: Duration = Duration::from_millis(100);
