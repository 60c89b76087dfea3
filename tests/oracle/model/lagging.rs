//! A receiver that nobody waits for: it may miss frames, but nothing else may be wrong with what it
//! gets.

use torq_message_sink::{Event, LeafReport};

use super::log::Log;
use super::receiver::{Connection, Receiver, check_messages};

impl Receiver {
    /// An event of its link: frames may lie between one connection and the next.
    pub(super) fn observe_lagging(&mut self, event: &Event, log: &Log) {
        match event {
            Event::Connected { connection, first, .. } => {
                let previous = self.connections.last();
                assert!(previous.is_none_or(|c| c.end.is_some()), "one connection at a time");
                let least = previous.and_then(|c| c.end).map_or(0, |end| end.0);
                assert!(first.bytes >= least, "a connection begins behind the last one's end");
                check_messages(*first, log);
                let (first, end, stream, known) = (first.bytes, None, None, None);
                self.connections.push(Connection { first, end, stream, known });
                assert_eq!(*connection as usize, self.connections.len());
            }
            Event::Ended(end) => {
                assert_eq!(end.connection as usize, self.connections.len());
                let last = self.connections.last_mut().expect("it began");
                assert!(end.first.bytes >= last.first, "what was skipped first is no part of it");
                check_messages(end.end, log);
                last.end = Some((end.end.bytes, end.cut_bytes, end.cause));
            }
            _ => {}
        }
    }

    /// What the report says of it, beside the conservation law.
    pub(super) fn check_lagging(&mut self, leaf: &LeafReport, log: &Log) {
        assert_eq!(leaf.accepted.bytes, log.len(), "accepted is what was accepted");
        check_messages(leaf.accepted, log);
        let written: u64 = self.streams.iter().map(|stream| stream.written()).sum();
        assert!(leaf.written.bytes <= written, "written is what was written whole");
        let torn = written - leaf.written.bytes;
        let longest = log.framing.frame_len(log.longest) as u64;
        assert!(torn <= longest * self.streams.len() as u64, "and all of it, but for cut frames");
        assert_eq!(leaf.connections as usize, self.connections.len());
        assert_eq!(leaf.events_lost, 0);
    }

    /// What came is frames that were accepted, whole, in their order and once; only a connection's
    /// end cuts one off.
    pub(super) fn match_frames(&mut self, log: &Log) {
        let frames: Vec<_> = std::iter::once(&0)
            .chain(&log.ends)
            .zip(&log.ends)
            .map(|(from, to)| &log.bytes[*from as usize..*to as usize])
            .collect();
        for stream in &self.streams {
            let mut rest = &stream.got[..];
            while let Some(at) = frames[self.matched..].iter().position(|f| rest.starts_with(f)) {
                rest = &rest[frames[self.matched + at].len()..];
                self.matched += at + 1;
            }
            let begins = |frame: &&[u8]| frame.starts_with(rest);
            let torn = rest.is_empty() || frames[self.matched..].iter().any(begins);
            assert!(torn, "bytes that nobody fed, or out of order");
        }
    }
}
