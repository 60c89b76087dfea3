//! What became of the messages: counts per leaf, and the conservation law.

use std::fmt;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::error::SinkError;
use crate::sink::SinkState;

/// A number of bytes, and of messages where they are counted
/// ([`LazyPolicy::with_counting`](crate::LazyPolicy::with_counting)).
///
/// Bytes are bytes of frames, headers included. As a position it counts from the sink's creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Bytes of frames.
    pub bytes: u64,
    /// Messages; `None` while counting is off.
    pub messages: Option<u64>,
}

impl Count {
    pub(crate) fn new(bytes: u64, messages: u64, counting: bool) -> Self {
        Self { bytes, messages: counting.then_some(messages) }
    }

    /// Whether it is nothing, as far as was counted.
    pub(crate) fn is_none(self) -> bool {
        self.bytes == 0 && self.messages.unwrap_or(0) == 0
    }

    /// What is more here than in `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            messages: self.messages.zip(other.messages).map(|(a, b)| a.saturating_sub(b)),
        }
    }

    /// Both together. The messages of one that is empty need not have been counted.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let messages = match (self.messages, other.messages) {
            (Some(these), Some(those)) => Some(these + those),
            (None, those) if self.bytes == 0 => those,
            (these, None) if other.bytes == 0 => these,
            _ => None,
        };
        Self { bytes: self.bytes + other.bytes, messages }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.messages {
            Some(messages) => write!(f, "{messages} messages ({} bytes)", self.bytes),
            None => write!(f, "{} bytes", self.bytes),
        }
    }
}

/// What became of everything that was accepted for one leaf: one link of a stack.
///
/// The conservation law holds at any instant: `accepted = written + buffered + dropped`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeafReport {
    /// The service's name, where the link has one.
    pub service: Option<Arc<str>>,
    /// Where the link leads.
    pub endpoint: Endpoint,
    /// What it is doing about its connection.
    pub state: SinkState,
    /// Whether it gates: whether feeds and flushes wait for it. Not so within a
    /// [`BestEffort`](crate::BestEffort).
    pub gates: bool,
    /// Everything fed to it so far.
    pub accepted: Count,
    /// Frames that a kernel took whole.
    pub written: Count,
    /// Frames still in the sink's buffer.
    pub buffered: Count,
    /// Frames given up, by reason.
    pub dropped: Dropped,
    /// Bytes written a second time: the beginnings of frames that a connection's end cut off.
    pub rewritten_bytes: u64,
    /// Upper bound of what kernels may have lost: what was written on connections that ended
    /// without the peer having read to the end. Part of `written`.
    pub unconfirmed: Count,
    /// Connections made so far.
    pub connections: u32,
    /// Why the last attempts to connect failed, while there is no connection.
    pub error: Option<SinkError>,
    /// Events that were not taken in time and are gone; see
    /// [`MessageSink::take_events`](crate::MessageSink::take_events). Attempts to connect are not
    /// counted, since the next one says how many have failed.
    pub events_lost: u64,
}

impl LeafReport {
    /// The report of a link that has done nothing yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, state: SinkState) -> Self {
        Self {
            service: None,
            endpoint,
            state,
            gates: true,
            accepted: Count::default(),
            written: Count::default(),
            buffered: Count::default(),
            dropped: Dropped::default(),
            rewritten_bytes: 0,
            unconfirmed: Count::default(),
            connections: 0,
            error: None,
            events_lost: 0,
        }
    }

    /// Counts what passed it by because there was no room for it.
    pub(crate) fn add_missed(&mut self, missed: Count) {
        self.accepted = self.accepted.plus(missed);
        self.dropped.add(DropReason::Skipped, missed);
    }

    /// Whether the conservation law holds. It always does; this is for tests of links and layers of
    /// one's own.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.accepted == self.written.plus(self.buffered).plus(self.dropped.total())
    }
}

