//! What the stacks of a file take at most, computed before anything starts.

use std::collections::HashMap;
use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::sync::Arc;

use super::Registry;
use super::service::{BufferConfig, Isolation, Pattern, Service, Target};
use crate::buffer::WhenFull;
use crate::framing::{Framing, LengthPrefixed};

/// What something takes at most, whatever its peers do.
///
/// # Examples
///
/// Two sinks of one name, and one of another:
///
/// ```
/// use torq_message_sink::{Cost, Registry};
///
/// let registry = Registry::from_str(
///     r#"
///     services.orders = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
///     services.events = { type = "direct", endpoint = "unix:///run/events.sock" }
///     "#,
/// )?;
/// let budget = registry.budget();
/// let [orders, events] = ["orders", "events"].map(|name| budget.get(name).unwrap().sink);
/// let program: Cost = [orders, orders, events].into_iter().sum();
/// assert_eq!(program.fds, 3);
/// assert!(program.bytes < 3 * 100 * 1024);
/// # Ok::<(), torq_message_sink::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Bytes of the process's own memory.
    pub bytes: u64,
    /// File descriptors: connections that are there or being made.
    pub fds: u64,
    /// Tasks of the runtime: attempts to connect, and drivers.
    pub tasks: u64,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            fds: self.fds.saturating_add(other.fds),
            tasks: self.tasks.saturating_add(other.tasks),
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// What one sink to a service takes at most while it is awake. Asleep it has neither descriptor nor
/// task, and no buffer unless something is left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceBudget {
    /// The service's name.
    pub service: Arc<str>,
    /// Endpoints that it leads to.
    pub links: u64,
    /// One sink of [`create_sink`](crate::SinkFactory::create_sink).
    pub sink: Cost,
    /// The sink of [`shared_sink`](crate::SinkFactory::shared_sink), of which there is one: beside
    /// the stack it has two buffers, which are swapped, and the driver.
    pub shared: Cost,
}

/// What the services of a configuration take at most, by [`Registry::budget`].
///
/// Its text is a table for operators, in which descriptors and tasks are the shared sink's:
///
/// ```text
/// service            links         sink       shared  fds  tasks
/// market_data            2      288 KiB      804 KiB    2      3
/// strategy_a             1       84 KiB      216 KiB    1      2
/// total, all shared      3                  1020 KiB    3      5
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    services: Box<[ServiceBudget]>,
}

impl Budget {
    /// What the service of that name takes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ServiceBudget> {
        let found = self.services.binary_search_by(|budget| (*budget.service).cmp(name));
        found.ok().map(|index| &self.services[index])
    }

    /// What each service takes, sorted by name.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &ServiceBudget> {
        self.services.iter()
    }

    /// What a process takes at most that has every service awake at once, each by its
    /// [`shared_sink`](crate::SinkFactory::shared_sink), which is the dearest way to have one.
    #[must_use]
    pub fn total(&self) -> Cost {
        self.services.iter().map(|budget| budget.shared).sum()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.services.iter().map(|budget| budget.service.chars().count());
        let width = names.max().unwrap_or(0).clamp(TOTAL.len(), MAX_WIDTH);
        writeln!(f, "{:width$}  links         sink       shared  fds  tasks", "service")?;
        for ServiceBudget { service, links, sink, shared } in &self.services {
            let (sink, bytes) = (Bytes(sink.bytes).to_string(), Bytes(shared.bytes).to_string());
            write!(f, "{service:width$}  {links:>5}  {sink:>11}  {bytes:>11}  ")?;
            writeln!(f, "{:>3}  {:>5}", shared.fds, shared.tasks)?;
        }
        let (total, links) = (self.total(), self.services.iter().map(|s| s.links).sum::<u64>());
        let bytes = Bytes(total.bytes).to_string();
        write!(f, "{TOTAL:width$}  {links:>5}  {:>11}  {bytes:>11}  ", "")?;
        write!(f, "{:>3}  {:>5}", total.fds, total.tasks)
    }
}

/// The name of the last line.
const TOTAL: &str = "total, all shared";

/// Names beyond this many characters move the columns of their own line only.
const MAX_WIDTH: usize = 40;

