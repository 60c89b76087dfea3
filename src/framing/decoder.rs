//! The incremental decoder: chunks as they arrive in, borrowed frames out.

use std::iter::FusedIterator;
use std::{fmt, mem, thread};

use crate::framing::{FrameError, Framing};

/// Cuts a stream of bytes into the payloads of its frames, in whatever chunks it arrives.
///
/// Feed it each chunk that was read, in order, with [`decode`](Self::decode); at the end of the
/// stream ask [`finish`](Self::finish) whether it ended between two frames. Where chunks begin and
/// end makes no difference to the frames.
///
/// An error is final: where the next frame begins is not known any more, and it is not guessed.
/// Every later `decode` yields the same error and nothing else. Close the connection.
///
/// # Cost
///
/// A frame that is whole within its chunk is lent from there: ten instructions, no copy. One
/// that spans chunks is copied once, into a buffer that later such frames use again; nothing is
/// allocated per frame. Memory is taken for bytes that arrived, never because a header announces
/// them: at most twice what there is of an unfinished frame. Two such buffers are kept until the
/// decoder is dropped, each at most as large as the largest frame that has spanned chunks (half as
/// large again where only a frame's end tells its length) and a few bytes more: together no more
/// than what has arrived so far and one frame, and those few bytes.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{Decoder, FrameError, LengthPrefixed};
///
/// let mut decoder = Decoder::new(LengthPrefixed::new());
/// // Two frames, read in two pieces.
/// let first: Vec<_> = decoder.decode(b"\0\0\0\x02hi\0\0\0\x05wo").collect();
/// assert_eq!(first, [Ok(b"hi".as_slice())]);
/// assert_eq!(decoder.finish(), Err(FrameError::Truncated { have: 6, need: Some(9) }));
///
/// for payload in decoder.decode(b"rld") {
///     assert_eq!(payload?, b"world");
/// }
/// decoder.finish()?;
/// # Ok::<(), FrameError>(())
/// ```
#[derive(Default)]
pub struct Decoder<F> {
    unfinished: Unfinished<F>,
    /// The frame that the current chunk completed, whole; empty when there is none. Apart from
    /// `unfinished`, since it is lent out while the end of the chunk is kept there.
    joined: Vec<u8>,
}

impl<F> Decoder<F> {
    /// A decoder at the beginning of a stream. Takes no memory yet.
    #[must_use]
    pub const fn new(framing: F) -> Self {
        let unfinished = Unfinished {
            framing,
            partial: Vec::new(),
            need: None,
            failed: None,
            window: 0,
            stage: Stage::Ended,
        };
        Self { unfinished, joined: Vec::new() }
    }

    /// Bytes of the unfinished frame that are held, header included; 0 between two frames and
    /// after an error.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.unfinished.partial.len()
    }

    /// Says whether the stream may end here: after a whole frame, or before the first.
    ///
    /// # Errors
    ///
    /// - [`FrameError::Truncated`] inside a frame, its header included.
    /// - The error that `decode` ended with, if it did.
    pub const fn finish(&self) -> Result<(), FrameError> {
        let Unfinished { partial, need, failed, stage, .. } = &self.unfinished;
        match failed {
            Some(error) => Err(*error),
            None if !matches!(stage, Stage::Ended) => Err(LEAKED),
            None if partial.is_empty() => Ok(()),
            None => Err(FrameError::Truncated { have: partial.len(), need: *need }),
        }
    }
}

