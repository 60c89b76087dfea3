//! Makes tables of what `instr_send`, `instr_layers`, `instr_fanout`, `instr_known` and
//! `instr_decode` have counted, and fails when a limit is broken.
//!
//! `cargo bench --features instr` runs all six.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flushes that lie between a row's two runs; as in `instr_send.rs` and `instr_layers.rs`.
const FLUSHES: f64 = 16.0;

/// Frames in the chunks that lie between a row's two runs, when the chunks hold whole frames and
/// when they do not; as in `instr_decode.rs`.
const WHOLE_FRAMES: f64 = 17.0 * 963.0;
const CUT_FRAMES: f64 = 16_384.0;

/// Messages that lie between a row's two runs: so many from each of 16 places.
const MESSAGES: f64 = 16.0 * 16.0;

/// Cases of the append rows.
const CASES: [&str; 5] = ["b16", "b64", "b512", "b1400", "tick"];

/// Those of them that send bytes.
const BYTES: [&str; 4] = ["b16", "b64", "b512", "b1400"];

/// Instructions per message or flush, by row and case.
struct Counts(BTreeMap<(String, String), f64>);

/// What a limit says of a row's figure, compared with another row's.
enum Bound {
    /// At most so many instructions, whatever the other has.
    AtMost(f64),
    /// At most so many instructions more.
    More(f64),
    /// At least so many instructions fewer.
    Fewer(f64),
    /// At most this part of the other.
    Times(f64),
    /// At most this part of the other, both without the empty loop of that row.
    TimesNet(f64, &'static str),
}

/// A row, the row it is compared with, the cases, and the bound.
type Limit = (&'static str, &'static str, &'static [&'static str], Bound);

/// The limits that a change must not break.
const LIMITS: &[Limit] = &[
    ("try_feed_typed", "try_feed_best", &CASES, Bound::More(0.0)),
    ("try_feed_typed", "try_feed_vec", &CASES, Bound::Fewer(4.0)),
    ("feed_typed", "feed_idiomatic", &["b64"], Bound::TimesNet(0.75, "feed_empty")),
    ("flush_typed", "flush_best", &["full"], Bound::More(300.0)),
    ("try_feed_factory", "try_feed_typed", &CASES, Bound::Times(1.01)),
    ("feed_factory", "feed_typed", &["b64", "b512"], Bound::Times(1.01)),
    ("flush_factory", "flush_best", &["full"], Bound::More(300.0)),
    ("try_feed_sinks", "try_feed_two", &BYTES, Bound::More(0.0)),
    ("try_feed_sinks", "try_feed_two", &["tick"], Bound::More(8.0)),
    ("feed_sinks", "feed_two", &["b64", "b512"], Bound::More(0.0)),
    ("flush_sinks", "flush_two", &["full"], Bound::More(300.0)),
    ("try_feed_shared", "try_feed_mutex", &CASES, Bound::More(0.0)),
    ("try_feed_dropping", "try_feed_bare", &["b64"], Bound::More(0.0)),
    ("flush_dropping", "flush_bare", &["full"], Bound::More(0.0)),
    ("try_feed_limited", "try_feed_bare", &["b64"], Bound::More(11.0)),
    ("try_feed_breaker", "try_feed_bare", &["b64"], Bound::More(4.0)),
    ("flush_limited", "flush_bare", &["full"], Bound::More(20.0)),
    ("flush_breaker", "flush_bare", &["full"], Bound::More(40.0)),
    ("try_feed_deadline", "try_feed_bare", &["b64"], Bound::More(12.0)),
    ("try_feed_dated", "try_feed_bare", &["b64"], Bound::More(150.0)),
    ("try_feed_conflate", "try_feed_bare", &["b64"], Bound::More(4.0)),
    ("try_feed_keyed", "try_feed_bare", &["b64"], Bound::More(38.0)),
    ("try_feed_lanes", "try_feed_bare", &["b64"], Bound::More(4.0)),
    ("flush_deadline", "flush_bare", &["full"], Bound::More(40.0)),
    ("flush_dated", "flush_bare", &["full"], Bound::More(100.0)),
    ("flush_conflate", "flush_bare", &["full"], Bound::More(40.0)),
    ("flush_keyed", "flush_bare", &["full"], Bound::More(40.0)),
    ("flush_lanes", "flush_bare", &["full"], Bound::More(40.0)),
    ("try_feed_to_2", "try_feed_typed", &["b64"], Bound::Times(1.01)),
    ("try_feed_to_8", "try_feed_to_2", &["b64"], Bound::Times(1.01)),
    ("try_feed_to_64", "try_feed_to_2", &["b64"], Bound::Times(1.01)),
    ("try_feed_known", "try_feed_alone", &["b64"], Bound::More(6.0)),
    ("try_feed_effort", "try_feed_together", &["b64"], Bound::More(0.0)),
    ("try_feed_quorum", "try_feed_together", &["b64"], Bound::More(0.0)),
    ("try_feed_failover", "try_feed_one", &["b64"], Bound::More(0.0)),
    ("try_feed_round_robin", "try_feed_turns", &["b64"], Bound::More(47.0)),
    ("try_feed_sharded", "try_feed_keys", &["b64"], Bound::More(3.0)),
    ("try_feed_least_loaded", "try_feed_lesser", &["b64"], Bound::More(184.0)),
    ("flush_effort", "flush_together", &["full"], Bound::More(240.0)),
    ("flush_quorum", "flush_together", &["full"], Bound::More(220.0)),
    ("flush_failover", "flush_one", &["full"], Bound::More(150.0)),
    ("flush_round_robin", "flush_turns", &["full"], Bound::More(250.0)),
    ("flush_sharded", "flush_keys", &["full"], Bound::More(250.0)),
    ("flush_least_loaded", "flush_lesser", &["full"], Bound::More(250.0)),
    ("decode_ours", "decode_loop", &["whole", "cut"], Bound::AtMost(12.0)),
    ("decode_ours", "decode_codec", &["whole", "cut"], Bound::Times(0.5)),
];

