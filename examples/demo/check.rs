//! What arrived against what was written: lost, duplicated, reordered, torn, and which of it may
//! be.

use serde::{Deserialize, Serialize};

/// Bytes of frames, and messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Count {
    pub bytes: u64,
    pub messages: u64,
}

/// One connection of a sink's leaf, as its events tell. Message numbers are those of the sink,
/// which are the sequence numbers here.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Connection {
    pub number: u32,
    /// Attempts that failed before it.
    pub failed_attempts: u32,
    /// Position of the first frame written on it.
    pub first: Count,
    /// Position behind the last frame that the kernel took whole; none while it is up.
    pub end: Option<Count>,
    /// Bytes of one more frame that it took in part; the next connection repeats that frame.
    pub cut_bytes: u64,
    /// Whether the peer or the network ended it; everything on any other must arrive.
    pub died: bool,
    pub cause: String,
}

/// A leaf of the sink's report.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Leaf {
    pub service: String,
    pub accepted: Count,
    pub written: Count,
    pub buffered: Count,
    pub dropped: Count,
    pub unconfirmed: Count,
    pub rewritten_bytes: u64,
    pub connections: u32,
    pub events_lost: u64,
}

impl Leaf {
    /// The conservation law, in bytes and in messages.
    pub fn law_holds(&self) -> bool {
        let parts = [self.written, self.buffered, self.dropped];
        self.accepted.bytes == parts.iter().map(|part| part.bytes).sum::<u64>()
            && self.accepted.messages == parts.iter().map(|part| part.messages).sum::<u64>()
    }
}

/// What one receiver reported, over all its lives and connections, in order.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Sequence numbers, each range from its first to behind its last, sorted, apart.
    ranges: Vec<(u64, u64)>,
    /// Behind the highest sequence number.
    next: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub torn: u64,
    cuts: Vec<Option<u64>>,
}

impl Received {
    /// Messages came with the sequence numbers from `first` to `last`. What had come before is
    /// duplicated; what had not, but comes behind a higher number, is reordered.
    pub fn run(&mut self, first: u64, last: u64) {
        let (mut start, mut end) = (first, last + 1);
        let known = overlap(&self.ranges, start, end);
        let late = self.next.min(end).saturating_sub(start);
        self.duplicated += known;
        self.reordered += late.saturating_sub(known);
        self.next = self.next.max(end);
        let at = self.ranges.partition_point(|range| range.1 < start);
        let behind = at + self.ranges[at..].partition_point(|range| range.0 <= end);
        for range in self.ranges.splice(at..behind, []) {
            (start, end) = (start.min(range.0), end.max(range.1));
        }
        self.ranges.insert(at, (start, end));
    }

    /// Bytes came that are no message.
    pub fn torn(&mut self) {
        self.torn += 1;
    }

    /// A connection ended inside a frame, where message `next` should have come (if it is known).
    pub fn cut(&mut self, next: Option<u64>) {
        self.cuts.push(next);
    }

    /// Messages received, each counted once.
    pub fn messages(&self) -> u64 {
        self.ranges.iter().map(|(start, end)| end - start).sum()
    }

    /// What is missing between two positions, in order.
    fn missing(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut from = start;
        let mut missing = Vec::new();
        for &(first, behind) in &self.ranges {
            let until = first.min(end);
            if from < until {
                missing.push((from, until));
            }
            from = from.max(behind);
        }
        if from < end {
            missing.push((from, end));
        }
        missing
    }
}

/// Messages missing of those written on a connection: from the first to the last.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Gap {
    pub connection: u32,
    pub first: u64,
    pub last: u64,
}

/// The outcome for one receiver.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub lost: u64,
    pub torn: u64,
    pub gaps: Vec<Gap>,
    /// What must not be, in words. None: all is well.
    pub violations: Vec<String>,
}

/// Holds what a receiver got of `total` messages against what its leaf's connections wrote.
///
/// A frame cut off by a connection's end is torn, unless that connection died: then the sink still
/// has the frame and repeats it whole on the next one, which the gaps prove.
pub fn check(total: u64, connections: &[Connection], received: &Received) -> Verdict {
    let mut verdict = Verdict { torn: received.torn, ..Verdict::default() };
    let mut complain = |what: String| verdict.violations.push(what);
    let mut position = 0;
    for connection in connections {
        let Connection { number, first, died, .. } = *connection;
        let Some(end) = connection.end else {
            complain(format!("connection {number} never ended"));
            continue;
        };
        let (first, end) = (first.messages, end.messages);
        if first != position {
            complain(format!("connection {number} begins at message {first}, not {position}"));
        }
        position = end;
        for (start, behind) in received.missing(first, end) {
            verdict.gaps.push(Gap { connection: number, first: start, last: behind - 1 });
            let text = format!("messages {start} to {} of connection {number}", behind - 1);
            if !died {
                complain(format!("{text} are missing, and it did not die"));
            } else if behind != end {
                complain(format!("{text} are missing, and it goes on to {}", end - 1));
            }
        }
    }
    if position != total {
        complain(format!("{position} of {total} messages were written"));
    }
    for cut in &received.cuts {
        let expected = |connection: &&Connection| match (cut, connection.end) {
            (Some(next), Some(end)) => (connection.first.messages..=end.messages).contains(next),
            _ => true,
        };
        if !connections.iter().filter(expected).any(|connection| connection.died) {
            verdict.torn += 1;
        }
    }
    let missing = received.missing(0, total);
    verdict.lost = missing.iter().map(|(start, end)| end - start).sum();
    if received.next > total {
        complain(format!("message {} was never sent", received.next - 1));
    }
    for (what, count) in [
        ("duplicated", received.duplicated),
        ("reordered", received.reordered),
        ("torn", verdict.torn),
    ] {
        if count > 0 {
            verdict.violations.push(format!("{count} {what}"));
        }
    }
    verdict
}

