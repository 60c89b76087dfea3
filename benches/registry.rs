//! How long a services.toml takes to be parsed, checked and built, and whether that grows with
//! the file and not faster: services with five composites for every two of them, of all patterns,
//! one in ten nested, over up to seven targets each. Time is that of this thread on a processor,
//! where the system says so: what others do meanwhile is no property of ours.
//!
//! `cargo bench --bench registry`

use std::fmt::Write;
use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use torq_message_sink::{Registry, SinkFactory, SinkStack};

fn main() {
    println!("services composites     KiB  parse and check   build all   per entry   ratio");
    let mut smallest = None;
    for services in [500, 2_000, 8_000] {
        let composites = services * 5 / 2;
        let text = file(services, composites);
        // The clock ticks every few milliseconds: the smaller the file, the more rounds.
        let (read, built) = average_of(32_000 / services as u32, &text);
        let per_entry = (read + built).as_nanos() / (services + composites) as u128;
        let smallest = *smallest.get_or_insert(per_entry);
        println!(
            "{services:8} {composites:10} {:7} {:13.2} ms {:8.2} ms {per_entry:8} ns {:7.2}",
            text.len() / 1024,
            read.as_secs_f64() * 1e3,
            built.as_secs_f64() * 1e3,
            per_entry as f64 / smallest as f64,
        );
    }
}

fn average_of(rounds: u32, text: &str) -> (Duration, Duration) {
    let round = |_| {
        let start = now();
        let registry = Registry::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        let read = now() - start;
        let names: Vec<_> = registry.services().map(|service| service.name().clone()).collect();
        let factory = SinkFactory::new(registry);
        let start = now();
        let sinks: Result<Vec<SinkStack>, _> =
            names.iter().map(|name| factory.create_sink(name)).collect();
        let built = now() - start;
        assert_eq!(sinks.expect("every service can be built").len(), names.len());
        (read, built)
    };
    let (read, built): (Vec<_>, Vec<_>) = (0..rounds).map(round).unzip();
    (read.iter().sum::<Duration>() / rounds, built.iter().sum::<Duration>() / rounds)
}

/// Nanoseconds of this thread on a processor (proc_pid_schedstat(5)), or since the first call.
fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

fn file(services: usize, composites: usize) -> String {
    let mut text = "version = 1\n[defaults.lazy]\nidle_timeout = \"5m\"\n".to_owned();
    for number in 0..services {
        let _ = writeln!(text, "[services.destination_{number}]");
        let _ = match number % 4 {
            0 => writeln!(text, "type = \"relay\"\nendpoint = \"unix:///run/torq/{number}.sock\""),
            _ => writeln!(
                text,
                "type = \"direct\"\nendpoint = \"tcp://10.0.{}.{}:{}\"",
                number / 256,
                number % 256,
                1024 + number
            ),
        };
        if number % 8 == 0 {
            let _ =
                writeln!(text, "lazy.max_attempts = {}\nbuffer.capacity = \"256KiB\"", number % 97);
        }
    }
    for number in 0..composites {
        let pattern = ["fanout", "failover"][number % 2];
        let _ = writeln!(text, "[services.group_{number}]\ntype = \"composite\"");
        let _ = writeln!(text, "pattern = \"{pattern}\"");
        // Next to each other, so that none is reached twice.
        let first = number * 7 % (services - 16);
        let mut targets: Vec<_> =
            (first..first + 1 + number % 7).map(|to| format!("destination_{to}")).collect();
        if number % 10 == 9 && number > 20 {
            targets = vec![format!("group_{}", number - 2)];
        }
        let _ = writeln!(text, "targets = {targets:?}");
    }
    text
}
