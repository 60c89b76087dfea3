//! The demo as its users start it, small; and the units of its checker, which must be able to fail.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

#[path = "../examples/demo/check.rs"]
#[allow(dead_code, unreachable_pub, reason = "the demo uses it all; here only its tests run")]
mod check;

#[path = "../examples/demo/input.rs"]
#[allow(dead_code, unreachable_pub, reason = "the demo uses it all; here only its tests run")]
mod input;

#[path = "../examples/demo/message.rs"]
#[allow(dead_code, unreachable_pub, reason = "the demo uses it all; here only its tests run")]
mod message;

#[test]
fn demo_accounts_for_every_message() {
    let output = demo(&["--messages", "20000", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(text.lines().last().expect("a summary"))
        .expect("the last line is one JSON object");

    assert_eq!((&summary["ok"], &summary["messages"]), (&true.into(), &20_000.into()));
    let receivers = summary["receivers"].as_array().expect("a list");
    assert_eq!(receivers.len(), 2);
    for (receiver, starts) in receivers.iter().zip([2, 1]) {
        for count in ["duplicated", "reordered", "torn"] {
            assert_eq!(receiver[count], 0, "{count}: {receiver}");
        }
        let [received, lost] = ["received", "lost"].map(|name| receiver[name].as_u64());
        assert_eq!(received.zip(lost).map(|(received, lost)| received + lost), Some(20_000));
        assert_eq!(receiver["leaf"]["written"], receiver["leaf"]["accepted"]);
        assert_eq!((&receiver["law_holds"], &receiver["starts"]), (&true.into(), &starts.into()));
        assert!(receiver["connections"].as_array().is_some_and(|all| all.len() >= starts));
    }
    assert_eq!(receivers[1]["lost"], 0, "nobody killed the second one");
}

#[test]
fn bad_arguments_are_refused_with_the_usage() {
    for arguments in [
        ["--bogus", "1"],
        ["--messages", "many"],
        ["--messages", "1"],
        ["--paced", "1"],
        ["--json", "--input"],
    ] {
        let output = demo(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage:"), "{arguments:?}");
    }
}

#[test]
fn unusable_input_is_an_error() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (arguments, complaint) in [
        (["--input", "/nonexistent", "--paced", "1"], "cannot read /nonexistent"),
        (["--input", source, "--paced", "1"], "receive stamps"),
    ] {
        let output = demo(&arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(complaint), "{text}");
    }
}

fn demo(arguments: &[&str]) -> Output {
    Command::new(executable()).args(arguments).output().expect("it starts")
}

/// The example stands two directories above this test. `cargo test` builds both; when only this
/// test was asked for, it is built here.
fn executable() -> PathBuf {
    let test = std::env::current_exe().expect("this test is a file");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let executable = profile.join("examples").join("demo");
    if !executable.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--example", "demo", "--manifest-path"]);
        cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        cargo.arg("--target-dir").arg(profile.parent().expect("target"));
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().is_ok_and(|status| status.success()), "the demo does not build");
    }
    executable
}
