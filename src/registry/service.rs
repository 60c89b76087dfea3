//! A service as it was checked: nothing in it can be out of range or contradict itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::WhenFull;
use crate::endpoint::Endpoint;
use crate::framing::LengthPrefixed;
use crate::options::{LinkOptions, TcpOptions, UnixOptions};
use crate::policy::LazyPolicy;

/// One `[services.NAME]` of services.toml: where it leads and how its stack behaves.
///
/// Where a composite takes an endpoint service as a target, it takes its place and its link's
/// options; the buffer and the lazy policy are the composite's own, since its stack has one buffer
/// above all links.
#[derive(Clone, PartialEq)]
pub struct Service {
    pub(super) name: Arc<str>,
    pub(super) written: Written,
    pub(super) target: Target,
    pub(super) buffer: BufferConfig,
    // What a sink is built by, it shares with its service.
    pub(crate) lazy: Arc<LazyPolicy>,
    /// Of its one link; what stands here for a composite means nothing.
    pub(crate) link: Arc<LinkOptions>,
}

impl Service {
    /// Leaves out the targets that are `disabled`, which is sorted.
    pub(super) fn leave_out(&mut self, disabled: &[Arc<str>]) {
        let Target::Composite { targets, .. } = &mut self.target else { return };
        let is_out = |target: &Arc<str>| disabled.binary_search(target).is_ok();
        if targets.iter().any(is_out) {
            *targets = targets.iter().filter(|target| !is_out(target)).cloned().collect();
        }
    }

    /// The name, as callers ask for it. 1 to 255 bytes, no control characters.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it leads.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The buffer of its stack.
    #[must_use]
    pub fn buffer(&self) -> &BufferConfig {
        &self.buffer
    }

    /// The same without a layer above its buffer: what stands below that layer.
    pub(crate) fn below_layer(&self) -> Self {
        let mut service = self.clone();
        if let Some(told) = &mut service.buffer.told {
            (told.deadline, told.priority) = (None, None);
        }
        service
    }

    /// Timeouts, back-off and idle time of its stack.
    #[must_use]
    pub fn lazy(&self) -> &LazyPolicy {
        &self.lazy
    }

    /// Options of its TCP link; the defaults where its endpoint is no `tcp://`.
    #[must_use]
    pub fn tcp(&self) -> &TcpOptions {
        self.link.tcp()
    }

    /// Options of its unix link; the defaults where its endpoint is no `unix://`.
    #[must_use]
    pub fn unix(&self) -> &UnixOptions {
        self.link.unix()
    }
}

/// What came from variables is shown as it was written: it may be secret.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Service");
        shown.field("name", &self.name);
        match &self.written.0 {
            Some(written) => shown.field("endpoint", &written.endpoint),
            None => shown.field("target", &self.target),
        };
        shown
            .field("buffer", &self.buffer)
            .field("lazy", &self.lazy)
            .field("tcp", self.tcp())
            .field("unix", self.unix())
            .finish()
    }
}

/// What was written with variables, where anything was. Services differ by what they are, not by
/// this; and few have it, so that it is one word in the others.
#[derive(Clone)]
pub(super) struct Written(Option<Box<AsWritten>>);

#[derive(Clone)]
struct AsWritten {
    endpoint: Box<str>,
}

impl Written {
    pub(super) fn new(endpoint: Option<&str>) -> Self {
        Self(endpoint.map(|endpoint| Box::new(AsWritten { endpoint: endpoint.into() })))
    }
}

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Where a service leads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// To one peer (`type = "direct"` or `"relay"`).
    #[non_exhaustive]
    Endpoint {
        /// What stands there.
        role: Role,
        /// Where it stands.
        endpoint: Endpoint,
    },
    /// To other services of the same registry (`type = "composite"`).
    #[non_exhaustive]
    Composite {
        /// How messages are spread over them.
        pattern: Pattern,
        /// What a slow or dead target does to the others.
        isolation: Isolation,
        /// Their names in file order, without those that are disabled: at least one, each of them
        /// known, none twice, no cycle.
        /// [`Registry::leaves`](crate::Registry::leaves) follows them down to endpoints.
        targets: Arc<[Arc<str>]>,
    },
}

