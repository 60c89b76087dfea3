//! Any bytes as a services.toml: it is read or refused, and what comes out keeps its promises.
//!
//! Bytes that begin with a zero, as no text does, are a [`Plan`] instead: a file of which is known
//! whether it is right.
//!
//! `cargo +nightly fuzz run services_toml fuzz/corpus/services_toml fuzz/seeds/services_toml`

#![no_main]

mod plan;
mod values;

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use torq_message_sink::{ConfigError, Registry, RegistryLoader, Service, Target};

use self::plan::Plan;

fuzz_target!(|data: &[u8]| match data {
    [0, plan @ ..] => {
        if let Ok(plan) = Unstructured::new(plan).arbitrary::<Plan>() {
            let text = plan.text();
            assert_eq!(check(&text), plan.is_right(), "{text}");
        }
    }
    text => {
        check(&String::from_utf8_lossy(text));
    }
});

/// Whether it is accepted.
fn check(text: &str) -> bool {
    let variable = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    match RegistryLoader::new().with_variables(variable).load_str(text) {
        Ok(registry) => {
            check_registry(&registry);
            let shown = format!("{registry:?}");
            assert!(!shown.contains(SECRET) || text.contains(SECRET));
            true
        }
        Err(error) => {
            check_error(text, &error);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(SECRET) || text.contains(SECRET));
            false
        }
    }
}

/// What no error may show.
const SECRET: &str = "hunter2";

fn check_registry(registry: &Registry) {
    for service in registry.services() {
        assert_eq!(registry.get(service.name()), Some(service));
        assert!(!service.name().is_empty());
        assert!(depth(registry, service) <= 3);
        check_numbers(service);
        let failover = registry.failover(service);
        assert!(failover.attempts() > 0 && failover.hold() <= YEAR);
        assert!(failover.stall_timeout().is_none_or(|timeout| POSITIVE.contains(&timeout)));
        assert!(POSITIVE.contains(&failover.probe_interval()));
        if let Target::Composite { targets, .. } = service.target() {
            assert!(!targets.is_empty());
            assert!(targets.iter().all(|target| registry.get(target).is_some()));
        }
        let leaves = registry.leaves(service);
        let names: HashSet<_> = leaves.iter().map(|leaf| leaf.name()).collect();
        assert!((1..=512).contains(&leaves.len()) && names.len() == leaves.len());
        assert!(leaves.iter().all(|leaf| matches!(leaf.target(), Target::Endpoint { .. })));
    }
}

/// Composites from this service down to an endpoint.
fn depth(registry: &Registry, service: &Service) -> usize {
    let Target::Composite { targets, .. } = service.target() else { return 0 };
    let below = targets.iter().filter_map(|target| registry.get(target));
    1 + below.map(|service| depth(registry, service)).max().unwrap_or(0)
}

/// Every number is within the limits that docs/CONFIG.md names.
fn check_numbers(service: &Service) {
    let (buffer, lazy, tcp) = (service.buffer(), service.lazy(), service.tcp());
    assert!((64..=GIB).contains(&buffer.capacity()));
    assert!((1..=GIB).contains(&buffer.max_frame()));
    let marks = buffer.water_marks().unwrap_or((1, 0));
    assert!(marks.0 > 0 && marks.1 <= marks.0 && marks.0 <= buffer.capacity());
    assert!(POSITIVE.contains(&lazy.connect_timeout()));
    assert!([1, u32::MAX].iter().all(|n| POSITIVE.contains(&lazy.backoff().ceiling(*n))));
    assert!(lazy.idle_timeout().is_none_or(|timeout| POSITIVE.contains(&timeout)));
    assert!(lazy.min_uptime() <= YEAR && lazy.close_deadline() <= YEAR);
    let seconds = |time: Duration| (1..=32767).contains(&time.as_secs());
    assert!(tcp.keepalive.is_none_or(seconds));
    assert!(tcp.user_timeout.is_none_or(|timeout| POSITIVE.contains(&timeout)));
    for bytes in [tcp.send_buffer, service.unix().send_buffer] {
        assert!(bytes.is_none_or(|bytes| (4096..=GIB).contains(&bytes)));
    }
}

const GIB: usize = 1 << 30;
const YEAR: Duration = Duration::from_secs(8760 * 3600);
const POSITIVE: RangeInclusive<Duration> = Duration::from_millis(1)..=YEAR;

fn check_error(text: &str, error: &ConfigError) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(!error.errors().is_empty());
    let mut last = (0, 0);
    for found in error.errors() {
        let place = (found.line(), found.column());
        assert!(place >= last, "in the order of the text");
        last = place;
        if text.len() <= Registry::MAX_BYTES {
            let before = &text[..found.span().start];
            let line = before.rsplit('\n').next().unwrap_or_default();
            assert_eq!(place, (before.split('\n').count(), line.chars().count() + 1));
            assert!(text.is_char_boundary(found.span().end));
        }
        assert!(!found.message().contains(char::is_control));
    }
    let shown = error.to_string();
    assert!(shown.lines().count() <= 4 * error.errors().len() + 1);
}
