//! Making room: everything that is not a plain append comes through here.

use std::task::{Context, Poll};

use super::{Buffered, Phase};
use crate::buffer::{Pending, Refused, WhenFull};
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::framing::Framing;
use crate::link::Link;
use crate::sink::SinkState;

/// What came of an attempt to make room.
pub(super) enum Room {
    Made,
    /// There is none without dropping something; with the reason where the link has failed.
    Lacking(Option<SinkError>),
}

impl<L: Link, F: Framing> Buffered<L, F> {
    /// Feeds a message that does not fit the window, if room can be made for it.
    #[cold]
    #[inline(never)]
    pub(super) fn feed_refused<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
    ) -> Result<(), TryFeedError> {
        if self.is_large(len) && self.feed_around(msg, len) {
            return Ok(());
        }
        let size = self.framing.frame_size(len);
        loop {
            match self.store.append(size, |bytes| self.framing.write_frame(msg, len, bytes)) {
                Ok(()) => return Ok(()),
                Err(Refused::NoRoom) => {}
                Err(Refused::Invalid) => return Err(TryFeedError::Invalid),
            }
            let frame = self.frame_size(len).map_err(refusal)?;
            let Room::Lacking(failure) = self.make_room(frame).map_err(refusal)? else { continue };
            if self.when_full.drops() && !self.carries(msg, len, frame) {
                return Err(TryFeedError::Invalid);
            }
            let dropped = match self.when_full {
                WhenFull::Wait | WhenFull::Error => false,
                WhenFull::DropOldest => self.drop_oldest(frame).map_err(refusal)?,
                WhenFull::DropNewest => {
                    // New data sets a link going that has given up, even data that is dropped.
                    self.reopen(frame).map_err(refusal)?;
                    self.extra.get_or_insert_default().overflow.add(frame);
                    return Ok(());
                }
            };
            if !dropped {
                return Err(full(failure.as_ref()));
            }
        }
    }

    /// Makes room for a message of `len` bytes, or says why not. Drops nothing: a message that is
    /// only asked about may never come.
    #[cold]
    #[inline(never)]
    pub(super) fn make_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        let frame = self.frame_size(len).map_err(refusal)?;
        match self.make_room(frame).map_err(refusal)? {
            Room::Lacking(failure) if !self.when_full.drops() => Err(full(failure.as_ref())),
            _ => Ok(()),
        }
    }

    /// Whether the framing can carry a message, tried in other memory: that there is no room for it
    /// does not make it a message, and nothing is dropped for one that is none.
    #[cold]
    pub(super) fn carries<M: Encode + ?Sized>(&self, msg: &M, len: usize, frame: usize) -> bool {
        !F::REFUSES || self.framing.write_frame(msg, len, &mut vec![0; frame]).is_ok()
    }

    /// Makes what room can be made without waiting and without dropping anything. Everything that
    /// is not a plain append comes through here, or through `poll_room`.
    #[cold]
    fn make_room(&mut self, frame: usize) -> Result<Room, SinkError> {
        if self.reopen(frame)? {
            return Ok(Room::Made);
        }
        let written = self.attempt(frame);
        // With room for the message an error is no reason to refuse it: it is new data, and sets
        // the link going again, as it does where a peer has gone in the meantime.
        if frame <= self.capacity - self.store.len() {
            self.rise(frame);
            let fits = self.open(frame) || self.reopen(frame)?;
            return Ok(if fits { Room::Made } else { Room::Lacking(None) });
        }
        self.open(1);
        Ok(Room::Lacking(written.err()))
    }

    /// Makes one attempt to write, without waiting, for a frame of `frame` bytes.
    pub(super) fn attempt(&mut self, frame: usize) -> Result<(), SinkError> {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let written = self.link.try_write(pending);
        self.release(frame);
        if written.is_err() || self.link.state() == SinkState::Asleep {
            self.fall_asleep();
        }
        written
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
        if self.when_full != WhenFull::Wait {
            return Poll::Ready(self.ready_without_room(frame));
        }
        let pushed = self.poll_push(cx)?;
        self.release(frame);
        if frame <= self.capacity - self.store.len() {
            self.rise(frame);
        }
        match pushed {
            _ if self.open(frame) => Poll::Ready(Ok(())),
            _ if self.phase == Phase::Asleep && self.reopen(frame)? => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            // A link that has written everything and keeps some of it contradicts itself.
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::Other.into())),
        }
    }

    /// `poll_ready` of a sink that does not wait for room.
    #[cold]
    fn ready_without_room(&mut self, frame: usize) -> Result<(), SinkError> {
        match self.make_room(frame)? {
            Room::Lacking(failure) if !self.when_full.drops() => {
                Err(failure.unwrap_or_else(|| ErrorKind::Full.into()))
            }
            _ => Ok(()),
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

/// The refusal for want of room.
fn full(failure: Option<&SinkError>) -> TryFeedError {
    failure.map_or(TryFeedError::Full, |_| TryFeedError::NotConnected)
}

/// The refusal for an error that is met while feeding.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refusal(error: SinkError) -> TryFeedError {
    error.kind().refusal()
}
