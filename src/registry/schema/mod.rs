//! The JSON Schema of services.toml: the tables and keys of `keys.rs`, with the limits, words and
//! defaults that the parser itself goes by.

mod form;

use serde_json::{Map, Value, json};

use self::form::{
    Form, boolean, bytes, duration, integer, number, object, size, text, time, word, words,
};
use super::options::{self, FROM_ZERO, POSITIVE};
use super::service::{BufferConfig, Isolation};
use super::{Registry, buffer, keys, limits, parse, reader};
use crate::buffer::WhenFull;
use crate::options::TcpOptions;
use crate::policy::{FailoverPolicy, LazyPolicy};

impl Registry {
    /// The JSON Schema (draft 7) of services.toml: keys, types, words, units, limits, defaults, and
    /// what each key does. Editors complete and check the file by it; docs/services.schema.json in
    /// the repository is this text.
    ///
    /// It finds what can be seen in one service. What lies between services (targets that are none,
    /// cycles, sums), and limits of values with units, only reading the file finds.
    #[must_use]
    pub fn json_schema() -> String {
        let mut file = object(&keys::FILE, of_file).about("The destinations of a process.").0;
        file["$schema"] = "http://json-schema.org/draft-07/schema#".into();
        file["title"] = "services.toml".into();
        file["required"] = json!(["services"]);
        format!("{file:#}\n")
    }
}

// A function for each table: what each of its keys may be; none for one that is forgotten, which a
// test finds.

fn of_file(key: &str) -> Option<Form> {
    Some(match key {
        "version" => {
            integer(&parse::VERSION).default(parse::VERSION.max).about("Of the format of the file.")
        }
        "include" => Form(json!({ "type": "array", "items": { "type": "string" } }))
            .about("Files whose tables are added; relative to this one."),
        "defaults" => {
            object(&keys::DEFAULTS, of_service).about("What services inherit, key by key.")
        }
        "limits" => object(&keys::LIMITS, of_limits)
            .about("What the services may take at most, all together."),
        "services" => Form(json!({
            "type": "object",
            "propertyNames": { "minLength": 1, "maxLength": parse::MAX_NAME },
            "additionalProperties": service(),
        }))
        .about("The destinations, each by its name."),
        _ => return None,
    })
}

fn of_limits(key: &str) -> Option<Form> {
    let count = integer(&limits::COUNT);
    Some(match key {
        "bytes" => bytes(&limits::BYTES, &[]).about("Memory of the process."),
        "fds" => count.about("File descriptors: connections that are there or being made."),
        "tasks" => count.about("Tasks of the runtime: attempts to connect, and drivers."),
        "services" => count.about("Services of the file."),
        _ => return None,
    })
}

/// A service: which keys it has and must have follows from its type.
fn service() -> Value {
    let mut service = object(&keys::SERVICE, of_service).0;
    let without = |keys: &[&str]| -> Map<_, _> {
        keys.iter().map(|key| ((*key).to_owned(), Value::Bool(false))).collect()
    };
    let is = |key: &str, pattern: &str| {
        let properties = Map::from_iter([(key.to_owned(), json!({ "pattern": pattern }))]);
        json!({ "required": [key], "properties": properties })
    };
    let of_endpoints = without(&["pattern", "targets", "isolation", "failover"]);
    let of_composites = without(&["endpoint", "preamble", "tcp", "unix"]);
    service["required"] = json!(["type"]);
    service["allOf"] = json!([
        {
            "if": is("type", "^composite$"),
            "then": { "required": ["pattern", "targets"], "properties": of_composites },
        },
        {
            "if": is("type", "^(direct|relay)$"),
            "then": { "required": ["endpoint"], "properties": of_endpoints },
        },
        { "if": is("type", "^direct$"), "then": { "properties": without(&["preamble"]) } },
        { "if": is("pattern", "^fanout$"), "then": { "properties": without(&["failover"]) } },
        {
            "if": is("pattern", "^round_robin$"),
            "then": { "properties": without(&["failover", "isolation"]) },
        },
        { "if": is("pattern", "^failover$"), "then": { "properties": without(&["isolation"]) } },
        { "if": is("endpoint", "^tcp:"), "then": { "properties": without(&["unix"]) } },
        { "if": is("endpoint", "^unix:"), "then": { "properties": without(&["tcp"]) } },
    ]);
    service
}

