//! The tables within a service: its buffer, its lazy policy, the options of its link.

use std::time::Duration;

use super::keys;
use super::kind::DiagnosticKind;
use super::number::Limits;
use super::report::Report;
use super::section::{Section, Word, wrong_type};
use super::service::{BufferConfig, Isolation, Told};
use crate::buffer::WhenFull;
use crate::options::{TcpOptions, UnixOptions};
use crate::policy::{Backoff, FailoverPolicy, LazyPolicy, Reconnect};

/// `[services.NAME.buffer]`. What is wrong keeps its default; the report says so.
pub(super) fn buffer(service: &Section<'_>, report: &mut Report) -> BufferConfig {
    let (mut config, before) = (BufferConfig::default(), report.count());
    let Some(section) = service.table("buffer", &keys::BUFFER, report) else { return config };
    if let Some(capacity) = section.bytes("capacity", &CAPACITY, report) {
        config.capacity = capacity;
    }
    if let Some(max_frame) = section.bytes("max_frame", &MAX_FRAME, report) {
        config.max_frame = max_frame;
    }
    let when_full = section.word("when_full", WHEN_FULL, report).unwrap_or_default();
    let water_marks = water_marks(&section, report);
    let max_delay = max_delay(&section, config.capacity, report);
    let told = Told { when_full, water_marks, max_delay };
    if report.count() == before {
        check_sizes(&section, config.capacity, &told, report);
    }
    config.told = (told != Told::default()).then(|| Box::new(told));
    config
}

/// The key `isolation`: a word, or a table.
pub(super) fn isolation(service: &Section<'_>, report: &mut Report) -> Option<Isolation> {
    let value = service.value("isolation")?;
    match value.get_ref().as_str() {
        Some("quorum") => wrong_type("isolation", value, "`{ quorum = 2 }` for a quorum", report),
        Some(_) => service.word("isolation", ISOLATION, report),
        None if value.get_ref().is_table() => {
            let section = service.table("isolation", &keys::ISOLATION, report)?;
            if !section.has("quorum") {
                let help = Some("add `quorum`: how many targets to wait for".to_owned());
                let kind = DiagnosticKind::Missing { key: "quorum" };
                report.error_with_help(value.span(), kind, help);
            }
            section.integer("quorum", &QUORUM, report).map(Isolation::Quorum)
        }
        None => {
            let expected = "`\"all\"`, `\"best_effort\"` or `{ quorum = 2 }`";
            wrong_type("isolation", value, expected, report)
        }
    }
}

/// The marks that a buffer tells about, if it has any.
fn water_marks(section: &Section<'_>, report: &mut Report) -> Option<(u32, u32)> {
    let high = section.bytes("high_water", &MARK, report);
    let low = section.bytes("low_water", &LOW_MARK, report);
    if let Some(span) = section.key_span("low_water").filter(|_| !section.has("high_water")) {
        let (key, to) = ("low_water", "a buffer without `high_water`");
        report.error(span, DiagnosticKind::NotApplicable { key, to });
    }
    high.map(|high| (high, low.unwrap_or(high / 2)))
}

/// How long messages may wait for more, if they may, and how many bytes do not.
fn max_delay(section: &Section<'_>, capacity: u32, report: &mut Report) -> Option<(Duration, u32)> {
    let delay = |section: &Section<'_>| section.duration("max_delay", &POSITIVE, report);
    let max_delay = section.unless("max_delay", "off", delay).flatten();
    let flush_at = section.bytes("flush_at", &MARK, report);
    if let Some(span) = section.key_span("flush_at").filter(|_| !section.has("max_delay")) {
        let (key, to) = ("flush_at", "a buffer without `max_delay`");
        report.error(span, DiagnosticKind::NotApplicable { key, to });
    }
    // In the other half stands what comes while the driver is on its way.
    max_delay.map(|max_delay| (max_delay, flush_at.unwrap_or(capacity / 2)))
}

/// Whether the marks lie one below the other, and whatever is a part of the capacity within it.
fn check_sizes(section: &Section<'_>, capacity: u32, told: &Told, report: &mut Report) {
    let marks = told.water_marks.map(|(high, low)| {
        [("high_water", high, "capacity", capacity), ("low_water", low, "high_water", high)]
    });
    let flush_at = told.max_delay.map(|(_, flush_at)| ("flush_at", flush_at, "capacity", capacity));
    for (key, bytes, other, limit) in marks.into_iter().flatten().chain(flush_at) {
        if bytes > limit {
            let span = section.value(key).map_or(0..0, |value| value.span());
            let help = (!section.has(other)).then(|| format!("`{other}` is its default here"));
            report.error_with_help(span, DiagnosticKind::Above { key, bytes, other, limit }, help);
        }
    }
}

