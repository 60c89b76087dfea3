//! The oracle: the model with choices from a seeded generator.
//!
//! `cargo test` runs some thousand sequences of 200 operations, for each kind of stack a test of its
//! own. `ORACLE_SEQUENCES=200000` runs more of each (use `--release`, and a test's name for one
//! kind), `ORACLE_FIRST` says from which seed on, and `ORACLE_SEED=n` runs one sequence again and
//! prints its operations. A sequence depends on nothing but its seed, so several processes share a
//! large number of them by `ORACLE_FIRST`. The fuzz target `operations` runs the same model with
//! choices from a fuzzer.
//!
//! Where every receiver gets everything in one order, what was accepted is one stream, and
//! everything is known to the byte. Elsewhere (several targets, layers with a queue, priorities) a
//! ledger knows each message by its number, and each stack says in a few words what it promises:
//! which way messages take, within what they keep their order, and for which reasons one may be
//! missing, each of which has a counter.

mod model;
mod regressions;

use std::time::Instant;

use self::model::Nestings;

#[test]
fn sink_agrees_with_the_oracle_over_random_operations() {
    model::quiet_scripted_panics();
    run_seeds(Nestings::Gating, 2_000);
}

#[test]
fn sink_agrees_with_the_oracle_where_children_lag_behind() {
    model::quiet_scripted_panics();
    run_seeds(Nestings::Isolated, 1_000);
}

#[test]
fn sink_agrees_with_the_oracle_where_messages_go_around_the_buffer() {
    model::quiet_scripted_panics();
    run_seeds(Nestings::Around, 1_000);
}

#[test]
fn sink_agrees_with_the_oracle_where_not_everybody_gets_everything() {
    model::quiet_scripted_panics();
    run_seeds(Nestings::Mixed, 2_000);
}

#[test]
fn shared_stack_agrees_with_the_oracle() {
    model::quiet_scripted_panics();
    run_seeds(Nestings::Shared, 1_000);
}

fn run_seeds(nestings: Nestings, count: u64) {
    if let Some(seed) = number("ORACLE_SEED") {
        let operations = model::run(&mut Seeded::new(seed), nestings, true);
        println!("seed {seed}: {operations} operations, no violation");
        return;
    }
    let count = number("ORACLE_SEQUENCES").unwrap_or(count);
    let first = number("ORACLE_FIRST").unwrap_or(0);
    let begin = Instant::now();
    let mut operations = 0;
    for seed in first..first + count {
        let on_panic =
            OnPanic(format!("run it again with: ORACLE_SEED={seed} cargo test --test oracle"));
        operations += model::run(&mut Seeded::new(seed), nestings, false);
        drop(on_panic);
    }
    println!(
        "{count} sequences, {operations} operations, {:.1} s, no violation",
        begin.elapsed().as_secs_f64()
    );
}

#[test]
fn what_was_found_once_is_not_found_again() {
    model::quiet_scripted_panics();
    for (found, input) in regressions::INPUTS {
        let on_panic = OnPanic(format!("found again: {found}"));
        model::run(&mut model::Bytes::new(input), Nestings::Gating, false);
        drop(on_panic);
    }
    for (found, nestings, seed) in regressions::SEEDS {
        let on_panic = OnPanic(format!("found again: {found}"));
        model::run(&mut Seeded::new(*seed), *nestings, false);
        drop(on_panic);
    }
}

/// Chooses at random, without end.
struct Seeded(fastrand::Rng);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }
}

impl model::Choices for Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }

    fn used_up(&self) -> bool {
        false
    }
}

/// Words for when a sequence has found something.
struct OnPanic(String);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}