/// Why frames were given up instead of written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// There was no room, and the sink was told to drop rather than to wait.
    Overflow,
    /// Their deadline had passed.
    Expired,
    /// A newer message of the same key took their place.
    Conflated,
    /// A child that the others do not wait for lagged too far behind.
    Skipped,
    /// The sink was closed, at its deadline or by being dropped, before they could be written.
    Closed,
}

/// Frames given up instead of written, by reason. A drop is always of whole frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// For [`DropReason::Overflow`].
    pub overflow: Count,
    /// For [`DropReason::Expired`].
    pub expired: Count,
    /// For [`DropReason::Conflated`].
    pub conflated: Count,
    /// For [`DropReason::Skipped`].
    pub skipped: Count,
    /// For [`DropReason::Closed`].
    pub closed: Count,
}

impl DropReason {
    /// Every reason, in the order of the fields of [`Dropped`].
    pub const ALL: [Self; 5] =
        [Self::Overflow, Self::Expired, Self::Conflated, Self::Skipped, Self::Closed];
}

impl Dropped {
    /// Those of one reason.
    #[must_use]
    pub const fn get(&self, reason: DropReason) -> Count {
        match reason {
            DropReason::Overflow => self.overflow,
            DropReason::Expired => self.expired,
            DropReason::Conflated => self.conflated,
            DropReason::Skipped => self.skipped,
            DropReason::Closed => self.closed,
        }
    }

    /// Counts `more` for `reason`.
    pub fn add(&mut self, reason: DropReason, more: Count) {
        let count = match reason {
            DropReason::Overflow => &mut self.overflow,
            DropReason::Expired => &mut self.expired,
            DropReason::Conflated => &mut self.conflated,
            DropReason::Skipped => &mut self.skipped,
            DropReason::Closed => &mut self.closed,
        };
        *count = count.plus(more);
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> Count {
        DropReason::ALL
            .into_iter()
            .map(|reason| self.get(reason))
            .fold(Count::default(), Count::plus)
    }
}

/// What became of everything that a sink accepted, leaf by leaf in the stack's order.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// One entry per link.
    pub leaves: Vec<LeafReport>,
    /// Accepted above the leaves and not fed to them yet: what waits in a layer with a queue of its
    /// own, such as [`Deadline`](crate::Deadline), or in [`Shared`](crate::Shared). No leaf counts it.
    pub unfed: Count,
    /// Accepted above the leaves and dropped there, by reason. No leaf counts it.
    pub dropped: Dropped,
    /// Why not everything was written, where it was not: the first error of a leaf that lags
    /// behind.
    pub error: Option<SinkError>,
}

impl Report {
    /// Whether every leaf has written all that it accepted, and nothing waits above them, or was
    /// given up there when the sink was closed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let written = |leaf: &LeafReport| leaf.accepted.bytes == leaf.written.bytes;
        let above = self.unfed.bytes == 0 && self.dropped.closed.bytes == 0;
        self.leaves.iter().all(written) && above
    }

    /// Says why not everything was written, where it was not.
    pub(crate) fn with_error(mut self) -> Self {
        // What waits above the leaves waits for one of them.
        let waits = self.unfed.bytes > 0 || self.dropped.closed.bytes > 0;
        let behind = |leaf: &&LeafReport| waits || leaf.accepted.bytes != leaf.written.bytes;
        self.error = self.leaves.iter().filter(behind).find_map(|leaf| leaf.error.clone());
        self
    }

    /// Bytes that are still buffered, on the leaf that has the most.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        self.leaves.iter().map(|leaf| leaf.buffered.bytes).max().unwrap_or(0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, leaf) in self.leaves.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(
                f,
                "{separator}{} ({}): accepted {}, written {}, buffered {}, dropped {}",
                leaf.endpoint,
                leaf.state,
                leaf.accepted,
                leaf.written,
                leaf.buffered,
                leaf.dropped.total()
            )?;
        }
        if self.unfed.bytes > 0 {
            write!(f, "\nnot fed to them: {}", self.unfed)?;
        }
        if self.dropped.total().bytes > 0 {
            write!(f, "\ndropped above them: {}", self.dropped.total())?;
        }
        Ok(())
    }
}
