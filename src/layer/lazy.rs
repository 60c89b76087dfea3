//! The lazy layer: gives a stack its policy, and puts it to sleep when no data flows.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::SinkError;
use crate::forward_sink;
use crate::policy::{Backoff, LazyPolicy, Reconnect};
use crate::sink::{End, HandBack, HandedBack, MessageSink};

/// Gives a sink its policy for connecting: timeouts, back-off, attempts, idle sleep, close
/// deadline.
///
/// Every sink here wakes when it is fed; with `Lazy` around it, it does so by a policy of one's
/// own. The policy is handed down to the links, each of which runs it by itself, so the children of
/// a fan-out reconnect independently. Of two `Lazy` the inner one wins.
///
/// Idle sleep is looked at in the calls that are made: a `flush` that finds nothing new, an
/// [`idle_timeout`](LazyPolicy::with_idle_timeout) or more after the first such one, begins to
/// disconnect, and the next ones see it through. An owner whose data may stop flushes now and then.
///
/// # Cost
///
/// Nothing per message: asleep is a closed window further down. The clock is looked at only by
/// flushes that find nothing new.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use torq_message_sink::{Buffered, Fanout, Lazy, TcpSink, UnixSink};
///
/// let sink: Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>> =
///     Lazy::new(Buffered::new(Fanout::new((
///         TcpSink::new("127.0.0.1:9001")?,
///         UnixSink::new("/run/torq/market_data.sock")?,
///     ))))
///     .with_connect_timeout(Duration::from_secs(1))
///     .with_idle_timeout(Some(Duration::from_secs(300)));
/// # Ok::<(), torq_message_sink::SinkError>(())
/// ```
#[derive(Debug)]
// The sink first, at the layer's own address: behind the others it takes a register to find it, which
// was an instruction per message in a loop that feeds.
#[repr(C)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct Lazy<S> {
    inner: S,
    policy: Arc<LazyPolicy>,
    /// None without an idle timeout: flushes have nothing to look at then.
    idle: Option<Box<Idle>>,
}

/// How long nothing new has come.
#[derive(Debug)]
struct Idle {
    timeout: Duration,
    /// What was accepted when the last flush looked.
    accepted_bytes: u64,
    /// When a flush first found that nothing had been accepted since the one before.
    since: Option<Instant>,
}

impl Idle {
    fn new(timeout: Duration) -> Box<Self> {
        Box::new(Self { timeout, accepted_bytes: 0, since: None })
    }
}

impl<S: MessageSink> Lazy<S> {
    /// Wraps `inner` with the default policy.
    pub fn new(inner: S) -> Self {
        Self::with_policy(inner, LazyPolicy::shared_default())
    }

    /// Wraps `inner` with `policy`.
    pub fn with_policy(mut inner: S, policy: impl Into<Arc<LazyPolicy>>) -> Self {
        let policy = policy.into();
        inner.set_policy(&policy);
        let idle = policy.idle_timeout.map(Idle::new);
        Self { inner, policy, idle }
    }

    /// The policy.
    pub fn policy(&self) -> &LazyPolicy {
        &self.policy
    }

    /// See [`LazyPolicy::with_connect_timeout`].
    pub fn with_connect_timeout(self, timeout: Duration) -> Self {
        self.change(|policy| policy.with_connect_timeout(timeout))
    }

    /// See [`LazyPolicy::with_backoff`].
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        self.change(|policy| policy.with_backoff(backoff))
    }

    /// See [`LazyPolicy::with_max_attempts`].
    pub fn with_max_attempts(self, attempts: u32) -> Self {
        self.change(|policy| policy.with_max_attempts(attempts))
    }

    /// See [`LazyPolicy::with_min_uptime`].
    pub fn with_min_uptime(self, uptime: Duration) -> Self {
        self.change(|policy| policy.with_min_uptime(uptime))
    }

    /// See [`LazyPolicy::with_reconnect`].
    pub fn with_reconnect(self, reconnect: Reconnect) -> Self {
        self.change(|policy| policy.with_reconnect(reconnect))
    }

    /// See [`LazyPolicy::with_idle_timeout`].
    pub fn with_idle_timeout(self, timeout: Option<Duration>) -> Self {
        self.change(|policy| policy.with_idle_timeout(timeout))
    }

    /// See [`LazyPolicy::with_close_deadline`].
    pub fn with_close_deadline(self, deadline: Duration) -> Self {
        self.change(|policy| policy.with_close_deadline(deadline))
    }

    /// See [`LazyPolicy::with_counting`].
    pub fn with_counting(self, counting: bool) -> Self {
        self.change(|policy| policy.with_counting(counting))
    }

    fn change(mut self, change: impl FnOnce(LazyPolicy) -> LazyPolicy) -> Self {
        self.policy = Arc::new(change(LazyPolicy::clone(&self.policy)));
        self.inner.set_policy(&self.policy);
        self.idle = self.policy.idle_timeout.map(Idle::new);
        self
    }

    /// After a flush: if it found nothing new, and none has for the timeout, disconnects step by
    /// step, in this flush and the next ones, so that a peer that talks destroys nothing.
    #[cold]
    fn sleep_if_idle(&mut self, cx: &mut Context<'_>) {
        let Some(idle) = &mut self.idle else { return };
        let accepted_bytes = self.inner.accepted_bytes();
        if idle.accepted_bytes != accepted_bytes {
            (idle.accepted_bytes, idle.since) = (accepted_bytes, None);
            return;
        }
        let (now, timeout) = (Instant::now(), idle.timeout);
        let since = now.duration_since(*idle.since.get_or_insert(now));
        if since >= timeout.saturating_add(self.policy.close_deadline) {
            self.inner.end(End::Sleep);
        } else if since >= timeout {
            let _ = self.inner.poll_disconnect(cx);
        }
    }
}

impl<S> Lazy<S> {
    /// The sink below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: MessageSink> MessageSink for Lazy<S> {
    forward_sink! { inner:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes outstanding_bytes
        report_into take_events
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.inner.poll_flush(cx))?;
        if self.idle.is_some() {
            self.sleep_if_idle(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Ignored: this layer has a policy of its own, and the nearest one wins.
    fn set_policy(&mut self, _: &Arc<LazyPolicy>) {}

    /// When a flush that still finds nothing new begins to disconnect, and when it gives up on
    /// that.
    fn due(&self) -> Option<std::time::Instant> {
        let now = Instant::now();
        let begin = self.idle.as_ref().and_then(|idle| idle.since?.checked_add(idle.timeout));
        let end = begin.and_then(|begin| begin.checked_add(self.policy.close_deadline));
        let idle = [begin, end].into_iter().flatten().find(|time| *time > now);
        idle.map(Instant::into_std).into_iter().chain(self.inner.due()).min()
    }

    fn close_deadline(&self) -> Duration {
        self.policy.close_deadline
    }
}

impl<S: HandBack> HandBack for Lazy<S> {
    const MARKED: bool = S::MARKED;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.inner.hand_back(each);
    }
}