/// How many numbers from `start` to before `end` are in the ranges.
fn overlap(ranges: &[(u64, u64)], start: u64, end: u64) -> u64 {
    ranges.iter().map(|range| range.1.min(end).saturating_sub(range.0.max(start))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that wrote the given message ranges; all but the last died.
    fn connections(ranges: &[(u64, u64)]) -> Vec<Connection> {
        let at = |messages| Count { bytes: 0, messages };
        let connection = |(index, &(first, end)): (usize, &(u64, u64))| Connection {
            number: index as u32 + 1,
            first: at(first),
            end: Some(at(end)),
            died: index + 1 < ranges.len(),
            ..Connection::default()
        };
        ranges.iter().enumerate().map(connection).collect()
    }

    fn received(runs: &[(u64, u64)]) -> Received {
        let mut received = Received::default();
        runs.iter().for_each(|&(first, last)| received.run(first, last));
        received
    }

    /// Two connections: 0 to 49, which died, and 50 to 99.
    fn verdict(runs: &[(u64, u64)]) -> Verdict {
        check(100, &connections(&[(0, 50), (50, 100)]), &received(runs))
    }

    #[test]
    fn everything_once_and_in_order_is_well() {
        assert_eq!(verdict(&[(0, 9), (10, 49), (50, 99)]), Verdict::default());
    }

    #[test]
    fn the_end_of_a_connection_that_died_may_be_missing() {
        let verdict = verdict(&[(0, 39), (50, 99)]);
        assert_eq!((verdict.lost, verdict.violations.len()), (10, 0));
        assert_eq!(verdict.gaps, [Gap { connection: 1, first: 40, last: 49 }]);
    }

    #[test]
    fn all_of_several_connections_that_died_may_be_missing() {
        let written = connections(&[(0, 50), (50, 60), (60, 60), (60, 100)]);
        let verdict = check(100, &written, &received(&[(0, 39), (60, 99)]));
        assert_eq!((verdict.lost, verdict.gaps.len(), verdict.violations.len()), (20, 2, 0));
    }

    #[test]
    fn a_gap_in_mid_connection_is_not_allowed() {
        for runs in [[(0, 19), (30, 99)], [(10, 49), (50, 99)], [(0, 39), (55, 99)]] {
            assert_eq!(verdict(&runs).violations.len(), 1, "{runs:?}");
        }
        // Beside a suffix that is allowed.
        let verdict = verdict(&[(0, 19), (30, 39), (50, 99)]);
        assert_eq!((verdict.lost, verdict.gaps.len(), verdict.violations.len()), (20, 2, 1));
    }

    #[test]
    fn the_end_of_a_connection_that_did_not_die_must_arrive() {
        let verdict = verdict(&[(0, 49), (50, 98)]);
        assert_eq!((verdict.lost, verdict.violations.len()), (1, 1));
    }

    #[test]
    fn duplicates_count() {
        let twice = received(&[(0, 49), (45, 99), (99, 99)]);
        assert_eq!((twice.duplicated, twice.reordered, twice.messages()), (6, 0, 100));
        assert_eq!(verdict(&[(0, 49), (45, 99)]).violations, ["5 duplicated"]);
    }

    #[test]
    fn reordered_ones_count() {
        let swapped = received(&[(0, 9), (20, 29), (10, 19), (30, 99)]);
        assert_eq!((swapped.duplicated, swapped.reordered, swapped.messages()), (0, 10, 100));
        assert_eq!(verdict(&[(1, 49), (0, 0), (50, 99)]).violations, ["1 reordered"]);
    }

    #[test]
    fn a_run_may_be_new_late_and_known_at_once() {
        let mixed = received(&[(0, 9), (20, 29), (5, 34)]);
        assert_eq!((mixed.duplicated, mixed.reordered, mixed.messages()), (15, 10, 35));
    }

    #[test]
    fn a_cut_frame_is_torn_unless_its_connection_died() {
        let written = connections(&[(0, 50), (50, 100)]);
        for (next, torn) in [(Some(40), 0), (Some(50), 0), (None, 0), (Some(99), 1)] {
            let mut received = received(&[(0, 49), (50, 99)]);
            received.cut(next);
            assert_eq!(check(100, &written, &received).torn, torn, "{next:?}");
        }
        let mut received = received(&[(0, 99)]);
        received.torn();
        assert_eq!(check(100, &written, &received).violations, ["1 torn"]);
    }

    #[test]
    fn what_was_never_written_or_sent_is_noticed() {
        let all = received(&[(0, 99)]);
        assert_eq!(check(100, &connections(&[(0, 90)]), &all).violations.len(), 1);
        assert_eq!(check(100, &connections(&[(0, 50), (51, 100)]), &all).violations.len(), 1);
        assert_eq!(check(99, &connections(&[(0, 99)]), &all).violations.len(), 1);
        let open = [Connection { end: None, ..connections(&[(0, 100)])[0].clone() }];
        assert!(!check(100, &open, &all).violations.is_empty());
    }

    #[test]
    fn the_law_is_checked_in_both_units() {
        let count = |bytes, messages| Count { bytes, messages };
        let sound = Leaf {
            accepted: count(60, 6),
            written: count(30, 3),
            buffered: count(20, 2),
            dropped: count(10, 1),
            ..Leaf::default()
        };
        assert!(sound.law_holds());
        assert!(!Leaf { written: count(31, 3), ..sound.clone() }.law_holds());
        assert!(!Leaf { dropped: count(10, 0), ..sound }.law_holds());
    }
}