/// `[services.NAME.lazy]`.
pub(super) fn lazy(service: &Section<'_>, report: &mut Report) -> LazyPolicy {
    let mut policy = LazyPolicy::new();
    let Some(section) = service.table("lazy", &keys::LAZY, report) else { return policy };
    if let Some(timeout) = section.duration("connect_timeout", &POSITIVE, report) {
        policy = policy.with_connect_timeout(timeout);
    }
    if let Some(backoff) = section.table("backoff", &keys::BACKOFF, report) {
        policy = policy.with_backoff(self::backoff(&backoff, report));
    }
    if let Some(attempts) = section.integer("max_attempts", &ATTEMPTS, report) {
        policy = policy.with_max_attempts(attempts);
    }
    let idle = |section: &Section<'_>| section.duration("idle_timeout", &POSITIVE, report);
    if let Some(timeout) = section.unless("idle_timeout", "off", idle) {
        policy = policy.with_idle_timeout(timeout);
    }
    if let Some(uptime) = section.duration("min_uptime", &FROM_ZERO, report) {
        policy = policy.with_min_uptime(uptime);
    }
    if let Some(deadline) = section.duration("close_deadline", &FROM_ZERO, report) {
        policy = policy.with_close_deadline(deadline);
    }
    if let Some(reconnect) = section.word("reconnect", RECONNECT, report) {
        policy = policy.with_reconnect(reconnect);
    }
    if let Some(counting) = section.boolean("counting", report) {
        policy = policy.with_counting(counting);
    }
    policy
}

/// `[services.NAME.failover]`; none where there is no such table.
pub(super) fn failover(service: &Section<'_>, report: &mut Report) -> Option<FailoverPolicy> {
    let section = service.table("failover", &keys::FAILOVER, report)?;
    let mut policy = FailoverPolicy::new();
    if let Some(attempts) = section.integer("attempts", &TURNS, report) {
        policy = policy.with_attempts(attempts);
    }
    let stall = |section: &Section<'_>| section.duration("stall_timeout", &POSITIVE, report);
    if let Some(timeout) = section.unless("stall_timeout", "off", stall) {
        policy = policy.with_stall_timeout(timeout);
    }
    if let Some(probes) = section.integer("probes", &PROBES, report) {
        policy = policy.with_probes(probes);
    }
    if let Some(interval) = section.duration("probe_interval", &POSITIVE, report) {
        policy = policy.with_probe_interval(interval);
    }
    if let Some(hold) = section.duration("hold", &FROM_ZERO, report) {
        policy = policy.with_hold(hold);
    }
    Some(policy)
}

fn backoff(section: &Section<'_>, report: &mut Report) -> Backoff {
    let before = report.count();
    let mut backoff = Backoff::new();
    if let Some(initial) = section.duration("initial", &POSITIVE, report) {
        backoff = backoff.with_initial(initial);
    }
    if let Some(max) = section.duration("max", &POSITIVE, report) {
        backoff = backoff.with_max(max);
    }
    let (initial, max) = (backoff.initial, backoff.max);
    if report.count() == before && max < initial {
        let written = section.value("max").or_else(|| section.value("initial"));
        let span = written.map_or(0..0, |value| value.span());
        let unwritten = ["max", "initial"].into_iter().find(|key| !section.has(key));
        let help = unwritten.map(|key| format!("`{key}` is its default here; set it too"));
        report.error_with_help(span, DiagnosticKind::MaxBelowInitial { max, initial }, help);
    }
    if let Some(multiplier) = section.float("multiplier", &MULTIPLIER, report) {
        backoff = backoff.with_multiplier(multiplier);
    }
    backoff
}

/// `[services.NAME.tcp]`.
pub(super) fn tcp(service: &Section<'_>, report: &mut Report) -> TcpOptions {
    let mut options = TcpOptions::default();
    let Some(section) = service.table("tcp", &keys::TCP, report) else { return options };
    if let Some(nodelay) = section.boolean("nodelay", report) {
        options.nodelay = nodelay;
    }
    let keepalive = |section: &Section<'_>| section.duration("keepalive", &KEEPALIVE, report);
    if let Some(keepalive) = section.unless("keepalive", "off", keepalive) {
        options.keepalive = keepalive;
    }
    let timeout = |section: &Section<'_>| section.duration("user_timeout", &USER_TIMEOUT, report);
    if let Some(timeout) = section.unless("user_timeout", "off", timeout) {
        options.user_timeout = timeout;
    }
    options.send_buffer = send_buffer(&section, report);
    options
}

