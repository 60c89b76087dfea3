//! What all handles of one stack have in common.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant as Epoch};

use tokio::time::Instant;

use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::layer::shared::driver::{Present, drive};
use crate::layer::shared::events::Heard;
use crate::layer::shared::front::{Driver, Front, NEVER, Rouse};
use crate::layer::shared::record::{Draft, HEADER};
use crate::layer::shared::stage::Stage;
use crate::sink::{Count, DropReason, End, MessageSink, Report, SinkState};

/// The two sides, each under a lock of its own. Who holds both has taken the stage's first; no
/// producer ever waits for it.
pub(super) struct Core<S> {
    front: Apart<Mutex<Front>>,
    stage: Apart<Mutex<Stage<S>>>,
    pub(super) heard: Heard,
    /// Bytes of each of the two buffers.
    pub(super) capacity: usize,
    /// Bytes of the longest message that is taken.
    largest: usize,
    /// The stack's.
    pub(super) close_deadline: Duration,
    /// After which messages without a deadline are too late, from when they were accepted.
    pub(super) max_age: OnceLock<Duration>,
    /// What the deadlines of records are counted from.
    pub(super) epoch: Epoch,
}

/// On cache lines of its own, two of them, since they are fetched in pairs. The driver writes to its
/// side for each message that it feeds, and whatever shares a line with that is taken from the
/// producers each time.
#[repr(align(128))]
struct Apart<T>(T);

