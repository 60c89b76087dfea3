//! The messages that are sent.

use torq_message_sink::Encode;

/// What one case sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload {
    /// So many bytes, a length that the compiler does not know.
    Bytes(usize),
    /// A [`Tick`].
    Struct,
}

/// A message that encodes itself: seven little-endian numbers, 56 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) fields: [u64; 7],
}

/// The tick that the benches send.
pub(crate) const TICK: Tick = Tick { fields: [1, 2, 3, 4, 5, 6, 7] };

impl Tick {
    /// Bytes of its encoding.
    pub(crate) const LEN: usize = 56;
}

impl Encode for Tick {
    #[inline]
    fn encoded_len(&self) -> usize {
        Self::LEN
    }

    #[inline]
    fn encode(&self, buf: &mut [u8]) {
        for (bytes, field) in buf.chunks_exact_mut(8).zip(self.fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
    }
}

impl Payload {
    /// Bytes of its frame.
    pub(crate) fn frame_len(self) -> usize {
        match self {
            Self::Bytes(len) => 4 + len,
            Self::Struct => 4 + Tick::LEN,
        }
    }
}
