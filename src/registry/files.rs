//! The texts of a configuration, one behind the other: a place in any of them is one number.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

/// The files that have been read so far. Each stays where it is, so that what was parsed can borrow
/// from it while others are added.
pub(super) struct Files {
    slots: Box<[OnceCell<File>]>,
    count: Cell<usize>,
}

/// One file.
pub(super) struct File {
    pub(super) name: Arc<str>,
    pub(super) text: String,
    /// The place of its first byte.
    pub(super) start: usize,
}

impl Files {
    /// Files of one configuration, at most: enough for every house, and few enough to look at.
    pub(super) const MAX: usize = 64;

    pub(super) fn new() -> Self {
        let slots = (0..Self::MAX).map(|_| OnceCell::new()).collect();
        Self { slots, count: Cell::new(0) }
    }

    /// Adds a file behind the others. A byte order mark is left out, so that the columns of the
    /// first line are those that an editor shows.
    pub(super) fn add(&self, name: Arc<str>, text: &str) -> Option<&File> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let slot = self.slots.get(self.count.get())?;
        // The end of a file is a place of its own.
        let start = self.iter().last().map_or(0, |last| last.start + last.text.len() + 1);
        self.count.set(self.count.get() + 1);
        Some(slot.get_or_init(|| File { name, text, start }))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &File> {
        self.slots.iter().map_while(OnceCell::get)
    }

    /// The index of the file that a place is in.
    pub(super) fn index_of(&self, place: usize) -> usize {
        self.iter().take_while(|file| file.start <= place).count().saturating_sub(1)
    }

    /// The file that a place is in, and its line from 1.
    pub(super) fn line_of(&self, place: usize) -> (Arc<str>, usize) {
        let Some(file) = self.iter().nth(self.index_of(place)) else { return ("".into(), 1) };
        let before = file.text.as_bytes().get(..place.saturating_sub(file.start));
        let lines = before.unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        (file.name.clone(), lines + 1)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|file| file.text.len()).sum()
    }
}
