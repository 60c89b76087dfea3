//! The states of a sink, and how those of several links add up to one.

use std::fmt;

/// What a sink or link is doing about its connection.
///
/// Ordered from the best to the worst news: of several links that all count, the composite's state
/// is the greatest ([`Fanout`](crate::Fanout)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SinkState {
    /// There is a connection; the last look found it alive.
    Connected,
    /// No connection and none being made; data wakes it.
    Asleep,
    /// A connection is being made. Data is accepted meanwhile.
    Connecting,
    /// The last attempt failed; the next one comes after a wait. Data is accepted meanwhile.
    BackingOff,
    /// Closed for good.
    Closed,
}

impl fmt::Display for SinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Asleep => "asleep",
            Self::Connecting => "connecting",
            Self::BackingOff => "backing off",
            Self::Closed => "closed",
        })
    }
}
