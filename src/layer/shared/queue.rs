//! Who waits, in order of arrival.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use crate::error::SinkError;

/// Tasks that wait for something, first come first served. Each holds a ticket; its place stays
/// until it takes the outcome or leaves.
///
/// Memory is taken for as many tasks as ever waited at the same time, never per message.
#[derive(Debug)]
pub(super) struct Queue<T> {
    places: VecDeque<Place<T>>,
    /// How many places, from the front, have their outcome. All others wait.
    settled: usize,
    tickets: u64,
}

#[derive(Debug)]
struct Place<T> {
    ticket: u64,
    /// What it waits for.
    wish: T,
    waker: Option<Waker>,
    outcome: Option<Result<(), SinkError>>,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self { places: VecDeque::new(), settled: 0, tickets: 0 }
    }

    /// Takes the last place; answers its ticket.
    pub(super) fn enter(&mut self, wish: T, waker: &Waker) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        let waker = Some(waker.clone());
        self.places.push_back(Place { ticket, wish, waker, outcome: None });
        ticket
    }

    /// The outcome for `ticket`, which gives up its place by that; or waits on.
    pub(super) fn poll(&mut self, ticket: u64, waker: &Waker) -> Poll<Result<(), SinkError>> {
        let Some(index) = self.index(ticket) else { return Poll::Ready(Ok(())) };
        if index >= self.settled {
            let waiting = &mut self.places[index].waker;
            if !waiting.as_ref().is_some_and(|old| old.will_wake(waker)) {
                *waiting = Some(waker.clone());
            }
            return Poll::Pending;
        }
        self.settled -= 1;
        let outcome = self.places.remove(index).and_then(|place| place.outcome);
        Poll::Ready(outcome.unwrap_or(Ok(())))
    }

    /// Gives up a place. Answers what it was there for if it had got it.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<T> {
        let index = self.index(ticket)?;
        let place = self.places.remove(index)?;
        if index < self.settled {
            self.settled -= 1;
        }
        place.outcome.is_some_and(|outcome| outcome.is_ok()).then_some(place.wish)
    }

    /// What `ticket` waited for, if it has got it.
    pub(super) fn granted(&self, ticket: u64) -> Option<&T> {
        let place = &self.places[self.index(ticket)?];
        matches!(place.outcome, Some(Ok(()))).then_some(&place.wish)
    }

    /// Whether nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.settled == self.places.len()
    }

    /// What the first who waits is waiting for.
    pub(super) fn first(&self) -> Option<&T> {
        self.places.get(self.settled).map(|place| &place.wish)
    }

    /// Everything that is waited for.
    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().skip(self.settled).map(|place| &mut place.wish)
    }

    /// Gives the first who waits its outcome, and its waker to the caller.
    pub(super) fn settle_first(&mut self, outcome: Result<(), SinkError>, woken: &mut Vec<Waker>) {
        if let Some(place) = self.places.get_mut(self.settled) {
            place.outcome = Some(outcome);
            woken.extend(place.waker.take());
            self.settled += 1;
        }
    }

    /// Gives all who wait the same outcome.
    pub(super) fn settle_all(&mut self, outcome: &Result<(), SinkError>, woken: &mut Vec<Waker>) {
        while !self.is_idle() {
            self.settle_first(outcome.clone(), woken);
        }
    }

    /// Wakes all who wait without an outcome, so that they look for themselves.
    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        let waiting = self.places.iter_mut().skip(self.settled);
        woken.extend(waiting.filter_map(|place| place.waker.take()));
    }

    fn index(&self, ticket: u64) -> Option<usize> {
        self.places.binary_search_by_key(&ticket, |place| place.ticket).ok()
    }
}
