//! The oracle model: random operations on random stacks over links that misbehave, against a byte
//! log as the truth.
//!
//! `cargo test` runs 2,000 sequences of 200 operations. `ORACLE_SEQUENCES=200000` runs more (use
//! `--release`), `ORACLE_FIRST` says from which seed on, and `ORACLE_SEED=n` runs one sequence
//! again and prints its operations. A sequence depends on nothing but its seed.

mod model;

use std::panic;
use std::time::Instant;

/// Seeds that once found something.
const REGRESSIONS: &[u64] = &[633, 990, 4454];

#[test]
fn sink_agrees_with_the_oracle_over_random_operations() {
    quiet_scripted_panics();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    if let Some(seed) = number("ORACLE_SEED") {
        let operations = runtime.block_on(model::run(seed, true));
        println!("seed {seed}: {operations} operations, no violation");
        return;
    }
    let count = number("ORACLE_SEQUENCES").unwrap_or(2_000);
    let first = number("ORACLE_FIRST").unwrap_or(0);
    let begin = Instant::now();
    let mut operations = 0;
    for seed in REGRESSIONS.iter().copied().chain(first..first + count) {
        let on_panic = OnPanic(seed);
        operations += runtime.block_on(model::run(seed, false));
        drop(on_panic);
    }
    println!(
        "{} sequences, {operations} operations, {:.1} s, no violation",
        count + REGRESSIONS.len() as u64,
        begin.elapsed().as_secs_f64()
    );
}

/// Names the seed when a sequence has found something.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with: ORACLE_SEED={} cargo test --test oracle", self.0);
        }
    }
}

/// Connectors that panic are part of the model; their messages would hide the one that counts.
fn quiet_scripted_panics() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some("a scripted panic") {
            hook(info);
        }
    }));
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}
