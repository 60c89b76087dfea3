//! The driver's side: takes what producers have accepted, feeds it to the stack and flushes.

use std::sync::MutexGuard;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use crate::buffer::Store;
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError};
use crate::layer::shared::core::Core;
use crate::layer::shared::front::{Front, Order};
use crate::layer::shared::record::Record;
use crate::sink::{End, MessageSink, SinkState};

/// The stack, and what was taken from the producers for it. Outlives the driver, so that the next
/// one goes on where it ended.
pub(super) struct Stage<S> {
    pub(super) stack: S,
    /// Taken and not yet fed.
    records: Store,
    /// Position up to which the stack was fed.
    fed: u64,
    /// What was fed when the stack was last told to hurry.
    hurried: Option<u64>,
    /// Bytes given up at the close without having been fed.
    pub(super) dropped: u64,
    /// Empty between turns; kept for its memory.
    woken: Vec<Waker>,
}

/// What one turn has come to.
pub(super) enum Turn {
    /// There may be more to do.
    Again,
    /// As `Again`, once those who were woken have had their turn: what they bring then needs no
    /// wake, and leaves by one write.
    Yield,
    /// Nothing moves before the task is woken, or before the time has come.
    Wait(Option<Instant>),
    /// There is nothing left to drive.
    End,
}

impl<S: MessageSink> Stage<S> {
    pub(super) fn new(stack: S, fed: u64) -> Self {
        let (records, woken) = (Store::new(), Vec::new());
        Self { stack, records, fed, hurried: None, dropped: 0, woken }
    }

    /// Bytes of records that are on their way to the stack.
    pub(super) fn waiting(&self) -> u64 {
        self.records.len() as u64
    }

    /// Does what can be done without waiting: takes a batch and feeds it, or flushes.
    pub(super) fn turn(&mut self, core: &Core<S>, cx: &mut Context<'_>) -> Turn {
        let mut front = core.front();
        front.set_waker(cx.waker());
        let (order, flushed) = (front.order, front.flushed);
        let reached = order.is_some_and(|order| self.fed >= order.until);
        let waited_for = !front.flushes.is_idle();
        // What is to end is not connected in the same turn. Who waits tries again afterwards.
        let connecting = order.is_none() && !front.connects.is_idle();
        // What somebody waits for is flushed before more is taken.
        let due = self.fed > flushed && waited_for;
        let held = front.held_until().is_some();
        if self.records.is_empty() && front.len() > 0 && !due && !reached && !held {
            if !self.records.allocate(core.capacity) {
                drop(front);
                return self.fail(core, ErrorKind::OutOfMemory.into(), cx);
            }
            front.swap(&mut self.records, &mut self.woken);
        }
        self.release(front);

        if let Some(order) = order {
            if order.deadline <= Instant::now() {
                return self.finish(core, order, false);
            }
            if self.hurried != Some(self.fed) {
                self.hurried = Some(self.fed);
                self.stack.hurry();
            }
        }
        if connecting && let Poll::Ready(connected) = self.stack.poll_connect(cx) {
            match connected {
                Ok(()) => self.settle(core, |front, woken| {
                    front.connects.settle_all(&Ok(()), woken);
                }),
                Err(error) => return self.fail(core, error, cx),
            }
        }
        if !self.records.is_empty() {
            match self.poll_feed(core, cx) {
                Poll::Ready(Ok(())) if waited_for => {}
                Poll::Ready(Ok(())) => return Turn::Again,
                Poll::Ready(Err(error)) => return self.fail(core, error, cx),
                Poll::Pending => return self.wait(order),
            }
        }
        match order {
            Some(order) if reached => self.end(core, order, cx),
            _ => self.flush(core, flushed, waited_for, order, cx),
        }
    }

