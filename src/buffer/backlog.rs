//! Messages that wait above a sink: encoded once, in order, with what layers look at.

use std::collections::VecDeque;
use std::time::Instant;

use crate::encode::Encode;

/// What layers look at in a message, kept beside its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) key: Option<u64>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) lane: u8,
}

impl Marks {
    #[inline(always)]
    pub(crate) fn of<M: Encode + ?Sized>(msg: &M) -> Self {
        Self { key: msg.key(), deadline: msg.deadline(), lane: msg.lane() }
    }
}

/// A message on its way out of a backlog: looks and encodes like the one that was accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) marks: Marks,
}

impl Encode for Record<'_> {
    #[inline]
    fn encoded_len(&self) -> usize {
        self.payload.len()
    }

    #[inline]
    fn encode(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self.payload);
    }

    fn key(&self) -> Option<u64> {
        self.marks.key
    }

    fn deadline(&self) -> Option<Instant> {
        self.marks.deadline
    }

    fn lane(&self) -> u8 {
        self.marks.lane
    }
}

/// A bounded queue of encoded messages. Each can be replaced by another in its place, of any size.
///
/// The payloads lie in one piece of memory, each behind the number of its slot and the bytes set
/// aside for it. What is given up there is left lying until the end is reached; then what lives
/// moves together. The memory is twice the capacity, so that happens once per capacity's worth of
/// bytes at most, and moves that many at most.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// All of it initialised. Regions from the start to `tail`, some of them given up.
    bytes: Vec<u8>,
    tail: usize,
    /// The first is of a message; among the others there may be some that were removed.
    slots: VecDeque<Slot>,
    /// Number of the first slot. The others follow without a gap.
    first: u64,
    /// Slots whose message was removed.
    removed: usize,
    capacity: usize,
    /// What the messages count of the capacity.
    charged: usize,
    /// Bytes of their payloads.
    payload: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Where its region begins.
    at: usize,
    len: usize,
    marks: Marks,
    is_removed: bool,
}

impl Backlog {
    /// A backlog without memory for messages of `capacity` bytes, each counted with [`OVERHEAD`].
    pub(crate) fn new(capacity: usize) -> Self {
        let (bytes, slots) = (Vec::new(), VecDeque::new());
        let (tail, removed, charged, payload) = (0, 0, 0, 0);
        Self { bytes, tail, slots, first: MIDDLE, removed, capacity, charged, payload }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Messages held.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.removed
    }

