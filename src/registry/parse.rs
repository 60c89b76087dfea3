//! The walk over the file: from TOML to checked services, reporting everything on the way.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Registry;
use super::advice;
use super::defaults::Defaults;
use super::draft::Draft;
use super::graph;
use super::keys;
use super::kind::DiagnosticKind as Kind;
use super::limits::Limits;
use super::number::Limits as Bounds;
use super::options;
use super::reader::Reader;
use super::report::Report;
use super::section::{Section, type_name, wrong_type};
use super::service::{Service, Target, Written};
use super::shared::Shared;
use crate::endpoint::Endpoint;
use crate::options::LinkOptions;

/// What the file says, as a whole when nothing was reported.
pub(super) fn registry(root: &DeTable<'_>, report: &mut Report) -> Registry {
    let (mut drafts, limits) = drafts(root, report);
    graph::check(&drafts, report);
    advice::advise(&drafts, report);
    drafts.sort_by(|left, right| left.name.cmp(&right.name));
    let disabled = drafts.iter().filter(|draft| !draft.is_enabled);
    let disabled: Box<[_]> = disabled.map(|draft| draft.name.clone()).collect();
    drafts.retain(|draft| draft.is_enabled);
    let failover = |draft: &mut Draft| Some((draft.name.clone(), draft.failover.take()?));
    let failovers = drafts.iter_mut().filter_map(failover).collect();
    let mut services: Box<[_]> = drafts.into_iter().filter_map(|draft| draft.service).collect();
    for service in services.iter_mut().filter(|_| !disabled.is_empty()) {
        service.leave_out(&disabled);
    }
    let registry = Registry { services, failovers, disabled, warnings: Box::default() };
    // What is broken may count for nothing, or for too much.
    if report.count() == 0 {
        limits.check(&registry, report);
    }
    registry
}

/// The services in the order of the files, and what they may take.
fn drafts(root: &DeTable<'_>, report: &mut Report) -> (Vec<Draft>, Limits) {
    let file = Section::open(root, &keys::FILE, report);
    file.integer("version", &VERSION, report);
    let defaults = Defaults::read(&file, report);
    let limits = Limits::read(&file, report);
    let help = Some("a service is a table `[services.NAME]`");
    let Some(services) = file.value("services") else {
        // Where a key is unknown, or a file cannot be read, that is the cause.
        if report.count() == 0 {
            report.error_with_help(0..0, Kind::Missing { key: "services" }, help);
        }
        return (Vec::new(), limits);
    };
    let Some(table) = services.get_ref().as_table() else {
        let (expected, found) = ("a table", type_name(services));
        let kind = Kind::WrongType { key: "services".into(), expected, found };
        report.error_with_help(services.span(), kind, help);
        return (Vec::new(), limits);
    };
    let services = table;
    // The map is sorted by name; readers of errors think in the order of the file.
    let mut entries: Vec<_> = services.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut shared = Shared::new();
    let draft = |(name, value)| draft(name, value, &defaults, &mut shared, report);
    (entries.into_iter().map(draft).collect(), limits)
}

/// Reports what is not TOML in a file whose first byte is at `start`.
pub(super) fn syntax_errors(errors: &[toml::de::Error], start: usize, report: &mut Report) {
    let mut unclosed = false;
    for error in errors {
        let (span, message) = (error.span().unwrap_or(0..0), error.message());
        let span = start + span.start..start + span.end;
        // An inline table may go on over many lines: all that follows is then taken for its keys.
        let of_inline_table = message.contains("inline table") || message.contains("pairs");
        let help = of_inline_table.then_some("an inline table at or above this may lack its `}`");
        if !(of_inline_table && unclosed) {
            report.error_with_help(span, Kind::Syntax { message: message.into() }, help);
        }
        unclosed |= of_inline_table;
    }
}

fn draft(
    name: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
    defaults: &Defaults,
    shared: &mut Shared,
    report: &mut Report,
) -> Draft {
    let span = name.span();
    let name = shared.name(name.get_ref().as_ref());
    let before = report.count();
    check_name(&name, &span, report);
    let mut draft = Draft {
        name,
        span,
        service: None,
        is_enabled: true,
        leads: 0..0,
        pattern: None,
        failover: None,
        targets: None,
        isolation: None,
    };
    let Some(table) = value.get_ref().as_table() else {
        return wrong_type(&draft.name, value, "a table", report).unwrap_or(draft);
    };
    let section = Section::open(table, &keys::SERVICE, report);
    let read = Reader { section, name: draft.span.clone() };
    let kind = read.kind(report);
    draft.targets = read.targets(shared, report);
    let leads = section.value("endpoint").or_else(|| section.value("targets"));
    draft.leads = leads.map_or(0..0, Spanned::span);
    let isolation = options::isolation(&section, report);
    draft.isolation = section.value("isolation").map(Spanned::span).zip(isolation);
    let target = read.target(kind, draft.targets.as_deref(), isolation, report);
    if let Some(Target::Composite { pattern, .. }) = target {
        draft.pattern = Some(pattern);
    }
    draft.failover = read.failover(target.as_ref(), defaults, report);
    draft.is_enabled = section.boolean("enabled", report).unwrap_or(true);
    let mut buffer = defaults.buffer.clone();
    buffer.read(&section, report);
    buffer.check_companions(&section, report);
    let lazy = options::lazy(&section, &defaults.lazy, report);
    let tcp = options::tcp(&section, defaults.tcp.tcp(), report);
    let unix = options::unix(&section, defaults.unix.unix(), report);
    read.check_link(target.as_ref(), report);
    if let Some(target) = target.filter(|_| report.count() == before) {
        let link = match &target {
            Target::Endpoint { endpoint: Endpoint::Unix { .. }, .. } => {
                shared.links.share(unix.map(LinkOptions::Unix), &defaults.unix)
            }
            Target::Endpoint { .. } => shared.links.share(tcp.map(LinkOptions::Tcp), &defaults.tcp),
            Target::Composite { .. } => LinkOptions::shared_tcp(),
        };
        draft.service = Some(Service {
            name: draft.name.clone(),
            written: Written::new(report.written(&draft.leads)),
            target,
            buffer: buffer.config(),
            lazy: shared.lazy.share(lazy, &defaults.lazy),
            link,
        });
    }
    draft
}

fn check_name(name: &str, span: &Range<usize>, report: &mut Report) {
    let why = match name {
        "" => "must not be empty",
        name if name.len() > MAX_NAME => "has at most 255 bytes",
        name if name.chars().any(char::is_control) => "has no control characters",
        _ => return,
    };
    report.error(span.clone(), Kind::InvalidName { why });
}

/// The version of the format that this is.
pub(super) const VERSION: Bounds<u32> = Bounds { min: 1, max: 1, words: "1" };

/// Names stand in logs and metrics.
pub(super) const MAX_NAME: usize = 255;
