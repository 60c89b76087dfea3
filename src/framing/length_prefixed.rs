//! The default framing: u32 big-endian length, then the payload.

use crate::encode::Encode;
use crate::framing::{FrameError, Framing};

/// A u32 big-endian length, then that many bytes of payload.
///
/// Exactly what `tokio_util::codec::LengthDelimitedCodec::new()` reads and writes, with the same
/// default limit of 8 MiB of payload, so that every receiver out there can already read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthPrefixed {
    max_frame: usize,
}

impl LengthPrefixed {
    /// Bytes of payload that a frame may carry by default: 8 MiB, as the tokio-util codec.
    pub const DEFAULT_MAX_FRAME: usize = 8 * 1024 * 1024;

    /// The framing with the default limit.
    #[must_use]
    pub const fn new() -> Self {
        Self { max_frame: Self::DEFAULT_MAX_FRAME }
    }

    /// The framing with a limit of `max_frame` bytes of payload; 0 allows empty messages only.
    /// More than `u32::MAX` is `u32::MAX`.
    #[must_use]
    pub const fn with_max_frame(max_frame: usize) -> Self {
        let largest = u32::MAX as usize;
        Self { max_frame: if max_frame > largest { largest } else { max_frame } }
    }

    /// Bytes of payload that a frame may carry.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max_frame
    }
}

impl Default for LengthPrefixed {
    fn default() -> Self {
        Self::new()
    }
}

impl Framing for LengthPrefixed {
    #[inline]
    fn frame_size(&self, payload_len: usize) -> Option<usize> {
        payload_len.checked_add(HEADER)
    }

    #[inline]
    fn max_frame_size(&self) -> usize {
        self.max_frame.saturating_add(HEADER)
    }

    #[inline]
    fn write_frame<M: Encode + ?Sized>(
        &self,
        msg: &M,
        payload_len: usize,
        frame: &mut [u8],
    ) -> Result<(), FrameError> {
        let (header, payload) = frame.split_at_mut(HEADER);
        // The sink has refused what is larger than `max_frame_size`, so the cast keeps the value.
        header.copy_from_slice(&(payload_len as u32).to_be_bytes());
        msg.encode(payload);
        Ok(())
    }

    #[inline]
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let len = u32::from_be_bytes(*header);
        if len as usize > self.max_frame {
            return Err(FrameError::TooLarge { len: len.into(), max: self.max_frame });
        }
        Ok(Some(HEADER + len as usize))
    }

    #[inline]
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(HEADER..).unwrap_or_default()
    }
}

/// Bytes of the length field.
const HEADER: usize = 4;
