//! The JSON Schema of services.toml: what editors say of a file is what reading it says.

use std::path::Path;

use jsonschema::Validator;
use serde_json::Value;
use torq_message_sink::Registry;

const CHECKED_IN: &str = include_str!("../docs/services.schema.json");
const SAMPLE: &str = include_str!("../services.toml");

fn schema() -> Value {
    serde_json::from_str(&Registry::json_schema()).expect("JSON")
}

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).expect("a schema")
}

/// What the schema says of a file: where it is wrong.
fn wrong(validator: &Validator, file: &str) -> Vec<String> {
    let file: Value = toml::from_str(file).expect("TOML");
    validator.iter_errors(&file).map(|error| error.instance_path().to_string()).collect()
}

#[test]
fn checked_in_schema_is_the_generated_one() {
    let checked_in: Value = serde_json::from_str(CHECKED_IN).expect("JSON");
    let command = "cargo run --features schema --example schema > docs/services.schema.json";
    assert!(checked_in == schema(), "write it anew: {command}");
    assert!(jsonschema::draft7::meta::is_valid(&checked_in));
}

#[test]
fn sample_names_the_schema_and_is_valid() {
    let header = SAMPLE.lines().next().and_then(|line| line.strip_prefix("#:schema "));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(header.expect("the first line"));
    assert_eq!(std::fs::read_to_string(path).expect("it is there"), CHECKED_IN);
    assert_eq!(wrong(&validator(), SAMPLE), [""; 0]);
    assert!(Registry::from_str(SAMPLE).is_ok());
}

/// Two services for the ones that are looked at to lead to.
fn file(service: &str) -> String {
    format!(
        "[services]\n\
         a = {{ type = 'direct', endpoint = 'tcp://127.0.0.1:9001' }}\n\
         b = {{ type = 'relay', endpoint = 'unix:///run/b.sock', preamble = 'none' }}\n\
         [services.it]\n{service}\n"
    )
}

const DIRECT: &str = "type = 'direct'\nendpoint = 'tcp://[::1]:9001'\n";
const UNIX: &str = "type = 'relay'\nendpoint = 'unix:///run/it.sock'\n";
const FANOUT: &str = "type = 'composite'\npattern = 'fanout'\ntargets = ['a', 'b']\n";
const ROUND_ROBIN: &str = "type = 'composite'\npattern = 'round_robin'\ntargets = ['a', 'b']\n";
const FAILOVER: &str = "type = 'composite'\npattern = 'failover'\ntargets = ['a', 'b']\n";

#[test]
fn good_services_are_good_for_both() {
    let validator = validator();
    for (service, more) in [
        (DIRECT, ""),
        (DIRECT, "lazy = { connect_timeout = '1500us', idle_timeout = 'off', max_attempts = 0 }"),
        (DIRECT, "lazy.connect_timeout = '5s'"),
        (DIRECT, "lazy.backoff = { initial = '1ms', max = '1h', multiplier = 3 }"),
        (DIRECT, "buffer = { capacity = 65536, max_frame = '64KB', when_full = 'drop_oldest' }"),
        (DIRECT, "buffer = { capacity = '1GiB', high_water = '1MiB', low_water = 0 }"),
        (DIRECT, "tcp = { keepalive = '10s', user_timeout = 'off', send_buffer = 'auto' }"),
        (UNIX, "unix.send_buffer = '64KiB'\npreamble = 'none'"),
        (DIRECT, "buffer = { deadline = '1ms', priority = 'off' }"),
        (DIRECT, "buffer = { deadline = 'off', priority = 'weighted' }"),
        (DIRECT, "buffer = { high_water = 'off', max_delay = 'off' }\nenabled = false"),
        (DIRECT, "buffer = { capacity = '${SIZE:-1MiB}', when_full = '${FULL:-wait}' }"),
        (DIRECT, "lazy.connect_timeout = '${NUMBER:-5}s'\ntcp.keepalive = '${NOT_SET:-off}'"),
        ("", "type = '${TYPE:-direct}'\nendpoint = '${HOST:-tcp://a}:${PORT:-9001}'"),
        (FANOUT, "isolation = 'best_effort'"),
        (FANOUT, "isolation = { quorum = 1 }"),
        (ROUND_ROBIN, ""),
        (FAILOVER, "failover = { attempts = 3, stall_timeout = 'off', probes = 0, hold = '1m' }"),
    ] {
        let file = file(&format!("{service}{more}"));
        if let Err(error) = Registry::from_str(&file) {
            panic!("{error}");
        }
        assert_eq!(wrong(&validator, &file), [""; 0], "{more}");
    }
}