fn main() -> ExitCode {
    let folder = results();
    let counts = Counts::read(&folder);
    if counts.0.is_empty() {
        eprintln!("nothing counted in {}: run the benches `instr_*` first", folder.display());
        return ExitCode::FAILURE;
    }
    for (group, title) in [
        ("try_feed_", "append by try_feed, instructions per message"),
        ("feed_", "append by feed().await, instructions per message"),
        ("flush_", "flush of a full buffer, instructions"),
        ("decode_", "frames of 64 bytes cut from chunks of 64 KiB, instructions per frame"),
    ] {
        counts.print(group, title);
    }
    let broken = LIMITS.iter().map(|limit| counts.judge(limit)).sum::<usize>();
    if broken == 0 {
        println!("all limits hold");
        return ExitCode::SUCCESS;
    }
    println!("{broken} broken");
    ExitCode::FAILURE
}

/// Where the others leave their results: beside this very program.
fn results() -> PathBuf {
    let program = env::current_exe().expect("the program knows where it is");
    let target = program.ancestors().nth(3).expect("in <target>/<profile>/deps");
    target.join("iai/torq-message-sink")
}

impl Counts {
    /// Reads `<bench>/<group>/<row>.<case>_{once,twice}/callgrind.*.out`.
    fn read(folder: &Path) -> Self {
        let mut totals = BTreeMap::new();
        let groups = files(folder).into_iter().flat_map(|bench| files(&bench));
        for run in groups.flat_map(|group| files(&group)) {
            let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((row, run_of)) = name.split_once('.') else { continue };
            let Some((case, times)) = run_of.split_once('_') else { continue };
            let out = run.join(format!("callgrind.{name}.out"));
            if let Some(total) = total(&out) {
                totals.insert((row.to_owned(), case.to_owned(), times.to_owned()), total);
            }
        }
        let slope = |((row, case, times), once): (&(String, String, String), &f64)| {
            let twice = totals.get(&(row.clone(), case.clone(), "twice".to_owned()))?;
            let between = match (row.split('_').next(), case.as_str()) {
                (Some("flush"), _) => FLUSHES,
                (_, "whole") => WHOLE_FRAMES,
                (_, "cut") => CUT_FRAMES,
                _ => MESSAGES,
            };
            (times == "once").then(|| ((row.clone(), case.clone()), (twice - once) / between))
        };
        Self(totals.iter().filter_map(slope).collect())
    }

    fn get(&self, row: &str, case: &str) -> Option<f64> {
        self.0.get(&(row.to_owned(), case.to_owned())).copied()
    }

    /// A table of the rows of a group: one line a row, one column a case.
    fn print(&self, group: &str, title: &str) {
        let rows: Vec<_> = self.0.keys().filter(|(row, _)| row.starts_with(group)).collect();
        let cases = CASES
            .iter()
            .chain(&["full", "whole", "cut"])
            .filter(|case| rows.iter().any(|(_, c)| c == *case));
        let cases: Vec<_> = cases.collect();
        println!("{title}\n");
        print!("| {:12} |", "");
        cases.iter().for_each(|case| print!(" {case:>8} |"));
        print!("\n|--------------|");
        cases.iter().for_each(|_| print!("---------:|"));
        println!();
        let mut names: Vec<_> = rows.iter().map(|(row, _)| row).collect();
        names.dedup();
        for row in names {
            print!("| {:12} |", &row[group.len()..]);
            for case in &cases {
                match self.get(row, case) {
                    Some(count) => print!(" {count:8.2} |"),
                    None => print!(" {:>8} |", ""),
                }
            }
            println!();
        }
        println!();
    }

    /// Prints what became of a limit; how often it is broken.
    fn judge(&self, (row, other, cases, bound): &Limit) -> usize {
        let mut broken = 0;
        for case in *cases {
            let (Some(ours), Some(theirs)) = (self.get(row, case), self.get(other, case)) else {
                println!("MISSING {row} or {other} at {case}");
                broken += 1;
                continue;
            };
            let (holds, says) = match bound {
                Bound::AtMost(most) => (ours <= *most, format!("{ours:.2} <= {most}")),
                Bound::More(most) => {
                    (ours <= theirs + most, format!("{:+.2} <= {most:+}", ours - theirs))
                }
                Bound::Fewer(least) => {
                    (ours <= theirs - least, format!("{:+.2} <= {:+}", ours - theirs, -least))
                }
                Bound::Times(part) => {
                    (ours <= theirs * part, format!("{:.3} <= {part} times", ours / theirs))
                }
                Bound::TimesNet(part, empty) => {
                    let empty = self.get(empty, case).unwrap_or_default();
                    let ratio = (ours - empty) / (theirs - empty);
                    (ratio <= *part, format!("{ratio:.3} <= {part} times, net"))
                }
            };
            println!(
                "{} {row} to {other} at {case}: {says}",
                if holds { "ok    " } else { "BROKEN" }
            );
            broken += usize::from(!holds);
        }
        broken
    }
}

/// The instructions that callgrind has counted.
fn total(out: &Path) -> Option<f64> {
    let text = fs::read_to_string(out).ok()?;
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    totals.split_whitespace().next()?.parse().ok()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
