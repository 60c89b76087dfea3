//! Texts that no one meant: nothing panics, and every error points into the text.

use std::fmt::Write;

use torq_message_sink::{ConfigError, Registry};

use crate::SAMPLE;

fn check(text: &str) {
    if let Err(error) = Registry::from_str(text) {
        check_places(text, &error);
    }
}

fn check_places(text: &str, error: &ConfigError) {
    assert!(!error.errors().is_empty());
    let lines: Vec<_> = text.split('\n').collect();
    let mut last = (0, 0);
    for found in error.errors() {
        let line = lines.get(found.line() - 1).unwrap_or_else(|| panic!("line of {found}"));
        assert!(found.column() >= 1 && found.column() <= line.chars().count() + 1, "{found}");
        assert!(text.get(found.span()).is_some(), "{found}");
        assert!((found.line(), found.column()) >= last, "{found} is out of order");
        last = (found.line(), found.column());
        assert!(!found.message().contains(char::is_control));
    }
    let shown = error.to_string();
    assert!(shown.lines().count() <= 4 * error.errors().len() + 1);
    assert!(shown.lines().all(|line| line.len() < 4096));
}

#[test]
fn every_prefix_of_the_sample_is_handled() {
    for end in (0..SAMPLE.len()).filter(|end| SAMPLE.is_char_boundary(*end)) {
        check(&SAMPLE[..end]);
    }
}

#[test]
fn every_flipped_bit_of_the_sample_is_handled() {
    // A different bit of each byte in each of two rounds: all eight take a while without saying
    // more.
    for round in [0, 5] {
        for at in 0..SAMPLE.len() {
            let mut bytes = SAMPLE.as_bytes().to_vec();
            bytes[at] ^= 1 << ((at + round) % 8);
            check(&String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn every_missing_line_of_the_sample_is_handled() {
    let lines: Vec<_> = SAMPLE.lines().collect();
    for missing in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(missing);
        check(&rest.join("\n"));
        rest.insert(missing, "\u{7}\u{202e} = \"\u{0}");
        check(&rest.join("\r\n"));
    }
}

#[test]
fn deep_nesting_ends_in_an_error() {
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{ a = ".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[services.{}a]", "a.".repeat(100_000)),
    ] {
        check(&text);
    }
}

#[test]
fn largest_files_of_nothing_but_errors_end() {
    let half = Registry::MAX_BYTES / 2;
    check(&"]".repeat(half));
    check(&"]\n".repeat(half));
    check(&format!("{} = 1", "k".repeat(half)));
    check(&format!("services = \"{}", "\u{1}".repeat(half)));

    // Many services, many unknown targets that are near to all of them.
    let mut text = String::new();
    for number in 0..1500 {
        let _ = writeln!(text, "[services.name_of_a_service_{number}]\ntype = 'direct'");
    }
    text += "[services.all]\ntype = 'composite'\ntargets = [";
    for number in 0..10_000 {
        let _ = write!(text, "'name-of-a-servic_{number}',");
    }
    check(&format!("{text}]"));

    // One long chain, and one long cycle.
    let mut chain = String::new();
    for number in 0..8000 {
        let kind = "type='composite'\npattern='fanout'";
        let _ = writeln!(chain, "[services.a{number}]\n{kind}\ntargets=['a{}']", number + 1);
    }
    check(&chain);
    check(&format!("{chain}[services.a8000]\ntype='composite'\npattern='fanout'\ntargets=['a0']"));

    // Three levels that lead to the same places over and over.
    let mut dense = String::new();
    for level in 0..3 {
        for number in 0..150 {
            let _ = write!(dense, "[services.l{level}n{number}]\ntype='composite'\ntargets=[");
            (0..150).for_each(|target| _ = write!(dense, "'l{}n{target}',", level + 1));
            dense += "]\n";
        }
    }
    check(&dense);
}
