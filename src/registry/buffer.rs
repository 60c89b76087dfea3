//! The table `buffer`: what a service says of it, above what holds for all.

use std::time::Duration;

use super::keys;
use super::kind::DiagnosticKind as Kind;
use super::number::Limits;
use super::options::{GIB, POSITIVE};
use super::report::Report;
use super::section::{Section, Word};
use super::service::{BufferConfig, Priority, Told};
use crate::buffer::WhenFull;

/// A buffer key by key, as far as it is said; each key is inherited on its own.
#[derive(Clone, Default)]
pub(super) struct BufferKeys {
    /// Its capacity and its largest frame.
    sizes: BufferConfig,
    when_full: WhenFull,
    high_water: Option<u32>,
    low_water: Option<u32>,
    max_delay: Option<Duration>,
    flush_at: Option<u32>,
    deadline: Option<Duration>,
    priority: Option<Priority>,
}

impl BufferKeys {
    /// Takes in the table `buffer` of a service, or of the defaults. What is wrong stays as it was;
    /// the report says so.
    pub(super) fn read(&mut self, service: &Section<'_>, report: &mut Report) {
        let before = report.count();
        let Some(section) = service.table("buffer", &keys::BUFFER, report) else { return };
        if let Some(capacity) = section.bytes("capacity", &CAPACITY, report) {
            self.sizes.capacity = capacity;
        }
        if let Some(max_frame) = section.bytes("max_frame", &MAX_FRAME, report) {
            self.sizes.max_frame = max_frame;
        }
        if let Some(when_full) = section.word("when_full", WHEN_FULL, report) {
            self.when_full = when_full;
        }
        let high = |section: &Section<'_>| section.bytes("high_water", &HIGH_WATER, report);
        if let Some(high) = section.unless("high_water", "off", high) {
            self.high_water = high;
        }
        if let Some(low) = section.bytes("low_water", &LOW_WATER, report) {
            self.low_water = Some(low);
        }
        let delay = |section: &Section<'_>| section.duration("max_delay", &POSITIVE, report);
        if let Some(delay) = section.unless("max_delay", "off", delay) {
            self.max_delay = delay;
        }
        if let Some(flush_at) = section.bytes("flush_at", &FLUSH_AT, report) {
            self.flush_at = Some(flush_at);
        }
        let deadline = |section: &Section<'_>| section.duration("deadline", &POSITIVE, report);
        if let Some(deadline) = section.unless("deadline", "off", deadline) {
            self.deadline = deadline;
        }
        if let Some(priority) = section.word("priority", PRIORITIES, report) {
            self.priority = priority;
        }
        self.check_rivals(&section, report);
        if report.count() == before {
            self.check_sizes(&section, report);
        }
    }

    /// Refuses a low mark of a buffer that has no high one, and the like. Defaults may have it for
    /// services that have the other.
    pub(super) fn check_companions(&self, service: &Section<'_>, report: &mut Report) {
        let buffer = service.value("buffer").and_then(|buffer| buffer.get_ref().as_table());
        let Some(buffer) = buffer else { return };
        for (key, other, is_set, to) in [
            ("low_water", "high_water", self.high_water.is_some(), "a buffer without `high_water`"),
            ("flush_at", "max_delay", self.max_delay.is_some(), "a buffer without `max_delay`"),
        ] {
            if let Some((found, _)) = buffer.get_key_value(key)
                && !buffer.contains_key(other)
                && !is_set
            {
                report.error(found.span(), Kind::NotApplicable { key, to });
            }
        }
    }

    /// Refuses the second of two keys of which a stack has one.
    fn check_rivals(&mut self, section: &Section<'_>, report: &mut Report) {
        const ONE: &str = "a stack has one of them";
        const WAITS: &str =
            "a layer keeps what finds no room until there is some, so the buffer waits";
        for (one, other, help) in [
            ("deadline", "priority", ONE),
            ("deadline", "when_full", WAITS),
            ("priority", "when_full", WAITS),
        ] {
            if !(self.is_set(one) && self.is_set(other)) {
                continue;
            }
            let written = [(one, other), (other, one)].into_iter().filter_map(|(key, other)| {
                let span = section.key_span(key)?;
                Some((span, key, other))
            });
            let Some((span, key, other)) = written.max_by_key(|(span, ..)| span.start) else {
                continue;
            };
            let inherited = (!section.has(other)).then(|| format!("; here it inherits `{other}`"));
            let help = format!("{help}{}", inherited.unwrap_or_default());
            report.error_with_help(span, Kind::Conflict { key, other }, Some(help));
            // So that those who inherit it hear nothing of it.
            match key {
                "deadline" => self.deadline = None,
                "priority" => self.priority = None,
                _ => self.when_full = WhenFull::Wait,
            }
        }
    }

