//! The failover: the first target that works gets everything.

mod ask;
mod duty;
mod links;
mod set;
mod sinks;
mod spill;
mod visit;

pub use self::set::HandBackSet;

use self::duty::Duty;
use self::spill::Spill;
use crate::policy::FailoverPolicy;
use crate::sink::Count;

/// Brings every message to the first of its children that works: links below one buffer, or whole
/// sinks.
///
/// The children are targets in order of preference. One is on duty and gets everything; the others
/// sleep. When it has failed ([`FailoverPolicy`] says what counts as that), its connection is ended
/// and the next one goes on, after the last the first again. When a preferred target is well again
/// the failover returns to it. Each change is an event,
/// [`Event::Switched`](crate::Event::Switched).
///
/// | | over links | over whole sinks |
/// |---|---|---|
/// | such as | `Buffered<Failover<(TcpSink, UnixSink)>>` | `Failover<(Lazy<Buffered<TcpSink>>, Lazy<Buffered<UnixSink>>)>` |
/// | it is | a link | a sink |
/// | the next target goes on | from the first frame that no kernel has taken whole: the buffer is the replay | with what the failed one [hands back](crate::HandBack), then with what is new |
/// | it returns to a target | at the next frame's end | at the end of a flush that has written everything |
/// | memory | one buffer | a buffer for each child that is awake, and besides what the largest holds, until the next target has taken over a failed one's messages |
///
/// Over links it costs least; take it unless the children differ in what only a whole sink has: the
/// size of the buffer, the framing, the policy, a layer that concerns one of them.
///
/// # Guarantees
///
/// - What a kernel has not taken whole goes to the next target, and nothing else does: no frame is
///   written whole to two targets. What a receiver misses is a suffix of what was written on a
///   connection that has ended. (A target that is itself a fan-out has taken a frame when all of
///   its peers have; if it fails in between, some of them get what the next target gets too. A
///   target of several peers is lost as soon as it is not connected as a whole.)
/// - The frames of each receiver are in order. There is no promise across receivers.
/// - After a target has failed, each other one has one attempt at once. What comes then, the
///   back-off of each decides, so that no number of flapping peers makes a storm.
/// - A target that is left for a preferred one is flushed and drained, as at a disconnect.
///
/// Timeouts and probes are looked at in the calls that are made, and who waits in one is woken for
/// them; in a stack that is driven they are kept without any other call. Asleep, it stays with the
/// target that was on duty. Nothing is probed then.
///
/// It connects, and is connected, where the target on duty is. One without children takes what it is
/// given over links, and brings it nowhere; over sinks it refuses everything.
///
/// # Errors
///
/// A target that fails is no error while there is another to try. With a limit
/// ([`with_max_attempts`](crate::LazyPolicy::with_max_attempts) of a [`Lazy`](crate::Lazy) above)
/// callers get the last target's error when each has failed that often; nothing is lost, and what
/// is fed or flushed then begins anew.
///
/// Over whole sinks, children should take the same messages: one that was accepted for a target and
/// that the next cannot carry (too large for its buffer, or for its framing) is kept, and feeding
/// and flushing answer with that refusal until a target is on duty that can.
///
/// # Cost
///
/// Over links nothing per message, and a few instructions per flush while the first target works.
/// While another does, a look at the clock per flush, and for each preferred target one connection.
/// Over sinks a look at one child per message.
///
/// # Examples
///
/// Over links:
///
/// ```
/// use torq_message_sink::{Buffered, Failover, MemorySink, MessageSink};
///
/// # tokio_test::block_on(async {
/// let ((first, away), (second, there)) = (MemorySink::pair(64), MemorySink::pair(64));
/// away.refuse(true);
/// let mut sink = Buffered::new(Failover::new((first, second)));
/// sink.send("tick").await?;
/// assert_eq!(there.accept().expect("connected").read(), b"\0\0\0\x04tick");
/// assert_eq!(sink.get_ref().active(), 1);
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
///
/// Over whole sinks, which stop trying and so fail:
///
/// ```
/// use torq_message_sink::{Buffered, Failover, FailoverPolicy, Lazy, TcpSink, UnixSink};
///
/// let near = Buffered::new(UnixSink::new("/run/torq/market_data.sock")?);
/// let far = Buffered::with_capacity(TcpSink::new("10.0.0.7:9001")?, 1 << 20);
/// let sink: Failover<(Lazy<Buffered<UnixSink>>, Lazy<Buffered<TcpSink>>)> =
///     Failover::with_policy(
///         (Lazy::new(near).with_max_attempts(1), Lazy::new(far).with_max_attempts(3)),
///         FailoverPolicy::new().with_probes(5),
///     );
/// # Ok::<(), torq_message_sink::SinkError>(())
/// ```
#[derive(Debug)]
pub struct Failover<T> {
    children: T,
    duty: Duty,
    /// Over links: what the children together have taken.
    taken: u64,
    /// Over links: whether a write that takes everything leaves nothing to look at.
    is_settled: bool,
    /// Over sinks: what is on its way from a failed child to the next.
    spill: Spill,
    /// Over sinks: what was given up on that way when the sink was closed.
    dropped: Count,
    /// Over sinks: whether it takes no more messages.
    is_closing: bool,
    /// Over sinks: whether messages go straight to the active child. Not so while some are on their
    /// way to it, nor once it is closing.
    is_straight: bool,
}

impl<T> Failover<T> {
    /// A failover over `children`, all links or all sinks, in order of preference: a tuple, an array
    /// or a vector of them. It runs by the default [`FailoverPolicy`].
    pub fn new(children: T) -> Self {
        Self::with_policy(children, FailoverPolicy::new())
    }

    /// As [`new`](Self::new), with a policy of one's own choice.
    pub fn with_policy(children: T, policy: FailoverPolicy) -> Self {
        Self {
            children,
            duty: Duty::new(policy),
            taken: 0,
            is_settled: false,
            spill: Spill::default(),
            dropped: Count::default(),
            is_closing: false,
            is_straight: true,
        }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }

    /// The policy.
    pub const fn policy(&self) -> &FailoverPolicy {
        self.duty.policy()
    }

    /// Number of the child that is on duty, in order of preference from 0.
    pub const fn active(&self) -> usize {
        self.duty.active
    }
}
