//! What is printed at the end, for people and as JSON.

use serde::Serialize;

use crate::check::{Connection, Gap, Leaf, check};
use crate::scenario::{Facts, Strategy};
use crate::services::TARGETS;

/// All figures of a run. `--json` prints it as it stands here.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub ok: bool,
    /// What must not be, in words.
    pub violations: Vec<String>,
    pub messages: u64,
    pub payload_bytes: u64,
    /// From the first message fed to the sink closed, waiting for absent strategies included.
    pub seconds: f64,
    /// Of these, the part in which both strategies were there and well.
    pub connected_seconds: f64,
    pub messages_per_second: f64,
    pub payload_bytes_per_second: f64,
    /// How often the conservation law was checked on all leaves.
    pub law_checks: u64,
    pub receivers: Vec<Receiver>,
}

#[derive(Debug, Serialize)]
pub struct Receiver {
    pub service: String,
    pub endpoint: String,
    pub starts: u32,
    pub received: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub torn: u64,
    pub gaps: Vec<Gap>,
    pub connections: Vec<Connection>,
    pub law_holds: bool,
    pub leaf: Leaf,
}

impl Summary {
    pub fn new(facts: &Facts) -> Self {
        let mut violations = facts.law_broken.clone();
        let receivers: Vec<_> = TARGETS
            .iter()
            .zip(&facts.strategies)
            .map(|(service, strategy)| Receiver::new(service, strategy, facts, &mut violations))
            .collect();
        Self {
            ok: violations.is_empty(),
            violations,
            messages: facts.messages,
            payload_bytes: facts.payload_bytes,
            seconds: facts.seconds,
            connected_seconds: facts.connected_seconds,
            messages_per_second: facts.messages as f64 / facts.connected_seconds,
            payload_bytes_per_second: facts.payload_bytes as f64 / facts.connected_seconds,
            law_checks: facts.law_checks,
            receivers,
        }
    }

    pub fn print(&self) {
        println!(
            "\n{} messages, {} bytes of payload, in {:.3} s",
            self.messages, self.payload_bytes, self.seconds
        );
        println!(
            "{:.0} messages/s, {:.1} MB/s to each target while both were there ({:.3} s)",
            self.messages_per_second,
            self.payload_bytes_per_second / 1e6,
            self.connected_seconds
        );
        println!(
            "\n{:<18} {:>10} {:>8} {:>10} {:>9} {:>6}",
            "receiver", "received", "lost", "duplicated", "reordered", "torn"
        );
        for it in &self.receivers {
            println!(
                "{:<18} {:>10} {:>8} {:>10} {:>9} {:>6}",
                it.service, it.received, it.lost, it.duplicated, it.reordered, it.torn
            );
        }
        println!(
            "\n{:<18} {:>4} {:>10} {:>10} {:>10}  {:<22} lost",
            "connection", "no.", "first", "last", "cut bytes", "ended by"
        );
        for receiver in &self.receivers {
            receiver.print_connections();
        }
        println!(
            "\nconservation law, in messages (bytes): accepted = written + buffered + dropped"
        );
        for Receiver { leaf, law_holds, .. } in &self.receivers {
            let [accepted, written, buffered, dropped] =
                [leaf.accepted, leaf.written, leaf.buffered, leaf.dropped]
                    .map(|count| format!("{} ({})", count.messages, count.bytes));
            let verdict = if *law_holds { "holds" } else { "BROKEN" };
            println!(
                "{:<18} {accepted} = {written} + {buffered} + {dropped}: {verdict}",
                leaf.service
            );
        }
        println!("checked {} times along the way", self.law_checks);
        match self.violations.as_slice() {
            [] => println!("\nok: each gap is the end of what was written on a lost connection"),
            violations => violations.iter().for_each(|what| println!("\nNOT OK: {what}")),
        }
    }
}

impl Receiver {
    fn new(name: &str, strategy: &Strategy, facts: &Facts, violations: &mut Vec<String>) -> Self {
        let Strategy { received, connections, leaf, .. } = strategy;
        let verdict = check(facts.messages, connections, received);
        let mut complain = |what: String| violations.push(format!("{name}: {what}"));
        verdict.violations.into_iter().for_each(&mut complain);
        if !leaf.law_holds() || leaf.service != name {
            complain("the conservation law does not hold at the end".into());
        }
        if leaf.accepted.messages != facts.messages {
            complain(format!("{} messages were accepted", leaf.accepted.messages));
        }
        if leaf.connections as usize != connections.len() || leaf.events_lost > 0 {
            complain(format!(
                "{} connections, {} of them seen",
                leaf.connections,
                connections.len()
            ));
        }
        // The demo is none if the kill hit nothing.
        if strategy.starts > 1 && !connections.iter().any(|connection| connection.died) {
            complain("it was killed, but no connection died".into());
        }
        Self {
            service: name.to_owned(),
            endpoint: strategy.endpoint.clone(),
            starts: strategy.starts,
            received: received.messages(),
            lost: verdict.lost,
            duplicated: received.duplicated,
            reordered: received.reordered,
            torn: verdict.torn,
            gaps: verdict.gaps,
            connections: connections.clone(),
            law_holds: leaf.law_holds(),
            leaf: leaf.clone(),
        }
    }

    fn print_connections(&self) {
        for Connection { number, first, end, cut_bytes, cause, .. } in &self.connections {
            let end = end.map_or(first.messages, |end| end.messages);
            let (first, last) = match end.checked_sub(1) {
                Some(last) if last >= first.messages => {
                    (first.messages.to_string(), last.to_string())
                }
                _ => ("-".to_owned(), "-".to_owned()),
            };
            let lost = match self.gaps.iter().find(|gap| gap.connection == *number) {
                Some(gap) => format!("{} to {}", gap.first, gap.last),
                None => "nothing".to_owned(),
            };
            println!(
                "{:<18} {number:>4} {first:>10} {last:>10} {cut_bytes:>10}  {cause:<22} {lost}",
                self.service
            );
        }
    }
}
