//! The receiver's end of one connection: what came, and what may come.

use std::ops::Range;

use tokio::time::Instant;
use torq_message_sink::MemoryStream;

use super::log::Log;

/// The receiver's end of one connection.
pub(super) struct Stream {
    pub(super) io: Option<MemoryStream>,
    pub(super) got: Vec<u8>,
    verified: usize,
    pub(super) connection: Option<usize>,
    /// Bytes that the sink had written when the peer closed its sending half.
    pub(super) written_at_shut: Option<u64>,
    written: u64,
    pub(super) ended_by_peer: bool,
    /// How much had been written at which instant, where somebody wants to know.
    progress: Vec<(u64, Instant)>,
}

impl Stream {
    pub(super) fn new(io: MemoryStream) -> Self {
        Self {
            io: Some(io),
            got: Vec::new(),
            verified: 0,
            connection: None,
            written_at_shut: None,
            written: 0,
            ended_by_peer: false,
            progress: Vec::new(),
        }
    }

    /// Remembers how much has been written by now.
    pub(super) fn note_progress(&mut self) {
        let written = self.written();
        if self.progress.last().is_none_or(|(last, _)| *last < written) {
            self.progress.push((written, Instant::now()));
        }
    }

    /// When the byte at that position was written.
    pub(super) fn begun(&self, at: u64) -> Instant {
        let noted = self.progress.iter().find(|(written, _)| *written > at);
        noted.map_or_else(Instant::now, |(_, instant)| *instant)
    }

    pub(super) fn read(&mut self, len: usize) -> bool {
        let Some(io) = &self.io else { return false };
        let bytes = io.read_at_most(len);
        self.got.extend(&bytes);
        !bytes.is_empty()
    }

    pub(super) fn say(&self, len: usize) {
        if let Some(io) = &self.io {
            io.say(len);
        }
    }

    pub(super) fn shut(&mut self) {
        if let Some(io) = &self.io {
            io.shut();
            self.written_at_shut.get_or_insert_with(|| io.written_bytes());
        }
    }

    pub(super) fn limit(&self, len: usize) {
        if let Some(io) = &self.io {
            io.set_max_write(len);
        }
    }

    pub(super) fn set_capacity(&self, capacity: usize) {
        if let Some(io) = &self.io {
            io.set_capacity(capacity);
        }
    }

    /// The peer closes; what it has not read is lost.
    pub(super) fn close(&mut self) {
        self.written = self.written();
        let Some(io) = self.io.take() else { return };
        self.got.extend(io.read());
        self.ended_by_peer |= !io.is_finished();
    }

    /// The peer vanishes, with what it has not read.
    pub(super) fn reset(&mut self) {
        self.written = self.written();
        self.ended_by_peer = true;
        if let Some(io) = self.io.take() {
            // The peer has not read it, but the model knows what it was.
            self.got.extend(io.read());
            io.reset();
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.io.as_ref().map_or(self.written, MemoryStream::written_bytes)
    }

    /// Whether something has come since it was verified.
    pub(super) fn has_news(&self) -> bool {
        self.verified < self.got.len()
    }

    /// What came is what was accepted, from the connection's first frame on: nothing twice, torn or
    /// out of order, and what is missing was dropped, or is missing at the end. `pieces` says where
    /// it stands in the log, if there is news of a connection that is known.
    pub(super) fn verify(&mut self, pieces: Option<&[Range<u64>]>, log: &Log) {
        if let Some(written) = self.written_at_shut {
            assert_eq!(self.written(), written, "a closed peer is noticed before the next write");
        }
        let Some(pieces) = pieces else { return };
        let mut rest = self.got.as_slice();
        for piece in pieces {
            let (got, behind) = rest.split_at((piece.end - piece.start) as usize);
            let expected = log.bytes.get(piece.start as usize..piece.end as usize);
            assert_eq!(expected, Some(got), "bytes at {}", piece.start);
            rest = behind;
        }
        assert!(rest.is_empty());
        self.verified = self.got.len();
    }
}
