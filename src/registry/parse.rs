//! The walk over the file: from TOML to checked services, reporting everything on the way.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::graph::{self, Draft};
use super::keys;
use super::kind::DiagnosticKind as Kind;
use super::limits::Limits;
use super::options;
use super::report::Report;
use super::section::{Section, Word, wrong_type};
use super::service::{Isolation, Pattern, Role, Service, Target};
use super::shared::Shared;
use super::spelling;
use crate::endpoint::{Endpoint, EndpointError};
use crate::options::{TcpOptions, UnixOptions};
use crate::policy::FailoverPolicy;

/// What the file says of its failovers, by name.
type Failovers = Vec<(Arc<str>, FailoverPolicy)>;

/// The services of the file, and what they may take; they are all there, and right, when nothing
/// was reported.
pub(super) fn services(text: &str, report: &mut Report) -> (Vec<Service>, Failovers, Limits) {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        report.error(span, Kind::Syntax { message: error.message().into() });
    }
    let root = root.get_ref();
    let file = Section::open(root, &keys::FILE, report);
    if !file.has("services") {
        let help = Some("a service is a table `[services.NAME]`");
        report.error_with_help(0..0, Kind::Missing { key: "services" }, help);
    }
    let limits = Limits::read(&file, report);
    let Some(services) = file.value("services") else { return Default::default() };
    let Some(services) = services.get_ref().as_table() else {
        return wrong_type("services", services, "a table", report).unwrap_or_default();
    };
    // The map is sorted by name; readers of errors think in the order of the file.
    let mut entries: Vec<_> = services.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut shared = Shared::new();
    let mut drafts: Vec<_> =
        entries.into_iter().map(|(name, value)| draft(name, value, &mut shared, report)).collect();
    graph::check(&drafts, report);
    let failover = |draft: &mut Draft| Some((draft.name.clone(), draft.failover.take()?));
    let failovers = drafts.iter_mut().filter_map(failover).collect();
    (drafts.into_iter().filter_map(|draft| draft.service).collect(), failovers, limits)
}

fn draft(
    name: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
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
    let isolation = options::isolation(&section, report);
    draft.isolation = section.value("isolation").map(Spanned::span).zip(isolation);
    let target = read.target(kind, draft.targets.as_deref(), isolation, report);
    if let Some(Target::Composite { pattern, .. }) = target {
        draft.pattern = Some(pattern);
    }
    draft.failover = read.failover(target.as_ref(), report);
    let buffer = options::buffer(&read.section, report);
    let lazy = options::lazy(&read.section, report);
    let (tcp, unix) = read.link_options(target.as_ref(), report);
    if let Some(target) = target.filter(|_| report.count() == before) {
        let name = draft.name.clone();
        let lazy = shared.lazy.share(lazy);
        let (tcp, unix) = (shared.tcp.share(tcp), shared.unix.share(unix));
        draft.service = Some(Service { name, target, buffer, lazy, tcp, unix });
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

/// What the key `type` says.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Type {
    Endpoint(Role),
    Composite,
}

/// Reads the keys of one service.
struct Reader<'t> {
    section: Section<'t>,
    /// Where its name stands: the place of what is missing.
    name: Range<usize>,
}

/// A name in `targets` and its place.
pub(super) type Named = (Arc<str>, Range<usize>);