/// `[services.NAME.unix]`.
pub(super) fn unix(service: &Section<'_>, report: &mut Report) -> UnixOptions {
    let section = service.table("unix", &keys::UNIX, report);
    UnixOptions { send_buffer: section.and_then(|section| send_buffer(&section, report)) }
}

fn send_buffer(section: &Section<'_>, report: &mut Report) -> Option<usize> {
    let bytes = |section: &Section<'_>| section.bytes("send_buffer", &SEND_BUFFER, report);
    section.unless("send_buffer", "auto", bytes).flatten().map(|bytes| bytes as usize)
}

pub(super) const WHEN_FULL: &[Word<WhenFull>] = &[
    ("wait", Some(WhenFull::Wait)),
    ("drop_newest", Some(WhenFull::DropNewest)),
    ("drop_oldest", Some(WhenFull::DropOldest)),
    ("error", Some(WhenFull::Error)),
];

pub(super) const ISOLATION: &[Word<Isolation>] =
    &[("all", Some(Isolation::All)), ("best_effort", Some(Isolation::BestEffort))];

pub(super) const RECONNECT: &[Word<Reconnect>] =
    &[("on_data", Some(Reconnect::OnData)), ("eager", Some(Reconnect::Eager))];

/// Below 64 bytes not even small messages fit; above 1 GiB it is a slip of the unit.
pub(super) const CAPACITY: Limits<u32> = Limits { min: 64, max: GIB, words: "64B to 1GiB" };
pub(super) const MARK: Limits<u32> = Limits { min: 1, max: GIB, words: "1B to 1GiB" };
pub(super) const LOW_MARK: Limits<u32> = Limits { min: 0, max: GIB, words: "0B to 1GiB" };
pub(super) const MAX_FRAME: Limits<u32> = Limits { min: 1, max: GIB, words: "1B to 1GiB" };
/// The kernel raises smaller ones to its own minimum of about 4 KiB (socket(7), `SO_SNDBUF`).
pub(super) const SEND_BUFFER: Limits<u32> =
    Limits { min: 4096, max: GIB, words: "4KiB to 1GiB, or \"auto\"" };
const GIB: u32 = 1 << 30;

/// Of none nobody would wait for any, which is best effort; there are not more endpoints.
pub(super) const QUORUM: Limits<u16> = Limits { min: 1, max: 512, words: "1 to 512" };
pub(super) const ATTEMPTS: Limits<u32> =
    Limits { min: 0, max: u32::MAX, words: "0 (no limit) to 4294967295" };
pub(super) const TURNS: Limits<u32> = Limits { min: 1, max: u32::MAX, words: "1 to 4294967295" };
pub(super) const PROBES: Limits<u32> =
    Limits { min: 0, max: u32::MAX, words: "0 (never) to 4294967295" };
pub(super) const MULTIPLIER: Limits<f64> = Limits { min: 1.0, max: 1000.0, words: "1 to 1000" };

/// A year is beyond every use, and small enough that adding it to any clock cannot overflow. The
/// runtime's timers count milliseconds, so that less would round to nothing.
pub(super) const POSITIVE: Limits<Duration> =
    Limits { min: Duration::from_millis(1), max: YEAR, words: "1ms to 8760h" };
pub(super) const FROM_ZERO: Limits<Duration> =
    Limits { min: Duration::ZERO, max: YEAR, words: "0s to 8760h" };
const YEAR: Duration = Duration::from_secs(8760 * 3600);

/// Whole seconds up to `MAX_TCP_KEEPIDLE` (Linux, include/net/tcp.h).
pub(super) const KEEPALIVE: Limits<Duration> = Limits {
    min: Duration::from_secs(1),
    max: Duration::from_secs(32767),
    words: "1s to 32767s, or \"off\"",
};
/// Milliseconds in an `int` (tcp(7), `TCP_USER_TIMEOUT`).
pub(super) const USER_TIMEOUT: Limits<Duration> = Limits {
    min: Duration::from_millis(1),
    max: Duration::from_secs(596 * 3600),
    words: "1ms to 596h, or \"off\"",
};
