//! What makes a failover change its target: plain data.

use std::time::Duration;

/// What counts as the failure of a target, and when a failover returns to one that it prefers.
///
/// | a target has failed when | by default |
/// |---|---|
/// | it could not be connected to: [`attempts`](Self::with_attempts) in a row | 1 |
/// | its connection ended while there were messages for it | always |
/// | it took nothing for a while, connected or not: [`stall_timeout`](Self::with_stall_timeout) | 30 s |
///
/// It returns to a preferred target when that one was found connected by so many
/// [`probes`](Self::with_probes) in a row (3), one every
/// [`probe_interval`](Self::with_probe_interval) (5 s), and the last change is a
/// [`hold`](Self::with_hold) ago (30 s).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use torq_message_sink::FailoverPolicy;
///
/// let stays = FailoverPolicy::new().with_probes(0);
/// let quick = FailoverPolicy::new()
///     .with_stall_timeout(Some(Duration::from_secs(2)))
///     .with_probe_interval(Duration::from_secs(1))
///     .with_hold(Duration::from_secs(10));
/// assert!(quick != stays);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    pub(crate) attempts: u32,
    pub(crate) stall_timeout: Option<Duration>,
    pub(crate) probes: u32,
    pub(crate) probe_interval: Duration,
    pub(crate) hold: Duration,
}

impl FailoverPolicy {
    /// The defaults: one attempt, 30 s without progress; back after three good probes 5 s apart,
    /// and not before 30 s.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            attempts: 1,
            stall_timeout: Some(Duration::from_secs(30)),
            probes: 3,
            probe_interval: Duration::from_secs(5),
            hold: Duration::from_secs(30),
        }
    }

    /// How many attempts to connect in a row may fail before a target has; 0 is 1, the default.
    ///
    /// A child that is a whole sink under a [`Lazy`](crate::Lazy) of its own goes by that one's
    /// [`with_max_attempts`](crate::LazyPolicy::with_max_attempts): set it, since a sink that tries
    /// for ever fails by the stall timeout only.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long a target may take nothing while there are messages for it; `None` is for ever.
    /// Default: 30 s, at least 1 ms. Of a whole sink it is seen within twice that time.
    #[must_use]
    pub const fn with_stall_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// How many good probes in a row a preferred target needs before the failover returns to it; 0
    /// is never: it stays where it is until that fails. Default: 3.
    ///
    /// The first probe connects, and the connection is kept while all goes well. Each of the next
    /// finds it alive, or does not and begins anew, by the target's own back-off.
    #[must_use]
    pub const fn with_probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }

    /// The time between two probes; all preferred targets are probed together. Default: 5 s, at
    /// least 1 ms.
    #[must_use]
    pub const fn with_probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// How long a failover stays with a target that works before it returns to one that it prefers.
    /// Default: 30 s.
    #[must_use]
    pub const fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }
}

/// What is set; the `with_` methods say what each means.
impl FailoverPolicy {
    /// How many attempts to connect in a row may fail, 1 at least.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        if self.attempts == 0 { 1 } else { self.attempts }
    }

    /// How long a target may take nothing.
    #[must_use]
    pub const fn stall_timeout(&self) -> Option<Duration> {
        self.stall_timeout
    }

    /// How many good probes in a row it takes to return; 0 is never.
    #[must_use]
    pub const fn probes(&self) -> u32 {
        self.probes
    }

    /// The time between two probes.
    #[must_use]
    pub const fn probe_interval(&self) -> Duration {
        self.probe_interval
    }

    /// How long it stays with a target that works.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self::new()
    }
}
