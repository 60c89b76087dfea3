//! A message between a producer and the driver: its payload, and what layers look at.

use std::time::{Duration, Instant};

use crate::buffer::{Marks, Refused, Store};
use crate::encode::Encode;

/// A message about to be accepted. Everything that it says of itself is asked for once in an
/// attempt, and before the lock is taken; only its payload is written under it.
pub(super) struct Draft<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    /// For a message without any of it this is a constant, so the branch that writes it is not even
    /// compiled.
    marks: Marks,
}

/// A message on its way into the stack: looks and encodes like the one that was accepted.
pub(super) struct Record<'a> {
    payload: &'a [u8],
    marks: Option<&'a [u8; MARKS]>,
    epoch: Instant,
}

impl<'a, M: Encode + ?Sized> Draft<'a, M> {
    #[inline(always)]
    pub(super) fn new(msg: &'a M) -> Self {
        Self { msg, len: msg.encoded_len(), marks: Marks::of(msg) }
    }

    /// As [`new`](Self::new), of a message that is too late after `max_age` unless it has a deadline
    /// of its own.
    pub(super) fn aging(msg: &'a M, max_age: Option<Duration>) -> Self {
        let mut draft = Self::new(msg);
        if let (None, Some(max_age)) = (draft.marks.deadline, max_age) {
            // By the runtime's clock, which tests can stop.
            draft.marks.deadline = tokio::time::Instant::now().into_std().checked_add(max_age);
        }
        draft
    }

    /// Bytes of the payload.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of its record; none when no record can be as long.
    #[inline(always)]
    pub(super) fn size(&self) -> Option<usize> {
        if self.len >= MARKED as usize {
            return None;
        }
        let marks = if self.marks.any() { MARKS } else { 0 };
        Some(HEADER + marks + self.len)
    }

    /// Writes it behind the other records, if it fits the window. Should `encode` panic, nothing is
    /// appended.
    #[inline(always)]
    pub(super) fn append(&self, records: &mut Store, epoch: Instant) -> Result<(), Refused> {
        if self.marks.any() {
            return self.append_marked(records, epoch);
        }
        records.append(self.size(), |bytes| {
            let (header, payload) = bytes.split_at_mut(HEADER);
            header.copy_from_slice(&(self.len as u32).to_ne_bytes());
            self.msg.encode(payload);
            Ok(())
        })
    }

    /// Apart from the other, which is small enough to be compiled in line.
    fn append_marked(&self, records: &mut Store, epoch: Instant) -> Result<(), Refused> {
        records.append(self.size(), |bytes| {
            let (header, rest) = bytes.split_at_mut(HEADER);
            let (marks, payload) = rest.split_at_mut(MARKS);
            header.copy_from_slice(&(self.len as u32 | MARKED).to_ne_bytes());
            self.marks.write(marks, epoch);
            self.msg.encode(payload);
            Ok(())
        })
    }
}

impl Marks {
    #[inline(always)]
    fn any(&self) -> bool {
        self.key.is_some() || self.deadline.is_some() || self.lane != 0
    }

    fn write(&self, bytes: &mut [u8], epoch: Instant) {
        let has_key = u8::from(self.key.is_some());
        let has_deadline = u8::from(self.deadline.is_some()) << 1;
        // One that lies before the epoch is as much in the past as the epoch is. Behind it there is
        // room for 584 years.
        let deadline = self.deadline.map_or(0, |at| {
            u64::try_from(at.saturating_duration_since(epoch).as_nanos()).unwrap_or(u64::MAX)
        });
        bytes[0] = has_key | has_deadline;
        bytes[1] = self.lane;
        bytes[2..10].copy_from_slice(&self.key.unwrap_or(0).to_ne_bytes());
        bytes[10..].copy_from_slice(&deadline.to_ne_bytes());
    }
}

