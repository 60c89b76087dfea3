//! Arbitrary operations on arbitrary stacks: the model of `tests/oracle` with choices from the
//! fuzzer's bytes.
//!
//! `cargo +nightly fuzz run operations fuzz/corpus/operations fuzz/seeds/operations`, and to see
//! what an input does, `ORACLE_TRACE=1 cargo +nightly fuzz run operations INPUT`.

#![no_main]

#[path = "../../tests/oracle/model/mod.rs"]
mod model;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: model::quiet_scripted_panics(),
    |data: &[u8]| {
        let trace = std::env::var_os("ORACLE_TRACE").is_some();
        model::run(&mut Bytes(Unstructured::new(data)), trace);
    }
);

/// Chooses by bytes, as few as each choice needs, until there are none left.
struct Bytes<'a>(Unstructured<'a>);

impl model::Choices for Bytes<'_> {
    fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).expect("an answer even without bytes")
    }

    fn used_up(&self) -> bool {
        self.0.is_empty()
    }
}
