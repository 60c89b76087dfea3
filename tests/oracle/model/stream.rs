//! The receiver's end of one connection: what came, and what may come.

use torq_message_sink::MemoryStream;

use super::log::Log;
use super::receiver::Connection;

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
        }
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
            io.reset();
        }
    }

    pub(super) fn written(&self) -> u64 {
        self.io.as_ref().map_or(self.written, MemoryStream::written_bytes)
    }

    /// What came is what was accepted, from the connection's first frame on: nothing twice, torn or
    /// out of order, and what is missing is missing at the end.
    pub(super) fn verify(&mut self, connections: &[Connection], log: &Log) {
        if let Some(written) = self.written_at_shut {
            assert_eq!(self.written(), written, "a closed peer is noticed before the next write");
        }
        let Some(connection) = self.connection.map(|index| &connections[index]) else { return };
        let new = &self.got[self.verified..];
        let from = connection.first as usize + self.verified;
        assert_eq!(log.bytes.get(from..from + new.len()), Some(new), "bytes at {from}");
        self.verified = self.got.len();
    }
}
