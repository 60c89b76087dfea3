//! Files that are right.

use std::time::Duration;

use torq_message_sink::{
    Backoff, Diagnostic, Endpoint, FailoverPolicy, Isolation, LazyPolicy, Pattern, Priority,
    Reconnect, Registry, Role, Service, Target, TcpOptions, WhenFull,
};

use crate::SAMPLE;

fn read(text: &str) -> Registry {
    Registry::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn service<'r>(registry: &'r Registry, name: &str) -> &'r Service {
    registry.get(name).unwrap_or_else(|| panic!("{name} is there"))
}

#[test]
fn sample_says_what_it_says() {
    let registry = read(SAMPLE);
    let names: Vec<_> = registry.services().map(|service| &**service.name()).collect();
    let expected = [
        "archive",
        "audit",
        "balanced",
        "everyone",
        "market_data",
        "market_data_relay",
        "observers",
        "recorder",
        "signals",
        "strategy_a",
    ];
    assert_eq!(names, expected);
    assert!(registry.is_disabled("replay"));

    let direct = service(&registry, "strategy_a");
    let Target::Endpoint { role, endpoint, .. } = direct.target() else { panic!("an endpoint") };
    assert_eq!(*role, Role::Direct);
    assert_eq!(*endpoint, Endpoint::tcp("127.0.0.1:9001").expect("good"));

    let relay = service(&registry, "market_data_relay");
    let Target::Endpoint { role, endpoint, .. } = relay.target() else { panic!("an endpoint") };
    assert_eq!(*role, Role::Relay);
    assert_eq!(*endpoint, Endpoint::unix("/tmp/torq/market_data.sock").expect("good"));

    let fanout = service(&registry, "market_data");
    let Target::Composite { pattern, targets, .. } = fanout.target() else { panic!("targets") };
    assert_eq!(*pattern, Pattern::Fanout);
    assert_eq!(**targets, ["strategy_a".into(), "market_data_relay".into()]);
    assert_eq!(fanout.buffer().capacity(), 256 * 1024);
    let idle = LazyPolicy::new().with_idle_timeout(Some(Duration::from_secs(300)));
    assert_eq!(*fanout.lazy(), idle);
    let leaves: Vec<_> = registry.leaves(fanout).iter().map(|leaf| &**leaf.name()).collect();
    assert_eq!(leaves, ["strategy_a", "market_data_relay"]);
}

#[test]
fn sample_states_the_defaults() {
    // What its comments call the default is what leaving the line out gives.
    let lines =
        SAMPLE.lines().filter(|line| !line.contains("# default: ") || line.contains("off;"));
    let without: Vec<_> = lines.filter(|line| !line.contains("the defaults;")).collect();
    let registry = read(SAMPLE);
    let bare = read(&without.join("\n"));
    for name in ["strategy_a", "market_data_relay", "recorder", "signals"] {
        assert_eq!(service(&registry, name), service(&bare, name));
    }
    let policy = FailoverPolicy::new();
    assert_eq!(*registry.failover(service(&registry, "signals")), policy);
    assert_eq!(*registry.failover(service(&registry, "market_data")), policy);
    assert_eq!(service(&registry, "market_data").lazy(), service(&bare, "market_data").lazy());
    assert_eq!(service(&bare, "market_data").buffer().capacity(), 64 * 1024);
}

