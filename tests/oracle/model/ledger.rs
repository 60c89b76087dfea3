//! The truth where not everybody gets everything: each message by its number, who has it, and for
//! what reasons somebody may not.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use torq_message_sink::{Dropped, Framing, LeafReport, Report};

use super::choices::Choices;
use super::framings::AnyFraming;
use super::log::Log;
use super::message::Message;
use super::receiver::Receiver;
use super::way::{Fate, Way};

/// What a stack promises of its messages, beside that nothing disappears, comes twice or is torn.
pub(super) struct Promise {
    /// Who gets them.
    pub(super) way: Way,
    /// How many keys there are; 0 is no keys.
    pub(super) keys: u64,
    /// Whether only the newest of a key may arrive. Others keep the order of their key alone.
    pub(super) conflates: bool,
    /// How many lanes there are; 0 is none. Messages keep the order of their lane alone.
    pub(super) lanes: u8,
    /// Whether messages have deadlines, behind which none is begun.
    pub(super) expires: bool,
    /// The deadline of those that have none.
    pub(super) max_age: Option<Duration>,
    /// Bytes that may wait above the leaves.
    pub(super) waiting_bytes: usize,
    /// Whether messages may wait above the leaves at all.
    pub(super) waiting: bool,
    /// Whether they wait in a layer for each branch, and not in one above all.
    pub(super) waits_in_branches: bool,
    /// Whether there is a circuit that may be open.
    pub(super) breaks: bool,
}

impl Default for Promise {
    /// Everything arrives, in order, at one receiver.
    fn default() -> Self {
        Self {
            way: Way::To(0),
            keys: 0,
            conflates: false,
            lanes: 0,
            expires: false,
            max_age: None,
            waiting_bytes: 0,
            waiting: false,
            waits_in_branches: false,
            breaks: false,
        }
    }
}

/// Everything that was fed.
pub(super) struct Ledger {
    pub(super) promise: Promise,
    framing: AnyFraming,
    /// The longest payload that any buffer takes.
    longest: usize,
    /// By number; none for those that were not accepted.
    entries: Vec<Option<Entry>>,
    /// When each was made, which is no later than it was accepted.
    made: Vec<Instant>,
    accepted: u64,
    /// Bytes accepted, in all buffers together.
    pub(super) bytes: u64,
    /// How many buffers each message comes into, if that is known.
    buffers: Option<u64>,
}

struct Entry {
    frame: Vec<u8>,
    key: Option<u64>,
    /// It must not be begun from then on.
    deadline: Option<Instant>,
    /// It may be given up from then on.
    late: Option<Instant>,
    /// Messages of one class keep their order.
    class: u64,
}

impl Ledger {
    pub(super) fn new(promise: Promise, logs: &[Log], receivers: &[Receiver]) -> Self {
        let buffers = promise.way.buffers(&|index| receivers[index].log);
        // What has waited above several buffers counts as one frame for all of them.
        let waits = promise.waiting && !promise.waits_in_branches;
        let buffers = buffers.filter(|count| *count == 1 || !waits);
        let framing = logs[0].framing;
        let (entries, made) = (Vec::new(), Vec::new());
        let longest = logs.iter().map(|log| log.longest).max().expect("a buffer");
        Self { promise, framing, longest, entries, made, accepted: 0, bytes: 0, buffers }
    }

    /// The next message: it tells its number, behind two bytes that may be its length.
    pub(super) fn message(&mut self, choices: &mut dyn Choices, logs: &[Log]) -> Message {
        let number = self.entries.len();
        self.entries.push(None);
        self.made.push(Instant::now());
        // Some of the buffers may take more than the others, and what one of them has accepted
        // another may have to carry.
        let longest = logs.iter().map(|log| log.longest).min().expect("a buffer");
        let len = match choices.below(16) {
            0 if choices.once_in(3) => longest,
            0 => self.longest + 1 + choices.below(3),
            1 | 2 => LEAST + choices.below(longest + 1 - LEAST),
            _ => (LEAST + choices.below(20)).min(longest),
        };
        let mut noise = fastrand::Rng::with_seed(number as u64);
        let mut bytes = format!("  {number:04x}").into_bytes();
        bytes.resize_with(len, || noise.u8(..));
        self.framing.adapt(&mut bytes);
        if choices.once_in(32) {
            let mut spoiled = bytes.clone();
            spoiled.insert(len - 1, b'\n');
            spoiled.truncate(len);
            if !self.framing.carries(&spoiled) {
                bytes = spoiled;
            }
        }
        self.mark(bytes, choices)
    }

