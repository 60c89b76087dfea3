//! What happens to links and to what stands above them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::error::SinkError;
use crate::sink::{Count, Report, SinkState};

/// Something that happened to a link, or to a layer or composite above it.
///
/// Each change of a leaf's [`SinkState`] is one event, and [`state`](Self::state) says which state
/// it led to. Those of layers and composites name the link that they are about, or the first one.
///
/// # Examples
///
/// What a link does about a peer that is not there, and then is:
///
/// ```
/// use torq_message_sink::{Buffered, Event, MemorySink, MessageSink};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), torq_message_sink::SinkError> {
/// let (link, peer) = MemorySink::pair(64);
/// let mut sink = Buffered::new(link.with_service("strategy"));
/// peer.refuse(true);
/// let refused_once = async {
///     while peer.attempts() == 0 {
///         tokio::task::yield_now().await;
///     }
///     peer.refuse(false);
/// };
/// let (sent, ()) = tokio::join!(sink.send("tick"), refused_once);
/// sent?;
/// drop(peer.accept());
/// sink.close().await?;
///
/// let mut states = Vec::new();
/// sink.take_events(&mut |event| {
///     assert_eq!(event.service(), Some("strategy"));
///     if let Event::BackingOff { failures, delay, error, .. } = &event {
///         println!("{failures} failed, the next in {delay:?}: {error:?}");
///     }
///     states.extend(event.state().map(|state| state.to_string()));
/// });
/// assert_eq!(states, ["connecting", "backing off", "connecting", "connected", "asleep", "closed"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// An attempt to connect begins.
    #[non_exhaustive]
    Connecting {
        /// The service's name, where the link has one.
        service: Option<Arc<str>>,
        /// Where the link leads.
        endpoint: Endpoint,
        /// Number of the attempt since there was a connection that lasted, from 1.
        attempt: u32,
    },
    /// An attempt to connect has failed, or the last connection did not last: the next attempt
    /// comes after a wait.
    #[non_exhaustive]
    BackingOff {
        /// The service's name, where the link has one.
        service: Option<Arc<str>>,
        /// Where the link leads.
        endpoint: Endpoint,
        /// Attempts that have failed in a row, connections that did not last among them.
        failures: u32,
        /// How long the wait is. Data that has to leave before a deadline cuts it short.
        delay: Duration,
        /// Why the last attempt failed; `None` if none has since the last connection.
        error: Option<SinkError>,
    },
    /// No connection is being made any more: the attempts were used up, or the sink was told to
    /// sleep or to close.
    #[non_exhaustive]
    GaveUp {
        /// The service's name, where the link has one.
        service: Option<Arc<str>>,
        /// Where the link leads.
        endpoint: Endpoint,
        /// Attempts that have failed in a row.
        failures: u32,
        /// Why the last attempt failed, if one has.
        error: Option<SinkError>,
    },
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
    /// A link was closed for good.
    #[non_exhaustive]
    Closed {
        /// The service's name, where the link has one.
        service: Option<Arc<str>>,
        /// Where the link leads.
        endpoint: Endpoint,
    },
    /// A link that nobody waits for, below a [`BestEffort`](crate::BestEffort), has missed something
    /// after it had everything; or a whole sink there has.
    #[non_exhaustive]
    FellBehind {
        /// The service's name of the link, or of the sink's first one, where it has one.
        service: Option<Arc<str>>,
        /// Where that link leads.
        endpoint: Endpoint,
    },
    /// One that fell behind has written everything again that it has not missed.
    #[non_exhaustive]
    CaughtUp {
        /// The service's name of the link, or of the sink's first one, where it has one.
        service: Option<Arc<str>>,
        /// Where that link leads.
        endpoint: Endpoint,
        /// What it has missed since [`FellBehind`](Self::FellBehind), as in
        /// [`Dropped::skipped`](crate::Dropped::skipped).
        missed: Count,
    },
    /// The circuit of a [`CircuitBreaker`](crate::CircuitBreaker) has changed.
    #[non_exhaustive]
    Circuit {
        /// The service's name of the first link below, where it has one.
        service: Option<Arc<str>>,
        /// Where the first link below leads.
        endpoint: Endpoint,
        /// What it is now.
        circuit: Circuit,
        /// How long it stays open at least; `None` if it is not open.
        open_time: Option<Duration>,
    },
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

impl Event {
    /// The state that the link is in since, if this is a change of its state.
    #[must_use]
    pub const fn state(&self) -> Option<SinkState> {
        match self {
            Self::Connecting { .. } => Some(SinkState::Connecting),
            Self::BackingOff { .. } => Some(SinkState::BackingOff),
            Self::Connected { .. } => Some(SinkState::Connected),
            Self::Ended(_) | Self::GaveUp { .. } => Some(SinkState::Asleep),
            Self::Closed { .. } => Some(SinkState::Closed),
            _ => None,
        }
    }

    /// The service's name of the link that it is about, where that has one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.about().0.as_deref()
    }

    /// Where the link leads that it is about.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        self.about().1
    }

    /// Whether it tells of attempts to connect, none of which has come to a connection.
    pub(crate) const fn is_attempt(&self) -> bool {
        matches!(self, Self::Connecting { .. } | Self::BackingOff { .. } | Self::GaveUp { .. })
    }

    const fn about(&self) -> (&Option<Arc<str>>, &Endpoint) {
        match self {
            Self::Ended(ConnectionEnd { service, endpoint, .. })
            | Self::Connecting { service, endpoint, .. }
            | Self::BackingOff { service, endpoint, .. }
            | Self::GaveUp { service, endpoint, .. }
            | Self::Connected { service, endpoint, .. }
            | Self::Closed { service, endpoint }
            | Self::FellBehind { service, endpoint }
            | Self::CaughtUp { service, endpoint, .. }
            | Self::Circuit { service, endpoint, .. }
            | Self::HighWater { service, endpoint, .. }
            | Self::LowWater { service, endpoint, .. }
            | Self::Switched { service, endpoint, .. } => (service, endpoint),
        }
    }
}

/// Whom an event of a layer or composite names: the first link of what is below it.
pub(crate) fn first_link(report: Report) -> (Option<Arc<str>>, Endpoint) {
    let nowhere = || (None, Endpoint::Other("nowhere".into()));
    report.leaves.into_iter().next().map_or_else(nowhere, |leaf| (leaf.service, leaf.endpoint))
}

/// What a [`CircuitBreaker`](crate::CircuitBreaker) does with messages, as of the last call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// It lets them through.
    Closed,
    /// It refuses them.
    Open,
    /// It lets one through, and waits for what becomes of it.
    HalfOpen,
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
