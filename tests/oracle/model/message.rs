//! What is fed.

use std::time::Instant;

use torq_message_sink::Encode;

/// A message, and what layers look at.
#[derive(Default)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) key: Option<u64>,
    pub(super) deadline: Option<Instant>,
    pub(super) lane: u8,
}

impl Message {
    /// Nothing but bytes.
    pub(super) fn plain(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(super) fn copy_of<M: Encode + ?Sized>(msg: &M) -> Self {
        let mut bytes = vec![0; msg.encoded_len()];
        msg.encode(&mut bytes);
        Self { bytes, key: msg.key(), deadline: msg.deadline(), lane: msg.lane() }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Encode for Message {
    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn encode(&self, buf: &mut [u8]) {
        buf.copy_from_slice(&self.bytes);
    }

    fn lend(&self) -> Option<&[u8]> {
        Some(&self.bytes)
    }

    fn key(&self) -> Option<u64> {
        self.key
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn lane(&self) -> u8 {
        self.lane
    }
}
