//! The way in when the window is closed: room is made, waited for and given in order.

use std::task::Waker;

use super::{Driver, Front};
use crate::buffer::Store;
use crate::encode::Encode;
use crate::error::ErrorKind;
use crate::layer::shared::record::Draft;
use crate::timer;

impl Front {
    /// Checks that a message of `size` bytes can be accepted now or later, and takes the memory
    /// that it needs: once per waking. The driver takes that of its own buffer by itself.
    ///
    /// # Errors
    ///
    /// Closed; too large; no driver and no runtime to start one; no memory.
    pub(in crate::layer::shared) fn prepare(
        &mut self,
        size: Result<usize, ErrorKind>,
    ) -> Result<usize, ErrorKind> {
        if self.closed {
            return Err(ErrorKind::Closed);
        }
        let size = size?;
        if self.driver == Driver::Absent {
            timer::runtime().ok_or(ErrorKind::NoRuntime)?;
        }
        if self.records.allocate(self.capacity) { Ok(size) } else { Err(ErrorKind::OutOfMemory) }
    }

    /// Accepts a message where the window did not let it in: with the room that was granted to
    /// `place`, or with what is left when nobody stands at the door.
    pub(in crate::layer::shared) fn admit<M: Encode + ?Sized>(
        &mut self,
        draft: &Draft<'_, M>,
        place: Option<u64>,
    ) -> bool {
        let mine = place.and_then(|ticket| self.door.granted(ticket).copied());
        if mine.is_none() && !self.door.is_idle() {
            return false;
        }
        let room = self.capacity.saturating_sub(self.granted - mine.unwrap_or(0));
        let was_empty = self.records.is_empty();
        let opened = Opened(&mut self.records);
        opened.0.open(1, room, usize::MAX);
        let accepted = draft.append(opened.0, self.epoch).is_ok();
        drop(opened);
        if accepted && let (Some(room), Some(ticket)) = (mine, place) {
            // Not before: should `encode` panic, the room is given back when the place is left.
            self.granted -= room;
            self.door.leave(ticket);
        }
        if accepted {
            self.look_at_delay(was_empty);
        } else {
            self.hurry();
        }
        if self.door.is_idle() && !self.stamps {
            // For those who come next: no wider than the longest message.
            let room = self.capacity.saturating_sub(self.granted).min(self.quiet());
            self.records.open(1, room, self.longest);
        }
        accepted
    }

    /// Takes a place at the door, for a message of `size` bytes.
    pub(in crate::layer::shared) fn enter(&mut self, size: usize, waker: &Waker) -> u64 {
        self.records.close();
        self.door.enter(size, waker)
    }

    /// Gives up a place at the door; room that it was given goes to those behind.
    pub(in crate::layer::shared) fn leave(&mut self, ticket: u64, woken: &mut Vec<Waker>) {
        if let Some(room) = self.door.leave(ticket) {
            self.granted -= room;
        }
        self.grant(woken);
    }

    /// Gives room to those at the door, in order, as far as it goes.
    pub(in crate::layer::shared) fn grant(&mut self, woken: &mut Vec<Waker>) {
        while let Some(room) = self.door.first().copied() {
            let used = self.records.len() + self.granted;
            if room > self.capacity.saturating_sub(used) {
                break;
            }
            self.granted += room;
            self.door.settle_first(Ok(()), woken);
        }
        // The next append opens it as far as the grants allow.
        self.records.close();
    }
}

/// A window that closes again whatever happens, so that it is never open without a driver.
struct Opened<'a>(&'a mut Store);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
