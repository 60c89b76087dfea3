//! What the compiler says to those who meet this library for the first time: each mistake in
//! tests/ui, with the text beside it. `TRYBUILD=overwrite` writes the texts anew.

#[test]
fn mistakes_are_answered_with_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