/// What stands at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The receiver itself, point to point.
    Direct,
    /// A relay on this host that forwards to the receivers of a domain.
    Relay,
}

/// How a composite spreads messages over its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// Every message to all targets.
    Fanout,
    /// What is written at a time to one target, the next to the next that works. As in a
    /// [`RoundRobin`](crate::RoundRobin) over links.
    RoundRobin,
    /// All messages to the first target that works.
    Failover,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fanout => "fan-out",
            Self::RoundRobin => "round-robin",
            Self::Failover => "failover",
        })
    }
}

/// What a slow or dead target of a fan-out does to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// All targets gate: the slowest sets the pace (the default).
    #[default]
    All,
    /// None does: who cannot keep up misses messages, as in a
    /// [`BestEffort`](crate::BestEffort).
    BestEffort,
    /// So many targets set the pace, whichever they are: at least one, and not more than gate. As in
    /// a [`Quorum`](crate::Quorum).
    Quorum(u16),
}

/// How lanes of a stack take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// Each twice as often as the one below it, so that none starves.
    Weighted,
    /// A message goes when no more urgent one waits.
    Strict,
}

/// The buffer of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferConfig {
    pub(super) capacity: u32,
    pub(super) max_frame: u32,
    /// What few buffers are told; every service has room for this, used or not.
    pub(super) told: Option<Box<Told>>,
}

/// What a buffer does unless it is to wait when it is full, to say nothing, to flush at once, and
/// to take messages as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) when_full: WhenFull,
    /// The high one and the low one.
    pub(super) water_marks: Option<(u32, u32)>,
    /// For so long, or up to so many bytes.
    pub(super) max_delay: Option<(Duration, u32)>,
    /// One of these two at most.
    pub(super) deadline: Option<Duration>,
    pub(super) priority: Option<Priority>,
}

impl BufferConfig {
    /// Bytes of encoded frames that it holds, 64 to 1 GiB. Default: 64 KiB.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// What becomes of a message for which there is no room.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        self.told.as_ref().map_or(WhenFull::Wait, |told| told.when_full)
    }

    /// The high and the low water mark in bytes, where there are any: the high one at most the
    /// capacity, the low one at most the high one.
    #[must_use]
    pub fn water_marks(&self) -> Option<(usize, usize)> {
        let (high, low) = self.told.as_ref()?.water_marks?;
        Some((high as usize, low as usize))
    }

    /// How long messages that were only fed may wait for more in a shared sink, and how many bytes
    /// do not wait any longer, at most the capacity; none when they are flushed at once.
    #[must_use]
    pub fn max_delay(&self) -> Option<(Duration, usize)> {
        let (max_delay, flush_at) = self.told.as_ref()?.max_delay?;
        Some((max_delay, flush_at as usize))
    }

    /// The age at which messages that have no deadline of their own are too late, where they may
    /// be. As in a [`Deadline`](crate::Deadline).
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.told.as_ref()?.deadline
    }

    /// How its four lanes take turns, where it has lanes. As in [`Lanes`](crate::Lanes). There are
    /// none beside a [`deadline`](Self::deadline).
    #[must_use]
    pub fn priority(&self) -> Option<Priority> {
        self.told.as_ref()?.priority
    }

    /// Bytes of messages that may wait in front of it, in all lanes together, each counted with 80
    /// more than it has. Of a deadline four times what the buffer holds, since that may come back.
    pub(crate) fn waiting(&self) -> usize {
        self.capacity().saturating_mul(4)
    }

    /// Bytes of the largest payload that its framing takes, 1 to 1 GiB. Default: 8 MiB. A frame
    /// must fit the capacity too.
    #[must_use]
    pub const fn max_frame(&self) -> usize {
        self.max_frame as usize
    }
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self {
            capacity: 64 * 1024,
            told: None,
            max_frame: LengthPrefixed::DEFAULT_MAX_FRAME as u32,
        }
    }
}
