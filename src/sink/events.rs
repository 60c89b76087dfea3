//! Events that nobody has taken yet: the latest ones, and how many are gone.

use std::collections::VecDeque;

use crate::sink::Event;

/// The latest events of a link, or of what stands above links.
#[derive(Debug)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    limit: usize,
    /// Events that did not fit, attempts to connect apart.
    lost: u64,
}

impl EventQueue {
    pub(crate) const fn new() -> Self {
        Self::with_limit(MAX_EVENTS)
    }

    /// One that keeps so many events, which is one at least.
    pub(crate) const fn with_limit(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit, lost: 0 }
    }

    /// Takes an event in. Where there are too many, the oldest attempt to connect goes for it: a
    /// day's attempts must not hide what became of the last connection, and their numbers say how
    /// many there were. Without any, the oldest event is lost.
    #[cold]
    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() >= self.limit {
            let attempt = self.events.iter().position(Event::is_attempt);
            self.events.remove(attempt.unwrap_or(0));
            self.lost += u64::from(attempt.is_none());
        }
        self.events.push_back(event);
    }

    /// Hands over the events so far.
    pub(crate) fn take<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.events.drain(..).for_each(each);
    }

    /// Hands over the oldest event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many are gone, of all that there have been.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

impl Default for EventQueue {
    fn default() -> Self {
        Self::new()
    }
}

/// Events that are kept for a caller who is slow to ask.
const MAX_EVENTS: usize = 64;
