//! The truth: what was accepted.

/// Everything that the sink has accepted, as it must stand on the wire.
#[derive(Default)]
pub(super) struct Log {
    pub(super) bytes: Vec<u8>,
    /// Where each frame ends.
    pub(super) ends: Vec<u64>,
}

impl Log {
    pub(super) fn push(&mut self, payload: &[u8]) {
        self.bytes.extend((payload.len() as u32).to_be_bytes());
        self.bytes.extend(payload);
        self.ends.push(self.len());
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The last frame boundary at or before `position`, and how many frames end before it.
    pub(super) fn boundary(&self, position: u64) -> (u64, u64) {
        let count = self.ends.partition_point(|end| *end <= position);
        (count.checked_sub(1).map_or(0, |last| self.ends[last]), count as u64)
    }
}
