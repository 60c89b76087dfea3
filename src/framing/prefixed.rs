//! Framings that write the length of a payload before it; among them the default.

use std::fmt;
use std::marker::PhantomData;

use crate::encode::Encode;
use crate::framing::prefix::{Prefix, U32Be};
use crate::framing::{FrameError, Framing, MAX_HEAD};

/// A u32 big-endian length, then that many bytes of payload: the default framing.
///
/// Exactly what `tokio_util::codec::LengthDelimitedCodec::new()` reads and writes, with the same
/// default limit of 8 MiB of payload, so that every receiver out there can already read it.
pub type LengthPrefixed = Prefixed<U32Be>;

/// A length, written as `P` says, then that many bytes of payload.
///
/// # Examples
///
/// ```
/// use torq_message_sink::prefix::{U16Le, Varint};
/// use torq_message_sink::{Buffered, Prefixed, TcpSink};
///
/// let link = TcpSink::new("127.0.0.1:9001")?;
/// let short: Buffered<TcpSink, Prefixed<U16Le>> =
///     Buffered::with_framing(link, 64 * 1024, Prefixed::new());
///
/// // What protobuf calls delimited messages, of 1 MiB at most.
/// let delimited = Prefixed::<Varint>::with_max_frame(1024 * 1024);
/// # Ok::<(), torq_message_sink::SinkError>(())
/// ```
pub struct Prefixed<P> {
    max_frame: usize,
    prefix: PhantomData<fn() -> P>,
}

impl<P: Prefix> Prefixed<P> {
    /// Bytes of payload that a frame may carry by default: 8 MiB, as the tokio-util codec, or what
    /// the prefix can say if that is less.
    pub const DEFAULT_MAX_FRAME: usize = Self::at_most(8 * 1024 * 1024);

    /// The framing with the default limit.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_max_frame(Self::DEFAULT_MAX_FRAME)
    }

    /// The framing with a limit of `max_frame` bytes of payload; 0 allows empty messages only.
    /// More than the prefix can say is what it can say.
    #[must_use]
    pub const fn with_max_frame(max_frame: usize) -> Self {
        Self { max_frame: Self::at_most(max_frame), prefix: PhantomData }
    }

    /// Bytes of payload that a frame may carry.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max_frame
    }

    const fn at_most(len: usize) -> usize {
        if len as u64 > P::MAX { P::MAX as usize } else { len }
    }
}

impl<P: Prefix> Framing for Prefixed<P> {
    const REFUSES: bool = false;

    #[inline]
    fn frame_size(&self, payload_len: usize) -> Option<usize> {
        payload_len.checked_add(P::size(payload_len as u64))
    }

    #[inline]
    fn max_frame_size(&self) -> usize {
        self.max_frame.saturating_add(P::size(self.max_frame as u64))
    }

    #[inline]
    fn write_frame<M: Encode + ?Sized>(
        &self,
        msg: &M,
        payload_len: usize,
        frame: &mut [u8],
    ) -> Result<(), FrameError> {
        // The sink has refused what is larger than `max_frame_size`.
        let (header, payload) = frame.split_at_mut(P::size(payload_len as u64));
        P::write(payload_len as u64, header);
        msg.encode(payload);
        Ok(())
    }

    #[inline]
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some((len, behind)) = P::read(bytes)? else { return Ok(None) };
        if len > self.max_frame as u64 {
            return Err(FrameError::TooLarge { len, max: self.max_frame });
        }
        match bytes.len().checked_sub(behind.len()) {
            Some(header) if header > 0 => Ok(Some(header.saturating_add(len as usize))),
            _ => Err(FrameError::Invalid("a length prefix of no bytes")),
        }
    }

    #[inline]
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match P::read(frame) {
            Ok(Some((_, behind))) => behind,
            _ => &[],
        }
    }

    #[inline]
    fn head<'b>(&self, payload_len: usize, buf: &'b mut [u8; MAX_HEAD]) -> Option<&'b [u8]> {
        let header = buf.get_mut(..P::size(payload_len as u64))?;
        P::write(payload_len as u64, header);
        Some(header)
    }

    #[inline]
    fn split_frame<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        // A header of no bytes would be read for ever.
        let (len, behind) = P::read(bytes).ok()??;
        if behind.len() >= bytes.len() {
            return None;
        }
        behind.split_at_checked(usize::try_from(len).ok()?)
    }
}

impl<P: Prefix> Default for Prefixed<P> {
    fn default() -> Self {
        Self::new()
    }
}

// Whatever `P` is: there is none of it in here.
impl<P> Clone for Prefixed<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Prefixed<P> {}

impl<P> PartialEq for Prefixed<P> {
    fn eq(&self, other: &Self) -> bool {
        self.max_frame == other.max_frame
    }
}

impl<P> Eq for Prefixed<P> {}

impl<P> fmt::Debug for Prefixed<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefixed").field("max_frame", &self.max_frame).finish_non_exhaustive()
    }
}
