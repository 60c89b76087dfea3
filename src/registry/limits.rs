//! `[limits]`: what the services of a file may take at most, all together.

use std::cmp::Reverse;
use std::ops::Range;

use super::Registry;
use super::budget::{Budget, Bytes, ServiceBudget};
use super::keys;
use super::kind::DiagnosticKind;
use super::number::Limits as Bounds;
use super::report::Report;
use super::section::Section;

/// The limits that a file declares.
#[derive(Default)]
pub(super) struct Limits(Vec<Limit>);

/// One of them, and where its value stands.
struct Limit {
    key: &'static str,
    most: u64,
    span: Range<usize>,
}

impl Limits {
    /// Reads `[limits]`, where there is such a table.
    pub(super) fn read(file: &Section<'_>, report: &mut Report) -> Self {
        let Some(section) = file.table("limits", &keys::LIMITS, report) else {
            return Self::default();
        };
        let limit = |key| {
            let most = match key {
                "bytes" => section.bytes(key, &BYTES, report),
                _ => section.integer(key, &COUNT, report),
            };
            Some(Limit { key, most: most?, span: section.value(key)?.span() })
        };
        Self(["bytes", "fds", "tasks", "services"].into_iter().filter_map(limit).collect())
    }

    /// Reports each limit that the services of a file, in which all else is right, may exceed.
    pub(super) fn check(&self, registry: &Registry, report: &mut Report) {
        if self.0.is_empty() {
            return;
        }
        let budget = registry.budget();
        let total = budget.total();
        for Limit { key, most, span } in &self.0 {
            let needed = match *key {
                "bytes" => total.bytes,
                "fds" => total.fds,
                "tasks" => total.tasks,
                _ => budget.services().len() as u64,
            };
            if needed > *most {
                let kind = DiagnosticKind::OverLimit { key, needed, limit: *most };
                report.error_with_help(span.clone(), kind, largest(&budget, key));
            }
        }
    }
}

/// The services that take the most.
fn largest(budget: &Budget, key: &str) -> Option<String> {
    let share: fn(&ServiceBudget) -> u64 = match key {
        "bytes" => |service| service.shared.bytes,
        "fds" => |service| service.shared.fds,
        "tasks" => |service| service.shared.tasks,
        _ => return None,
    };
    let mut services: Vec<_> = budget.services().collect();
    services.sort_by_key(|service| Reverse(share(service)));
    let named = services.iter().take(NAMED).map(|service| {
        let name = &service.service;
        match key {
            "bytes" => format!("`{name}` {}", Bytes(share(service))),
            _ => format!("`{name}` {}", share(service)),
        }
    });
    Some(format!("the most take {}", named.collect::<Vec<_>>().join(", ")))
}

/// Services that an error names.
const NAMED: usize = 3;

pub(super) const BYTES: Bounds<u64> = Bounds { min: 1, max: 1 << 50, words: "1B to 1048576GiB" };
pub(super) const COUNT: Bounds<u64> = Bounds { min: 1, max: 1_000_000, words: "1 to 1000000" };

#[cfg(test)]
mod tests {
    use super::*;

    fn file(limits: &str) -> String {
        let services = "services.a = { type = 'direct', endpoint = 'tcp://127.0.0.1:9001' }\n\
                        services.b = { type = 'relay', endpoint = 'unix:///run/b.sock' }\n";
        format!("{services}[limits]\n{limits}")
    }

    #[test]
    fn limit_is_inclusive() {
        let total = Registry::from_str(&file("")).expect("no limits").budget().total();
        let needed =
            [("bytes", total.bytes), ("fds", total.fds), ("tasks", total.tasks), ("services", 2)];
        for (key, needed) in needed {
            let at_most = |limit: u64| Registry::from_str(&file(&format!("{key} = {limit}")));
            assert!(at_most(needed).is_ok(), "{key}");
            let error = at_most(needed - 1).expect_err("one too few");
            let limit = needed - 1;
            assert_eq!(*error.errors()[0].kind(), DiagnosticKind::OverLimit { key, needed, limit });
            assert_eq!((error.errors().len(), error.errors()[0].line()), (1, 4));
        }
        assert!(Registry::from_str(&file("bytes = '100GiB'")).is_ok(), "more than 32 bits");
    }

    #[test]
    fn limits_of_a_broken_file_say_nothing() {
        let broken = file("fds = 1").replace("direct", "indirect");
        let error = Registry::from_str(&broken).expect_err("broken");
        assert_eq!(error.errors().len(), 1, "{error}");
    }
}