    fn mark(&self, bytes: Vec<u8>, choices: &mut dyn Choices) -> Message {
        let mut message = Message::plain(bytes);
        let Promise { keys, lanes, expires, .. } = self.promise;
        if keys > 0 && !choices.once_in(4) {
            message.key = Some(choices.below(keys as usize) as u64);
        }
        if expires && choices.once_in(2) {
            let deadline = Instant::now() + Duration::from_millis(choices.below(60) as u64);
            message.deadline = Some(deadline.into_std());
        }
        if lanes > 0 {
            // Messages of a key share a lane, or they would have no order to keep.
            let more = usize::from(lanes) + 1;
            message.lane = match message.key {
                Some(key) => (key % more as u64) as u8,
                None => choices.below(more) as u8,
            };
        }
        message
    }

    /// A message was accepted, after which the sink says that it has so many bytes.
    pub(super) fn accept(&mut self, message: &Message, bytes: u64) {
        // What comes too late is dropped before anybody looks at it.
        let is_late = message.deadline.is_some_and(|at| at <= Instant::now().into_std());
        let carries = self.framing.carries(&message.bytes) && message.len() <= self.longest;
        assert!(carries || self.promise.expires && is_late, "accepts only what it may");
        let number = number_of(&message.bytes).expect("it was made here");
        let frame = self.framing.frame(&message.bytes);
        self.bytes = self.buffers.map_or(bytes, |count| self.bytes + count * frame.len() as u64);
        self.accepted += 1;
        let Promise { lanes, conflates, max_age, .. } = self.promise;
        let lane = u64::from(message.lane.min(lanes.saturating_sub(1)));
        let key = message.key.filter(|_| conflates).map_or(0, |key| key + 1);
        let deadline = message.deadline.map(Instant::from_std);
        let late = deadline.or_else(|| Some(self.made[number] + max_age?));
        // Where it has waited in a lane its age counts from a time that nobody knows.
        let max_age = max_age.filter(|_| lanes == 0);
        let deadline = deadline.or_else(|| Some(Instant::now() + max_age?));
        let entry = Entry { frame, key: message.key, deadline, late, class: lane << 32 | key };
        let slot = &mut self.entries[number];
        assert!(slot.is_none(), "a message is accepted once");
        *slot = Some(entry);
    }

    /// Everything that the report says at any time.
    pub(super) fn check(&self, report: &Report, receivers: &[Receiver], logs: &[Log]) {
        let leaves = &report.leaves;
        assert!(leaves.iter().all(LeafReport::is_conserved), "nothing disappears: {report}");
        let above = report.unfed.plus(report.dropped.total());
        let way = &self.promise.way;
        let (there, expected) = if self.promise.waits_in_branches {
            (way.accepted_by_branches(leaves), self.accepted * way.copies())
        } else {
            (way.accepted(leaves), self.accepted)
        };
        match above.messages {
            // What a shared stack has not been fed yet nobody counts.
            None if above.bytes > 0 => assert!(there <= expected, "nothing comes twice: {report}"),
            messages => {
                let all = there + messages.unwrap_or(0);
                assert_eq!(all, expected, "accepted is what was accepted: {report}");
            }
        }
        let most = self.promise.waiting_bytes as u64;
        // And what has come back from below, and a message that each of two layers has promised room.
        let below: usize = logs.iter().map(|log| 3 * log.capacity).sum();
        let waits = report.unfed.bytes == 0 || report.unfed.bytes <= most + below as u64;
        assert!(waits, "what waits is bounded: {report}");
        for (receiver, leaf) in receivers.iter().zip(leaves) {
            let log = &logs[receiver.log];
            // And one frame that has to be finished; and what another target hands over.
            let moved = logs.iter().map(|log| log.capacity).max().expect("a buffer");
            let bound = log.capacity + log.framing.frame_len(log.longest) + moved;
            assert!(leaf.buffered.bytes <= bound as u64, "memory is bounded: {report}");
        }
    }