impl<F: Framing> Decoder<F> {
    /// Takes the next chunk of the stream and iterates over the payloads of the frames that end in
    /// it. What is left at its end is kept for the next call.
    ///
    /// The payloads may be collected: they live as long as the chunk and the borrow of the decoder.
    /// Dropping [`Frames`] before its end *skips* the frames not taken, and the stream stays in
    /// step: the next call goes on behind this chunk.
    ///
    /// # Errors
    ///
    /// The iterator yields an error as its last item, after all frames before it:
    ///
    /// - [`FrameError::TooLarge`] or [`FrameError::Invalid`], as [`Framing::frame_len`] answers.
    /// - [`FrameError::Invalid`] when the framing breaks its own rules: a frame of no bytes, or an
    ///   unfinished one larger than [`Framing::max_frame_size`] (and 16 bytes, where its length is
    ///   not known); also when the last `Frames` was leaked ([`mem::forget`]) or dropped by a panic,
    ///   since the end of that chunk was not kept.
    #[inline]
    pub fn decode<'a>(&'a mut self, chunk: &'a [u8]) -> Frames<'a, F> {
        let Self { unfinished, joined } = self;
        joined.clear();
        let rest = unfinished.resume(chunk, joined);
        let bytes = if joined.is_empty() { unfinished.open(rest) } else { EMPTY };
        Frames { bytes, rest, joined, unfinished }
    }
}

impl<F: fmt::Debug> fmt::Debug for Decoder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("framing", &self.unfinished.framing)
            .field("buffered", &self.buffered())
            .field("need", &self.unfinished.need)
            .field("failed", &self.unfinished.failed)
            .finish_non_exhaustive()
    }
}

/// The payloads of the frames that end in one chunk: what [`Decoder::decode`] answers.
///
/// Dropped before its end, it skips the frames not taken and keeps the stream in step.
#[must_use = "the frames of this chunk are skipped unless they are iterated"]
pub struct Frames<'a, F: Framing> {
    /// What is left to read of the window; nothing before the joined frame is taken.
    bytes: &'a [u8],
    /// The chunk from the window's beginning on, without what went to `joined`.
    rest: &'a [u8],
    /// The frame that the chunk's beginning completed; empty when there is none.
    joined: &'a Vec<u8>,
    unfinished: &'a mut Unfinished<F>,
}

// Only `bytes` changes in the loop, and nothing here passes `self` on by reference: so a loop over
// `Frames` keeps it in registers. What changes once per chunk stands behind `unfinished`.
impl<'a, F: Framing> Iterator for Frames<'a, F> {
    type Item = Result<&'a [u8], FrameError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some((payload, behind)) = self.unfinished.framing.split_frame(self.bytes) {
            self.bytes = behind;
            return Some(Ok(payload));
        }
        let turn = self.unfinished.turn(self.rest, self.bytes.len(), self.joined);
        (self.rest, self.bytes) = (turn.rest, turn.bytes);
        turn.item
    }
}

impl<F: Framing> FusedIterator for Frames<'_, F> {}

impl<F: Framing> Drop for Frames<'_, F> {
    #[inline]
    fn drop(&mut self) {
        self.unfinished.skip(self.rest, self.bytes.len());
    }
}

impl<F: Framing> fmt::Debug for Frames<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What a decoder knows of the stream between two chunks.
#[derive(Default)]
struct Unfinished<F> {
    framing: F,
    /// The beginning of a frame whose end has not arrived. Empty after an error.
    partial: Vec<u8>,
    /// What the framing said of `partial`: bytes of the whole frame, always more than there are.
    need: Option<usize>,
    failed: Option<FrameError>,
    /// Bytes that the `Frames` of the last chunk looks at in one go, from where its `rest` begins:
    /// no more than the largest frame has, so that what is whole in there is not too large.
    window: usize,
    /// Where the `Frames` of the last chunk stands.
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// There is a joined frame to take, before the chunk is read.
    Joined,
    /// The chunk is being read.
    Reading,
    /// The end of the chunk, or the error, has been dealt with.
    #[default]
    Ended,
}

/// What follows where the window holds no whole frame: the item to yield, and where to go on.
struct Turn<'a> {
    item: Option<Result<&'a [u8], FrameError>>,
    rest: &'a [u8],
    bytes: &'a [u8],
}