fn of_service(key: &str) -> Option<Form> {
    Some(match key {
        "enabled" => boolean().default(true).about("false takes it out of service."),
        "type" => words(reader::TYPES).about(
            "direct: one receiver. relay: a relay on this host that forwards to others. composite: \
             other services under one name.",
        ),
        "endpoint" => {
            text(ENDPOINT).about("Where it is: tcp://host:port or unix:///absolute/path.")
        }
        "preamble" => words(reader::PREAMBLES)
            .default(word(reader::PREAMBLES, ()))
            .about("What a connection to a relay begins with."),
        "pattern" => words(reader::PATTERNS).about(
            "fanout: every message to all targets. round_robin: a batch to each in turn. failover: \
             all messages to the first target that works.",
        ),
        "targets" => {
            let name = json!({ "type": "string" });
            let names =
                json!({ "type": "array", "items": name, "minItems": 1, "uniqueItems": true });
            Form(names).about("Names of services; of a failover in order of preference.")
        }
        "isolation" => {
            let mut quorum = object(&keys::ISOLATION, of_isolation).0;
            quorum["required"] = json!(["quorum"]);
            Form(json!({ "anyOf": [words(options::ISOLATION).0, quorum] }))
                .default(word(options::ISOLATION, Isolation::default()))
                .about(
                    "Of a fan-out: what a slow or dead target does to the others. all: it sets the \
                     pace. best_effort: it misses messages. { quorum = K }: K of them do.",
                )
        }
        "failover" => {
            object(&keys::FAILOVER, of_failover).about("When a failover changes its target.")
        }
        "buffer" => object(&keys::BUFFER, of_buffer).about("Messages that wait for their targets."),
        "lazy" => object(&keys::LAZY, of_lazy).about("Timeouts, back-off, idle sleep."),
        "tcp" => object(&keys::TCP, of_tcp).about("Options of a tcp:// endpoint."),
        "unix" => object(&keys::UNIX, of_unix).about("Options of a unix:// endpoint."),
        _ => return None,
    })
}

fn of_isolation(key: &str) -> Option<Form> {
    let quorum = || integer(&options::QUORUM).about("Endpoints that set the pace, whichever.");
    (key == "quorum").then(quorum)
}

fn of_failover(key: &str) -> Option<Form> {
    let policy = FailoverPolicy::new();
    Some(match key {
        "attempts" => integer(&options::TURNS)
            .default(policy.attempts())
            .about("Attempts to connect that may fail in a row before the next target is tried."),
        "stall_timeout" => {
            duration(&POSITIVE, &["off"]).default(time(policy.stall_timeout())).about(
                "A target that takes nothing for this long while there is something for it has \
                 failed.",
            )
        }
        "probes" => integer(&options::PROBES)
            .default(policy.probes())
            .about("Good probes in a row that bring a preferred target back; 0: it stays."),
        "probe_interval" => duration(&POSITIVE, &[])
            .default(time(policy.probe_interval()))
            .about("Between two probes."),
        "hold" => duration(&FROM_ZERO, &[]).default(time(policy.hold())).about(
            "How long it stays with a target that works before it returns to a preferred one.",
        ),
        _ => return None,
    })
}

fn of_buffer(key: &str) -> Option<Form> {
    let buffer = BufferConfig::default();
    Some(match key {
        "capacity" => bytes(&buffer::CAPACITY, &[])
            .default(size(buffer.capacity()))
            .about("Bytes of frames that are kept until all targets have taken them."),
        "when_full" => {
            words(buffer::WHEN_FULL).default(word(buffer::WHEN_FULL, WhenFull::default())).about(
                "What becomes of a message for which there is no room. wait: feeding waits. \
                 drop_newest: the message is dropped. drop_oldest: the oldest ones are. error: \
                 feeding fails.",
            )
        }
        "max_frame" => bytes(&buffer::MAX_FRAME, &[])
            .default(size(buffer.max_frame()))
            .about("Largest payload of one message."),
        "high_water" => bytes(&buffer::HIGH_WATER, &["off"])
            .default("off")
            .about("A buffer filled above this is told as an event."),
        "max_delay" => duration(&POSITIVE, &["off"])
            .default("off")
            .about("Of a shared sink: how long a message that was only fed waits for more."),
        "flush_at" => bytes(&buffer::FLUSH_AT, &[])
            .about("With max_delay: so many bytes leave at once. Default: half of capacity."),
        "deadline" => duration(&POSITIVE, &["off"])
            .default("off")
            .about("Messages without a deadline of their own get one of this age."),
        "priority" => words(buffer::PRIORITIES).default(word(buffer::PRIORITIES, None)).about(
            "Four lanes, urgent messages first. weighted: every lane has its turn. strict: those \
             below wait. Not beside deadline.",
        ),
        "low_water" => bytes(&buffer::LOW_WATER, &[])
            .about("Down to this it is told again. Default: half of high_water."),
        _ => return None,
    })
}

