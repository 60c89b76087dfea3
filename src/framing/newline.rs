//! Lines: a payload without line breaks, then one.

use std::io::BufRead;

use crate::encode::Encode;
use crate::framing::{FrameError, Framing};

/// A payload, then a line feed (`\n`): text line by line, such as NDJSON.
///
/// A message that contains a line feed would arrive as two, so it is refused
/// ([`TryFeedError::Invalid`](crate::TryFeedError::Invalid)) and nothing of it is sent. Everything
/// else is payload, carriage returns and empty lines included; a receiver who expects text has to
/// look whether it is UTF-8.
///
/// # Cost
///
/// Each message is searched for line feeds once it is encoded, and each line that is read.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{Buffered, MemorySink, MessageSink, NewlineDelimited};
///
/// # tokio_test::block_on(async {
/// let (link, peer) = MemorySink::pair(64);
/// let mut sink = Buffered::with_framing(link, 1024, NewlineDelimited::new());
/// sink.send(r#"{"tick":1}"#).await?;
/// assert_eq!(peer.accept().expect("connected").read(), b"{\"tick\":1}\n");
///
/// assert!(sink.try_feed("two\nlines").is_err());
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewlineDelimited {
    max_frame: usize,
}

impl NewlineDelimited {
    /// Bytes that a line may have by default, without its end: 8 MiB.
    pub const DEFAULT_MAX_FRAME: usize = 8 * 1024 * 1024;

    /// The framing with the default limit.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_max_frame(Self::DEFAULT_MAX_FRAME)
    }

    /// The framing with a limit of `max_frame` bytes per line, without its end; 0 allows empty
    /// lines only.
    #[must_use]
    pub const fn with_max_frame(max_frame: usize) -> Self {
        Self { max_frame }
    }

    /// Bytes that a line may have, without its end.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max_frame
    }
}

impl Default for NewlineDelimited {
    fn default() -> Self {
        Self::new()
    }
}

impl Framing for NewlineDelimited {
    #[inline]
    fn frame_size(&self, payload_len: usize) -> Option<usize> {
        payload_len.checked_add(1)
    }

    #[inline]
    fn max_frame_size(&self) -> usize {
        self.max_frame.saturating_add(1)
    }

    #[inline]
    fn write_frame<M: Encode + ?Sized>(
        &self,
        msg: &M,
        _payload_len: usize,
        frame: &mut [u8],
    ) -> Result<(), FrameError> {
        let Some((end, payload)) = frame.split_last_mut() else { return Err(EMBEDDED) };
        msg.encode(payload);
        if payload.contains(&b'\n') {
            return Err(EMBEDDED);
        }
        *end = b'\n';
        Ok(())
    }

    #[inline]
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        self.frame_len_after(bytes, 0)
    }

    fn frame_len_after(&self, bytes: &[u8], seen: usize) -> Result<Option<usize>, FrameError> {
        let allowed = bytes.get(..self.max_frame_size()).unwrap_or(bytes);
        let unseen = allowed.get(seen..).unwrap_or_default();
        match line_len(unseen) {
            Some(len) => Ok(Some(allowed.len() - unseen.len() + len)),
            // One byte too many is known of, however many there are.
            None if bytes.len() > self.max_frame => {
                Err(FrameError::TooLarge { len: allowed.len() as u64, max: self.max_frame })
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.split_last().map_or(&[], |(_, payload)| payload)
    }
}

/// Bytes of the first line, its end included; none when it has no end.
#[inline]
fn line_len(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes;
    // Reading from memory does not fail. The standard library has a fast search for one byte, and
    // this is where it lets others use it.
    let len = bytes.skip_until(b'\n').unwrap_or(0);
    let end = all.get(..len)?.last()?;
    (*end == b'\n').then_some(len)
}

const EMBEDDED: FrameError = FrameError::Invalid("a message with a line feed in it");
