//! How a sink behaves between its connections: plain data, handed from the lazy layer to the links.

mod failover;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub use self::failover::FailoverPolicy;

/// Timeouts, back-off, attempts and idle time of a lazy stack.
///
/// [`Lazy`](crate::Lazy) holds it and hands it down; every link of the stack runs by it on its own.
/// The defaults are those of `services.toml`.
#[derive(Clone, Debug, PartialEq)]
pub struct LazyPolicy {
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) max_attempts: u32,
    pub(crate) min_uptime: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) close_deadline: Duration,
    pub(crate) reconnect: Reconnect,
    pub(crate) counting: bool,
}

/// Exponential back-off with full jitter: before attempt *n* after *n* failures a link waits a
/// random time between zero and `initial * multiplier^(n-1)`, at most `max`.
///
/// Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
    pub(crate) multiplier: f64,
}

/// When a lost connection is made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reconnect {
    /// When there is data to write (the default).
    #[default]
    OnData,
    /// At the next call after the loss, data or not.
    Eager,
}

impl LazyPolicy {
    /// The defaults: 5 s to connect, back-off from 100 ms to 30 s, attempts for ever, a connection
    /// counts as good after 1 s, no idle sleep, 5 s to close.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::new(),
            max_attempts: 0,
            min_uptime: Duration::from_secs(1),
            idle_timeout: None,
            close_deadline: Duration::from_secs(5),
            reconnect: Reconnect::OnData,
            counting: false,
        }
    }

    /// How long one attempt to connect may take, name resolution and all addresses included.
    /// Default: 5 s.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The waits between attempts.
    #[must_use]
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many attempts in a row may fail before callers get the error; 0, the default, is no
    /// limit. What was accepted is kept, and new data starts a new series.
    #[must_use]
    pub const fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long a connection must have been up for the back-off to start over. Default: 1 s.
    #[must_use]
    pub const fn with_min_uptime(mut self, uptime: Duration) -> Self {
        self.min_uptime = uptime;
        self
    }

    /// After how long without data the sink goes to sleep; `None`, the default, is never. Looked at
    /// in flushes that find nothing new, and counted from the first of them.
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long `close` and `disconnect` go on trying. Default: 5 s.
    #[must_use]
    pub const fn with_close_deadline(mut self, deadline: Duration) -> Self {
        self.close_deadline = deadline;
        self
    }

    /// When a lost connection is made again.
    #[must_use]
    pub const fn with_reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Whether frames are counted, not only bytes. Default: no. The count is made where bytes
    /// leave, by reading the headers of what was written: a few instructions per message and link
    /// on the flush path, none where messages are fed.
    #[must_use]
    pub const fn with_counting(mut self, counting: bool) -> Self {
        self.counting = counting;
        self
    }
}

impl LazyPolicy {
    /// The defaults, once for all that have no policy of their own.
    pub(crate) fn shared_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<LazyPolicy>> = LazyLock::new(Arc::default);
        DEFAULT.clone()
    }
}

/// What is set, for links and layers that run by it; the `with_` methods say what each means.
impl LazyPolicy {
    /// How long one attempt to connect may take.
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The waits between attempts.
    #[must_use]
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// How many attempts in a row may fail; 0 is no limit.
    #[must_use]
    pub const fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// How long a connection must have been up for the back-off to start over.
    #[must_use]
    pub const fn min_uptime(&self) -> Duration {
        self.min_uptime
    }

    /// After how long without data the sink goes to sleep.
    #[must_use]
    pub const fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// How long `close` and `disconnect` go on trying.
    #[must_use]
    pub const fn close_deadline(&self) -> Duration {
        self.close_deadline
    }

    /// When a lost connection is made again.
    #[must_use]
    pub const fn reconnect(&self) -> Reconnect {
        self.reconnect
    }

    /// Whether frames are counted.
    #[must_use]
    pub const fn counting(&self) -> bool {
        self.counting
    }
}

impl Default for LazyPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl Backoff {
    /// From 100 ms, doubling, to at most 30 s.
    #[must_use]
    pub const fn new() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(30), multiplier: 2.0 }
    }

    /// The longest wait after the first failure. Default: 100 ms.
    #[must_use]
    pub const fn with_initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// The longest wait of all. Default: 30 s.
    #[must_use]
    pub const fn with_max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// The growth from one failure to the next; below 1, or not a number, it is 1. Default: 2.
    #[must_use]
    pub const fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// The longest wait before the next attempt after `failures` failures in a row; zero before the
    /// first.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let Some(exponent) = failures.checked_sub(1) else { return Duration::ZERO };
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let multiplier = if self.multiplier >= 1.0 { self.multiplier } else { 1.0 };
        let factor = multiplier.powi(exponent.min(i32::MAX as u32) as i32);
        let seconds = (self.initial.as_secs_f64() * factor).min(self.max.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max).min(self.max)
    }

    /// The wait itself: `fraction` of the ceiling, where `fraction` is uniform in 0 to 1.
    #[must_use]
    pub fn wait(&self, failures: u32, fraction: f64) -> Duration {
        let seconds = self.ceiling(failures).as_secs_f64() * fraction.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_doubles_up_to_the_maximum() {
        let backoff = Backoff::new();
        let millis = |failures| backoff.ceiling(failures).as_millis();
        assert_eq!([millis(0), millis(1), millis(2), millis(3)], [0, 100, 200, 400]);
        assert_eq!(backoff.ceiling(100), Duration::from_secs(30));
        assert_eq!(backoff.ceiling(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn hostile_numbers_stay_within_the_maximum() {
        for multiplier in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            let backoff = Backoff::new().with_multiplier(multiplier);
            for failures in [0, 1, 2, 1000, u32::MAX] {
                assert!(backoff.wait(failures, 1.0) <= Duration::from_secs(30));
            }
        }
        let forever = Backoff::new().with_initial(Duration::MAX).with_max(Duration::MAX);
        assert_eq!(forever.ceiling(9), Duration::MAX);
        assert!(forever.wait(9, 0.5) < Duration::MAX);
        assert_eq!(forever.wait(9, 1.0), Duration::MAX);
        let never = Backoff::new().with_initial(Duration::ZERO);
        assert_eq!(never.wait(u32::MAX, 1.0), Duration::ZERO);
    }
}
