//! Arbitrary operations on arbitrary stacks: the model of `tests/oracle`, with choices from the
//! fuzzer's bytes.
//!
//! `cargo +nightly fuzz run operations fuzz/corpus/operations fuzz/seeds/operations`, and to see
//! what an input does, `ORACLE_TRACE=1 cargo +nightly fuzz run operations INPUT`. An input that has
//! found something belongs into `tests/oracle/regressions.rs`.

#![no_main]

#[path = "../../tests/oracle/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: model::quiet_scripted_panics(),
    |data: &[u8]| {
        let trace = std::env::var_os("ORACLE_TRACE").is_some();
        model::run(&mut model::Bytes::new(data), model::Nestings::Gating, trace);
    }
);