#[test]
fn every_key_arrives() {
    let registry = read(
        r#"
        [services.a]
        type = "direct"
        endpoint = "tcp://localhost:9001"
        buffer = { capacity = 4096, when_full = "drop_oldest", max_frame = "64KB", high_water = 3000, max_delay = "5ms" }
        tcp = { nodelay = false, keepalive = "30s", user_timeout = "20s", send_buffer = "64KiB" }
        [services.a.lazy]
        connect_timeout = "250ms"
        backoff = { initial = "1ms", max = "1h", multiplier = 3 }
        max_attempts = 7
        idle_timeout = "off"
        min_uptime = "0s"
        close_deadline = "1500us"
        reconnect = "eager"
        [services.b]
        type = "relay"
        endpoint = "unix:///tmp/b.sock"
        preamble = "none"
        buffer = { max_delay = "1h", flush_at = "64KiB", priority = "strict" }
        unix.send_buffer = 0x10_000
        [services.c]
        type = "direct"
        endpoint = "tcp://localhost:9003"
        buffer = { when_full = "wait", deadline = "250ms" }
        "#,
    );
    let a = service(&registry, "a");
    assert_eq!((a.buffer().capacity(), a.buffer().max_frame()), (4096, 64_000));
    assert_eq!(a.buffer().when_full(), WhenFull::DropOldest);
    assert_eq!(service(&registry, "b").buffer().when_full(), WhenFull::Wait);
    assert_eq!(a.buffer().water_marks(), Some((3000, 1500)));
    assert_eq!(a.buffer().max_delay(), Some((Duration::from_millis(5), 2048)));
    let c = service(&registry, "c").buffer();
    assert_eq!((c.deadline(), c.when_full()), (Some(Duration::from_millis(250)), WhenFull::Wait));
    assert_eq!((c.priority(), service(&registry, "b").buffer().deadline()), (None, None));
    assert_eq!((a.buffer().priority(), a.buffer().deadline()), (None, None));
    assert_eq!(service(&registry, "b").buffer().priority(), Some(Priority::Strict));
    let hour = Duration::from_secs(3600);
    assert_eq!(service(&registry, "b").buffer().max_delay(), Some((hour, 64 * 1024)));
    let mut tcp = TcpOptions::default();
    tcp.nodelay = false;
    tcp.keepalive = Some(Duration::from_secs(30));
    tcp.user_timeout = Some(Duration::from_secs(20));
    tcp.send_buffer = Some(65536);
    assert_eq!(*a.tcp(), tcp);
    let backoff = Backoff::new()
        .with_initial(Duration::from_millis(1))
        .with_max(Duration::from_secs(3600))
        .with_multiplier(3.0);
    let lazy = LazyPolicy::new()
        .with_connect_timeout(Duration::from_millis(250))
        .with_backoff(backoff)
        .with_max_attempts(7)
        .with_min_uptime(Duration::ZERO)
        .with_close_deadline(Duration::from_micros(1500))
        .with_reconnect(Reconnect::Eager);
    assert_eq!(*a.lazy(), lazy);
    assert_eq!(service(&registry, "b").unix().send_buffer, Some(65536));
}

#[test]
fn limits_are_inclusive() {
    for (capacity, max_frame) in [("64", "1"), ("\"1GiB\"", "\"1GiB\"")] {
        let buffer = format!("{{ capacity = {capacity}, max_frame = {max_frame} }}");
        read(&format!("[services.a]\ntype = 'direct'\nendpoint = 'tcp://a:1'\nbuffer = {buffer}"));
    }
    for keepalive in ["1s", "32767s"] {
        read(&format!(
            "[services.a]\ntype = 'direct'\nendpoint = 'tcp://a:1'\ntcp.keepalive = '{keepalive}'"
        ));
    }
}

#[test]
fn three_levels_of_fanout_flatten_in_order() {
    let mut text = String::new();
    for name in ["w", "x", "y", "z"] {
        text += &format!("[services.{name}]\ntype = 'direct'\nendpoint = 'tcp://{name}:1'\n");
    }
    for (name, targets) in [("top", "'w', 'mid', 'z'"), ("mid", "'low'"), ("low", "'y', 'x'")] {
        let kind = "type = 'composite'\npattern = 'fanout'";
        text += &format!("[services.{name}]\n{kind}\ntargets = [{targets}]\n");
    }
    let registry = read(&text);
    let leaves: Vec<_> =
        registry.leaves(service(&registry, "top")).iter().map(|leaf| &**leaf.name()).collect();
    assert_eq!(leaves, ["w", "y", "x", "z"]);
    assert_eq!(registry.leaves(service(&registry, "x")), [service(&registry, "x")]);
}

#[test]
fn names_are_found_exactly_or_nearly() {
    let registry = read(SAMPLE);
    assert!(registry.get("Market_data").is_none());
    assert_eq!(registry.nearest("market_dta"), Some("market_data"));
    assert_eq!(registry.nearest("MARKET_DATA"), Some("market_data"));
    assert_eq!(registry.nearest("orders"), None);
    assert_eq!(SAMPLE.parse::<Registry>().expect("good"), registry);
}

#[test]
fn registry_without_services_is_one() {
    assert_eq!(read("[services]\n# none yet\n").services().len(), 0);
}

#[test]
fn byte_order_mark_and_crlf_are_text() {
    let text = format!("\u{feff}{}", SAMPLE.replace('\n', "\r\n"));
    assert_eq!(read(&text), read(SAMPLE));
}

