//! Payloads that tell their own length: nothing is written around them.

use std::fmt;

use crate::encode::Encode;
use crate::framing::{FrameError, Framing};

/// The payload alone: messages of a protocol whose own header tells where they end.
///
/// `F` tells it: a function from the first bytes of a stream to the length of the message that
/// begins there, its header included; `Ok(None)` when that takes more bytes to know. It is never
/// asked about no bytes. The same function serves both ends. A message is refused
/// ([`TryFeedError::Invalid`](crate::TryFeedError::Invalid)) unless the function finds it to be
/// exactly one, so that one wrong message does not cost the receiver all that follow; an empty one
/// always.
///
/// # Errors
///
/// What the function answers is the decoder's error. A length above the limit is
/// [`FrameError::TooLarge`], and 0 is [`FrameError::Invalid`].
///
/// # Cost
///
/// The function is called once per message written and per frame that arrives whole; a few times for
/// one that arrives in pieces, with more bytes each time. It is called with the sink in hand and must
/// not panic.
///
/// # Examples
///
/// Messages whose third and fourth byte are their length:
///
/// ```
/// use torq_message_sink::{Decoder, FrameError, SelfDelimiting};
///
/// fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
///     let &[_, _, high, low, ..] = bytes else { return Ok(None) };
///     match u16::from_be_bytes([high, low]) {
///         len @ 4.. => Ok(Some(len.into())),
///         _ => Err(FrameError::Invalid("a message shorter than its header")),
///     }
/// }
///
/// let mut decoder = Decoder::new(SelfDelimiting::new(message_len));
/// let messages: Vec<_> = decoder.decode(b"AB\0\x05xCD\0\x04").collect();
/// assert_eq!(messages, [Ok(b"AB\0\x05x".as_slice()), Ok(b"CD\0\x04")]);
/// ```
#[derive(Clone, Copy)]
pub struct SelfDelimiting<F> {
    message_len: F,
    max_frame: usize,
}

impl<F: Fn(&[u8]) -> Result<Option<usize>, FrameError>> SelfDelimiting<F> {
    /// Bytes that a message may have by default: 8 MiB.
    pub const DEFAULT_MAX_FRAME: usize = 8 * 1024 * 1024;

    /// The framing by `message_len`, with the default limit.
    #[must_use]
    pub const fn new(message_len: F) -> Self {
        Self::with_max_frame(message_len, Self::DEFAULT_MAX_FRAME)
    }

    /// The framing by `message_len`, with a limit of `max_frame` bytes per message.
    #[must_use]
    pub const fn with_max_frame(message_len: F, max_frame: usize) -> Self {
        Self { message_len, max_frame }
    }
}

impl<F> SelfDelimiting<F> {
    /// Bytes that a message may have.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max_frame
    }
}

impl<F: Fn(&[u8]) -> Result<Option<usize>, FrameError>> Framing for SelfDelimiting<F> {
    #[inline]
    fn frame_size(&self, payload_len: usize) -> Option<usize> {
        // Also the message that is refused for being empty takes room, or a closed sink would seem
        // to have enough of it.
        Some(payload_len.max(1))
    }

    #[inline]
    fn max_frame_size(&self) -> usize {
        self.max_frame
    }

    #[inline]
    fn write_frame<M: Encode + ?Sized>(
        &self,
        msg: &M,
        payload_len: usize,
        frame: &mut [u8],
    ) -> Result<(), FrameError> {
        if payload_len == 0 {
            return Err(NOT_ONE);
        }
        msg.encode(frame);
        match self.frame_len(frame) {
            Ok(Some(len)) if len == frame.len() => Ok(()),
            _ => Err(NOT_ONE),
        }
    }

    #[inline]
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        // No more than the largest message, so that the answer never depends on what follows it.
        let bytes = bytes.get(..self.max_frame).unwrap_or(bytes);
        let len = if bytes.is_empty() { None } else { (self.message_len)(bytes)? };
        match len {
            Some(0) => Err(EMPTY),
            Some(len) if len > self.max_frame => {
                Err(FrameError::TooLarge { len: len as u64, max: self.max_frame })
            }
            None if bytes.len() >= self.max_frame => Err(ENDLESS),
            len => Ok(len),
        }
    }

    #[inline]
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
    }
}

impl<F> fmt::Debug for SelfDelimiting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfDelimiting").field("max_frame", &self.max_frame).finish_non_exhaustive()
    }
}

const NOT_ONE: FrameError = FrameError::Invalid("a message that is not as long as it says");
const EMPTY: FrameError = FrameError::Invalid("a message of no bytes");
const ENDLESS: FrameError = FrameError::Invalid("the largest message does not tell its length");