    /// Bytes of their payloads.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload
    }

    /// The most messages that it holds within its capacity.
    pub(crate) fn most(&self) -> usize {
        self.capacity / OVERHEAD
    }

    /// Whether there is room for a message of `len` bytes.
    pub(crate) fn fits(&self, len: usize) -> bool {
        charge(len) <= self.capacity.saturating_sub(self.charged)
    }

    /// Whether a message of `len` bytes could take the place of the one in slot `number`.
    pub(crate) fn fits_instead(&self, number: u64, len: usize) -> bool {
        let old = self.get(number).map_or(0, |record| record.payload.len());
        len <= old || len - old <= self.capacity.saturating_sub(self.charged)
    }

    /// Appends a message, room or not; the number of its slot. None when there is no memory.
    ///
    /// Should `encode` panic, nothing is appended.
    pub(crate) fn push<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
        marks: Marks,
    ) -> Option<u64> {
        self.stage(msg, len)?;
        let (at, number) = (self.tail, self.first + self.slots.len() as u64);
        self.slots.push_back(Slot { at, len, marks, is_removed: false });
        self.set_header(at, number, HEADER + len);
        self.tail += HEADER + len;
        self.charged += charge(len);
        self.payload += len;
        Some(number)
    }

    /// Puts a message in the place of the one in slot `number`, room or not. False when there is no
    /// memory.
    ///
    /// Should `encode` panic, the old one stays.
    pub(crate) fn replace<M: Encode + ?Sized>(
        &mut self,
        number: u64,
        msg: &M,
        len: usize,
        marks: Marks,
    ) -> bool {
        if self.stage(msg, len).is_none() {
            return false;
        }
        let staged = self.tail + HEADER;
        let Some(slot) = self.slots.get_mut((number - self.first) as usize) else { return false };
        let old = *slot;
        (slot.len, slot.marks) = (len, marks);
        let region = header(&self.bytes, old.at).1;
        if HEADER + len <= region {
            self.bytes.copy_within(staged..staged + len, old.at + HEADER);
        } else {
            slot.at = self.tail;
            self.set_header(self.tail, number, HEADER + len);
            self.tail += HEADER + len;
        }
        self.charged = self.charged - charge(old.len) + charge(len);
        self.payload = self.payload - old.len + len;
        true
    }

    /// The first message.
    pub(crate) fn front(&self) -> Option<Record<'_>> {
        self.slots.front().map(|slot| self.record(slot))
    }

    /// The message in slot `number`.
    pub(crate) fn get(&self, number: u64) -> Option<Record<'_>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(index).map(|slot| self.record(slot))
    }

    /// All messages in order, with the numbers of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Record<'_>)> {
        let slots = (self.first..).zip(&self.slots).filter(|(_, slot)| !slot.is_removed);
        slots.map(|(number, slot)| (number, self.record(slot)))
    }

    /// Removes the first message.
    pub(crate) fn pop(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.first += 1;
            self.forget(slot.len);
            self.drop_removed();
        }
    }

    /// Removes the message in slot `number`. The other numbers stay.
    pub(crate) fn remove(&mut self, number: u64) {
        let index = number.wrapping_sub(self.first) as usize;
        if let Some(slot) = self.slots.get_mut(index)
            && !std::mem::replace(&mut slot.is_removed, true)
        {
            let len = slot.len;
            self.removed += 1;
            self.forget(len);
            self.drop_removed();
        }
    }

    /// Whether most slots are of messages that were removed.
    pub(crate) fn is_sparse(&self) -> bool {
        self.removed > self.slots.len() / 2 + 16
    }

    /// The marks of the last `count` messages, for those who learn them later.
    pub(crate) fn last_marks(&mut self, count: usize) -> impl Iterator<Item = &mut Marks> {
        let from = self.slots.len().saturating_sub(count);
        self.slots.range_mut(from..).map(|slot| &mut slot.marks)
    }

    /// Moves the last `count` messages, which were pushed last, before the others, whose numbers
    /// stay. Answers the number of the first of them.
    pub(crate) fn move_to_front(&mut self, count: usize) -> u64 {
        for _ in 0..count.min(self.slots.len()) {
            if let Some(slot) = self.slots.pop_back() {
                self.slots.push_front(slot);
                self.first -= 1;
                self.set_header_number(0);
            }
        }
        self.first
    }

    /// Keeps the messages that `keep` answers true for. All numbers change.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Record<'_>) -> bool) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.retain(|slot| {
            let kept = !slot.is_removed && keep(self.record(slot));
            if !kept && !slot.is_removed {
                self.forget(slot.len);
            }
            kept
        });
        (self.slots, self.removed) = (slots, 0);
        for index in 0..self.slots.len() {
            self.set_header_number(index);
        }
        self.drop_removed();
    }

    /// Lets two messages change places.
    pub(crate) fn swap(&mut self, one: u64, other: u64) {
        let (one, other) = ((one - self.first) as usize, (other - self.first) as usize);
        if one.max(other) < self.slots.len() {
            self.slots.swap(one, other);
            self.set_header_number(one);
            self.set_header_number(other);
        }
    }

    /// Forgets everything, and gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    fn record(&self, slot: &Slot) -> Record<'_> {
        let payload = &self.bytes[slot.at + HEADER..][..slot.len];
        Record { payload, marks: slot.marks }
    }

    /// A message of `len` bytes is gone.
    fn forget(&mut self, len: usize) {
        self.charged -= charge(len);
        self.payload -= len;
    }

    /// Sees to it that the first slot is of a message.
    fn drop_removed(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.is_removed) {
            self.slots.pop_front();
            self.first += 1;
            self.removed -= 1;
        }
        if self.slots.is_empty() {
            self.tail = 0;
        }
    }

    /// Encodes a message behind the last region, where nothing points yet.
    fn stage<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Option<()> {
        self.allocate()?;
        let need = HEADER + len;
        if self.bytes.capacity() - self.tail < need {
            self.compact();
        }
        let end = self.tail + need;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        msg.encode(&mut self.bytes[self.tail + HEADER..end]);
        Some(())
    }

    /// Takes the memory, unless it is there. None when there is none.
    pub(crate) fn allocate(&mut self) -> Option<()> {
        if self.bytes.capacity() == 0 {
            self.slots.try_reserve_exact(self.most()).ok()?;
            self.bytes.try_reserve_exact(self.capacity.saturating_mul(2).max(HEADER)).ok()?;
        }
        Some(())
    }

    /// Moves the regions that live together, in the order in which they lie.
    #[cold]
    fn compact(&mut self) {
        let (mut from, mut to) = (0, 0);
        while from < self.tail {
            let (number, size) = header(&self.bytes, from);
            let index = number.wrapping_sub(self.first) as usize;
            if let Some(slot) = self.slots.get_mut(index)
                && slot.at == from
                && !slot.is_removed
            {
                let kept = HEADER + slot.len;
                self.bytes.copy_within(from..from + kept, to);
                slot.at = to;
                self.set_header(to, number, kept);
                to += kept;
            }
            from += size;
        }
        self.tail = to;
    }

    fn set_header_number(&mut self, index: usize) {
        let at = self.slots[index].at;
        let size = header(&self.bytes, at).1;
        self.set_header(at, self.first + index as u64, size);
    }

    /// Writes what stands before each payload: the number of its slot, and the bytes of its region,
    /// this header included.
    fn set_header(&mut self, at: usize, number: u64, size: usize) {
        self.bytes[at..at + 8].copy_from_slice(&number.to_ne_bytes());
        self.bytes[at + 8..at + HEADER].copy_from_slice(&(size as u64).to_ne_bytes());
    }
}