#[test]
fn isolation_is_a_word_or_a_quorum() {
    let registry = read(
        r#"
        [services]
        a = { type = "direct", endpoint = "tcp://host:1" }
        b = { type = "direct", endpoint = "tcp://host:2" }
        c = { type = "direct", endpoint = "tcp://host:3" }
        plain = { type = "composite", pattern = "fanout", targets = ["a"] }
        all = { type = "composite", pattern = "fanout", targets = ["a"], isolation = "all" }
        loose = { type = "composite", pattern = "fanout", targets = ["c"], isolation = "best_effort" }
        mixed = { type = "composite", pattern = "fanout", targets = ["a", "loose"] }
        [services.two]
        type = "composite"
        pattern = "fanout"
        targets = ["a", "b", "loose"]
        isolation.quorum = 2
        "#,
    );
    for (name, expected) in [
        ("plain", Isolation::All),
        ("all", Isolation::All),
        ("loose", Isolation::BestEffort),
        ("mixed", Isolation::All),
        ("two", Isolation::Quorum(2)),
    ] {
        let Target::Composite { isolation, .. } = service(&registry, name).target() else {
            panic!("targets")
        };
        assert_eq!(*isolation, expected, "{name}");
    }
}

#[test]
fn failovers_keep_their_policies_apart() {
    let text = r#"
        [services]
        a = { type = "direct", endpoint = "tcp://a:1" }
        y = { type = "composite", pattern = "failover", targets = ["a"], failover = { probes = 0 } }
        x = { type = "composite", pattern = "failover", targets = ["a"] }
        w = { type = "composite", pattern = "failover", targets = ["x"], failover.stall_timeout = "off" }
    "#;
    let registry = read(text);
    let policy = |name| registry.failover(service(&registry, name)).clone();
    assert_eq!(policy("w"), FailoverPolicy::new().with_stall_timeout(None));
    assert_eq!(policy("x"), FailoverPolicy::new());
    assert_eq!(policy("y"), FailoverPolicy::new().with_probes(0));
    let Target::Composite { pattern, .. } = service(&registry, "w").target() else { panic!() };
    assert_eq!(*pattern, Pattern::Failover);
}

#[test]
fn what_is_harmless_is_a_warning() {
    let registry = read(
        r#"
        [services]
        a = { type = "direct", endpoint = "tcp://host:1" }
        also_a = { type = "direct", endpoint = "tcp://host:1" }
        either = { type = "composite", pattern = "failover", targets = ["a", "also_a"] }
        alone = { targets = ["a"], type = "composite", pattern = "fanout" }
        "#,
    );
    let shown: Vec<_> = registry.warnings().iter().map(|warning| format!("{warning:#}")).collect();
    assert_eq!(
        shown.join("\n"),
        r#"<string>:4:48: warning: `a` has the same endpoint
 4 |         also_a = { type = "direct", endpoint = "tcp://host:1" }
   |                                                ^^^^^^^^^^^^^^
   = help: two names for one place have a connection each
<string>:6:29: warning: a composite over a single target
 6 |         alone = { targets = ["a"], type = "composite", pattern = "fanout" }
   |                             ^^^^^
   = help: its target does the same alone"#
    );
    assert!(registry.warnings().iter().all(Diagnostic::is_warning));
    let told: Vec<_> = read(SAMPLE).warnings().iter().map(Diagnostic::message).collect();
    assert_eq!(told, ["`replay` is disabled, and left out"]);
}