/// A number of bytes for people, rounded up to a unit of which there are at least ten.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 / 10 >= *unit) {
            Some((unit, name)) => write!(f, "{} {name}", self.0.div_ceil(unit)),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl Registry {
    /// What the services take at most, computed from what the file says alone: bytes of memory,
    /// file descriptors and tasks, whatever peers do.
    ///
    /// For a sink of its own, with `frame` the largest frame that the buffer takes:
    ///
    /// ```text
    /// bytes = capacity + frame * tails + 12 KiB * (links + failovers) + 8 KiB
    /// fds   = links
    /// tasks = links
    /// ```
    ///
    /// `tails` are the links that may have to finish a frame which the buffer no longer keeps:
    /// those that may be left behind (all of a best effort, all but K of a quorum, every one where
    /// the oldest messages are dropped), of a failover no more than two. A link takes its 12 KiB
    /// for 64 events that nobody has asked for, its attempt to connect, and what the runtime keeps
    /// of a connection; water marks take 8 KiB. A layer takes three times the bytes that may wait in
    /// it, which are `4 * capacity`; a deadline also what it remembers of each message in the buffer,
    /// which is 400 bytes for each that fits: most for messages of nothing. A shared sink takes `2 * capacity + 4 KiB` and a
    /// task more.
    ///
    /// Not in it: what kernels hold for sockets (`send_buffer` bounds that); what the system's
    /// resolver takes while it looks up a host name, which is a thread of the runtime's for each
    /// link; a place in a queue for each task that waits at a shared sink; attempts that were given
    /// up, until the runtime's next turn.
    ///
    /// # Cost
    ///
    /// A walk over the targets of each composite; nothing is opened or resolved.
    ///
    /// # Examples
    ///
    /// ```
    /// use torq_message_sink::Registry;
    ///
    /// let registry = Registry::from_str(
    ///     r#"
    ///     services.a = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
    ///     services.b = { type = "direct", endpoint = "tcp://127.0.0.1:9002" }
    ///     [services.both]
    ///     type = "composite"
    ///     pattern = "fanout"
    ///     targets = ["a", "b"]
    ///     buffer = { capacity = "1MiB" }
    ///     "#,
    /// )?;
    /// println!("{}", registry.budget());
    /// let both = registry.budget().get("both").unwrap().sink;
    /// assert_eq!((both.fds, both.tasks), (2, 2));
    /// assert!(both.bytes > 1 << 20 && both.bytes < (1 << 20) + (64 << 10));
    /// # Ok::<(), torq_message_sink::ConfigError>(())
    /// ```
    #[must_use]
    pub fn budget(&self) -> Budget {
        let mut walk = Walk { registry: self, known: HashMap::new() };
        Budget { services: self.services().map(|service| walk.budget(service)).collect() }
    }
}

/// The way through all composites, each of which is looked into once.
struct Walk<'r> {
    registry: &'r Registry,
    known: HashMap<(&'r str, bool), Parts>,
}

/// What a stack is made of below its buffer.
#[derive(Clone, Copy, Default)]
struct Parts {
    links: u64,
    /// Links that may have to finish a frame from memory of their own, at the same time.
    tails: u64,
    failovers: u64,
}

impl<'r> Walk<'r> {
    fn budget(&mut self, service: &'r Service) -> ServiceBudget {
        let buffer = service.buffer();
        let capacity = buffer.capacity() as u64;
        let framing = LengthPrefixed::with_max_frame(buffer.max_frame());
        let frame = capacity.min(framing.max_frame_size() as u64);
        let parts = self.parts(service, buffer.when_full() == WhenFull::DropOldest);
        let marks = if buffer.water_marks().is_some() { EVENTS } else { 0 };
        // Endpoints are hundreds and sizes a few GiB, at most.
        let below = frame * parts.tails + LINK * parts.links + FAILOVER * parts.failovers;
        let bytes = capacity + below + marks + layer(buffer) + STACK;
        let sink = Cost { bytes, fds: parts.links, tasks: parts.links };
        let driver = Cost { bytes: 2 * capacity + DRIVER, fds: 0, tasks: 1 };
        let (service, links) = (service.name().clone(), parts.links);
        ServiceBudget { service, links, sink, shared: sink + driver }
    }

    /// What stands below the buffer of a service. `may_lag` says whether frames are left out that
    /// one of its links may have begun. Composites are nested as deep as the registry lets them,
    /// which is not deep.
    fn parts(&mut self, service: &'r Service, may_lag: bool) -> Parts {
        let (pattern, isolation, targets) = match service.target() {
            Target::Composite { pattern, isolation, targets } => (*pattern, *isolation, targets),
            Target::Endpoint { .. } => {
                return Parts { links: 1, tails: u64::from(may_lag), failovers: 0 };
            }
        };
        let key = (&**service.name(), may_lag);
        if let Some(parts) = self.known.get(&key) {
            return *parts;
        }
        let lag = may_lag || isolation != Isolation::All || pattern == Pattern::RoundRobin;
        let mut parts = Parts::default();
        // Of a failover those that may have begun a frame: the target on duty, and the one that it
        // was before, which says goodbye.
        let mut most = [0; 2];
        let registry = self.registry;
        for target in targets.iter().filter_map(|name| registry.get(name)) {
            let Parts { links, tails, failovers } = self.parts(target, lag);
            parts.links += links;
            parts.tails += tails;
            parts.failovers += failovers;
            most = [most[0].max(tails), most[1].max(tails.min(most[0]))];
        }
        match (pattern, isolation) {
            (Pattern::Failover, _) => {
                (parts.tails, parts.failovers) = (most[0] + most[1], parts.failovers + 1);
            }
            // Who is left behind is behind K others, none of which is left behind by that.
            (_, Isolation::Quorum(needed)) if !may_lag => {
                parts.tails = parts.tails.min(parts.links.saturating_sub(u64::from(needed)));
            }
            _ => {}
        }
        self.known.insert(key, parts);
        parts
    }
}

