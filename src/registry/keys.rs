//! The tables of services.toml and the keys of each, for unknown and misplaced ones.

use super::kind::DiagnosticKind;
use super::spelling;

/// A table of the format.
pub(super) struct Table {
    /// How its header is written.
    path: &'static str,
    pub(super) keys: &'static [&'static str],
}

pub(super) static FILE: Table = Table {
    path: "the top of the file",
    keys: &["version", "include", "defaults", "limits", "services"],
};
pub(super) static DEFAULTS: Table =
    Table { path: "[defaults]", keys: &["buffer", "lazy", "failover", "tcp", "unix"] };
pub(super) static LIMITS: Table =
    Table { path: "[limits]", keys: &["bytes", "fds", "tasks", "services"] };
pub(super) static SERVICE: Table = Table {
    path: "[services.NAME]",
    keys: &[
        "enabled",
        "type",
        "endpoint",
        "preamble",
        "pattern",
        "targets",
        "isolation",
        "failover",
        "buffer",
        "lazy",
        "tcp",
        "unix",
    ],
};
pub(super) static FAILOVER: Table = Table {
    path: "[services.NAME.failover]",
    keys: &["attempts", "stall_timeout", "probes", "probe_interval", "hold"],
};
pub(super) static ISOLATION: Table = Table { path: "[services.NAME.isolation]", keys: &["quorum"] };
pub(super) static BUFFER: Table = Table {
    path: "[services.NAME.buffer]",
    keys: &[
        "capacity",
        "when_full",
        "max_frame",
        "high_water",
        "low_water",
        "max_delay",
        "flush_at",
        "deadline",
        "priority",
    ],
};
pub(super) static LAZY: Table = Table {
    path: "[services.NAME.lazy]",
    keys: &[
        "connect_timeout",
        "backoff",
        "max_attempts",
        "idle_timeout",
        "min_uptime",
        "close_deadline",
        "reconnect",
        "counting",
    ],
};
pub(super) static BACKOFF: Table =
    Table { path: "[services.NAME.lazy.backoff]", keys: &["initial", "max", "multiplier"] };
pub(super) static TCP: Table = Table {
    path: "[services.NAME.tcp]",
    keys: &["nodelay", "keepalive", "user_timeout", "send_buffer"],
};
pub(super) static UNIX: Table = Table { path: "[services.NAME.unix]", keys: &["send_buffer"] };

pub(super) static ALL: [&Table; 11] = [
    &FILE, &SERVICE, &DEFAULTS, &LIMITS, &ISOLATION, &FAILOVER, &BUFFER, &LAZY, &BACKOFF, &TCP,
    &UNIX,
];

impl Table {
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }

    /// What is wrong with a key that this table does not have, and what was probably meant.
    pub(super) fn refusal(&self, key: &str, hint: bool) -> (DiagnosticKind, Option<String>) {
        if let Some((table, key)) = home_of(key) {
            if std::ptr::eq(self, &FILE) && DEFAULTS.has(key) {
                let help = format!("for all services it is `[defaults.{key}]`");
                return (DiagnosticKind::MisplacedKey { key, table: DEFAULTS.path }, Some(help));
            }
            let help = format!("move it to {}", table.shown());
            return (DiagnosticKind::MisplacedKey { key, table: table.path }, Some(help));
        }
        let nearest = if hint { self.nearest(key) } else { None };
        (DiagnosticKind::UnknownKey { key: key.into() }, nearest)
    }

    fn shown(&self) -> String {
        if self.path.starts_with('[') { format!("`{}`", self.path) } else { self.path.into() }
    }

    fn nearest(&self, key: &str) -> Option<String> {
        if let Some(near) = spelling::nearest(key, self.keys.iter().copied()) {
            return Some(format!("did you mean `{near}`?"));
        }
        let elsewhere = ALL.iter().flat_map(|table| table.keys.iter().copied());
        if let Some((table, near)) = spelling::nearest(key, elsewhere).and_then(home_of) {
            return Some(format!("did you mean `{near}` in {}?", table.shown()));
        }
        if std::ptr::eq(self, &FILE) {
            return Some(format!("a service is a table `[services.{key}]`"));
        }
        let known: Vec<_> = self.keys.iter().map(|key| format!("`{key}`")).collect();
        Some(format!("known here: {}", known.join(", ")))
    }
}

/// The first table that has the key.
fn home_of(key: &str) -> Option<(&'static Table, &'static str)> {
    ALL.iter().find_map(|table| {
        table.keys.iter().find(|known| **known == key).map(|known| (*table, *known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each table has a heading in docs/CONFIG.md, and each of its keys a row of a table below it:
    /// the key, what it may be, what it is by default, and its effect. There are no other rows.
    #[test]
    fn every_key_is_documented_and_no_other() {
        let document = include_str!("../../docs/CONFIG.md");
        let mut sections: Vec<(&str, Vec<&str>)> = vec![("", Vec::new())];
        for line in document.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                sections.push((heading, Vec::new()));
            } else if let Some(row) = line.strip_prefix("| `") {
                let (key, rest) = row.split_once('`').unwrap_or_else(|| panic!("{line}"));
                let cells: Vec<_> =
                    rest.trim().trim_matches('|').split('|').map(str::trim).collect();
                assert!(cells.len() == 3 && !cells.contains(&""), "{line}");
                sections.last_mut().expect("the first").1.push(key);
            }
        }
        let mut documented = 0;
        for table in ALL {
            let heading = table.shown();
            let found = sections.iter().find(|(title, _)| title.eq_ignore_ascii_case(&heading));
            let (_, rows) = found.unwrap_or_else(|| panic!("no section `## {heading}`"));
            let (mut rows, mut keys) = (rows.clone(), table.keys.to_vec());
            rows.sort_unstable();
            keys.sort_unstable();
            assert_eq!(rows, keys, "{}", table.path);
            documented += rows.len();
        }
        let all: usize = sections.iter().map(|(_, rows)| rows.len()).sum();
        assert_eq!(all, documented, "there are rows for tables that are none");
    }
}
