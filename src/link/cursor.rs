//! What a link keeps in mind about its frames: its place in the stream, its counters, its events.

use std::collections::VecDeque;

use crate::buffer::Pending;
use crate::framing::Framing;
use crate::link::description::Identity;
use crate::link::trace;
use crate::sink::{ConnectionEnd, Count, Dropped, EndCause, Event, LeafReport, SinkState};

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
    pub(crate) counting: bool,
    connections: u32,
    /// Frames up to `taken`, while counting is on.
    messages: u64,
    /// Position where the link joined the stream.
    joined: u64,
    /// Where the running connection began.
    first: Count,
    rewritten_bytes: u64,
    /// Bytes of the frame that the last connection's end cut off.
    cut_bytes: u64,
    /// Given up when the sink was closed.
    dropped: Count,
    unconfirmed: Count,
    events: VecDeque<Event>,
    events_lost: u64,
}

impl Cursor {
    /// The place of a link that has written nothing yet.
    pub(crate) fn new(counting: bool) -> Self {
        Self { counting, ..Self::default() }
    }

    /// The link joins a stream that has begun, at `position`.
    #[cold]
    pub(crate) fn join(&mut self, position: u64) {
        (self.written, self.taken, self.joined) = (position, position, position);
    }

    /// Everything was written.
    #[inline]
    pub(crate) fn take_all(&mut self) {
        self.taken = self.written;
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

    /// A connection begins.
    pub(crate) fn begin(&mut self, who: Identity<'_>, failures: u32) {
        self.connections = self.connections.wrapping_add(1);
        self.first = self.position();
        // The frame that the last connection's end cut off begins this one.
        self.rewritten_bytes += std::mem::take(&mut self.cut_bytes);
        let (connection, first) = (self.connections, self.first);
        trace::connected(&who, connection, first, failures);
        self.push(Event::Connected {
            service: who.service.cloned(),
            endpoint: who.endpoint,
            connection,
            first,
            failures,
        });
    }

    /// The connection has ended; `taken` is up to date.
    #[cold]
    pub(crate) fn finish(&mut self, who: Identity<'_>, cause: EndCause) {
        let (first, end) = (self.first, self.position());
        self.cut_bytes = self.written - self.taken;
        self.written = self.taken;
        if cause != EndCause::Drained {
            let on_this = end.minus(first);
            self.unconfirmed.bytes += on_this.bytes;
            self.unconfirmed.messages =
                on_this.messages.map(|more| more + self.unconfirmed.messages.unwrap_or(0));
        }
        let ended = ConnectionEnd {
            service: who.service.cloned(),
            endpoint: who.endpoint,
            connection: self.connections,
            first,
            end,
            cut_bytes: self.cut_bytes,
            next: end,
            cause,
        };
        trace::ended(&ended);
        self.push(Event::Ended(ended));
    }

    /// What was not written is given up.
    #[cold]
    pub(crate) fn drop_rest<F: Framing>(&mut self, who: Identity<'_>, pending: Pending<'_, F>) {
        let bytes = pending.end() - self.taken;
        if bytes == 0 {
            return;
        }
        trace::dropped(&who, bytes);
        let messages = self.messages_left(pending);
        self.dropped.bytes += bytes;
        self.dropped.messages =
            self.counting.then(|| messages + self.dropped.messages.unwrap_or(0));
        (self.taken, self.written) = (pending.end(), pending.end());
        self.messages += messages;
    }

    /// What became of everything accepted so far.
    pub(crate) fn report<F: Framing>(
        &self,
        who: Identity<'_>,
        state: SinkState,
        pending: Pending<'_, F>,
    ) -> LeafReport {
        let counted = |count: Count| if count.bytes == 0 { self.count(0, 0) } else { count };
        let messages = self.messages_left(pending);
        let dropped = counted(self.dropped);
        LeafReport {
            service: who.service.cloned(),
            endpoint: who.endpoint,
            state,
            accepted: self.count(pending.end() - self.joined, self.messages + messages),
            written: self.count(self.taken - self.joined, self.messages).minus(dropped),
            buffered: self.count(pending.end() - self.taken, messages),
            dropped: Dropped { closed: dropped },
            rewritten_bytes: self.rewritten_bytes,
            unconfirmed: counted(self.unconfirmed),
            connections: self.connections,
            error: None,
            events_lost: self.events_lost,
        }
    }

    /// Hands over the events so far.
    pub(crate) fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.events.drain(..).for_each(each);
    }

    /// Bytes written on the running connection.
    pub(crate) fn written_on_connection(&self) -> u64 {
        self.written.saturating_sub(self.first.bytes)
    }

    /// Whether there has been a connection.
    pub(crate) fn has_connected(&self) -> bool {
        self.connections > 0
    }

    /// Frames that are not taken yet, while counting is on.
    fn messages_left<F: Framing>(&self, pending: Pending<'_, F>) -> u64 {
        if self.counting { pending.boundary(self.taken, pending.end()).1 } else { 0 }
    }

    fn position(&self) -> Count {
        self.count(self.taken, self.messages)
    }

    fn count(&self, bytes: u64, messages: u64) -> Count {
        Count::new(bytes, messages, self.counting)
    }

    fn push(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.events_lost += 1;
        }
        self.events.push_back(event);
    }
}

/// Events that a link keeps for a caller who is slow to ask.
const MAX_EVENTS: usize = 64;
