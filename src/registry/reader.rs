//! The keys of one service: its type, where it leads, and which keys it must not have.

use std::ops::Range;
use std::sync::Arc;

use super::defaults::Defaults;
use super::kind::DiagnosticKind as Kind;
use super::options;
use super::report::Report;
use super::section::{Section, Word, wrong_type};
use super::service::{Isolation, Pattern, Role, Target};
use super::shared::Shared;
use super::spelling;
use crate::endpoint::{Endpoint, EndpointError};
use crate::policy::FailoverPolicy;

/// A name in `targets` and its place.
pub(super) type Named = (Arc<str>, Range<usize>);

/// What the key `type` says.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Type {
    Endpoint(Role),
    Composite,
}

/// Reads the keys of one service.
pub(super) struct Reader<'t> {
    pub(super) section: Section<'t>,
    /// Where its name stands: the place of what is missing.
    pub(super) name: Range<usize>,
}

impl Reader<'_> {
    pub(super) fn kind(&self, report: &mut Report) -> Option<Type> {
        if !self.section.has("type") {
            self.missing("type", "`direct`, `relay` or `composite`", report);
        }
        let (text, span) = self.section.string("type", report)?;
        if PATTERNS.iter().any(|(pattern, _)| *pattern == text) {
            let allowed = TYPES.iter().map(|(name, _)| *name).collect();
            let kind = Kind::UnknownValue { key: "type", value: text.into(), allowed };
            let help = format!("write `type = \"composite\"` and `pattern = \"{text}\"`");
            report.error_with_help(span, kind, Some(help));
            return None;
        }
        self.section.word("type", TYPES, report)
    }

    pub(super) fn target(
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
                    self.missing("pattern", "`fanout`, `round_robin` or `failover`", report);
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
                let span = part_of(text, &error, span);
                report.error_with_help(span, Kind::Endpoint(error), help);
            })
            .ok()
    }

    pub(super) fn targets(&self, shared: &mut Shared, report: &mut Report) -> Option<Vec<Named>> {
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

    /// Refuses the options of another kind of link than the endpoint's.
    pub(super) fn check_link(&self, target: Option<&Target>, report: &mut Report) {
        let Some(Target::Endpoint { endpoint, .. }) = target else { return };
        match endpoint {
            Endpoint::Tcp { .. } => self.foreign(&["unix"], "", "a `tcp://` endpoint", report),
            Endpoint::Unix { .. } => self.foreign(&["tcp"], "", "a `unix://` endpoint", report),
            Endpoint::Other(_) => {}
        }
    }

    /// When to change the target; a service that has no choice of them has no use for it.
    pub(super) fn failover(
        &self,
        target: Option<&Target>,
        defaults: &Defaults,
        report: &mut Report,
    ) -> Option<FailoverPolicy> {
        let base = defaults.failover.as_ref();
        let policy = options::failover(&self.section, base, report);
        match target? {
            Target::Endpoint { .. } => {
                self.foreign(&["failover"], "", "a service with an endpoint", report);
                None
            }
            Target::Composite { pattern: Pattern::Failover, .. } => {
                self.foreign(&["isolation"], "", "a failover", report);
                policy.or_else(|| base.cloned())
            }
            Target::Composite { pattern: Pattern::Fanout, .. } => {
                self.foreign(&["failover"], "", "a fan-out", report);
                None
            }
            Target::Composite { pattern: Pattern::RoundRobin, .. } => {
                self.foreign(&["failover", "isolation"], "", "a round-robin", report);
                None
            }
        }
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
        EndpointError::MissingScheme(_) if text.starts_with("unix:/") => {
            Some(format!("did you mean `unix://{}`?", &text["unix:".len()..]))
        }
        EndpointError::MissingScheme(_) if Endpoint::tcp(text).is_ok() => {
            Some(format!("did you mean `tcp://{text}`?"))
        }
        _ => None,
    }
}

/// The place of what is wrong within an endpoint, if it is written without escapes: the scheme,
/// the host, or the port.
fn part_of(text: &str, error: &EndpointError, span: Range<usize>) -> Range<usize> {
    // One quote at either end.
    if span.len() != text.len() + 2 {
        return span;
    }
    let (start, end) = (span.start + 1, span.end - 1);
    match error {
        EndpointError::UnknownScheme(scheme) => start..start + scheme.len(),
        EndpointError::InvalidPort(port) => end - port.len()..end,
        EndpointError::PathTooLong { len, .. } => end - len..end,
        EndpointError::RelativePath(path) => end - path.len()..end,
        EndpointError::BareIpv6(address) => end - address.len()..end,
        EndpointError::InvalidHost(host) => {
            let host_start = start + text.find("://").map_or(0, |at| at + 3);
            host_start..host_start + host.len()
        }
        _ => span,
    }
}

pub(super) const TYPES: &[Word<Type>] = &[
    ("direct", Some(Type::Endpoint(Role::Direct))),
    ("relay", Some(Type::Endpoint(Role::Relay))),
    ("composite", Some(Type::Composite)),
];

pub(super) const PATTERNS: &[Word<Pattern>] = &[
    ("fanout", Some(Pattern::Fanout)),
    ("round_robin", Some(Pattern::RoundRobin)),
    ("failover", Some(Pattern::Failover)),
];

/// What a connection to a relay begins with: nothing, until relays want more.
pub(super) const PREAMBLES: &[Word<()>] = &[("none", Some(()))];

const NOT_COMPOSITE: &str = "a service with an endpoint; it needs `type = \"composite\"`";