    /// A flush was done.
    pub(super) fn check_flushed(&self, report: &Report) {
        assert_eq!(report.unfed.bytes, 0, "flushed means everything: {report}");
        assert!(self.promise.way.is_flushed(&report.leaves), "flushed means written: {report}");
    }

    /// Whether a close has given up nothing but what those missed whom nobody waits for.
    pub(super) fn is_in_full(&self, report: &Report) -> bool {
        let given_up = report.leaves.iter().any(|leaf| leaf.dropped.closed.bytes > 0);
        report.dropped.closed.bytes == 0 && (!given_up || self.promise.way.is_loose())
    }

    /// What has come to the receivers, all of which was read: whole frames that were accepted, in
    /// order, once, at one target; and only an end cuts one off.
    pub(super) fn read(&self, receivers: &[Receiver]) -> Read {
        let mut begun = Begun::default();
        let has = receivers.iter().map(|receiver| self.read_one(receiver, &mut begun)).collect();
        let read = Read { has };
        // What an end has destroyed may have been the beginning of anything.
        let unknown = read.has.iter().any(|has| has.lost > 0);
        if !unknown || !self.promise.way.has_targets() {
            self.check_begun(begun);
        }
        for (number, entry) in self.accepted() {
            let fate = One { ledger: self, read: &read, number, report: None };
            let kept = self.promise.way.is_kept(&fate, entry.key);
            assert!(kept, "message {number} is at two targets, or at a wrong one");
        }
        read
    }

    /// Which messages a receiver has; and how many bytes have come to it that it has not.
    fn read_one(&self, receiver: &Receiver, begun: &mut Begun) -> Has {
        let (mut numbers, mut latest) = (vec![false; self.entries.len()], HashMap::new());
        let mut lost = 0;
        for stream in &receiver.streams {
            lost += stream.written() - stream.got.len() as u64;
            let mut at = 0;
            while let Ok(Some(len)) = Framing::frame_len(&self.framing, &stream.got[at..])
                && let Some(frame) = stream.got.get(at..at + len)
            {
                let number = number_of(self.framing.payload(frame)).expect("a whole message");
                let entry = self.entries.get(number).and_then(Option::as_ref);
                let entry = entry.expect("only what was accepted is written");
                assert!(entry.frame == frame, "frame {number} is not torn");
                assert!(!numbers[number], "message {number} comes once");
                numbers[number] = true;
                let before = latest.insert(entry.class, number);
                assert!(before.is_none_or(|before| before < number), "{number} behind {before:?}");
                begun.known.push((number, stream.begun(at as u64)));
                at += len;
            }
            let rest = &stream.got[at..];
            if rest.is_empty() {
                continue;
            }
            // So little of it may be there that it could be one of several.
            let torn = || self.accepted().filter(|(_, entry)| entry.frame.starts_with(rest));
            assert!(torn().next().is_some(), "bytes that nobody fed");
            let is_known = torn().nth(1).is_none();
            let noted = if is_known { &mut begun.known } else { &mut begun.possible };
            noted.extend(torn().map(|(number, _)| (number, stream.begun(at as u64))));
        }
        Has { numbers, lost }
    }

