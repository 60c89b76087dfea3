//! The parts that stacks are made of.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use torq_message_sink::testing::Scripted;
use torq_message_sink::{
    Backoff, BestEffort, Buffered, Fanout, Lazy, LazyPolicy, Link, MemoryConnector, MemorySink,
    MessageSink, Reconnect, StreamLink, WhenFull,
};

use super::any_sink::AnySink;
use super::choices::Choices;
use super::framings::AnyFraming;
use super::ledger::Promise;
use super::log::{CAPACITIES, Log};
use super::receiver::Receiver;

/// Makes the parts of a stack, from the leaves up and from left to right, and keeps what the model
/// has to know of them.
pub(super) struct Parts<'a> {
    pub(super) choices: RefCell<&'a mut dyn Choices>,
    pub(super) logs: RefCell<Vec<Log>>,
    pub(super) receivers: RefCell<Vec<Receiver>>,
    pub(super) limited: Cell<bool>,
    pub(super) eager: Cell<bool>,
    /// Bytes that a connection holds unread.
    pub(super) pipe: usize,
    /// Whether buffers write so little at once that some messages are too large for that, and go
    /// around them.
    pub(super) small_writes: bool,
    /// The framing of all buffers, where they have one.
    pub(super) framing: Option<AnyFraming>,
    /// The capacity of all buffers, where they have one.
    pub(super) capacity: Option<usize>,
    /// Whether messages are counted in any case.
    pub(super) counting: bool,
    /// What the layers promise that were made.
    pub(super) promise: RefCell<Promise>,
}

/// A link to one of the receivers.
pub(super) type AnyLink = StreamLink<Scripted<MemoryConnector>>;

/// A buffer over such a link.
pub(super) type One = Buffered<AnyLink, AnyFraming>;

impl<'a> Parts<'a> {
    pub(super) fn new(choices: &'a mut dyn Choices) -> Self {
        Self {
            pipe: choices.of(&[1, 7, 40, 300]),
            choices: RefCell::new(choices),
            logs: RefCell::default(),
            receivers: RefCell::default(),
            limited: Cell::new(false),
            eager: Cell::new(false),
            small_writes: false,
            framing: None,
            capacity: None,
            counting: false,
            promise: RefCell::default(),
        }
    }

    /// A link of the next buffer to be made.
    pub(super) fn link(&self) -> AnyLink {
        let (link, peer) = MemorySink::pair(self.pipe);
        let (connector, script) = Scripted::new(link.connector().clone());
        let mut receivers = self.receivers.borrow_mut();
        let name = receivers.len().to_string();
        receivers.push(Receiver::new(self.logs.borrow().len(), peer, script));
        StreamLink::with_connector(connector).with_service(name)
    }

    /// A link that nobody waits for.
    pub(super) fn loose(&self) -> BestEffort<AnyLink> {
        let link = self.link();
        self.receivers.borrow_mut().last_mut().expect("that link's").gates = false;
        BestEffort::new(link)
    }

    pub(super) fn buffered<L: Link>(&self, link: L) -> Buffered<L, AnyFraming> {
        let choices = &mut **self.choices.borrow_mut();
        let log = match self.framing {
            Some(framing) => {
                let capacity = self.capacity.unwrap_or_else(|| choices.of(&CAPACITIES));
                Log::with_framing(capacity, framing, 1000)
            }
            None => Log::choose(choices),
        };
        let mut sink = Buffered::with_framing(link, log.capacity, log.framing);
        if self.small_writes {
            let high = choices.below(log.capacity);
            sink = sink.with_water_marks(high, high / 2);
        }
        self.logs.borrow_mut().push(log);
        sink
    }

    /// A buffer that drops or fails when it is full.
    pub(super) fn full<L: Link>(&self, link: L) -> Buffered<L, AnyFraming> {
        let policies =
            [WhenFull::DropOldest, WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Error];
        self.full_with(link, &policies)
    }

    /// A buffer with one of these ways to be full.
    pub(super) fn full_with<L: Link>(
        &self,
        link: L,
        policies: &[WhenFull],
    ) -> Buffered<L, AnyFraming> {
        let sink = self.buffered(link);
        let choices = &mut **self.choices.borrow_mut();
        let when_full = choices.of(policies);
        if let Some(log) = self.logs.borrow_mut().last_mut() {
            log.when_full = when_full;
        }
        // Marks change nothing but when somebody looks.
        let high = choices.below(sink.capacity_bytes());
        sink.with_when_full(when_full).with_water_marks(high, high / 2)
    }

    /// Sinks over sinks as chance will have it, at most `depth` fan-outs deep.
    pub(super) fn tree(&self, depth: usize) -> AnySink {
        let kind = self.choices.borrow_mut().below(if depth > 0 { 4 } else { 2 });
        match kind {
            0 => AnySink::new(self.buffered(self.link())),
            1 => AnySink::new(self.buffered(Fanout::new(vec![self.link(), self.link()]))),
            2 => AnySink::new(self.lazy(self.tree(depth - 1))),
            _ => {
                let children = 1 + self.choices.borrow_mut().below(3);
                let child = |_| self.tree(depth - 1);
                AnySink::new(Fanout::new((0..children).map(child).collect::<Vec<_>>()))
            }
        }
    }

    pub(super) fn lazy<S: MessageSink>(&self, inner: S) -> Lazy<S> {
        Lazy::with_policy(inner, self.policy())
    }

    pub(super) fn policy(&self) -> LazyPolicy {
        let choices = &mut **self.choices.borrow_mut();
        let millis = Duration::from_millis;
        // A failover between peers that are away goes round as fast as their back-off lets it, and
        // one that waits for longer than its stall timeout is given up for the next.
        let (least, most) = if self.counting { (1, 40) } else { (0, 300) };
        let backoff = Backoff::new()
            .with_initial(millis(choices.of(&[least, 1, 20])))
            .with_max(millis(choices.of(&[20, most])));
        let attempts = choices.of(&[0, 0, 1, 3]);
        let reconnect = if choices.once_in(4) { Reconnect::Eager } else { Reconnect::OnData };
        self.limited.set(self.limited.get() || attempts > 0);
        self.eager.set(self.eager.get() || reconnect == Reconnect::Eager);
        LazyPolicy::new()
            .with_connect_timeout(millis(50))
            .with_backoff(backoff)
            .with_max_attempts(attempts)
            .with_min_uptime(millis(choices.of(&[0, 30])))
            .with_idle_timeout(choices.of(&[None, None, Some(millis(40))]))
            .with_close_deadline(millis(choices.of(&[0, 100, 1000])))
            .with_reconnect(reconnect)
            .with_counting(choices.once_in(2) || self.counting)
    }
}
