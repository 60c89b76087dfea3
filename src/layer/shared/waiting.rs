//! What the futures are made of: a place at the door, and a place among those who wait for the
//! driver. Dropped, each leaves its queue.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::task::coop;

use crate::encode::Encode;
use crate::error::SinkError;
use crate::layer::shared::core::Core;
use crate::layer::shared::front::{Front, Rouse, Span};
use crate::layer::shared::queue::Queue;
use crate::layer::shared::record::Draft;
use crate::sink::MessageSink;

/// Accepting messages, one after the other.
pub(super) struct Admission<'a, S> {
    core: &'a Arc<Core<S>>,
    /// The place at the door, while there is no room.
    place: Option<u64>,
}

impl<'a, S> Admission<'a, S> {
    #[inline]
    pub(super) fn new(core: &'a Arc<Core<S>>) -> Self {
        Self { core, place: None }
    }

    #[cold]
    #[inline(never)]
    fn leave(&self, place: u64) {
        let mut woken = Vec::new();
        self.core.front().leave(place, &mut woken);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl<S: MessageSink + Send + 'static> Admission<'_, S> {
    /// Accepts `msg`, waiting for room. `then` runs under the same lock and is told the message's
    /// position.
    #[inline]
    pub(super) fn poll<M: Encode + ?Sized, T>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
        then: impl FnOnce(&mut Front, u64, &mut Context<'_>) -> T,
    ) -> Poll<Result<T, SinkError>> {
        if self.place.is_none() {
            let draft = Draft::new(msg);
            let mut front = self.core.front();
            if front.append(&draft) {
                let position = front.position(&draft);
                return Poll::Ready(Ok(then(&mut front, position, cx)));
            }
        }
        self.poll_door(cx, msg, then)
    }

    #[cold]
    #[inline(never)]
    fn poll_door<M: Encode + ?Sized, T>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
        then: impl FnOnce(&mut Front, u64, &mut Context<'_>) -> T,
    ) -> Poll<Result<T, SinkError>> {
        // The first one behind each swap comes here, so a loop of feeds that never has to wait does
        // not starve its neighbours.
        let budget = ready!(coop::poll_proceed(cx));
        let draft = self.core.draft(msg);
        let size = self.core.size(&draft);
        let mut front = self.core.front();
        let size = front.prepare(size)?;
        if let Some(place) = self.place
            && front.door.granted(place).is_none()
        {
            let Poll::Ready(outcome) = front.door.poll(place, cx.waker()) else {
                // With nothing there it is others who have the room, and no work for a driver.
                let rouse = if front.len() > 0 { front.rouse()? } else { Rouse::Nothing };
                drop(front);
                self.core.perform(rouse);
                return Poll::Pending;
            };
            self.place = None;
            outcome?;
        }
        let mut woken = Vec::new();
        let accepted = front.admit(&draft, self.place).then(|| {
            let position = front.position(&draft);
            then(&mut front, position, cx)
        });
        if accepted.is_some() {
            self.place = None;
        } else if let Some(before) = self.place.replace(front.enter(size, cx.waker())) {
            // It asks for more room than it was given, and starts over at the end.
            front.leave(before, &mut woken);
        }
        let rouse = front.rouse()?;
        drop(front);
        self.core.perform(rouse);
        woken.into_iter().for_each(Waker::wake);
        let Some(accepted) = accepted else { return Poll::Pending };
        budget.made_progress();
        Poll::Ready(Ok(accepted))
    }
}

/// Gives up the place, and the room that was granted to it.
impl<S> Drop for Admission<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.leave(place);
        }
    }
}

/// Which queue somebody waits in for the driver.
pub(super) trait Which {
    /// What is waited for.
    type Wish;

    /// The queue.
    fn queue(front: &mut Front) -> &mut Queue<Self::Wish>;
}

/// Those who wait for a flush.
pub(super) enum Flushes {}

/// Those who wait for a connection.
pub(super) enum Connects {}

/// Those who wait for the end.
pub(super) enum Ends {}

impl Which for Flushes {
    type Wish = Span;

    fn queue(front: &mut Front) -> &mut Queue<Span> {
        &mut front.flushes
    }
}

impl Which for Connects {
    type Wish = ();

    fn queue(front: &mut Front) -> &mut Queue<()> {
        &mut front.connects
    }
}

impl Which for Ends {
    type Wish = ();

    fn queue(front: &mut Front) -> &mut Queue<()> {
        &mut front.ends
    }
}

/// Waiting for the driver to do something.
pub(super) struct Waiting<'a, S, W: Which> {
    core: &'a Arc<Core<S>>,
    ticket: u64,
    which: std::marker::PhantomData<fn() -> W>,
}

impl<'a, S, W: Which> Waiting<'a, S, W> {
    /// Takes the last place of the queue.
    pub(super) fn enter(
        core: &'a Arc<Core<S>>,
        front: &mut Front,
        wish: W::Wish,
        waker: &Waker,
    ) -> Self {
        let ticket = W::queue(front).enter(wish, waker);
        Self { core, ticket, which: std::marker::PhantomData }
    }
}

impl<S: MessageSink + Send + 'static, W: Which> Waiting<'_, S, W> {
    /// The outcome. Sees to it that there is a driver to bring it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let mut front = self.core.front();
        if let Poll::Ready(outcome) = W::queue(&mut front).poll(self.ticket, cx.waker()) {
            return Poll::Ready(outcome);
        }
        let rouse = front.rouse()?;
        drop(front);
        self.core.perform(rouse);
        Poll::Pending
    }
}

impl<S, W: Which> Drop for Waiting<'_, S, W> {
    fn drop(&mut self) {
        let left = W::queue(&mut self.core.front()).leave(self.ticket);
        drop(left);
    }
}
