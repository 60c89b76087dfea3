//! The child that nobody waits for.

mod lag;
mod links;
mod sinks;

use std::task::Poll;

use self::lag::Lag;
use crate::error::SinkError;
use crate::sink::{Count, SinkState};

/// A child of a [`Fanout`](crate::Fanout) that the others do not wait for: what it cannot take in
/// time it misses, and nobody else does.
///
/// Around a link, below a buffer, or around a whole sink:
///
/// | | around a link | around a whole sink |
/// |---|---|---|
/// | such as | `Buffered<Fanout<(TcpSink, BestEffort<UnixSink>)>>` | `Fanout<(Lazy<Buffered<TcpSink>>, BestEffort<Lazy<Buffered<UnixSink>>>)>` |
/// | what it has not taken yet | stays in the shared buffer, where nobody needs the room | stays in its own buffer |
/// | it misses messages when | the room is needed, or its peer is away | its own buffer is full |
/// | it misses | all that those it stands beside have taken already | the message for which there is no room |
///
/// Nobody waits for it: there is always room for a message as far as it is concerned, a flush makes
/// one attempt to write to it, a connect starts it on its way. Its errors stand in the report only.
/// A `close` and a `disconnect` wait for it while it is connected or connecting, and so not longer
/// than their deadline, but not for a peer that is away.
///
/// What it misses is whole messages; what it gets is in order, never torn: a frame that a connection
/// has begun is finished from a copy of its end. Then it is up to date again. Each message that it
/// misses is counted, in [`Dropped::skipped`](crate::Dropped::skipped) of its leaves; those that a
/// whole sink misses were never framed, and their bytes there are those of the messages alone. That it
/// [fell behind](crate::Event::FellBehind) and has [caught up](crate::Event::CaughtUp) are events.
///
/// Below a buffer, the room is needed when what is free is neither a message nor half the buffer nor
/// a whole write: so give the buffer the size of several writes if children are to lag behind
/// now and then without missing anything.
///
/// # Cost
///
/// Nothing per message around a link; around a sink a comparison. One frame of memory, at most, in
/// the middle of which frames were left out.
///
/// # Examples
///
/// A strategy that must have everything, and a monitor that is not there:
///
/// ```
/// use torq_message_sink::{BestEffort, Buffered, Fanout, MemorySink, MessageSink};
///
/// # tokio_test::block_on(async {
/// let ((strategy, there), (monitor, away)) = (MemorySink::pair(64), MemorySink::pair(64));
/// away.refuse(true);
/// let mut sink = Buffered::new(Fanout::new((strategy, BestEffort::new(monitor))));
/// sink.send("tick").await?;
/// assert_eq!(there.accept().expect("connected").read(), b"\0\0\0\x04tick");
///
/// let leaves = sink.report().leaves;
/// assert!(leaves[0].gates && !leaves[1].gates);
/// assert_eq!(leaves[1].written.bytes, 0);
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct BestEffort<C> {
    inner: C,
    /// Whether it gates all the same.
    gates: bool,
    /// What had been accepted when its attempts to connect were used up: only new data sets it going
    /// again, not somebody who waits for the others.
    gave_up: Option<u64>,
    /// Over a sink: whether it takes no more messages.
    closed: bool,
    /// Over a sink: what it has missed, counted in payloads.
    skipped: Count,
    /// Over a sink: none until it first misses something.
    lag: Option<Box<Lag>>,
}

impl<C> BestEffort<C> {
    /// Nobody waits for `inner`, a link or a whole sink.
    pub const fn new(inner: C) -> Self {
        let skipped = Count { bytes: 0, messages: Some(0) };
        Self { inner, gates: false, gave_up: None, closed: false, skipped, lag: None }
    }

    /// Whether it gates all the same, as if it was not wrapped. For sets of one type, of whose
    /// children some gate and some do not.
    #[must_use]
    pub const fn with_gating(mut self, gates: bool) -> Self {
        self.gates = gates;
        self
    }

    /// Whether its attempts to connect were used up, and nothing has been accepted since.
    fn has_given_up(&self, accepted: u64) -> bool {
        !self.gates && self.gave_up == Some(accepted)
    }

    /// What it wraps.
    pub const fn get_ref(&self) -> &C {
        &self.inner
    }
}

/// Whether nobody is there, and nobody is expected: for such a child nothing is kept.
pub(super) fn is_away(state: SinkState) -> bool {
    !matches!(state, SinkState::Connected | SinkState::Connecting)
}

/// Whether a step came to an error.
fn has_failed(step: &Poll<Result<(), SinkError>>) -> bool {
    matches!(step, Poll::Ready(Err(_)))
}
