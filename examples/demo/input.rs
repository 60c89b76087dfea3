//! The messages: a recording, or made up with the sizes of a real feed.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// All messages of a run, and when they came, if that was recorded.
#[derive(Debug)]
pub struct Input {
    bytes: Vec<u8>,
    messages: Vec<Record>,
}

#[derive(Debug, PartialEq, Eq)]
struct Record {
    payload: Range<usize>,
    /// Nanoseconds since the epoch.
    stamp: Option<u64>,
}

impl Input {
    /// Made-up messages in the sizes and shares of a futures feed: book tickers, trades and depth
    /// updates with a long tail. Always the same ones.
    pub fn generate(count: u64) -> Self {
        let bytes: Vec<u8> = b"{\"stream\":\"btcusdt@depth@0ms\",\"data\":{\"e\":\"depthUpdate\"}}"
            .iter()
            .copied()
            .cycle()
            .take(LARGEST + 1024)
            .collect();
        let mut random = fastrand::Rng::with_seed(20_240_808);
        let messages = (0..count)
            .map(|_| {
                let len = match random.u32(..1000) {
                    0..703 => 178 + random.usize(..3),
                    703..930 => 160 + random.usize(..3),
                    _ => depth_size(random.f64()),
                };
                let start = random.usize(..1024);
                Record { payload: start..start + len, stamp: None }
            })
            .collect();
        Self { bytes, messages }
    }

    /// The lines of a file, plain or .gz.
    pub fn open(path: &Path, limit: Option<u64>) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut file = File::open(path)?;
        if path.extension().is_some_and(|extension| extension == "gz") {
            MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
        } else {
            file.read_to_end(&mut bytes)?;
        }
        let limit = limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
        let mut messages = Vec::new();
        let mut start = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if messages.len() == limit {
                break;
            }
            messages.extend(record(line).map(|Record { payload, stamp }| Record {
                payload: start + payload.start..start + payload.end,
                stamp,
            }));
            start += line.len();
        }
        Ok(Self { bytes, messages })
    }

    pub fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    pub fn payload_bytes(&self) -> u64 {
        self.messages.iter().map(|record| record.payload.len() as u64).sum()
    }

    pub fn payload(&self, number: u64) -> &[u8] {
        &self.bytes[self.messages[number as usize].payload.clone()]
    }

    /// Nanoseconds from the first message to this one; none without stamps.
    pub fn offset_nanos(&self, number: u64) -> Option<u64> {
        let first = self.messages.first()?.stamp?;
        Some(self.messages[number as usize].stamp?.saturating_sub(first))
    }
}

/// A depth update's size: between the deciles that were counted in a recording of 6,551 updates.
fn depth_size(fraction: f64) -> usize {
    let at = DEPTH_QUANTILES.partition_point(|&(quantile, _)| quantile <= fraction);
    let [(q0, size0), (q1, size1)] = [DEPTH_QUANTILES[at - 1], DEPTH_QUANTILES[at]];
    (size0 + (size1 - size0) * (fraction - q0) / (q1 - q0)) as usize
}

/// Finds the message in a line; none in an empty one or in a recorder's note
/// (`<url> <-> <seconds>`, `<url> <- <seconds>: <subscription>`).
fn record(line: &[u8]) -> Option<Record> {
    let end = line.strip_suffix(b"\n").unwrap_or(line);
    let end = end.strip_suffix(b"\r").unwrap_or(end).len();
    let line = &line[..end];
    if line.is_empty() {
        return None;
    }
    let Some(space) = line.iter().position(|&byte| byte == b' ') else {
        return Some(Record { payload: 0..end, stamp: None });
    };
    let (word, rest) = (&line[..space], &line[space + 1..]);
    if word.windows(3).any(|bytes| bytes == b"://") && rest.starts_with(b"<-") {
        return None;
    }
    let stamp = stamp(word);
    Some(Record { payload: if stamp.is_some() { space + 1..end } else { 0..end }, stamp })
}

/// Reads `<nanoseconds>` (19 digits since 2001) or `<seconds>:`, in nanoseconds.
fn stamp(word: &[u8]) -> Option<u64> {
    let word = std::str::from_utf8(word).ok()?;
    let Some(seconds) = word.strip_suffix(':') else {
        return word.parse().ok().filter(|_| word.len() == 19);
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let fraction = format!("{fraction:0<9}");
    let nanos: u64 = fraction.get(..9)?.parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Bytes of the largest made-up message.
const LARGEST: usize = 42_092;

/// Quantiles of the size in bytes of depth updates (BTCUSDT perpetual, 2024-08-08).
const DEPTH_QUANTILES: [(f64, f64); 13] = [
    (0.0, 195.0),
    (0.1, 510.0),
    (0.2, 596.0),
    (0.3, 679.0),
    (0.4, 783.0),
    (0.5, 889.0),
    (0.6, 1056.0),
    (0.7, 1289.0),
    (0.8, 1729.0),
    (0.9, 3157.0),
    (0.99, 13_011.0),
    (0.999, 21_154.0),
    (1.0, LARGEST as f64),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(&str, Option<u64>)> {
        record(line.as_bytes()).map(|record| (&line[record.payload], record.stamp))
    }

    #[test]
    fn stamps_and_line_ends_are_no_part_of_a_message() {
        let nanos = Some(1_723_161_256_123_456_789);
        assert_eq!(read("1723161256123456789 {\"a\": 1}\n"), Some(("{\"a\": 1}", nanos)));
        let micros = Some(1_618_678_132_825_818_800);
        assert_eq!(read("1618678132.8258188: [1, 2]\n"), Some(("[1, 2]", micros)));
        assert_eq!(read("$IIVPW,4.71,N,,*03\r\n"), Some(("$IIVPW,4.71,N,,*03", None)));
        assert_eq!(read("$IIVPW,4.71,N,,*03"), Some(("$IIVPW,4.71,N,,*03", None)));
    }

    #[test]
    fn what_only_looks_like_a_stamp_stays() {
        for line in ["83.149.9.216 - - [17/May]", "12 apples", "12:30: lunch", "a b", "x"] {
            assert_eq!(read(line), Some((line, None)));
        }
    }

    #[test]
    fn notes_of_the_recorder_and_empty_lines_are_no_messages() {
        for line in ["\n", "\r\n", "wss://a.b <-> 1618.5\n", "wss://a.b <- 1618.5: {}\n"] {
            assert_eq!(read(line), None);
        }
    }

    #[test]
    fn made_up_messages_have_the_sizes_of_a_feed() {
        let input = Input::generate(100_000);
        let mut sizes: Vec<_> = (0..input.len()).map(|i| input.payload(i).len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes[50_000], 179);
        assert!((1_800..2_700).contains(&sizes[99_000]), "{}", sizes[99_000]);
        assert!((20_000..=LARGEST).contains(&sizes[99_999]), "{}", sizes[99_999]);
        assert_eq!(input.payload_bytes(), Input::generate(100_000).payload_bytes());
    }
}