    /// Nothing is begun behind its deadline. Where there are several targets, one of them may get
    /// what another has begun in time.
    fn check_begun(&self, begun: Begun) {
        let mut earlier: HashMap<_, Instant> = HashMap::new();
        if self.promise.way.has_targets() {
            for (number, instant) in begun.known.iter().chain(&begun.possible) {
                let first = earlier.entry(*number).or_insert(*instant);
                *first = (*first).min(*instant);
            }
        }
        for (number, instant) in begun.known {
            let deadline = self.entries[number].as_ref().and_then(|entry| entry.deadline);
            let instant = earlier.get(&number).copied().unwrap_or(instant);
            let late = self.promise.expires && deadline.is_some_and(|deadline| deadline <= instant);
            assert!(!late, "message {number} was begun after its deadline");
        }
    }

    /// Whoever misses something of one lane does so for a reason.
    pub(super) fn settle_lane(&self, read: &Read, report: &Report, lane: u64) {
        for (number, _) in self.accepted().filter(|(_, entry)| entry.class >> 32 == lane) {
            let fate = One { ledger: self, read, number, report: Some(report) };
            let settled = self.promise.way.is_settled(&fate, false);
            assert!(settled, "message {number} was not flushed: {report}");
        }
    }

    /// Whoever misses something does so for a reason, and the reports say how many.
    pub(super) fn settle(&self, read: &Read, report: &Report) {
        for (number, _) in self.accepted() {
            let fate = One { ledger: self, read, number, report: Some(report) };
            let settled = self.promise.way.is_settled(&fate, false);
            assert!(settled, "message {number} is missing without a reason: {report}");
        }
        for (has, leaf) in read.has.iter().zip(&report.leaves) {
            let got = has.numbers.iter().filter(|has| **has).count() as u64;
            let written = leaf.written.messages.unwrap_or(0);
            let exact = has.lost > 0 || got == written;
            assert!(got <= written && exact, "{got} came, written is what is whole: {leaf:?}");
        }
    }

    fn accepted(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let numbered = self.entries.iter().enumerate();
        numbered.filter_map(|(number, entry)| Some((number, entry.as_ref()?)))
    }

    fn is_outdated(&self, number: usize) -> bool {
        let key = self.entries[number].as_ref().and_then(|entry| entry.key);
        let newer = || self.entries[number + 1..].iter().flatten().any(|entry| entry.key == key);
        self.promise.conflates && key.is_some() && newer()
    }

    fn is_late(&self, number: usize) -> bool {
        let late = self.entries[number].as_ref().and_then(|entry| entry.late);
        self.promise.expires && late.is_some_and(|late| late <= Instant::now())
    }
}

/// What has come to each receiver.
pub(super) struct Read {
    has: Vec<Has>,
}

/// Which messages were begun on a connection, and when.
#[derive(Default)]
struct Begun {
    known: Vec<(usize, Instant)>,
    /// So little of them has come that it may have been others.
    possible: Vec<(usize, Instant)>,
}

struct Has {
    /// By number.
    numbers: Vec<bool>,
    /// Bytes that were written and that an end has destroyed.
    lost: u64,
}

/// One message.
struct One<'a> {
    ledger: &'a Ledger,
    read: &'a Read,
    number: usize,
    report: Option<&'a Report>,
}

impl Fate for One<'_> {
    fn has(&self, index: usize) -> bool {
        self.read.has[index].numbers[self.number]
    }

    fn is_excused(&self, index: usize, loose: bool) -> bool {
        let Some(report) = self.report else { return false };
        let leaf = &report.leaves[index];
        let dropped = |of: fn(&Dropped) -> u64| of(&leaf.dropped) + of(&report.dropped) > 0;
        self.read.has[index].lost > 0
            || dropped(|dropped| dropped.overflow.bytes)
            || dropped(|dropped| dropped.closed.bytes)
            || loose && (leaf.buffered.bytes > 0 || leaf.dropped.skipped.messages != Some(0))
            || self.ledger.is_late(self.number) && dropped(|dropped| dropped.expired.bytes)
            || self.ledger.is_outdated(self.number) && dropped(|dropped| dropped.conflated.bytes)
    }
}

/// The number that a message tells.
fn number_of(payload: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(payload.get(2..LEAST)?).ok()?;
    usize::from_str_radix(digits, 16).ok()
}

/// Bytes of the shortest message that can tell its number.
const LEAST: usize = 6;
