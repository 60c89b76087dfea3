//! What is probably not meant, and harmless: an operator is told, and not held up.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::draft::Draft;
use super::kind::DiagnosticKind as Kind;
use super::report::Report;
use super::service::Target;

/// Warns of what stands out in services that are right.
pub(super) fn advise(drafts: &[Draft], report: &mut Report) {
    let disabled = drafts.iter().filter(|draft| !draft.is_enabled);
    let disabled: HashSet<_> = disabled.map(|draft| &draft.name).collect();
    let mut places = HashMap::new();
    for draft in drafts.iter().filter(|draft| draft.is_enabled) {
        for (target, span) in draft.targets.iter().flatten() {
            if disabled.contains(target) {
                let kind = Kind::DisabledTarget { target: target.clone() };
                report.warning(span.clone(), kind, None::<String>);
            }
        }
        let Some(service) = &draft.service else { continue };
        match &service.target {
            Target::Endpoint { endpoint, .. } => match places.entry(endpoint) {
                Entry::Vacant(entry) => _ = entry.insert(&draft.name),
                Entry::Occupied(entry) => {
                    let kind = Kind::DuplicateEndpoint { other: (*entry.get()).clone() };
                    let help = "two names for one place have a connection each";
                    report.warning(draft.leads.clone(), kind, Some(help));
                }
            },
            Target::Composite { targets, .. } if targets.len() == 1 => {
                let help = "its target does the same alone";
                report.warning(draft.leads.clone(), Kind::OneTarget, Some(help));
            }
            Target::Composite { .. } => {}
        }
    }
}