fn header(bytes: &[u8], at: usize) -> (u64, usize) {
    let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
    (word(at), word(at + 8) as usize)
}

/// What a message of `len` bytes counts of the capacity.
fn charge(len: usize) -> usize {
    len.saturating_add(OVERHEAD)
}

/// Bytes that a message counts for beside its own: no less than its slot and its header take.
pub(crate) const OVERHEAD: usize = 80;

/// Bytes before each payload.
const HEADER: usize = 16;

/// The first number, from which they go in both directions.
const MIDDLE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(backlog: &Backlog) -> Vec<Vec<u8>> {
        backlog.iter().map(|(_, message)| message.payload.to_vec()).collect()
    }

    /// Random operations against a `Vec` of what should be there.
    #[test]
    fn agrees_with_a_vec_over_random_operations() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let mut backlog = Backlog::new(rng.usize(100..3000));
            let mut truth: Vec<Vec<u8>> = Vec::new();
            for step in 0..400_u16 {
                let len = if rng.u8(..8) == 0 { rng.usize(..200) } else { rng.usize(..20) };
                let bytes = vec![step as u8; len];
                let numbers: Vec<_> = backlog.iter().map(|(number, _)| number).collect();
                let at = rng.usize(..numbers.len().max(1));
                match rng.u8(..16) {
                    0..=6 if backlog.fits(len) => {
                        assert!(backlog.push(&bytes, len, Marks::default()).is_some());
                        truth.push(bytes);
                    }
                    7..=10 if at < numbers.len() && backlog.fits_instead(numbers[at], len) => {
                        assert!(backlog.replace(numbers[at], &bytes, len, Marks::default()));
                        truth[at] = bytes;
                    }
                    11 | 12 if !truth.is_empty() => {
                        backlog.pop();
                        truth.remove(0);
                    }
                    13 if at < numbers.len() => {
                        backlog.remove(numbers[at]);
                        truth.remove(at);
                    }
                    14 => {
                        // What comes back from below: as many as there are, room or not.
                        let count = rng.usize(..4);
                        for index in 0..count {
                            let older = vec![index as u8; len];
                            assert!(backlog.push(&older, len, Marks::default()).is_some());
                            truth.insert(index, older);
                        }
                        let first = backlog.move_to_front(count);
                        assert!(numbers.iter().all(|number| backlog.get(*number).is_some()));
                        assert!(count == 0 || backlog.iter().next().unwrap().0 == first);
                    }
                    _ if rng.u8(..8) == 0 => {
                        backlog.retain(|message| message.payload.len() % 3 > 0);
                        truth.retain(|payload| payload.len() % 3 > 0);
                    }
                    _ if backlog.is_sparse() => backlog.retain(|_| true),
                    _ => {}
                }
                assert_eq!(payloads(&backlog), truth);
                assert_eq!(backlog.front().map(|first| first.payload), truth.first().map(|p| &**p));
                assert_eq!((backlog.len(), backlog.is_empty()), (truth.len(), truth.is_empty()));
                assert_eq!(backlog.payload_bytes(), truth.iter().map(Vec::len).sum::<usize>());
            }
        }
    }

    #[test]
    fn replacing_by_any_length_stays_within_the_memory() {
        let mut backlog = Backlog::new(1000);
        let number = backlog.push(&[0; 10], 10, Marks::default()).expect("memory");
        let memory = backlog.bytes.capacity();
        for round in 0..10_000 {
            let len = round * 7 % 900;
            assert!(backlog.fits_instead(number, len));
            assert!(backlog.replace(number, &vec![1; len], len, Marks::default()));
        }
        assert_eq!(backlog.bytes.capacity(), memory);
    }

    #[test]
    fn panicking_message_changes_nothing() {
        struct Panics;
        impl Encode for Panics {
            fn encoded_len(&self) -> usize {
                4
            }
            fn encode(&self, buf: &mut [u8]) {
                buf.fill(b'!');
                panic!("an encoder's own panic");
            }
        }
        let mut backlog = Backlog::new(1000);
        let number = backlog.push("kept", 4, Marks::default()).expect("memory");
        let panicked = |change: &mut dyn FnMut()| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(change)).is_err()
        };
        assert!(panicked(&mut || {
            let _ = backlog.push(&Panics, 4, Marks::default());
        }));
        assert!(panicked(&mut || {
            let _ = backlog.replace(number, &Panics, 4, Marks::default());
        }));
        assert_eq!(payloads(&backlog), [b"kept"]);
    }

    #[test]
    fn memory_that_cannot_be_had_is_refused() {
        assert!(Backlog::new(usize::MAX).push("x", 1, Marks::default()).is_none());
    }

    #[test]
    fn message_counts_no_less_than_it_takes() {
        assert!(size_of::<Slot>() + HEADER <= OVERHEAD);
    }
}
