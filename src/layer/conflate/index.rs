//! Where the message of a key waits: an open-addressed table of the numbers of slots.

use std::hash::{BuildHasher, RandomState};

use crate::buffer::Backlog;

/// The numbers of slots by the keys of their messages, which it reads in the backlog.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Numbers of slots; 0 is none. Twice as many places as entries, so that looking ends.
    table: Vec<u64>,
    entries: usize,
    /// Keyed, so that nobody who chooses keys can choose where they meet.
    hasher: RandomState,
}

impl Index {
    /// Takes memory for `most` entries, unless it has some. None when there is none.
    pub(super) fn allocate(&mut self, most: usize) -> Option<()> {
        if self.table.is_empty() {
            let places = most.max(8).checked_mul(2)?.checked_next_power_of_two()?;
            self.table.try_reserve_exact(places).ok()?;
            self.table.resize(places, 0);
        }
        Some(())
    }

    /// The number of the slot of the message of `key`.
    pub(super) fn get(&self, key: u64, backlog: &Backlog) -> Option<u64> {
        self.number(self.find(key, backlog))
    }

    /// Says that the message of `key` is in slot `number`.
    pub(super) fn set(&mut self, key: u64, number: u64, backlog: &Backlog) {
        if 2 * (self.entries + 1) > self.table.len() {
            // More than was asked for came back from below.
            self.grow(backlog);
        }
        let at = self.find(key, backlog);
        self.entries += usize::from(self.table[at] == 0);
        self.table[at] = number;
    }

    /// Forgets `key`, whose message is in the backlog still.
    pub(super) fn remove(&mut self, key: u64, backlog: &Backlog) {
        let mut hole = self.find(key, backlog);
        if self.number(hole).is_none() {
            return;
        }
        self.entries -= 1;
        // What comes behind moves up, unless it stood before its own place then.
        let mut at = self.next(hole);
        while let Some(number) = self.number(at) {
            let home = key_of(backlog, number).map_or(at, |key| self.home(key));
            if self.distance(home, at) >= self.distance(hole, at) {
                self.table[hole] = number;
                hole = at;
            }
            at = self.next(at);
        }
        self.table[hole] = 0;
    }

    /// Reads all keys again, after the numbers have changed.
    pub(super) fn rebuild(&mut self, backlog: &Backlog) {
        self.table.fill(0);
        self.entries = 0;
        for (number, message) in backlog.iter() {
            if let Some(key) = message.marks.key {
                self.set(key, number, backlog);
            }
        }
    }

    /// Forgets everything, and gives the memory back.
    pub(super) fn clear(&mut self) {
        (self.table, self.entries) = (Vec::new(), 0);
    }

    #[cold]
    fn grow(&mut self, backlog: &Backlog) {
        let places = 2 * self.table.len().max(8);
        let numbers = std::mem::replace(&mut self.table, vec![0; places]);
        self.entries = 0;
        for number in numbers.into_iter().filter(|number| *number != 0) {
            if let Some(key) = key_of(backlog, number) {
                self.set(key, number, backlog);
            }
        }
    }

    /// The place of `key`, or the free one where it would be.
    fn find(&self, key: u64, backlog: &Backlog) -> usize {
        let mut at = self.home(key);
        while let Some(number) = self.number(at)
            && key_of(backlog, number) != Some(key)
        {
            at = self.next(at);
        }
        at
    }

    fn number(&self, at: usize) -> Option<u64> {
        self.table.get(at).copied().filter(|number| *number != 0)
    }

    fn home(&self, key: u64) -> usize {
        self.hasher.hash_one(key) as usize & self.mask()
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask()
    }

    /// The table's length is a power of two.
    fn mask(&self) -> usize {
        self.table.len().wrapping_sub(1)
    }
}

fn key_of(backlog: &Backlog, number: u64) -> Option<u64> {
    backlog.get(number)?.marks.key
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::buffer::Marks;

    /// Random operations against a `HashMap`, with few keys in a small table, so that they meet.
    #[test]
    fn agrees_with_a_map_over_random_operations() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..50 {
            let mut backlog = Backlog::new(1 << 16);
            let (mut index, mut truth) = (Index::default(), HashMap::new());
            index.allocate(rng.usize(..40)).expect("memory");
            for _ in 0..500 {
                let key = rng.u64(..60);
                let found = index.get(key, &backlog);
                assert_eq!(found, truth.get(&key).copied());
                match (rng.u8(..4), found) {
                    (0 | 1, None) => {
                        let marks = Marks { key: Some(key), ..Marks::default() };
                        let number = backlog.push("m", 1, marks).expect("memory");
                        index.set(key, number, &backlog);
                        truth.insert(key, number);
                    }
                    (2, Some(number)) => {
                        index.remove(key, &backlog);
                        backlog.remove(number);
                        truth.remove(&key);
                    }
                    (3, None) if backlog.is_sparse() => {
                        backlog.retain(|_| true);
                        index.rebuild(&backlog);
                        truth = backlog.iter().map(|(n, m)| (m.marks.key.unwrap(), n)).collect();
                    }
                    _ => {}
                }
            }
        }
    }
}
