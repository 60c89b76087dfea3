//! Making room: everything that is not a plain append comes through here.

use std::task::{Context, Poll};

use super::{Buffered, Phase};
use crate::buffer::{Pending, Refused};
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::framing::Framing;
use crate::link::Link;
use crate::sink::SinkState;

impl<L: Link, F: Framing> Buffered<L, F> {
    /// Feeds a message that does not fit the window, if room can be made for it.
    #[cold]
    #[inline(never)]
    pub(super) fn feed_refused<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
    ) -> Result<(), TryFeedError> {
        let frame = self.framing.frame_size(len);
        loop {
            match self.store.append(frame, |bytes| self.framing.write_frame(msg, len, bytes)) {
                Ok(()) => return Ok(()),
                Err(Refused::NoRoom) => self.make_room(len)?,
                Err(Refused::Invalid) => return Err(TryFeedError::Invalid),
            }
        }
    }

    /// Makes room for a message of `len` bytes, or says why not. Everything that is not a plain
    /// append comes through here.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(&mut self, len: usize) -> Result<(), TryFeedError> {
        let refused = |error: SinkError| refusal(error.kind());
        let frame = self.frame_size(len).map_err(refused)?;
        if self.reopen(frame).map_err(refused)? {
            return Ok(());
        }
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let written = self.link.try_write(pending);
        self.release();
        if written.is_err() || self.link.state() == SinkState::Asleep {
            self.fall_asleep();
        }
        // With room for the message an error is no reason to refuse it: it is new data, and sets
        // the link going again, as it does where a peer has gone in the meantime.
        if frame <= self.capacity - self.store.len() {
            let fits = self.open(frame) || self.reopen(frame).map_err(refused)?;
            return if fits { Ok(()) } else { Err(TryFeedError::Full) };
        }
        self.open(1);
        Err(if written.is_err() { TryFeedError::NotConnected } else { TryFeedError::Full })
    }

    /// `poll_ready` when the window is too small.
    #[cold]
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
    ) -> Poll<Result<(), SinkError>> {
        let frame = self.frame_size(len)?;
        if self.reopen(frame)? {
            return Poll::Ready(Ok(()));
        }
        match self.poll_push(cx)? {
            _ if self.open(frame) => Poll::Ready(Ok(())),
            _ if self.phase == Phase::Asleep && self.reopen(frame)? => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            // A link that has written everything and keeps some of it contradicts itself.
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::Other.into())),
        }
    }

    /// Bytes of the frame around a payload of `len` bytes, if such a one can ever be fed.
    pub(super) fn frame_size(&self, len: usize) -> Result<usize, SinkError> {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return Err(ErrorKind::Closed.into());
        }
        let available = self.capacity.min(self.framing.max_frame_size());
        let requested = self.framing.frame_size(len).unwrap_or(usize::MAX);
        if requested > available {
            return Err(ErrorKind::TooLarge { requested, available }.into());
        }
        Ok(requested)
    }
}

/// The refusal for an error that is met while feeding.
fn refusal(kind: ErrorKind) -> TryFeedError {
    match kind {
        ErrorKind::Closed => TryFeedError::Closed,
        ErrorKind::NoRuntime => TryFeedError::NoRuntime,
        ErrorKind::TooLarge { .. } => TryFeedError::TooLarge,
        ErrorKind::OutOfMemory => TryFeedError::Full,
        _ => TryFeedError::NotConnected,
    }
}
