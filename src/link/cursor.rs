//! What a link keeps in mind about its frames: its place in the stream, its counters, its events.

use std::collections::VecDeque;

use crate::buffer::Pending;
use crate::framing::Framing;
use crate::link::identity::Identity;
use crate::link::trace;
use crate::sink::{ConnectionEnd, Count, Dropped, EndCause, Event, LeafReport, SinkState};

/// A link's place in the stream of frames.
///
/// `taken <= written`; between the two lies the beginning of a frame that the connection has taken
/// in part. When the connection ends, `written` goes back to `taken`.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// Position behind the last byte written on this connection.
    pub(crate) written: u64,
    /// Position of the last frame boundary at or before `written`.
    pub(crate) taken: u64,
    /// Frames up to `taken`, while counting is on.
    messages: u64,
    /// Position where the link joined the stream.
    joined: u64,
    /// Everything that only reports and events need. None until the first connection.
    book: Option<Box<Book>>,
}

/// The counters and events of a link.
#[derive(Debug, Default)]
struct Book {
    connections: u32,
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
    pub(crate) fn take_whole<F: Framing>(&mut self, pending: Pending<'_, F>, counting: bool) {
        let (taken, messages) = pending.boundary(self.taken, self.written);
        self.taken = taken;
        if counting {
            self.messages += messages;
        }
    }

    /// A connection begins.
    pub(crate) fn begin(&mut self, who: Identity<'_>, failures: u32) {
        let first = self.position(who.counting);
        let book = self.book.get_or_insert_default();
        book.connections = book.connections.wrapping_add(1);
        book.first = first;
        // The frame that the last connection's end cut off begins this one.
        book.rewritten_bytes += std::mem::take(&mut book.cut_bytes);
        let connection = book.connections;
        trace::connected(&who, connection, first, failures);
        book.push(Event::Connected {
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
        let end = self.position(who.counting);
        let cut_bytes = self.written - self.taken;
        self.written = self.taken;
        let book = self.book.get_or_insert_default();
        book.cut_bytes = cut_bytes;
        if cause != EndCause::Drained {
            let on_this = end.minus(book.first);
            book.unconfirmed.bytes += on_this.bytes;
            book.unconfirmed.messages =
                on_this.messages.map(|more| more + book.unconfirmed.messages.unwrap_or(0));
        }
        let ended = ConnectionEnd {
            service: who.service.cloned(),
            endpoint: who.endpoint,
            connection: book.connections,
            first: book.first,
            end,
            cut_bytes,
            next: end,
            cause,
        };
        trace::ended(&ended);
        book.push(Event::Ended(ended));
    }

    /// What was not written is given up.
    #[cold]
    pub(crate) fn drop_rest<F: Framing>(&mut self, who: Identity<'_>, pending: Pending<'_, F>) {
        let bytes = pending.end() - self.taken;
        if bytes == 0 {
            return;
        }
        trace::dropped(&who, bytes);
        let counting = who.counting;
        let messages = if counting { pending.boundary(self.taken, pending.end()).1 } else { 0 };
        let dropped = &mut self.book.get_or_insert_default().dropped;
        dropped.bytes += bytes;
        dropped.messages = counting.then(|| messages + dropped.messages.unwrap_or(0));
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
        let nothing = Book::default();
        let book = self.book.as_deref().unwrap_or(&nothing);
        let messages = if who.counting { pending.boundary(self.taken, pending.end()).1 } else { 0 };
        let zero = Count::new(0, 0, who.counting);
        let dropped = if book.dropped.bytes == 0 { zero } else { book.dropped };
        LeafReport {
            service: who.service.cloned(),
            endpoint: who.endpoint,
            state,
            accepted: Count::new(
                pending.end() - self.joined,
                self.messages + messages,
                who.counting,
            ),
            written: Count::new(self.taken - self.joined, self.messages, who.counting)
                .minus(dropped),
            buffered: Count::new(pending.end() - self.taken, messages, who.counting),
            dropped: Dropped { closed: dropped },
            rewritten_bytes: book.rewritten_bytes,
            unconfirmed: if book.unconfirmed.bytes == 0 { zero } else { book.unconfirmed },
            connections: book.connections,
            error: None,
            events_lost: book.events_lost,
        }
    }

    /// Hands over the events so far.
    pub(crate) fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        if let Some(book) = &mut self.book {
            book.events.drain(..).for_each(each);
        }
    }

    /// Bytes written on the running connection.
    pub(crate) fn written_on_connection(&self) -> u64 {
        self.book.as_ref().map_or(0, |book| self.written.saturating_sub(book.first.bytes))
    }

    /// Whether there has been a connection.
    pub(crate) fn has_connected(&self) -> bool {
        self.book.is_some()
    }

    fn position(&self, counting: bool) -> Count {
        Count::new(self.taken, self.messages, counting)
    }
}

impl Book {
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