impl<F: Framing> Unfinished<F> {
    /// Begins a chunk: completes the unfinished frame, if any, and moves it to `joined`, which is
    /// empty. Returns the part of the chunk that comes after; nothing after an error.
    #[inline]
    fn resume<'a>(&mut self, chunk: &'a [u8], joined: &mut Vec<u8>) -> &'a [u8] {
        if mem::replace(&mut self.stage, Stage::Reading) != Stage::Ended {
            self.fail(LEAKED);
        }
        if self.failed.is_some() {
            return EMPTY;
        }
        if self.partial.is_empty() {
            return chunk;
        }
        self.join(chunk, joined).unwrap_or_else(|error| {
            self.fail(error);
            EMPTY
        })
    }

    #[cold]
    fn join<'a>(&mut self, chunk: &'a [u8], joined: &mut Vec<u8>) -> Result<&'a [u8], FrameError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let seen = self.partial.len();
            let wanted = self.need.map_or_else(|| step(seen), |need| need.saturating_sub(seen));
            let (taken, left) = rest.split_at_checked(wanted).unwrap_or((rest, EMPTY));
            self.push(taken);
            rest = left;
            if self.need.is_none() {
                self.need = self.measure(&self.partial, seen)?;
            }
            let Some(need) = self.need else { continue };
            if let Some(excess) = self.partial.len().checked_sub(need) {
                // The steps may have gone too far, but never to before this chunk.
                let begin = chunk.len().checked_sub(rest.len().saturating_add(excess));
                rest = begin.and_then(|begin| chunk.get(begin..)).ok_or(UNSTEADY)?;
                self.partial.truncate(need);
                self.need = None;
                mem::swap(&mut self.partial, joined);
                self.stage = Stage::Joined;
                break;
            }
        }
        Ok(rest)
    }

    /// The window in which `rest`, an end of the chunk, is read.
    #[inline]
    fn open<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.window = rest.len().min(self.framing.max_frame_size());
        rest.get(..self.window).unwrap_or(rest)
    }

    /// `rest` without what was taken of it, when `left` bytes of the window are left.
    fn unread<'a>(&self, rest: &'a [u8], left: usize) -> &'a [u8] {
        rest.get(self.window.saturating_sub(left)..).unwrap_or_default()
    }

    /// Goes on where the window, of which `left` bytes are left, begins with no whole frame.
    #[cold]
    #[inline(never)]
    fn turn<'a>(&mut self, rest: &'a [u8], left: usize, joined: &'a [u8]) -> Turn<'a> {
        let end = |item| Turn { item, rest: EMPTY, bytes: EMPTY };
        match self.stage {
            Stage::Joined => {
                self.stage = Stage::Reading;
                let payload = self.framing.payload(joined);
                return Turn { item: Some(Ok(payload)), rest, bytes: self.open(rest) };
            }
            Stage::Reading => {}
            Stage::Ended => return end(None),
        }
        let rest = self.unread(rest, left);
        let window = self.open(rest);
        if let Some((payload, bytes)) = self.framing.split_frame(window) {
            return Turn { item: Some(Ok(payload)), rest, bytes };
        }
        // In this order: a framing that panics has not come to the chunk's end.
        self.keep(rest);
        self.stage = Stage::Ended;
        end(self.failed.map(Err))
    }

    /// Goes to the end of the chunk, past its frames. An error found there is the next chunk's.
    #[inline]
    fn skip(&mut self, rest: &[u8], left: usize) {
        if self.stage != Stage::Ended {
            self.skip_frames(rest, left);
        }
    }

    #[cold]
    #[inline(never)]
    fn skip_frames(&mut self, rest: &[u8], left: usize) {
        // It may be the framing that panicked, and a second panic would abort the process.
        if thread::panicking() {
            return;
        }
        let mut unread = if self.stage == Stage::Joined { rest } else { self.unread(rest, left) };
        while !unread.is_empty()
            && let Ok(Some(len)) = self.measure(unread, 0)
            && let Some((_, behind)) = unread.split_at_checked(len)
        {
            unread = behind;
        }
        self.keep(unread);
        self.stage = Stage::Ended;
    }

    /// Keeps `bytes`, with which the chunk ends inside a frame.
    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self.measure(bytes, 0) {
            Ok(need) => {
                self.need = need;
                self.push(bytes);
            }
            Err(error) => self.fail(error),
        }
    }

    /// Bytes of the frame that begins with `bytes`, of which the first `seen` did not tell, where
    /// it is one that may be waited for.
    fn measure(&self, bytes: &[u8], seen: usize) -> Result<Option<usize>, FrameError> {
        let max = self.framing.max_frame_size();
        match self.framing.frame_len_after(bytes, seen)? {
            Some(0) => Err(FrameError::Invalid("a frame of no bytes")),
            Some(len) if len > max => Err(OVERLONG),
            None if bytes.len() >= max.max(HEADER) => Err(OVERLONG),
            len => Ok(len),
        }
    }

    /// Appends to `partial`. Its capacity doubles up to the frame's end; where that is not known it
    /// grows by half, since two buffers of twice a frame would be more than what arrived and one
    /// frame.
    fn push(&mut self, bytes: &[u8]) {
        let len = self.partial.len();
        if bytes.len() > self.partial.capacity() - len {
            let (more, most) = match self.need {
                Some(need) => (len, need),
                None => (len.min(step(len)), self.framing.max_frame_size()),
            };
            self.partial.reserve_exact(more.min(most.saturating_sub(len)).max(bytes.len()));
        }
        self.partial.extend_from_slice(bytes);
    }

    #[cold]
    fn fail(&mut self, error: FrameError) {
        self.failed.get_or_insert(error);
        self.partial = Vec::new();
        self.need = None;
    }
}