/// What a layer above the buffer keeps.
fn layer(buffer: &BufferConfig) -> u64 {
    let (capacity, waiting) = (buffer.capacity() as u64, 3 * buffer.waiting() as u64);
    // The smallest frames are a header each.
    let header = LengthPrefixed::with_max_frame(0).max_frame_size() as u64;
    match (buffer.deadline(), buffer.priority()) {
        (None, None) => 0,
        (None, Some(_)) => waiting,
        (Some(_), _) => waiting + 3 * capacity + REMEMBERED * (capacity / header),
    }
}

/// A message that may come back from the buffer, in the memory of a deadline: three times the 80
/// bytes that it counts there, and what is known of it besides, in a queue that doubles.
const REMEMBERED: u64 = 3 * 80 + 160;

// Bytes that are taken beside what the configuration says. tests/budget.rs measures that they are
// enough, and not too much.

/// 64 events that nobody asks for: of a link, of a failover, of water marks.
const EVENTS: u64 = 64 * 128;

/// A link, its attempt to connect or its connection with what the runtime keeps of them, its
/// report.
const LINK: u64 = EVENTS + 4 * 1024;

/// A failover, beside its links.
const FAILOVER: u64 = EVENTS + 4 * 1024;

/// A stack, and one queue of events that grows.
const STACK: u64 = 8 * 1024;

/// The driver of a shared stack, and what its handles have in common.
const DRIVER: u64 = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        services.a = { type = "direct", endpoint = "tcp://127.0.0.1:9001" }
        services.b = { type = "relay", endpoint = "unix:///run/b.sock" }
        services.c = { type = "direct", endpoint = "tcp://127.0.0.1:9003" }

        [services.all]
        type = "composite"
        pattern = "fanout"
        targets = ["a", "b", "c"]
        buffer = { capacity = "1GiB", max_frame = "1MiB", high_water = "1MiB" }

        [services.best]
        type = "composite"
        pattern = "fanout"
        isolation = "best_effort"
        targets = ["a", "b"]

        [services.two]
        type = "composite"
        pattern = "fanout"
        isolation = { quorum = 1 }
        targets = ["c", "best"]

        [services.either]
        type = "composite"
        pattern = "failover"
        targets = ["a", "b", "c"]
        buffer = { capacity = "1MiB", when_full = "drop_oldest" }
    "#;

    #[test]
    fn links_that_may_lag_keep_a_frame_each() {
        let budget = Registry::from_str(FILE).expect("a good file").budget();
        let bytes = |name| budget.get(name).expect("it is there").sink.bytes;
        let (kib, mib) = (1 << 10, 1 << 20);
        assert_eq!(bytes("a"), 64 * kib + LINK + STACK);
        assert_eq!(bytes("all"), 1024 * mib + 3 * LINK + EVENTS + STACK);
        assert_eq!(bytes("best"), 3 * 64 * kib + 2 * LINK + STACK);
        assert_eq!(bytes("two"), 3 * 64 * kib + 3 * LINK + STACK, "one of three sets the pace");
        assert_eq!(
            bytes("either"),
            3 * mib + 3 * LINK + FAILOVER + STACK,
            "one, and one that leaves"
        );
        assert!(budget.get("d").is_none());
    }

    #[test]
    fn table_is_one_for_operators() {
        let expected = "\
service            links         sink       shared  fds  tasks
a                      1       84 KiB      216 KiB    1      2
all                    3     1025 MiB     3073 MiB    3      4
b                      1       84 KiB      216 KiB    1      2
best                   2      224 KiB      356 KiB    2      3
c                      1       84 KiB      216 KiB    1      2
either                 3     3128 KiB     5180 KiB    3      4
two                    3      236 KiB      368 KiB    3      4
total, all shared     14                  3079 MiB   14     21";
        let budget = Registry::from_str(FILE).expect("a good file").budget();
        assert_eq!(budget.to_string(), expected);
        assert_eq!(budget.total().fds, budget.services().map(|service| service.links).sum::<u64>());
        let nothing = Registry::from_str("[services]").expect("a good file").budget();
        assert_eq!((nothing.services().len(), nothing.total()), (0, Cost::default()));
    }
}
