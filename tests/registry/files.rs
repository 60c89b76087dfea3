//! More than one file, and what comes from outside of them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use torq_message_sink::{DiagnosticKind, LazyPolicy, Registry, RegistryLoader, Service, Target};

/// Writes files of these names into a directory of the test.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }
    directory
}

fn endpoint(registry: &Registry, name: &str) -> String {
    match registry.get(name).map(Service::target) {
        Some(Target::Endpoint { endpoint, .. }) => endpoint.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn given(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("10.0.0.1".to_owned()),
        "EMPTY" => Some(String::new()),
        "SIZE" => Some("128KiB".to_owned()),
        "TARGET" => Some("a".to_owned()),
        _ => None,
    }
}

fn expand(text: &str) -> Registry {
    let loader = RegistryLoader::new().with_variables(given);
    loader.load_str(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn variables_stand_in_every_text() {
    let registry = expand(
        r#"
        defaults.buffer.capacity = "${SIZE}"
        [services]
        a = { type = "direct", endpoint = "tcp://${HOST}:${PORT:-9001}" }
        b = { type = "${TYPE:-relay}", endpoint = 'unix:///run/${EMPTY}b.sock' }
        c = { type = "composite", pattern = "fanout", targets = ["${TARGET}", "b"] }
        d = { type = "direct", endpoint = "tcp://${EMPTY:-other}:1" }
        e = { type = "relay", endpoint = "unix:///run/$${HOST}$$.sock" }
        f = { type = "relay", endpoint = "unix:///run/${NONE:-}f:-${NONE:-:-}.sock" }
        "#,
    );
    assert_eq!(endpoint(&registry, "a"), "tcp://10.0.0.1:9001");
    assert_eq!(endpoint(&registry, "b"), "unix:///run/b.sock");
    assert_eq!(endpoint(&registry, "d"), "tcp://other:1");
    assert_eq!(endpoint(&registry, "e"), "unix:///run/${HOST}$.sock");
    assert_eq!(endpoint(&registry, "f"), "unix:///run/f:-:-.sock");
    let Target::Composite { targets, .. } = registry.get("c").expect("there").target() else {
        panic!("targets")
    };
    assert_eq!(**targets, ["a".into(), "b".into()]);
    assert_eq!(registry.get("c").expect("there").buffer().capacity(), 128 * 1024);
}

#[test]
fn environment_is_asked_by_default() {
    let path = std::env::var("PATH").expect("every process that runs cargo has one");
    let error = Registry::from_str("services.a = { type = '${PATH}' }").expect_err("no type");
    assert!(error.to_string().contains("`${PATH}` does not expand to one of `direct`"), "{error}");
    assert!(!error.to_string().contains(&path), "{error}");
    let text = "services.a = { type = 'direct', endpoint = '${TORQ_NO_SUCH_NAME:-tcp://a:1}' }";
    assert_eq!(endpoint(&Registry::from_str(text).expect("good"), "a"), "tcp://a:1");
}

#[test]
fn what_comes_from_a_variable_is_not_in_debug() {
    let text = |host| format!("services.a = {{ type = 'direct', endpoint = 'tcp://{host}:1' }}");
    let registry = expand(&text("${HOST}"));
    let shown = format!("{registry:?}");
    assert!(shown.contains("tcp://${HOST}:1") && !shown.contains("10.0.0.1"), "{shown}");
    // It leads to the same place all the same.
    assert_eq!(registry, expand(&text("10.0.0.1")));
}

#[test]
fn variables_cannot_expand_without_end() {
    let megabyte = "x".repeat(Registry::MAX_BYTES);
    let loader = RegistryLoader::new().with_variables(|_| Some(megabyte.clone()));
    let error = loader.load_str("a = ['${A}', '${A}', '${A}']").expect_err("too much");
    let too_large = |kind: &DiagnosticKind| matches!(kind, DiagnosticKind::TooLarge { .. });
    assert_eq!(error.errors().iter().filter(|error| too_large(error.kind())).count(), 2);
    assert!(error.to_string().len() < 4096);
}

#[test]
fn included_files_are_parts_of_one_configuration() {
    let directory = directory(&[
        (
            "services.toml",
            r#"
            include = ["defaults.toml", "parts/orders.toml", "${STAGE:-production}.toml"]
            [services.all]
            type = "composite"
            pattern = "fanout"
            targets = ["orders", "prices"]
            "#,
        ),
        ("defaults.toml", "version = 1\ndefaults.lazy.max_attempts = 3"),
        (
            "parts/orders.toml",
            // Relative to this file; and read once, though it is included twice.
            r#"
            include = ["../defaults.toml"]
            services.orders = { type = "direct", endpoint = "tcp://host:1" }
            "#,
        ),
        (
            "production.toml",
            r#"
            defaults.buffer.capacity = "1MiB"
            services.prices = { type = "direct", endpoint = "tcp://host:2" }
            "#,
        ),
    ]);
    let registry = RegistryLoader::new()
        .with_variables(|_| None)
        .load(directory.path().join("services.toml"))
        .unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<_> = registry.services().map(|service| &**service.name()).collect();
    assert_eq!(names, ["all", "orders", "prices"]);
    for service in registry.services() {
        assert_eq!(service.buffer().capacity(), 1 << 20, "{service:?}");
        assert_eq!(*service.lazy(), LazyPolicy::new().with_max_attempts(3));
    }
}

#[test]
fn overlays_win_key_by_key() {
    let directory = directory(&[
        (
            "services.toml",
            r#"
            defaults.lazy.max_attempts = 3
            [services.a]
            type = "direct"
            endpoint = "tcp://localhost:1"
            buffer = { capacity = "1MiB", max_frame = "1KiB" }
            [services.b]
            type = "direct"
            endpoint = "tcp://localhost:2"
            [services.all]
            type = "composite"
            pattern = "fanout"
            targets = ["a", "b"]
            isolation = { quorum = 1 }
            "#,
        ),
        (
            "production.toml",
            r#"
            include = ["more/hosts.toml"]
            defaults.lazy.max_attempts = 5
            services.a.buffer.capacity = "2MiB"
            services.all = { targets = ["b", "c", "a"], isolation = "best_effort" }
            "#,
        ),
        (
            "more/hosts.toml",
            r#"
            services.b.endpoint = "tcp://10.0.0.2:1"
            services.c = { type = "direct", endpoint = "tcp://10.0.0.3:1" }
            "#,
        ),
        ("drained.toml", "services.a.enabled = false\nservices.c.endpoint = 'tcp://10.0.0.4:1'"),
    ]);
    let at = |name: &str| -> PathBuf { directory.path().join(name) };
    let load = |loader: RegistryLoader<'_>| {
        loader.load(at("services.toml")).unwrap_or_else(|error| panic!("{error}"))
    };
    let production = || RegistryLoader::new().with_overlay(at("production.toml"));

    let registry = load(production());
    assert_eq!(endpoint(&registry, "a"), "tcp://localhost:1");
    assert_eq!(endpoint(&registry, "b"), "tcp://10.0.0.2:1");
    let a = registry.get("a").expect("there");
    assert_eq!((a.buffer().capacity(), a.buffer().max_frame()), (2 << 20, 1024));
    assert_eq!(*a.lazy(), LazyPolicy::new().with_max_attempts(5));
    let leaves = |registry: &Registry| -> Vec<String> {
        let all = registry.get("all").expect("there");
        registry.leaves(all).iter().map(|leaf| leaf.name().to_string()).collect()
    };
    assert_eq!(leaves(&registry), ["b", "c", "a"]);

    let drained = load(production().with_overlay(at("drained.toml")));
    assert!(drained.is_disabled("a"));
    assert_eq!(leaves(&drained), ["b", "c"]);
    assert_eq!(endpoint(&drained, "c"), "tcp://10.0.0.4:1");
    // A text can have overlays, too, though it cannot include files.
    let text = fs::read_to_string(at("services.toml")).expect("read");
    assert_eq!(production().load_str(&text).expect("good"), registry);
}

#[test]
fn text_includes_nothing() {
    let error = Registry::from_str("include = ['/dev/zero']\n[services]").expect_err("a text");
    assert_eq!(*error.errors()[0].kind(), DiagnosticKind::IncludeInText);
}

#[test]
fn missing_overlay_is_named() {
    let directory = directory(&[("services.toml", "[services]")]);
    let missing = directory.path().join("missing.toml");
    let loader = RegistryLoader::new().with_overlay(&missing);
    let error = loader.load(directory.path().join("services.toml")).expect_err("missing");
    let [only] = error.errors() else { panic!("{error}") };
    assert_eq!(Path::new(only.file()), missing);
    assert!(
        error.to_string().starts_with(&format!("{}: error: cannot be read", missing.display()))
    );
}

#[test]
fn files_together_are_bounded() {
    let large = "#".repeat(Registry::MAX_BYTES / 2 + 1);
    let many: Vec<_> = (0..100).map(|number| format!("'{number}.toml'")).collect();
    let many = format!("include = [{}]\n[services]", many.join(", "));
    let mut files = vec![
        ("large.toml", "include = ['half.toml', 'other_half.toml']\n[services]"),
        ("half.toml", &large),
        ("other_half.toml", &large),
        ("many.toml", &many),
    ];
    let numbers: Vec<_> = (0..100).map(|number| format!("{number}.toml")).collect();
    files.extend(numbers.iter().map(|name| (name.as_str(), "")));
    let directory = directory(&files);
    // Of a hundred files and the one that includes them, 64 are read.
    for (name, errors) in [("large.toml", 1), ("many.toml", 37)] {
        let error = Registry::from_path(directory.path().join(name)).expect_err("too much");
        assert_eq!(error.errors().len(), errors, "{error}");
        assert!(matches!(
            error.errors()[0].kind(),
            DiagnosticKind::TooLarge { .. } | DiagnosticKind::TooManyFiles { .. }
        ));
        assert_eq!(error.errors()[0].line(), 1);
    }
}

#[test]
fn deep_tables_are_put_together() {
    let deep = format!("{}a = 1", "a.".repeat(70));
    let nested = format!("x = {}{deep}{}", "{ b = ".repeat(70), " }".repeat(70));
    let nested = nested.replace(&deep, &format!("{{ {deep} }}"));
    let directory = directory(&[("services.toml", &nested), ("overlay.toml", &nested)]);
    let loader = RegistryLoader::new().with_overlay(directory.path().join("overlay.toml"));
    let error = loader.load(directory.path().join("services.toml")).expect_err("no services");
    assert_eq!(error.errors()[0].message(), "unknown key `x`");
}