fn of_lazy(key: &str) -> Option<Form> {
    let policy = LazyPolicy::new();
    Some(match key {
        "connect_timeout" => duration(&POSITIVE, &[])
            .default(time(policy.connect_timeout()))
            .about("For one attempt, name resolution included."),
        "backoff" => object(&keys::BACKOFF, of_backoff).about(
            "Before the next attempt: a random time up to initial * multiplier^(failures - 1), at \
             most max.",
        ),
        "max_attempts" => integer(&options::ATTEMPTS)
            .default(policy.max_attempts())
            .about("Failed attempts in a row before callers get the error; 0: for ever."),
        "idle_timeout" => duration(&POSITIVE, &["off"])
            .default(time(policy.idle_timeout()))
            .about("Disconnect when nothing new came for this long."),
        "min_uptime" => duration(&FROM_ZERO, &[])
            .default(time(policy.min_uptime()))
            .about("How long a connection must have been up for the back-off to start over."),
        "close_deadline" => duration(&FROM_ZERO, &[])
            .default(time(policy.close_deadline()))
            .about("How long closing goes on trying to write what is left."),
        "reconnect" => words(options::RECONNECT)
            .default(word(options::RECONNECT, policy.reconnect()))
            .about("Whether a lost connection comes back when there is data, or at once."),
        "counting" => boolean()
            .default(policy.counting())
            .about("Whether reports and events count messages, not only bytes."),
        _ => return None,
    })
}

fn of_backoff(key: &str) -> Option<Form> {
    let backoff = LazyPolicy::new().backoff();
    Some(match key {
        "initial" => duration(&POSITIVE, &[])
            .default(time(backoff.initial))
            .about("The longest wait after the first failure."),
        "max" => duration(&POSITIVE, &[])
            .default(time(backoff.max))
            .about("The longest wait of all; not below initial."),
        "multiplier" => number(&options::MULTIPLIER)
            .default(backoff.multiplier)
            .about("The growth from one failure to the next."),
        _ => return None,
    })
}

fn of_tcp(key: &str) -> Option<Form> {
    let tcp = TcpOptions::default();
    Some(match key {
        "nodelay" => {
            boolean().default(tcp.nodelay).about("TCP_NODELAY: small writes leave at once.")
        }
        "keepalive" => duration(&options::KEEPALIVE, &["off"])
            .default(time(tcp.keepalive))
            .about("Probe the peer after this long without data; whole seconds count."),
        "user_timeout" => duration(&options::USER_TIMEOUT, &["off"])
            .default(time(tcp.user_timeout))
            .about("TCP_USER_TIMEOUT: how long sent data may stay unacknowledged."),
        "send_buffer" => send_buffer(),
        _ => return None,
    })
}

fn of_unix(key: &str) -> Option<Form> {
    (key == "send_buffer").then(send_buffer)
}

fn send_buffer() -> Form {
    bytes(&options::SEND_BUFFER, &["auto"])
        .default("auto")
        .about("SO_SNDBUF: bounds what a dying connection can lose; auto leaves it to the kernel.")
}

const ENDPOINT: &str = "tcp://.+:[0-9]+|unix:///.*";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of each table that is in the schema.
    fn tables(schema: &Value, found: &mut BTreeSet<Vec<String>>) {
        if let Some(properties) = schema["properties"].as_object()
            && schema["additionalProperties"] == false
        {
            assert!(properties.values().all(|key| key["description"].is_string()), "{schema:#}");
            let mut keys: Vec<_> = properties.keys().cloned().collect();
            keys.sort();
            found.insert(keys);
        }
        let below = schema.as_object().into_iter().flat_map(Map::values);
        let items = schema.as_array().into_iter().flatten();
        below.chain(items).for_each(|below| tables(below, found));
    }

    #[test]
    fn every_key_of_every_table_is_described_and_no_other() {
        let schema = serde_json::from_str(&Registry::json_schema()).expect("JSON");
        let mut found = BTreeSet::new();
        tables(&schema, &mut found);
        let expected = keys::ALL.iter().map(|table| {
            let mut keys: Vec<_> = table.keys.iter().map(|key| (*key).to_owned()).collect();
            keys.sort();
            keys
        });
        assert_eq!(found, expected.collect());
    }
}
