//! What a link keeps in mind about its frames: its place in the stream, its counters, its events.

use crate::buffer::Pending;
use crate::framing::Framing;
use crate::link::Skip;
use crate::link::description::Identity;
use crate::link::trace;
use crate::sink::{
    ConnectionEnd, Count, DropReason, Dropped, EndCause, Event, EventQueue, LeafReport, SinkState,
};

/// A link's place in the stream of frames, its counters and its events.
///
/// `taken <= written`; between the two lies the beginning of a frame that the connection has taken
/// in part. When the connection ends, `written` goes back to `taken`.
#[derive(Default)]
pub(crate) struct Cursor {
    /// Position behind the last byte written on this connection.
    pub(crate) written: u64,
    /// Position of the last frame boundary at or before `written`.
    pub(crate) taken: u64,
    /// Whether frames are counted.
    counting: bool,
    connections: u32,
    /// Frames up to `taken` that were this link's, while counting is on.
    messages: u64,
    /// Bytes up to `taken` that were not: written before it joined the stream, or left to another
    /// link. Wraps where a link moves to a younger stream.
    foreign_bytes: u64,
    /// Where the running connection began.
    first: Count,
    /// What had been written then.
    written_before: Count,
    rewritten_bytes: u64,
    /// Bytes of the frame that the last connection's end cut off.
    cut_bytes: u64,
    /// The frame, left out by now, that the connection had begun and has to finish.
    unfinished: Option<(Count, DropReason)>,
    dropped: Dropped,
    /// What had been skipped when it fell behind; none while it is up to date.
    behind: Option<Count>,
    /// Whether there is more to do when everything is written than to say so: frames are counted,
    /// or it has fallen behind.
    pub(super) watched: bool,
    unconfirmed: Count,
    pub(super) events: EventQueue,
}

impl Cursor {
    /// The place of a link that has written nothing yet.
    pub(crate) fn new(counting: bool) -> Self {
        Self { counting, watched: counting, ..Self::default() }
    }

    /// Counts frames from now on, or no longer.
    pub(super) fn set_counting(&mut self, counting: bool) {
        self.counting = counting;
        self.watched = counting || self.behind.is_some();
    }

    /// Goes on at `position`; what lies before is not this link's.
    #[cold]
    pub(crate) fn join(&mut self, position: u64) {
        let passed = position.wrapping_sub(self.taken);
        self.foreign_bytes = self.foreign_bytes.wrapping_add(passed);
        (self.written, self.taken) = (position, position);
    }

    /// Everything was written.
    #[inline]
    pub(crate) fn take_all(&mut self) {
        self.taken = self.written;
    }

    /// Everything was written, which was one frame.
    #[cold]
    pub(crate) fn take_frame(&mut self) {
        self.take_all();
        self.messages += u64::from(self.counting);
    }

    /// Some of it was written: finds the boundary of what was written whole.
    #[cold]
    pub(crate) fn take_whole<F: Framing>(&mut self, pending: Pending<'_, F>) {
        let (taken, messages) = pending.boundary(self.taken, self.written);
        self.taken = taken;
        if self.counting {
            self.messages += messages;
        }
    }