const EMPTY: &[u8] = &[];

/// Bytes to try next of a frame of which `seen` do not tell the length: half as many again, so that
/// a chunk is measured a few times and never byte by byte.
fn step(seen: usize) -> usize {
    HEADER.max(seen / 2)
}

/// As many bytes as most headers have at most: a header may be larger than the largest frame, and is
/// read all the same, to say how large its frame is.
const HEADER: usize = 16;

const LEAKED: FrameError = FrameError::Invalid("the end of the chunk before was leaked");
const OVERLONG: FrameError = FrameError::Invalid("a frame longer than its framing allows");
const UNSTEADY: FrameError = FrameError::Invalid("the framing gave a frame two lengths");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::LengthPrefixed;

    fn capacity(decoder: &Decoder<LengthPrefixed>) -> usize {
        decoder.unfinished.partial.capacity() + decoder.joined.capacity()
    }

    #[test]
    fn frames_within_their_chunk_take_no_memory() {
        let mut decoder = Decoder::new(LengthPrefixed::new());
        assert_eq!(decoder.decode(b"\0\0\0\x01a\0\0\0\0\0\0\0\x01b").count(), 3);
        assert_eq!(capacity(&decoder), 0);
    }

    #[test]
    fn capacity_stays_within_the_frame_where_its_header_tells_the_length() {
        let mut decoder = Decoder::new(LengthPrefixed::new());
        assert_eq!(decoder.decode(&1000_u32.to_be_bytes()).count(), 0);
        for arrived in 5..1004_usize {
            assert_eq!(decoder.decode(b"x").count(), 0);
            assert!(capacity(&decoder) <= (2 * arrived).min(1004), "after {arrived} bytes");
        }
        assert_eq!(decoder.decode(b"x").count(), 1);
        assert_eq!(capacity(&decoder), 1004);
    }

    #[test]
    fn a_failed_decoder_holds_nothing() {
        let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(8));
        assert_eq!(decoder.decode(b"\0\0\0").count(), 0);
        assert_eq!(decoder.buffered(), 3);
        assert_eq!(decoder.decode(b"\x09abc").count(), 1);
        assert_eq!((decoder.buffered(), decoder.unfinished.partial.capacity()), (0, 0));
    }

    #[test]
    fn debug_text_tells_no_payload() {
        let mut decoder = Decoder::new(LengthPrefixed::new());
        assert_eq!(decoder.decode(b"\0\0\0\x09secret").count(), 0);
        let text = format!("{decoder:?}") + &format!("{:?}", decoder.decode(b"s"));
        assert!(text.contains("buffered: 10, need: Some(13)"), "{text}");
        assert!(!text.contains("115") && !text.contains("secret"), "{text}");
    }
}
