//! What a whole sink that nobody waits for tells of its lag. A link tells of its own.

use crate::sink::{Count, Event, EventQueue, Report, first_link};

/// Whether it has missed something, and what it has told of that. There from when it first has.
#[derive(Debug)]
pub(super) struct Lag {
    /// What it had missed by the time it fell behind; none while it is up to date.
    before: Option<Count>,
    pub(super) events: EventQueue,
}

impl Lag {
    pub(super) const fn new() -> Self {
        Self { before: None, events: EventQueue::new() }
    }

    /// Whether it has missed something and has not caught up.
    pub(super) const fn is_behind(&self) -> bool {
        self.before.is_some()
    }

    /// It misses something, after it has missed `missed` so far.
    #[cold]
    pub(super) fn begin(&mut self, report: Report, missed: Count) {
        let (service, endpoint) = first_link(report);
        self.before = Some(missed);
        self.events.push(Event::FellBehind { service, endpoint });
    }

    /// It has written everything that it has not missed, which is `missed` by now.
    #[cold]
    pub(super) fn end(&mut self, report: Report, missed: Count) {
        let (service, endpoint) = first_link(report);
        let missed = missed.minus(self.before.take().unwrap_or_default());
        self.events.push(Event::CaughtUp { service, endpoint, missed });
    }
}