impl<'a> Record<'a> {
    /// The first of `records`, and the bytes it takes there; none when there are no more. The
    /// bytes are those that drafts have written, so they are whole.
    #[inline]
    pub(super) fn first(records: &'a [u8], epoch: Instant) -> Option<(Self, usize)> {
        let (header, rest) = records.split_first_chunk::<HEADER>()?;
        let word = u32::from_ne_bytes(*header);
        if word & MARKED == 0 {
            let payload = rest.get(..word as usize)?;
            return Some((Self { payload, marks: None, epoch }, HEADER + payload.len()));
        }
        let (marks, rest) = rest.split_first_chunk::<MARKS>()?;
        let payload = rest.get(..(word & !MARKED) as usize)?;
        Some((Self { payload, marks: Some(marks), epoch }, HEADER + MARKS + payload.len()))
    }

    fn word(marks: &[u8; MARKS], at: usize) -> u64 {
        marks[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }
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

    #[inline]
    fn key(&self) -> Option<u64> {
        let marks = self.marks.filter(|marks| marks[0] & 1 != 0)?;
        Some(Self::word(marks, 2))
    }

    #[inline]
    fn deadline(&self) -> Option<Instant> {
        let marks = self.marks.filter(|marks| marks[0] & 2 != 0)?;
        self.epoch.checked_add(Duration::from_nanos(Self::word(marks, 10)))
    }

    #[inline]
    fn lane(&self) -> u8 {
        self.marks.map_or(0, |marks| marks[1])
    }
}

/// Bytes before each payload: its length, and whether marks stand between. As many as those of the
/// default framing, so that as many messages fit in here as in the stack's buffer.
pub(super) const HEADER: usize = 4;

/// Set in the header where marks follow.
const MARKED: u32 = 1 << 31;

/// Which marks there are, the lane, the key, and the deadline in nanoseconds since the epoch.
const MARKS: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{InLane, Keyed, WithDeadline};

    fn records(epoch: Instant, append: impl FnOnce(&mut Store)) -> Vec<Vec<u8>> {
        let mut store = Store::new();
        assert!(store.allocate(256));
        store.open(1, 256, usize::MAX);
        append(&mut store);
        let (mut rest, mut payloads) = (store.pending(), Vec::new());
        while let Some((record, size)) = Record::first(rest, epoch) {
            let mut payload = vec![0; record.encoded_len()];
            record.encode(&mut payload);
            payloads.push(payload);
            rest = &rest[size..];
        }
        assert!(rest.is_empty(), "the last record ends where the bytes do");
        payloads
    }

    #[test]
    fn payloads_come_back_in_order() {
        let epoch = Instant::now();
        let payloads = records(epoch, |store| {
            assert!(Draft::new("one").append(store, epoch).is_ok());
            assert!(Draft::new(&Keyed(7, "two")).append(store, epoch).is_ok());
            assert!(Draft::new("").append(store, epoch).is_ok());
        });
        assert_eq!(payloads, [b"one".as_slice(), b"two", b""]);
    }

    #[test]
    fn marks_come_back_to_the_nanosecond() {
        let epoch = Instant::now();
        let later = epoch + Duration::new(3600, 123_456_789);
        let mut store = Store::new();
        assert!(store.allocate(256));
        store.open(1, 256, usize::MAX);
        let msg = Keyed(u64::MAX, WithDeadline(later, InLane(3, "m")));
        assert!(Draft::new(&msg).append(&mut store, epoch).is_ok());
        let (record, size) = Record::first(store.pending(), epoch).expect("appended");
        assert_eq!((record.key(), record.deadline(), record.lane()), (msg.key(), Some(later), 3));
        assert_eq!(Some(size), Draft::new(&msg).size());
    }

    #[test]
    fn deadline_before_the_epoch_stays_in_the_past() {
        let long_ago = Instant::now();
        let epoch = long_ago + Duration::from_secs(1);
        let mut store = Store::new();
        assert!(store.allocate(64));
        store.open(1, 64, usize::MAX);
        assert!(Draft::new(&WithDeadline(long_ago, "m")).append(&mut store, epoch).is_ok());
        let (record, _) = Record::first(store.pending(), epoch).expect("appended");
        assert_eq!((record.deadline(), record.key()), (Some(epoch), None));
    }
}