    /// Leaves out the frames up to `to`, a boundary. Answers what is left to write of a frame that
    /// the connection has begun.
    #[cold]
    pub(crate) fn skip<'a, F: Framing>(
        &mut self,
        who: Identity,
        pending: Pending<'a, F>,
        to: u64,
        skip: Skip,
    ) -> Option<&'a [u8]> {
        if to <= self.taken {
            return None;
        }
        if skip == Skip::Dropped(DropReason::Skipped) && self.behind.is_none() {
            (self.behind, self.watched) = (Some(self.dropped().skipped), true);
            self.events.push(Event::FellBehind { service: who.service, endpoint: who.endpoint });
        }
        let is_unused = self.written == self.first.bytes;
        let rest = self.leave_begun(pending, skip);
        // Had the last connection's end cut the first of them off, it does not begin the next one.
        self.cut_bytes = 0;
        let passed = to.saturating_sub(self.taken);
        // A frame that a connection's end has cut off is not repeated here.
        self.cut_bytes = 0;
        match skip {
            Skip::Elsewhere => self.foreign_bytes = self.foreign_bytes.wrapping_add(passed),
            Skip::Dropped(reason) => {
                let messages = self.messages_between(pending, to);
                self.messages += messages;
                self.dropped.add(reason, self.count(passed, messages));
            }
        }
        (self.taken, self.written) = (to, to);
        if is_unused {
            self.first = self.position();
        }
        rest
    }

    /// Moves behind the frame that the connection has begun, if it has; answers the rest of it.
    fn leave_begun<'a, F: Framing>(
        &mut self,
        pending: Pending<'a, F>,
        skip: Skip,
    ) -> Option<&'a [u8]> {
        if self.written == self.taken {
            return None;
        }
        let len = pending.framing().frame_len(pending.from(self.taken)).ok().flatten()?;
        let behind = self.taken + len as u64;
        let rest = pending.until(behind).from(self.written);
        let reason = match skip {
            Skip::Dropped(reason) => reason,
            Skip::Elsewhere => DropReason::Skipped,
        };
        self.unfinished = Some((self.count(len as u64, 1), reason));
        self.messages += u64::from(self.counting);
        (self.taken, self.written) = (behind, behind);
        Some(rest)
    }

    /// The frame that was left out in its middle is written whole.
    #[cold]
    pub(crate) fn finish_begun(&mut self) {
        self.unfinished = None;
    }

    /// Whether it has left something out and has not caught up since.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Everything is written, on a connection that is up.
    pub(super) fn catch_up(&mut self, who: Identity) {
        self.watched = self.counting;
        if let Some(before) = self.behind.take() {
            let Identity { service, endpoint } = who;
            let missed = self.dropped().skipped.minus(before);
            self.events.push(Event::CaughtUp { service, endpoint, missed });
        }
    }

    /// A connection begins.
    pub(crate) fn begin(&mut self, who: Identity, failures: u32) {
        self.connections = self.connections.wrapping_add(1);
        self.first = self.position();
        self.written_before = self.written_whole();
        // The frame that the last connection's end cut off begins this one.
        self.rewritten_bytes += std::mem::take(&mut self.cut_bytes);
        let (connection, first) = (self.connections, self.first);
        trace::connected(&who, connection, first, failures);
        self.events.push(Event::Connected {
            service: who.service,
            endpoint: who.endpoint,
            connection,
            first,
            failures,
        });
    }

    /// The connection has ended; `taken` is up to date.
    #[cold]
    pub(crate) fn finish(&mut self, who: Identity, cause: EndCause) {
        let (first, end) = (self.first, self.position());
        self.cut_bytes = self.written - self.taken;
        self.written = self.taken;
        if let Some((frame, reason)) = self.unfinished.take() {
            // Nobody keeps the rest of it for another connection.
            self.dropped.add(reason, frame);
        }
        if cause != EndCause::Drained {
            let on_this = self.written_whole().minus(self.written_before);
            self.unconfirmed = self.unconfirmed.plus(on_this);
        }
        let ended = ConnectionEnd {
            service: who.service,
            endpoint: who.endpoint,
            connection: self.connections,
            first,
            end,
            cut_bytes: self.cut_bytes,
            next: end,
            cause,
        };
        trace::ended(&ended);
        self.events.push(Event::Ended(ended));
    }

    /// What was not written is given up, there being no connection any more.
    #[cold]
    pub(crate) fn drop_rest<F: Framing>(&mut self, who: Identity, pending: Pending<'_, F>) {
        let bytes = pending.end().saturating_sub(self.taken);
        if bytes > 0 {
            trace::dropped(&who, bytes);
            self.skip(who, pending, pending.end(), Skip::Dropped(DropReason::Closed));
        }
    }

    /// What became of everything accepted so far.
    pub(crate) fn report<F: Framing>(
        &self,
        who: Identity,
        state: SinkState,
        pending: Pending<'_, F>,
    ) -> LeafReport {
        let left = pending.end().saturating_sub(self.taken);
        let messages = self.messages_between(pending, pending.end());
        LeafReport {
            service: who.service,
            endpoint: who.endpoint,
            state,
            gates: true,
            accepted: self.passed().plus(self.count(left, messages)),
            written: self.written_whole(),
            buffered: self.count(left, messages).plus(self.unfinished()),
            dropped: self.dropped(),
            rewritten_bytes: self.rewritten_bytes,
            unconfirmed: self.counted(self.unconfirmed),
            connections: self.connections,
            error: None,
            events_lost: self.events.lost(),
        }
    }

    /// Frames of this link up to `taken`.
    fn passed(&self) -> Count {
        self.count(self.taken.wrapping_sub(self.foreign_bytes), self.messages)
    }

    /// Those of them that kernels have taken whole.
    fn written_whole(&self) -> Count {
        self.passed().minus(self.dropped().total()).minus(self.unfinished())
    }

    fn unfinished(&self) -> Count {
        self.counted(self.unfinished.map(|(frame, _)| frame).unwrap_or_default())
    }

    fn dropped(&self) -> Dropped {
        let mut dropped = Dropped::default();
        for reason in DropReason::ALL {
            dropped.add(reason, self.counted(self.dropped.get(reason)));
        }
        dropped
    }

    /// None are no messages, while counting is on.
    fn counted(&self, count: Count) -> Count {
        self.count(0, 0).plus(count)
    }

    /// Bytes written on the running connection, at most.
    pub(crate) fn written_on_connection(&self) -> u64 {
        self.written.saturating_sub(self.first.bytes)
    }

    /// Whether there has been a connection.
    pub(crate) fn has_connected(&self) -> bool {
        self.connections > 0
    }

    /// Frames from `taken` to `to`, while counting is on.
    fn messages_between<F: Framing>(&self, pending: Pending<'_, F>, to: u64) -> u64 {
        if self.counting { pending.boundary(self.taken, to).1 } else { 0 }
    }

    fn position(&self) -> Count {
        self.count(self.taken, self.messages)
    }

    fn count(&self, bytes: u64, messages: u64) -> Count {
        Count::new(bytes, messages, self.counting)
    }
}