#[test]
fn services_inherit_the_defaults_key_by_key() {
    let registry = read(
        r#"
        version = 1
        [defaults]
        buffer = { capacity = "32KiB", high_water = "16KiB", when_full = "error" }
        lazy = { max_attempts = 3, idle_timeout = "5m", backoff = { initial = "1s", max = "10s" } }
        failover.probes = 7
        tcp = { nodelay = false, send_buffer = "64KiB" }
        unix.send_buffer = "128KiB"
        [services]
        plain = { type = "direct", endpoint = "tcp://host:1" }
        socket = { type = "relay", endpoint = "unix:///run/a.sock", unix.send_buffer = "auto" }
        either = { type = "composite", pattern = "failover", targets = ["plain", "socket"] }
        both = { type = "composite", pattern = "fanout", targets = ["plain", "socket"] }
        [services.own]
        type = "direct"
        endpoint = "tcp://host:2"
        buffer = { max_frame = "1KiB", high_water = "off" }
        lazy = { idle_timeout = "off", backoff.multiplier = 3.0 }
        tcp.send_buffer = "auto"
        [services.other]
        type = "composite"
        pattern = "failover"
        targets = ["plain", "own"]
        failover.hold = "0s"
        "#,
    );
    let backoff =
        Backoff::new().with_initial(Duration::from_secs(1)).with_max(Duration::from_secs(10));
    let lazy = LazyPolicy::new()
        .with_max_attempts(3)
        .with_idle_timeout(Some(Duration::from_secs(300)))
        .with_backoff(backoff);
    for name in ["plain", "socket", "either", "both"] {
        let service = service(&registry, name);
        assert_eq!(*service.lazy(), lazy, "{name}");
        assert_eq!(service.buffer().capacity(), 32 * 1024, "{name}");
        assert_eq!(service.buffer().water_marks(), Some((16 * 1024, 8 * 1024)), "{name}");
        assert_eq!(service.buffer().when_full(), WhenFull::Error, "{name}");
    }
    let mut tcp = TcpOptions::default();
    tcp.nodelay = false;
    tcp.send_buffer = Some(64 * 1024);
    assert_eq!(*service(&registry, "plain").tcp(), tcp);
    assert_eq!(service(&registry, "socket").unix().send_buffer, None);

    let own = service(&registry, "own");
    assert_eq!((own.buffer().capacity(), own.buffer().max_frame()), (32 * 1024, 1024));
    assert_eq!(own.buffer().water_marks(), None);
    let lazy = lazy.with_idle_timeout(None).with_backoff(backoff.with_multiplier(3.0));
    assert_eq!(*own.lazy(), lazy);
    assert_eq!((own.tcp().nodelay, own.tcp().send_buffer), (false, None));

    let policy = FailoverPolicy::new().with_probes(7);
    assert_eq!(*registry.failover(service(&registry, "either")), policy);
    let policy = policy.with_hold(Duration::ZERO);
    assert_eq!(*registry.failover(service(&registry, "other")), policy);
}

#[test]
fn defaults_may_have_a_mark_that_only_some_need() {
    let registry = read(
        r#"
        [defaults]
        buffer.low_water = "1KiB"
        [services]
        a = { type = "direct", endpoint = "tcp://host:1", buffer.high_water = "4KiB" }
        b = { type = "direct", endpoint = "tcp://host:2" }
        "#,
    );
    assert_eq!(service(&registry, "a").buffer().water_marks(), Some((4096, 1024)));
    assert_eq!(service(&registry, "b").buffer().water_marks(), None);
}

#[test]
fn disabled_services_are_left_out() {
    let registry = read(
        r#"
        [services]
        a = { type = "direct", endpoint = "tcp://host:1" }
        b = { enabled = false, type = "direct", endpoint = "tcp://host:2" }
        c = { enabled = true, type = "direct", endpoint = "tcp://host:3" }
        inner = { type = "composite", pattern = "fanout", targets = ["b", "c"] }
        outer = { type = "composite", pattern = "fanout", targets = ["a", "inner"], isolation = { quorum = 2 } }
        off = { enabled = false, type = "composite", pattern = "failover", targets = ["b"] }
        "#,
    );
    let names: Vec<_> = registry.services().map(|service| &**service.name()).collect();
    assert_eq!(names, ["a", "c", "inner", "outer"]);
    assert!(registry.is_disabled("b") && registry.is_disabled("off"));
    assert!(!registry.is_disabled("a") && !registry.is_disabled("nobody"));
    assert_eq!(registry.get("b"), None);
    let leaves: Vec<_> =
        registry.leaves(service(&registry, "outer")).iter().map(|leaf| &**leaf.name()).collect();
    assert_eq!(leaves, ["a", "c"]);
    let told: Vec<_> = registry.warnings().iter().map(Diagnostic::message).collect();
    assert_eq!(told, ["`b` is disabled, and left out"]);
}

#[test]
fn composites_of_all_patterns_may_be_nested() {
    let registry = read(
        r#"
        [services]
        a = { type = "direct", endpoint = "tcp://host:1" }
        b = { type = "direct", endpoint = "tcp://host:2" }
        c = { type = "direct", endpoint = "tcp://host:3" }
        d = { type = "direct", endpoint = "tcp://host:4" }
        pair = { type = "composite", pattern = "failover", targets = ["a", "b"] }
        [services.two_of_three]
        type = "composite"
        pattern = "fanout"
        targets = ["pair", "c", "d"]
        isolation = { quorum = 2 }
        [services.e]
        type = "direct"
        endpoint = "tcp://host:1"
        [services.top]
        type = "composite"
        pattern = "failover"
        targets = ["two_of_three", "e"]
        "#,
    );
    let leaves: Vec<_> =
        registry.leaves(service(&registry, "top")).iter().map(|leaf| &**leaf.name()).collect();
    assert_eq!(leaves, ["a", "b", "c", "d", "e"]);
}