impl Reader<'_> {
    fn kind(&self, report: &mut Report) -> Option<Type> {
        if !self.section.has("type") {
            self.missing("type", "`direct`, `relay` or `composite`", report);
        }
        self.section.word("type", TYPES, report)
    }

    fn target(
        &self,
        kind: Option<Type>,
        targets: Option<&[Named]>,
        isolation: Option<Isolation>,
        report: &mut Report,
    ) -> Option<Target> {
        // Every key is read, also those that are out of place or of a service without a type: what
        // is wrong with them is an error of its own.
        let endpoint = self.endpoint(report);
        let pattern = self.section.word("pattern", PATTERNS, report);
        self.section.word("preamble", PREAMBLES, report);
        match kind? {
            Type::Endpoint(role) => {
                let foreign = ["targets", "pattern", "isolation"];
                self.foreign(&foreign, "endpoint", NOT_COMPOSITE, report);
                if role == Role::Direct {
                    self.foreign(&["preamble"], "", "a direct service", report);
                }
                if !self.section.has("endpoint") {
                    self.missing("endpoint", "`tcp://host:port` or `unix:///path`", report);
                }
                endpoint.map(|endpoint| Target::Endpoint { role, endpoint })
            }
            Type::Composite => {
                let foreign = ["endpoint", "preamble", "tcp", "unix"];
                self.foreign(&foreign, "targets", "a composite", report);
                if !self.section.has("pattern") {
                    self.missing("pattern", "`fanout` or `failover`", report);
                }
                if !self.section.has("targets") {
                    self.missing("targets", "names of services", report);
                }
                let targets = targets?.iter().map(|(name, _)| name.clone()).collect();
                let isolation = isolation.unwrap_or_default();
                pattern.map(|pattern| Target::Composite { pattern, isolation, targets })
            }
        }
    }

    fn endpoint(&self, report: &mut Report) -> Option<Endpoint> {
        let (text, span) = self.section.string("endpoint", report)?;
        text.parse()
            .map_err(|error| {
                let help = endpoint_help(text, &error);
                report.error_with_help(span, Kind::Endpoint(error), help);
            })
            .ok()
    }

    fn targets(&self, shared: &mut Shared, report: &mut Report) -> Option<Vec<Named>> {
        let value = self.section.value("targets")?;
        let Some(array) = value.get_ref().as_array() else {
            return wrong_type("targets", value, "an array of service names", report);
        };
        if array.is_empty() {
            report.error(value.span(), Kind::EmptyTargets);
        }
        let mut names = Vec::with_capacity(array.len());
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(name) => names.push((shared.name(name), item.span())),
                None => {
                    let expected = "an array of service names";
                    wrong_type::<()>("targets", item, expected, report);
                }
            }
        }
        Some(names)
    }

    /// The options of the link; those of another kind of link than the endpoint's are refused.
    fn link_options(
        &self,
        target: Option<&Target>,
        report: &mut Report,
    ) -> (TcpOptions, UnixOptions) {
        let options = (options::tcp(&self.section, report), options::unix(&self.section, report));
        if let Some(Target::Endpoint { endpoint, .. }) = target {
            match endpoint {
                Endpoint::Tcp { .. } => self.foreign(&["unix"], "", "a `tcp://` endpoint", report),
                Endpoint::Unix { .. } => self.foreign(&["tcp"], "", "a `unix://` endpoint", report),
                Endpoint::Other(_) => {}
            }
        }
        options
    }

    /// When to change the target; a service that has no choice of them has no use for it.
    fn failover(&self, target: Option<&Target>, report: &mut Report) -> Option<FailoverPolicy> {
        let policy = options::failover(&self.section, report);
        match target {
            Some(Target::Endpoint { .. }) => {
                self.foreign(&["failover"], "", "a service with an endpoint", report);
            }
            Some(Target::Composite { pattern: Pattern::Fanout, .. }) => {
                self.foreign(&["failover"], "", "a fan-out", report);
            }
            Some(Target::Composite { pattern: Pattern::Failover, .. }) => {
                self.foreign(&["isolation"], "", "a failover", report);
            }
            _ => {}
        }
        policy
    }

    /// Refuses `keys`, which mean nothing to this kind of service. Between `endpoint` and `targets`
    /// the one of the two that is `own` stays.
    fn foreign(
        &self,
        keys: &[&'static str],
        own: &'static str,
        to: &'static str,
        report: &mut Report,
    ) {
        for key in keys {
            let Some(span) = self.section.key_span(key) else { continue };
            let rivals = ["endpoint", "targets"];
            let kind = if rivals.contains(key) && self.section.has(own) {
                Kind::Conflict { key, other: own }
            } else {
                Kind::NotApplicable { key, to }
            };
            report.error(span, kind);
        }
    }

    fn missing(&self, key: &'static str, what: &str, report: &mut Report) {
        let help = Some(format!("add `{key}`: {what}"));
        report.error_with_help(self.name.clone(), Kind::Missing { key }, help);
    }
}

fn endpoint_help(text: &str, error: &EndpointError) -> Option<String> {
    match error {
        EndpointError::UnknownScheme(scheme) => {
            let near = spelling::nearest(scheme, ["tcp", "unix"])?;
            Some(format!("did you mean `{near}{}`?", &text[scheme.len()..]))
        }
        EndpointError::MissingScheme(_) if text.starts_with('/') => {
            Some(format!("did you mean `unix://{text}`?"))
        }
        EndpointError::MissingScheme(_) if Endpoint::tcp(text).is_ok() => {
            Some(format!("did you mean `tcp://{text}`?"))
        }
        _ => None,
    }
}

pub(super) const TYPES: &[Word<Type>] = &[
    ("direct", Some(Type::Endpoint(Role::Direct))),
    ("relay", Some(Type::Endpoint(Role::Relay))),
    ("composite", Some(Type::Composite)),
];

pub(super) const PATTERNS: &[Word<Pattern>] = &[
    ("fanout", Some(Pattern::Fanout)),
    ("round_robin", None),
    ("failover", Some(Pattern::Failover)),
];

/// What a connection to a relay begins with: nothing, until relays want more.
pub(super) const PREAMBLES: &[Word<()>] = &[("none", Some(()))];

const NOT_COMPOSITE: &str = "a service with an endpoint; it needs `type = \"composite\"`";

/// Names stand in logs and metrics.
pub(super) const MAX_NAME: usize = 255;