    /// Feeds what was taken.
    fn poll_feed(&mut self, core: &Core<S>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        while let Some((record, size)) = Record::first(self.records.pending(), core.epoch) {
            if !self.stack.append(&record, record.encoded_len()) {
                match self.stack.poll_feed(cx, &record) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) if refuses(error.kind()) => {
                        core.front().refuse(self.fed, error.kind());
                    }
                    pending_or_failed => return pending_or_failed,
                }
            }
            // One by one: what was fed before a stack panics must not be fed again.
            self.records.release(size);
            self.fed += size as u64;
        }
        Poll::Ready(Ok(()))
    }

    /// Flushes. With nothing to flush it lets the stack look after its connections and its clock,
    /// and rests, or ends when the stack sleeps. While a flush that nobody waits for is under way it
    /// rests, too: more data is the stack's at once, which may have its own ways with what is late.
    fn flush(
        &mut self,
        core: &Core<S>,
        flushed: u64,
        waited_for: bool,
        order: Option<Order>,
        cx: &mut Context<'_>,
    ) -> Turn {
        let idle = self.fed == flushed;
        match self.stack.poll_flush(cx) {
            Poll::Ready(Err(error)) => return self.fail(core, error, cx),
            Poll::Ready(Ok(())) if !idle => {
                let fed = self.fed;
                self.settle(core, |front, woken| front.flushed_to(fed, woken));
                return if waited_for { Turn::Yield } else { Turn::Again };
            }
            Poll::Pending if !idle && waited_for => return self.wait(order),
            _ => {}
        }
        let asleep = sleeps(&self.stack);
        let mut front = core.front();
        front.seen = (self.stack.state(), self.stack.is_connected());
        let held = front.held_until();
        let more = front.len() > 0 && held.is_none();
        if more || front.order.is_some() || (asleep && !front.connects.is_idle()) {
            return Turn::Again;
        }
        if let Some(until) = held {
            front.gather();
            drop(front);
            return Turn::Wait(self.due().into_iter().chain([until]).min());
        }
        if asleep {
            return self.dismiss(front);
        }
        front.rest();
        drop(front);
        self.wait(order)
    }

    /// Sees an order through.
    fn end(&mut self, core: &Core<S>, order: Order, cx: &mut Context<'_>) -> Turn {
        let ended = match order.end {
            End::Sleep => self.stack.poll_disconnect(cx),
            End::Close => self.stack.poll_close(cx),
        };
        match ended {
            Poll::Ready(Ok(())) => self.finish(core, order, true),
            Poll::Ready(Err(error)) => self.fail(core, error, cx),
            Poll::Pending => self.wait(Some(order)),
        }
    }

    /// An order is fulfilled, or its time is up.
    fn finish(&mut self, core: &Core<S>, order: Order, complete: bool) -> Turn {
        self.stack.end(order.end);
        self.hurried = None;
        let mut front = core.front();
        front.seen = (self.stack.state(), self.stack.is_connected());
        if complete {
            front.flushed_to(self.fed, &mut self.woken);
        }
        if front.order.is_some_and(|newer| newer.is_beyond(&order)) {
            // It came during this turn. Who waited for this one waits for both.
            self.release(front);
            return Turn::Again;
        }
        front.order = None;
        if order.end == End::Close {
            self.dropped += (self.records.len() + front.discard()) as u64;
            self.records.free();
            self.fed = front.accepted();
            front.ended = true;
            front.fail(&ErrorKind::Closed.into(), &mut self.woken);
            front.flushed = self.fed;
        }
        front.ends.settle_all(&Ok(()), &mut self.woken);
        if front.accepted() > order.until {
            // New data has come meanwhile, and wakes it again.
            self.release(front);
            return Turn::Again;
        }
        self.dismiss(front)
    }

    /// The stack has failed. What was accepted is kept; who waits is told, and new data tries
    /// again. An order goes on to its deadline.
    fn fail(&mut self, core: &Core<S>, error: SinkError, cx: &mut Context<'_>) -> Turn {
        let mut front = core.front();
        let order = front.order;
        if let Some(order) = order
            && order.end == End::Close
            && error.is_closed()
        {
            // Somebody else has closed the stack.
            drop(front);
            return self.finish(core, order, false);
        }
        front.seen = (self.stack.state(), self.stack.is_connected());
        front.fail(&error, &mut self.woken);
        match order {
            Some(order) if error.kind() == ErrorKind::Unreachable => {
                self.release(front);
                // The next call starts another series of attempts, which waits before it tries.
                cx.waker().wake_by_ref();
                self.wait(Some(order))
            }
            _ => {
                front.closed |= error.is_closed();
                front.order = None;
                front.ends.settle_all(&Err(error), &mut self.woken);
                self.dismiss(front)
            }
        }
    }

    fn dismiss(&mut self, mut front: MutexGuard<'_, Front>) -> Turn {
        self.hurried = None;
        if self.records.is_empty() {
            self.records.free();
        }
        front.dismiss(&mut self.woken);
        self.release(front);
        Turn::End
    }

    fn wait(&self, order: Option<Order>) -> Turn {
        Turn::Wait(order.map(|order| order.deadline).or_else(|| self.due()))
    }

    /// When the stack is to be flushed next though nothing is fed.
    fn due(&self) -> Option<Instant> {
        self.stack.due().map(Instant::from_std)
    }

    /// Changes something that others wait for.
    fn settle(&mut self, core: &Core<S>, change: impl FnOnce(&mut Front, &mut Vec<Waker>)) {
        let mut front = core.front();
        front.seen = (self.stack.state(), self.stack.is_connected());
        change(&mut front, &mut self.woken);
        self.release(front);
    }

    /// Releases the lock, and wakes whom it concerns outside of it.
    fn release(&mut self, front: MutexGuard<'_, Front>) {
        drop(front);
        self.woken.drain(..).for_each(Waker::wake);
    }
}

/// Whether an error means the message and not the sink: it would be refused for ever.
fn refuses(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TooLarge { .. } | ErrorKind::InvalidMessage | ErrorKind::Full)
}

/// Whether no link of it is awake. A composite whose children disagree says one state for all.
fn sleeps<S: MessageSink>(stack: &S) -> bool {
    let asleep = |state| matches!(state, SinkState::Asleep | SinkState::Closed);
    asleep(stack.state()) && stack.report().leaves.iter().all(|leaf| asleep(leaf.state))
}
