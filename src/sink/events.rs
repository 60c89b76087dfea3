//! Events that nobody has taken yet: the latest ones, and how many are gone.

use std::collections::VecDeque;

use crate::sink::Event;

/// The latest events of a link, or of what stands above links.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    events: VecDeque<Event>,
    /// Events that did not fit.
    lost: u64,
}

impl EventQueue {
    pub(crate) const fn new() -> Self {
        Self { events: VecDeque::new(), lost: 0 }
    }

    /// Takes an event in, for which the oldest one goes where there are too many.
    #[cold]
    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }

    /// Hands over the events so far.
    pub(crate) fn take<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.events.drain(..).for_each(each);
    }

    /// How many are gone, of all that there have been.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Events that are kept for a caller who is slow to ask.
const MAX_EVENTS: usize = 64;
