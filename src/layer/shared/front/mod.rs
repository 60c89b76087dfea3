//! What producers and the driver share: the buffer that is filled, and who waits for what. All of
//! it stands under one lock, which is held for an append or a swap and never for a system call.

mod delay;
mod door;

use std::task::Waker;
use std::time::{Duration, Instant as Epoch};

use tokio::runtime::Handle;
use tokio::time::Instant;

use self::delay::Delay;
use crate::buffer::Store;
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError};
use crate::layer::shared::queue::Queue;
use crate::layer::shared::record::Draft;
use crate::sink::{End, SinkState};
use crate::timer;

/// The producers' side.
///
/// The window of `records` is open only while the driver runs and will look again before it rests.
/// A driver that rests, a queue at the door, a closed sink: each closes the window, and the append
/// that does not fit finds out why. So none of them costs the append anything.
// The buffer first, on the cache line of the lock: it is all that an append looks at beside it.
#[repr(C)]
pub(super) struct Front {
    /// Accepted and not yet taken by the driver.
    records: Store,
    capacity: usize,
    /// Bytes of the longest record without marks.
    longest: usize,
    epoch: Epoch,
    /// Position of the first of `records` in everything accepted, in bytes of records.
    start: u64,
    /// Position up to which everything was flushed.
    pub(super) flushed: u64,
    /// Who waits for room of so many bytes.
    pub(super) door: Queue<usize>,
    /// Room given to those at the door who have not used it yet.
    granted: usize,
    /// Who waits for a flush.
    pub(super) flushes: Queue<Span>,
    /// Who waits for a connection.
    pub(super) connects: Queue<()>,
    /// Who waits for the end that is ordered.
    pub(super) ends: Queue<()>,
    pub(super) order: Option<Order>,
    /// Whether messages are refused for good.
    pub(super) closed: bool,
    /// Whether the stack was closed, too.
    pub(super) ended: bool,
    pub(super) driver: Driver,
    /// The driver's.
    pub(super) waker: Option<Waker>,
    pub(super) handles: usize,
    /// Messages that the stack refused for good.
    pub(super) refused: u64,
    /// What the stack looked like when the driver last did.
    pub(super) seen: (SinkState, bool),
    /// Whether every message is stamped with its age, for which the window stays closed.
    stamps: bool,
    /// None: what was fed is taken at once.
    delay: Option<Delay>,
    /// Until when what stands there may wait for more; none when it is to be taken.
    held_until: Option<Instant>,
}

/// Positions of messages whose flush somebody waits for.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) until: u64,
    /// Why the stack refused one of them.
    pub(super) refused: Option<ErrorKind>,
}

/// A `disconnect` or `close` that the driver sees through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) end: End,
    pub(super) deadline: Instant,
    /// Position up to which the stack is fed before.
    pub(super) until: u64,
}

impl Order {
    /// Whether `older`, carried out, leaves something of it to do.
    pub(super) fn is_beyond(&self, older: &Self) -> bool {
        self.end != older.end || self.until > older.until
    }
}

/// Whether there is a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    /// There is none; data starts one.
    Absent,
    /// It waits for data.
    Resting,
    /// It waits until what was fed has waited long enough. The window is open for more.
    Gathering,
    /// It looks at `records` again before it rests.
    Running,
}

/// What has to be done for the driver once the lock is released.
#[must_use]
pub(super) enum Rouse {
    Nothing,
    Wake(Waker),
    Spawn(Handle),
}

impl Front {
    pub(super) const fn new(
        capacity: usize,
        longest: usize,
        epoch: Epoch,
        seen: (SinkState, bool),
    ) -> Self {
        Self {
            records: Store::new(),
            capacity,
            longest,
            epoch,
            start: 0,
            flushed: 0,
            door: Queue::new(),
            granted: 0,
            flushes: Queue::new(),
            connects: Queue::new(),
            ends: Queue::new(),
            order: None,
            closed: false,
            ended: false,
            driver: Driver::Absent,
            waker: None,
            handles: 1,
            refused: 0,
            seen,
            stamps: false,
            delay: None,
            held_until: None,
        }
    }

    /// From now on every message comes to the door, where it is stamped.
    pub(super) fn stamp(&mut self) {
        self.stamps = true;
        self.records.close();
    }

    /// Position behind everything accepted.
    #[inline]
    pub(super) fn accepted(&self) -> u64 {
        self.start + self.records.len() as u64
    }

    /// Position of the message that was appended last.
    #[inline]
    pub(super) fn position<M: Encode + ?Sized>(&self, last: &Draft<'_, M>) -> u64 {
        self.accepted() - last.size().unwrap_or(0) as u64
    }

