//! Any bytes as a services.toml: it is read or refused, and what comes out keeps its promises.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use torq_message_sink::{ConfigError, Registry, Target};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match Registry::from_str(&text) {
        Ok(registry) => check_registry(&registry),
        Err(error) => check_error(&text, &error),
    }
});

fn check_registry(registry: &Registry) {
    for service in registry.services() {
        assert_eq!(registry.get(service.name()), Some(service));
        assert!(!service.name().is_empty());
        assert!((64..=1 << 30).contains(&service.buffer().capacity()));
        assert!((1..=1 << 30).contains(&service.buffer().max_frame()));
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
