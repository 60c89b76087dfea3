//! Where a frame ends. No runtime, no clock, no socket: bytes in, bytes out.

mod decoder;
mod newline;
pub mod prefix;
mod prefixed;
mod self_delimiting;

pub use self::decoder::{Decoder, Frames};
pub use self::newline::NewlineDelimited;
pub use self::prefixed::{LengthPrefixed, Prefixed};
pub use self::self_delimiting::SelfDelimiting;

use crate::encode::Encode;

/// How messages stand on the wire: what is written before and after a payload, and where a frame
/// ends.
///
/// One framing serves both ends: a sink writes frames with it, a [`Decoder`] reads them. Sinks also
/// ask it for frame boundaries when a connection dies, since resending, skipping and dropping
/// happen at whole frames only.
///
/// # Implementer notes
///
/// `frame_size`, `write_frame` and `frame_len` must agree: for every frame written,
/// `frame_len(frame) == Ok(Some(frame.len()))`, and for every proper prefix of it `frame_len` is
/// `Ok(None)` or already the same length. A frame has at least one byte, and `frame_size` says so
/// of messages, too, that `write_frame` refuses. The last two methods have defaults that are right
/// and may be slow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a framing",
    label = "messages cannot be framed by this",
    note = "framings are `LengthPrefixed`, `Prefixed<U16Le>` and the like, `NewlineDelimited`, \
            `SelfDelimiting`; or implement `Framing` for it"
)]
pub trait Framing {
    /// Whether [`write_frame`](Self::write_frame) may refuse a message for what it says: composites
    /// over whole sinks then try it before they hand the message to any of them. Default: yes, which
    /// is safe; a framing that carries every message saves that by saying no.
    const REFUSES: bool = true;

    /// Bytes of the whole frame around a payload of `payload_len` bytes; `None` where that is more
    /// than a `usize` holds. Does not look at [`max_frame_size`](Self::max_frame_size).
    fn frame_size(&self, payload_len: usize) -> Option<usize>;

    /// Bytes of the largest frame, header included, that this framing writes or reads.
    fn max_frame_size(&self) -> usize;

    /// Writes `msg` as a frame into `frame`, which is exactly `frame_size(payload_len)` long, where
    /// `payload_len` is what `msg.encoded_len()` answered.
    ///
    /// # Errors
    ///
    /// [`FrameError::Invalid`] when this framing cannot carry the message; nothing is sent then.
    fn write_frame<M: Encode + ?Sized>(
        &self,
        msg: &M,
        payload_len: usize,
        frame: &mut [u8],
    ) -> Result<(), FrameError>;

    /// Length in bytes, header included, of the frame that begins at `bytes[0]`; `Ok(None)` when
    /// that takes more bytes to know. The frame itself need not be there whole.
    ///
    /// # Errors
    ///
    /// [`FrameError`] when no frame can begin like this, or when it is larger than allowed. The
    /// stream cannot be read beyond that point.
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError>;

    /// The payload within one whole frame.
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8];

    /// Writes what stands before a payload of `payload_len` bytes, and answers it, if with that any
    /// payload of that length is a frame: it can be written apart from its payload then. Default:
    /// none.
    #[inline]
    fn head<'b>(&self, payload_len: usize, buf: &'b mut [u8; MAX_HEAD]) -> Option<&'b [u8]> {
        let _ = (payload_len, buf);
        None
    }

    /// [`frame_len`](Self::frame_len), knowing that it answered `Ok(None)` when asked about the
    /// first `seen` of these bytes. For framings that search for a frame's end: whoever receives a
    /// long frame in many pieces has each piece searched once. Default: `frame_len`.
    ///
    /// # Errors
    ///
    /// As [`frame_len`](Self::frame_len).
    #[inline]
    fn frame_len_after(&self, bytes: &[u8], seen: usize) -> Result<Option<usize>, FrameError> {
        let _ = seen;
        self.frame_len(bytes)
    }

    /// The payload of the frame with which `bytes` begin, and what comes behind the frame; `None`
    /// when it is not there whole, or is none. Asked about at most
    /// [`max_frame_size`](Self::max_frame_size) bytes, so that a frame that is there whole need not
    /// be compared with the limit. This is the decoder's inner loop. Default: by `frame_len` and
    /// `payload`.
    #[inline]
    fn split_frame<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        if bytes.is_empty() {
            return None;
        }
        match self.frame_len(bytes) {
            Ok(Some(len)) if len > 0 => {
                let (frame, behind) = bytes.split_at_checked(len)?;
                Some((self.payload(frame), behind))
            }
            _ => None,
        }
    }
}

/// Room for [`Framing::head`]: bytes of the longest header that can be written apart.
pub const MAX_HEAD: usize = 16;

/// Bytes that are not frames, or a message that cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame has more than `max` bytes of payload. Known before any memory is taken for them.
    #[error("a frame of {len} bytes of payload, more than the allowed {max}")]
    TooLarge {
        /// Bytes announced; of a framing that announces none, bytes known of.
        len: u64,
        /// Bytes allowed.
        max: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, {have} bytes into it")]
    Truncated {
        /// Bytes of the last frame that did arrive, header included.
        have: usize,
        /// Bytes that the whole frame has, where its header arrived.
        need: Option<usize>,
    },
    /// The bytes or the message do not fit this framing.
    #[error("not a valid frame: {0}")]
    Invalid(&'static str),
}
