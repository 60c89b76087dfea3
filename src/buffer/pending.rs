//! What a buffer shows its link: the frames it still holds, and where they stand in the stream.

use crate::framing::Framing;

/// The frames that a buffer holds, as a link sees them: whole frames, one behind the other, and the
/// position of the first byte in the stream of all bytes that this sink ever accepted.
///
/// Positions count from 0 at the sink's creation and never repeat, so a link keeps its own place
/// in the stream as one number, whatever the buffer releases in the meantime.
#[derive(Debug)]
pub struct Pending<'a, F> {
    bytes: &'a [u8],
    start: u64,
    framing: &'a F,
}

impl<F> Clone for Pending<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Pending<'_, F> {}

impl<'a, F: Framing> Pending<'a, F> {
    /// Frames that begin at position `start`. `bytes` must end at a frame's end.
    #[inline]
    pub fn new(bytes: &'a [u8], start: u64, framing: &'a F) -> Self {
        Self { bytes, start, framing }
    }

    /// What the frames are framed by.
    #[inline]
    #[must_use]
    pub fn framing(&self) -> &'a F {
        self.framing
    }

    /// The same frames, which `framing` frames in the same way.
    #[inline]
    pub(crate) fn framed_by<'b, G: Framing>(&self, framing: &'b G) -> Pending<'b, G>
    where
        'a: 'b,
    {
        Pending { bytes: self.bytes, start: self.start, framing }
    }

    /// Position of the first byte held.
    #[inline]
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last byte held.
    #[inline]
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `position` on, as many as lie in one piece (today all of them); none when it
    /// lies outside of what is held.
    #[inline]
    #[must_use]
    pub fn from(&self, position: u64) -> &'a [u8] {
        self.rest(position).unwrap_or_default()
    }

    /// The bytes from `position` on, where there are any.
    #[inline]
    pub(crate) fn rest(&self, position: u64) -> Option<&'a [u8]> {
        let skip = usize::try_from(position.wrapping_sub(self.start)).ok()?;
        if skip < self.bytes.len() { self.bytes.get(skip..) } else { None }
    }

    /// The same frames without those from `position` on, which is a frame boundary.
    #[must_use]
    pub fn until(&self, position: u64) -> Self {
        let len = position.clamp(self.start, self.end()) - self.start;
        Self { bytes: self.bytes.get(..len as usize).unwrap_or_default(), ..*self }
    }

    /// The last frame boundary at or before `position`, found by walking from `from`, which must
    /// itself be a boundary; and how many whole frames lie between the two.
    ///
    /// Reads one header per frame: for partial writes, lost connections and counting only.
    #[must_use]
    pub fn boundary(&self, from: u64, position: u64) -> (u64, u64) {
        let (mut at, mut frames) = (from, 0);
        // The bytes were written by this very framing, so every header is whole and valid; if one
        // is not (a framing that contradicts itself), the walk ends there.
        while let Ok(Some(len)) = self.framing.frame_len(self.from(at)) {
            match at.checked_add(len as u64) {
                Some(next) if next <= position && len > 0 => (at, frames) = (next, frames + 1),
                _ => break,
            }
        }
        (at, frames)
    }

    /// The first frame boundary at or behind `position`, which lies within what is held; its end,
    /// where the framing knows of none.
    #[must_use]
    pub(crate) fn boundary_behind(&self, position: u64) -> u64 {
        let (at, _) = self.boundary(self.start, position);
        if at == position {
            return at;
        }
        let len = self.framing.frame_len(self.from(at)).ok().flatten();
        match len.and_then(|len| at.checked_add(len as u64)) {
            Some(behind) if behind > position => behind.min(self.end()),
            _ => self.end(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::LengthPrefixed;

    #[test]
    fn boundary_is_the_last_whole_frame() {
        let bytes = [0, 0, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 2, b'b', b'c'];
        let framing = LengthPrefixed::new();
        let pending = Pending::new(&bytes, 100, &framing);
        assert_eq!(pending.end(), 115);
        for (position, expected) in
            [(100, (100, 0)), (104, (100, 0)), (105, (105, 1)), (108, (105, 1))]
        {
            assert_eq!(pending.boundary(100, position), expected);
        }
        assert_eq!(pending.boundary(100, 109), (109, 2));
        assert_eq!(pending.boundary(105, 114), (109, 1));
        assert_eq!(pending.boundary(100, 115), (115, 3));
        assert_eq!(pending.from(113), b"bc");
        assert_eq!(pending.from(99), b"");
        assert_eq!(pending.from(116), b"");
        assert_eq!(pending.until(109).from(105), [0, 0, 0, 0]);
        for (position, behind) in [(100, 100), (101, 105), (105, 105), (108, 109), (115, 115)] {
            assert_eq!(pending.boundary_behind(position), behind);
        }
        assert_eq!((pending.until(0).end(), pending.until(u64::MAX).end()), (100, 115));
    }
}
