//! The tables within a service: its isolation, its policies, the options of its link.

use std::time::Duration;

use super::keys;
use super::kind::DiagnosticKind;
use super::number::Limits;
use super::report::Report;
use super::section::{Section, Word, wrong_type};
use super::service::Isolation;
use crate::options::{TcpOptions, UnixOptions};
use crate::policy::{Backoff, FailoverPolicy, LazyPolicy, Reconnect};

/// The key `isolation`: a word, or a table.
pub(super) fn isolation(service: &Section<'_>, report: &mut Report) -> Option<Isolation> {
    let value = service.value("isolation")?;
    match value.get_ref().as_str() {
        Some(word) if word.starts_with("quorum") => {
            wrong_type("isolation", value, "`{ quorum = 2 }` for a quorum", report)
        }
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

/// `lazy` of a service; `None` where it says nothing of it and inherits all of `base`.
pub(super) fn lazy(
    service: &Section<'_>,
    base: &LazyPolicy,
    report: &mut Report,
) -> Option<LazyPolicy> {
    let section = service.table("lazy", &keys::LAZY, report)?;
    let mut policy = base.clone();
    if let Some(timeout) = section.duration("connect_timeout", &POSITIVE, report) {
        policy = policy.with_connect_timeout(timeout);
    }
    if let Some(backoff) = section.table("backoff", &keys::BACKOFF, report) {
        policy = policy.with_backoff(self::backoff(&backoff, base.backoff, report));
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
    Some(policy)
}

/// `failover` of a service; `None` as for [`lazy`].
pub(super) fn failover(
    service: &Section<'_>,
    base: Option<&FailoverPolicy>,
    report: &mut Report,
) -> Option<FailoverPolicy> {
    let section = service.table("failover", &keys::FAILOVER, report)?;
    let mut policy = base.cloned().unwrap_or_default();
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

fn backoff(section: &Section<'_>, base: Backoff, report: &mut Report) -> Backoff {
    let before = report.count();
    let mut backoff = base;
    if let Some(initial) = section.duration("initial", &POSITIVE, report) {
        backoff = backoff.with_initial(initial);
    }
    if let Some(max) = section.duration("max", &POSITIVE, report) {
        backoff = backoff.with_max(max);
    }
    let (initial, max) = (backoff.initial, backoff.max);
    if report.count() == before && max < initial {
        // The later one: it may be in an overlay.
        let written = ["max", "initial"].into_iter().filter_map(|key| section.value(key));
        let span = written.map(|value| value.span()).max_by_key(|span| span.start);
        let span = span.unwrap_or(0..0);
        let unwritten = ["max", "initial"].into_iter().find(|key| !section.has(key));
        let help = unwritten.map(|key| format!("`{key}` is its default here; set it too"));
        report.error_with_help(span, DiagnosticKind::MaxBelowInitial { max, initial }, help);
    }
    if let Some(multiplier) = section.float("multiplier", &MULTIPLIER, report) {
        backoff = backoff.with_multiplier(multiplier);
    }
    backoff
}

/// `tcp` of a service; `None` as for [`lazy`].
pub(super) fn tcp(
    service: &Section<'_>,
    base: &TcpOptions,
    report: &mut Report,
) -> Option<TcpOptions> {
    let section = service.table("tcp", &keys::TCP, report)?;
    let mut options = base.clone();
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
    if let Some(send_buffer) = send_buffer(&section, report) {
        options.send_buffer = send_buffer;
    }
    Some(options)
}

/// `unix` of a service; `None` as for [`lazy`].
pub(super) fn unix(
    service: &Section<'_>,
    base: &UnixOptions,
    report: &mut Report,
) -> Option<UnixOptions> {
    let section = service.table("unix", &keys::UNIX, report)?;
    let send_buffer = send_buffer(&section, report).unwrap_or(base.send_buffer);
    Some(UnixOptions { send_buffer })
}

/// `None` where nothing is said of it, `Some(None)` where the kernel is to choose.
fn send_buffer(section: &Section<'_>, report: &mut Report) -> Option<Option<usize>> {
    let bytes = |section: &Section<'_>| section.bytes("send_buffer", &SEND_BUFFER, report);
    let bytes = section.unless("send_buffer", "auto", bytes)?;
    Some(bytes.map(|bytes| bytes as usize))
}

pub(super) const ISOLATION: &[Word<Isolation>] =
    &[("all", Some(Isolation::All)), ("best_effort", Some(Isolation::BestEffort))];

pub(super) const RECONNECT: &[Word<Reconnect>] =
    &[("on_data", Some(Reconnect::OnData)), ("eager", Some(Reconnect::Eager))];

/// The kernel raises smaller ones to its own minimum of about 4 KiB (socket(7), `SO_SNDBUF`).
pub(super) const SEND_BUFFER: Limits<u32> =
    Limits { min: 4096, max: GIB, words: "4KiB to 1GiB, or \"auto\"" };
pub(super) const GIB: u32 = 1 << 30;

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