impl<S> Core<S> {
    /// Held for an append or a swap. Whoever panicked under it has left nothing half done: an
    /// append counts when it is over, and everything else calls nothing that could panic.
    #[inline(always)]
    pub(super) fn front(&self) -> MutexGuard<'_, Front> {
        match self.front.0.try_lock() {
            Ok(front) => front,
            Err(TryLockError::Poisoned(front)) => front.into_inner(),
            Err(TryLockError::WouldBlock) => self.front_when_free(),
        }
    }

    /// Tries on for a while before it lets the system wait: who waits there makes each release a
    /// system call, while the lock is free again in less time than one takes.
    #[cold]
    #[inline(never)]
    fn front_when_free(&self) -> MutexGuard<'_, Front> {
        for round in 0..SPINS {
            for _ in 0..1 << round.min(6) {
                std::hint::spin_loop();
            }
            match self.front.0.try_lock() {
                Ok(front) => return front,
                Err(TryLockError::Poisoned(front)) => return front.into_inner(),
                Err(TryLockError::WouldBlock) if round > 6 => std::thread::yield_now(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.front.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held for a turn of the driver, or to read the stack.
    pub(super) fn stage(&self) -> MutexGuard<'_, Stage<S>> {
        self.stage.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stage, if nobody is busy with it.
    fn idle_stage(&self) -> Option<MutexGuard<'_, Stage<S>>> {
        match self.stage.0.try_lock() {
            Ok(stage) => Some(stage),
            Err(TryLockError::Poisoned(stage)) => Some(stage.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// A message that the window did not let in.
    pub(super) fn draft<'a, M: Encode + ?Sized>(&self, msg: &'a M) -> Draft<'a, M> {
        Draft::aging(msg, self.max_age.get().copied())
    }

    /// Bytes of a message's record.
    ///
    /// # Errors
    ///
    /// It is longer than this sink ever takes.
    pub(super) fn size<M: Encode + ?Sized>(
        &self,
        draft: &Draft<'_, M>,
    ) -> Result<usize, ErrorKind> {
        let (requested, available) = (draft.len().saturating_add(HEADER), self.largest + HEADER);
        match draft.size() {
            Some(size) if requested <= available && size <= self.capacity => Ok(size),
            _ => Err(ErrorKind::TooLarge { requested, available }),
        }
    }
}

impl<S: MessageSink + Send + 'static> Core<S> {
    pub(super) fn new(stack: S, capacity: usize) -> Self {
        let largest = largest(&stack, capacity.saturating_sub(HEADER));
        // By the runtime's clock, which tests can stop, as deadlines go.
        let epoch = Instant::now().into_std();
        let seen = (stack.state(), stack.is_connected());
        let mut front = Front::new(capacity, largest.saturating_add(HEADER), epoch, seen);
        // It may hold something already; a flush has to cover that, too.
        let before = stack.accepted_bytes();
        front.begin_behind(before);
        let close_deadline = stack.close_deadline();
        let front = Apart(Mutex::new(front));
        let stage = Apart(Mutex::new(Stage::new(stack, before)));
        let (heard, max_age) = (Heard::new(), OnceLock::new());
        Self { front, stage, heard, capacity, largest, close_deadline, max_age, epoch }
    }

    /// Does what [`Front::rouse`] has found to do.
    pub(super) fn perform(self: &Arc<Self>, rouse: Rouse) {
        match rouse {
            Rouse::Nothing => {}
            Rouse::Wake(driver) => driver.wake(),
            Rouse::Spawn(runtime) => drop(runtime.spawn(drive(Present::new(self.clone())))),
        }
    }

    /// Accepts a message that the window did not let in, or says why not.
    #[cold]
    #[inline(never)]
    pub(super) fn try_admit<M: Encode + ?Sized>(
        self: &Arc<Self>,
        msg: &M,
    ) -> Result<(), TryFeedError> {
        // Made anew: handed over, the first one would have to stand in memory for every message.
        let draft = self.draft(msg);
        let size = self.size(&draft);
        let mut front = self.front();
        front.prepare(size).map_err(ErrorKind::refusal)?;
        let given_up = front.driver == Driver::Absent && front.len() > 0;
        let accepted = front.admit(&draft, None);
        let rouse = front.rouse().map_err(ErrorKind::refusal)?;
        drop(front);
        self.perform(rouse);
        match accepted {
            true => Ok(()),
            // There is data, and nobody was trying: the attempts were used up.
            false if given_up => Err(TryFeedError::NotConnected),
            false => Err(TryFeedError::Full),
        }
    }

    /// Orders an end and sees to it that somebody carries it out; none when it has been carried out
    /// before. `enter` runs under the same lock.
    pub(super) fn order<T>(
        self: &Arc<Self>,
        end: End,
        within: Duration,
        enter: impl FnOnce(&mut Front) -> T,
    ) -> Result<Option<T>, SinkError> {
        let mut front = self.front();
        if front.ended {
            return Ok(None);
        }
        let deadline = Instant::now() + within.min(NEVER);
        let rouse = front.summon()?;
        front.order(end, deadline);
        let entered = enter(&mut front);
        drop(front);
        self.perform(rouse);
        Ok(Some(entered))
    }

    /// What became of everything accepted. Waits for the driver's turn to end, if it is at work.
    pub(super) fn report(&self) -> Report {
        let stage = self.stage();
        let mut report = stage.stack.report();
        let waits = stage.waiting() + self.front().len() as u64;
        report.unfed = report.unfed.plus(Count { bytes: waits, messages: None });
        if let Some(leaf) = report.leaves.first_mut() {
            leaf.events_lost += self.heard.lost();
        }
        if stage.dropped > 0 {
            let dropped = Count { bytes: stage.dropped, messages: None };
            report.dropped.add(DropReason::Closed, dropped);
        }
        report
    }

    /// The state of the stack and whether it is connected, now or when the driver last looked.
    pub(super) fn seen(&self) -> (SinkState, bool) {
        match self.idle_stage() {
            Some(stage) => (stage.stack.state(), stage.stack.is_connected()),
            None => self.front().seen,
        }
    }
}

/// Bytes of the longest message that a stack has room for, at most `most`. One that has no room at
/// all for now cannot be asked.
fn largest<S: MessageSink>(stack: &S, most: usize) -> usize {
    if stack.room(most) || !stack.room(0) {
        return most;
    }
    let (mut fits, mut too_large) = (0, most);
    while too_large - fits > 1 {
        let middle = fits + (too_large - fits) / 2;
        if stack.room(middle) { fits = middle } else { too_large = middle }
    }
    fits
}

/// Tries at a lock that is taken; beyond the sixth the processor is given to whoever has it.
const SPINS: u32 = 32;