    fn is_set(&self, rival: &str) -> bool {
        match rival {
            "deadline" => self.deadline.is_some(),
            "priority" => self.priority.is_some(),
            _ => self.when_full != WhenFull::Wait,
        }
    }

    /// Whether the marks lie one below the other, and whatever is a part of the capacity within it.
    fn check_sizes(&self, section: &Section<'_>, report: &mut Report) {
        let capacity = self.sizes.capacity;
        let marks = self.marks().map(|(high, low)| {
            [("high_water", high, "capacity", capacity), ("low_water", low, "high_water", high)]
        });
        let flush_at = self.delay().map(|(_, bytes)| ("flush_at", bytes, "capacity", capacity));
        for (key, bytes, other, limit) in marks.into_iter().flatten().chain(flush_at) {
            if bytes <= limit {
                continue;
            }
            // One of them stands here: what is inherited was checked where it stands. Of two the
            // later one, which may be in an overlay.
            let written = [key, other].into_iter().filter_map(|key| section.value(key));
            let spans = written.map(|value| value.span());
            let Some(span) = spans.max_by_key(|span| span.start) else { continue };
            let unwritten = [key, other].into_iter().find(|key| !section.has(key));
            let help = unwritten.map(|key| format!("`{key}` is its default here"));
            report.error_with_help(span, Kind::Above { key, bytes, other, limit }, help);
        }
    }

    fn marks(&self) -> Option<(u32, u32)> {
        let high = self.high_water?;
        Some((high, self.low_water.unwrap_or(high / 2)))
    }

    /// How long messages may wait for more, and how many bytes do not. In the other half stands what
    /// comes while the driver is on its way.
    fn delay(&self) -> Option<(Duration, u32)> {
        Some((self.max_delay?, self.flush_at.unwrap_or(self.sizes.capacity / 2)))
    }

    pub(super) fn config(&self) -> BufferConfig {
        let mut config = self.sizes.clone();
        let (water_marks, max_delay) = (self.marks(), self.delay());
        let (when_full, deadline, priority) = (self.when_full, self.deadline, self.priority);
        let told = Told { when_full, water_marks, max_delay, deadline, priority };
        config.told = (told != Told::default()).then(|| Box::new(told));
        config
    }
}

pub(super) const WHEN_FULL: &[Word<WhenFull>] = &[
    ("wait", Some(WhenFull::Wait)),
    ("drop_newest", Some(WhenFull::DropNewest)),
    ("drop_oldest", Some(WhenFull::DropOldest)),
    ("error", Some(WhenFull::Error)),
];

pub(super) const PRIORITIES: &[Word<Option<Priority>>] = &[
    ("off", Some(None)),
    ("weighted", Some(Some(Priority::Weighted))),
    ("strict", Some(Some(Priority::Strict))),
];

/// Below 64 bytes not even small messages fit; above 1 GiB it is a slip of the unit.
pub(super) const CAPACITY: Limits<u32> = Limits { min: 64, max: GIB, words: "64B to 1GiB" };
pub(super) const HIGH_WATER: Limits<u32> =
    Limits { min: 1, max: GIB, words: "1B to 1GiB, or \"off\"" };
pub(super) const FLUSH_AT: Limits<u32> = Limits { min: 1, max: GIB, words: "1B to 1GiB" };
pub(super) const LOW_WATER: Limits<u32> = Limits { min: 0, max: GIB, words: "0B to 1GiB" };
pub(super) const MAX_FRAME: Limits<u32> = Limits { min: 1, max: GIB, words: "1B to 1GiB" };