#[test]
fn broken_services_are_broken_for_both_and_at_the_same_key() {
    let validator = validator();
    for (service, more, place) in [
        ("", "endpoint = 'tcp://a:1'", "/services/it"),
        ("", "type = 'direct'", "/services/it"),
        ("", "type = 'composite'\npattern = 'fanout'", "/services/it"),
        ("", "type = 'direkt'\nendpoint = 'tcp://a:1'", "/services/it/type"),
        ("", "type = 'direct'\nendpoint = 'a:1'", "/services/it/endpoint"),
        ("", "type = 'direct'\nendpoint = 'unix://run/a'", "/services/it/endpoint"),
        (DIRECT, "bufer = {}", "/services/it"),
        (DIRECT, "capacity = '1KiB'", "/services/it"),
        (DIRECT, "targets = ['a']", "/services/it/targets"),
        (DIRECT, "preamble = 'none'", "/services/it/preamble"),
        (DIRECT, "unix.send_buffer = 'auto'", "/services/it/unix"),
        (UNIX, "tcp.nodelay = true", "/services/it/tcp"),
        (FANOUT, "endpoint = 'tcp://a:1'", "/services/it/endpoint"),
        (FANOUT, "failover.probes = 1", "/services/it/failover"),
        (ROUND_ROBIN, "failover.probes = 1", "/services/it/failover"),
        (ROUND_ROBIN, "isolation = 'all'", "/services/it/isolation"),
        (FAILOVER, "isolation = 'all'", "/services/it/isolation"),
        (FANOUT, "isolation = 'some'", "/services/it/isolation"),
        (FANOUT, "isolation = { quorum = 0 }", "/services/it/isolation"),
        (FANOUT, "isolation = {}", "/services/it/isolation"),
        (DIRECT, "lazy.connect_timeout = 5", "/services/it/lazy/connect_timeout"),
        (DIRECT, "lazy.connect_timeout = '5'", "/services/it/lazy/connect_timeout"),
        (DIRECT, "lazy.connect_timeout = '5 s'", "/services/it/lazy/connect_timeout"),
        (DIRECT, "lazy.connect_timeout = '5sec'", "/services/it/lazy/connect_timeout"),
        (DIRECT, "lazy.connect_timeout = 'off'", "/services/it/lazy/connect_timeout"),
        (DIRECT, "lazy.reconnect = 'lazy'", "/services/it/lazy/reconnect"),
        (DIRECT, "lazy.counting = 'yes'", "/services/it/lazy/counting"),
        (DIRECT, "lazy.max_attempts = -1", "/services/it/lazy/max_attempts"),
        (DIRECT, "lazy.backoff.multiplier = 0.5", "/services/it/lazy/backoff/multiplier"),
        (DIRECT, "lazy.connect_timeout = '${5s}'", "/services/it/lazy/connect_timeout"),
        (DIRECT, "lazy.connect_timeout = '$NUMBER'", "/services/it/lazy/connect_timeout"),
        (DIRECT, "buffer.deadline = 5", "/services/it/buffer/deadline"),
        (DIRECT, "buffer.priority = 'urgent'", "/services/it/buffer/priority"),
        (DIRECT, "enabled = 'no'", "/services/it/enabled"),
        (DIRECT, "buffer.high_water = 'none'", "/services/it/buffer/high_water"),
        (DIRECT, "buffer.capacity = '64kib'", "/services/it/buffer/capacity"),
        (DIRECT, "buffer.capacity = 63", "/services/it/buffer/capacity"),
        (DIRECT, "buffer.when_full = 'drop'", "/services/it/buffer/when_full"),
        (DIRECT, "tcp.send_buffer = 'off'", "/services/it/tcp/send_buffer"),
        (DIRECT, "tcp.keepalive = 'auto'", "/services/it/tcp/keepalive"),
        (FAILOVER, "failover.attempts = 0", "/services/it/failover/attempts"),
    ] {
        let file = file(&format!("{service}{more}"));
        assert!(Registry::from_str(&file).is_err(), "{more}");
        let wrong = wrong(&validator, &file);
        assert!(wrong.iter().any(|found| found == place), "{more}: {wrong:?}");
    }
}

#[test]
fn tables_at_the_top_are_checked() {
    let validator = validator();
    for (limits, place) in [
        ("[limits]\nbytes = '1MB'\nfds = 8\n[services]", None),
        ("[services]", None),
        ("", Some("")),
        ("[limits]\nfds = '8'\n[services]", Some("/limits/fds")),
        ("[limits]\nbytes = 0\n[services]", Some("/limits/bytes")),
        ("[limits]\nfiles = 8\n[services]", Some("/limits")),
        ("[service.a]\n[services]", Some("")),
        ("version = 1\n[defaults]\nlazy.idle_timeout = '5m'\nunix = {}\n[services]", None),
        ("version = 2\n[services]", Some("/version")),
        ("include = 'more.toml'\n[services]", Some("/include")),
        ("[defaults]\nbuffer.capacity = '5m'\n[services]", Some("/defaults/buffer/capacity")),
        ("[defaults]\nendpoint = 'tcp://a:1'\n[services]", Some("/defaults")),
        ("services = 3", Some("/services")),
        ("services.'' = { type = 'direct', endpoint = 'tcp://a:1' }", Some("/services")),
    ] {
        assert_eq!(Registry::from_str(limits).is_ok(), place.is_none(), "{limits}");
        let wrong = wrong(&validator, limits);
        assert_eq!(wrong.first().map(String::as_str), place, "{limits}: {wrong:?}");
    }
}