    /// Bytes that the driver has not taken.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Counts what the stack held before it was shared as accepted, so that a flush covers it.
    pub(super) fn begin_behind(&mut self, bytes: u64) {
        self.start = bytes;
    }

    /// Accepts a message if that takes nothing but writing it.
    #[inline(always)]
    pub(super) fn append<M: Encode + ?Sized>(&mut self, draft: &Draft<'_, M>) -> bool {
        draft.append(&mut self.records, self.epoch).is_ok()
    }

    /// Gives the driver everything accepted, for an empty buffer.
    pub(super) fn swap(&mut self, spare: &mut Store, woken: &mut Vec<Waker>) {
        self.start += self.records.len() as u64;
        std::mem::swap(&mut self.records, spare);
        self.hurry();
        self.grant(woken);
    }

    /// Everything up to `position` is flushed.
    pub(super) fn flushed_to(&mut self, position: u64, woken: &mut Vec<Waker>) {
        self.flushed = position;
        while let Some(span) = self.flushes.first().filter(|span| span.until <= position) {
            let outcome = span.refused.map_or(Ok(()), |kind| Err(kind.into()));
            self.flushes.settle_first(outcome, woken);
        }
    }

    /// The stack has refused the message at `position` for good. Who waits for it will hear.
    pub(super) fn refuse(&mut self, position: u64, kind: ErrorKind) {
        self.refused += 1;
        for span in self.flushes.waiting_mut() {
            if (span.from..span.until).contains(&position) {
                span.refused = Some(kind);
            }
        }
    }

    pub(super) fn set_waker(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// Sees to it that there is a driver that looks at what has changed.
    pub(super) fn rouse(&mut self) -> Result<Rouse, ErrorKind> {
        let rouse = match self.driver {
            Driver::Running => return Ok(Rouse::Nothing),
            Driver::Gathering if self.held_until.is_some() => return Ok(Rouse::Nothing),
            Driver::Resting | Driver::Gathering => self.call_driver(),
            Driver::Absent => Rouse::Spawn(timer::runtime().ok_or(ErrorKind::NoRuntime)?),
        };
        self.driver = Driver::Running;
        Ok(rouse)
    }

    /// As [`rouse`](Self::rouse), also when the driver runs but waits for something else.
    pub(super) fn summon(&mut self) -> Result<Rouse, ErrorKind> {
        match self.rouse()? {
            Rouse::Nothing => Ok(self.call_driver()),
            rouse => Ok(rouse),
        }
    }

    fn call_driver(&self) -> Rouse {
        self.waker.clone().map_or(Rouse::Nothing, Rouse::Wake)
    }

    /// Orders an end. Of two of a kind the earlier deadline counts, and `close` wins over
    /// `disconnect`.
    pub(super) fn order(&mut self, end: End, deadline: Instant) {
        if end == End::Close {
            self.closed = true;
            self.records.close();
        }
        self.hurry();
        let new = Order { end, deadline, until: self.accepted() };
        self.order = Some(match self.order {
            Some(running) if running.end == end => {
                Order { deadline: running.deadline.min(deadline), ..new }
            }
            Some(running) if running.end == End::Close => running,
            _ => new,
        });
    }

    /// Tells who waits for room, a flush or a connection that it failed.
    pub(super) fn fail(&mut self, error: &SinkError, woken: &mut Vec<Waker>) {
        let outcome = Err(error.clone());
        self.door.settle_all(&outcome, woken);
        self.flushes.settle_all(&outcome, woken);
        self.connects.settle_all(&outcome, woken);
    }

    /// The driver waits for more, until what stands there has waited long enough.
    pub(super) fn gather(&mut self) {
        self.driver = Driver::Gathering;
    }

    /// The driver rests, until data comes.
    pub(super) fn rest(&mut self) {
        self.driver = Driver::Resting;
        self.records.close();
    }

    /// The driver ends. Whoever waits looks for itself, and starts another one.
    pub(super) fn dismiss(&mut self, woken: &mut Vec<Waker>) {
        self.driver = Driver::Absent;
        self.waker = None;
        self.records.close();
        if self.records.is_empty() {
            self.records.free();
        }
        if !self.records.is_empty() {
            // Otherwise they wait for those who were given the room, and nobody is needed yet.
            self.door.wake_all(woken);
        }
        self.flushes.wake_all(woken);
        self.connects.wake_all(woken);
        self.ends.wake_all(woken);
    }

    /// Gives up what was not taken; answers how many bytes.
    pub(super) fn discard(&mut self) -> usize {
        let len = self.records.len();
        self.start += len as u64;
        self.records.free();
        len
    }
}

/// Farther away than any process lives.
pub(super) const NEVER: Duration = Duration::from_secs(30 * 365 * 86_400);
