//! What happens to links: connections made and ended, marks passed, targets switched.

use std::io;
use std::sync::Arc;

use crate::endpoint::Endpoint;
use crate::sink::Count;

/// Something that happened to a link.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection was made.
    #[non_exhaustive]
    Connected {
        /// The service's name, where the link has one.
        service: Option<Arc<str>>,
        /// Where the link leads.
        endpoint: Endpoint,
        /// Number of the connection on this link, from 1.
        connection: u32,
        /// Position of the first frame that will be written on it.
        first: Count,
        /// Attempts that failed before it.
        failures: u32,
    },
    /// A connection ended.
    Ended(ConnectionEnd),
    /// A buffer was filled above its high water mark:
    /// [`Buffered::with_water_marks`](crate::Buffered::with_water_marks).
    #[non_exhaustive]
    HighWater {
        /// The service's name of the link that lags most, where it has one.
        service: Option<Arc<str>>,
        /// Where that link leads.
        endpoint: Endpoint,
        /// Bytes of frames in the buffer.
        buffered_bytes: u64,
    },
    /// A buffer that was above its high water mark is down to the low one.
    #[non_exhaustive]
    LowWater {
        /// The service's name of the link that the [`HighWater`](Self::HighWater) before it named.
        service: Option<Arc<str>>,
        /// Where that link leads.
        endpoint: Endpoint,
        /// Bytes of frames in the buffer.
        buffered_bytes: u64,
    },
    /// A [`Failover`](crate::Failover) goes on with another target.
    #[non_exhaustive]
    Switched {
        /// The service's name of the new target, or of its first link, where that has one.
        service: Option<Arc<str>>,
        /// Where the new target, or its first link, leads.
        endpoint: Endpoint,
        /// Number of the old target, in order of preference from 0.
        from: usize,
        /// Number of the new one.
        to: usize,
        /// Why.
        cause: SwitchCause,
        /// Over links, the position of the first frame that the new target is to write; over whole
        /// sinks, the bytes of frames that other targets have written by now.
        position: u64,
    },
}

/// Why a [`Failover`](crate::Failover) goes on with another target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchCause {
    /// The attempts to connect to the old one were used up, or it failed in a way of its own.
    Unreachable,
    /// Its connection ended while there were messages for it.
    Lost,
    /// It has taken nothing for too long while there were messages for it.
    Stalled,
    /// The new one is preferred, and is well again.
    Returned,
}

/// The end of a connection: which frames were written on it, and where the next one goes on.
///
/// If the peer misses any of these frames, it misses a suffix of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionEnd {
    /// The service's name, where the link has one.
    pub service: Option<Arc<str>>,
    /// Where the link leads.
    pub endpoint: Endpoint,
    /// Number of the connection on this link, from 1.
    pub connection: u32,
    /// Position of the first frame written on it.
    pub first: Count,
    /// Position behind the last frame that the kernel took whole.
    pub end: Count,
    /// Bytes of one more frame that it took in part. The next connection repeats that frame.
    pub cut_bytes: u64,
    /// Position of the first frame of the next connection.
    pub next: Count,
    /// Why it ended.
    pub cause: EndCause,
}

impl ConnectionEnd {
    /// The end of a connection on which nothing was written.
    #[must_use]
    pub fn new(endpoint: Endpoint, connection: u32, cause: EndCause) -> Self {
        let (service, first) = (None, Count::default());
        Self { service, endpoint, connection, first, end: first, cut_bytes: 0, next: first, cause }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndCause {
    /// The peer closed it, or its sending half, before we did.
    PeerClosed,
    /// Reading or writing failed.
    Failed(io::ErrorKind),
    /// We closed it, and the peer closed in turn: it has read everything.
    Drained,
    /// We closed it without waiting for the peer to read everything.
    HungUp,
}
