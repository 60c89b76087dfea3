//! The stacks that sequences run on: every nesting there is, of random buffers under random
//! policies.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use torq_message_sink::testing::Scripted;
use torq_message_sink::{
    Backoff, BestEffort, Buffered, Fanout, Lazy, LazyPolicy, Link, MemoryConnector, MemorySink,
    MessageSink, Quorum, Reconnect, StreamLink, WhenFull,
};

use super::any_sink::AnySink;
use super::choices::Choices;
use super::framings::AnyFraming;
use super::log::Log;
use super::receiver::Receiver;

/// A stack, and what the model has to know of it.
pub(super) struct Stack {
    pub(super) sink: AnySink,
    pub(super) logs: Vec<Log>,
    pub(super) receivers: Vec<Receiver>,
    /// Whether attempts to connect can be used up.
    pub(super) limited: bool,
    /// Whether links reconnect by themselves.
    pub(super) eager: bool,
}

impl Stack {
    pub(super) fn choose(choices: &mut dyn Choices, nestings: Nestings) -> Self {
        let number = match nestings {
            Nestings::Gating => choices.below(NESTINGS),
            Nestings::Isolated => choices.below(ISOLATED),
        };
        let parts = Parts {
            pipe: choices.of(&[1, 7, 40, 300]),
            choices: RefCell::new(choices),
            logs: RefCell::default(),
            receivers: RefCell::default(),
            limited: Cell::new(false),
            eager: Cell::new(false),
        };
        let mut sink = match nestings {
            Nestings::Gating => nesting(number, &parts),
            Nestings::Isolated => isolated(number, &parts),
        };
        // For the buffers that have no `Lazy` above them.
        sink.set_policy(&Arc::new(parts.policy()));
        let Parts { logs, receivers, limited, eager, .. } = parts;
        let (logs, receivers) = (logs.into_inner(), receivers.into_inner());
        Self { sink, logs, receivers, limited: limited.get(), eager: eager.get() }
    }
}

/// Which stacks sequences run on.
#[derive(Clone, Copy)]
pub(crate) enum Nestings {
    /// Those all of whose links gate.
    Gating,
    /// Those with links that nobody waits for.
    Isolated,
}

/// How many nestings there are.
const NESTINGS: usize = 32;

/// How many there are with links that nobody waits for, or with quorums.
const ISOLATED: usize = 8;

#[rustfmt::skip]
fn nesting(number: usize, parts: &Parts<'_>) -> AnySink {
    let link = || parts.link();
    let pair = || Fanout::new((link(), link()));
    let one = || parts.buffered(link());
    let two = || parts.buffered(pair());
    let lazy_one = || parts.lazy(one());
    let lazy_two = || parts.lazy(two());
    match number {
        // One link.
        0 => AnySink::new(one()),
        1 => AnySink::new(lazy_one()),
        2 => AnySink::new(parts.lazy(lazy_one())),
        // Links below one buffer.
        3 => AnySink::new(two()),
        4 => AnySink::new(lazy_two()),
        5 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((link(), link(), link()))))),
        6 => AnySink::new(parts.lazy(parts.buffered(Fanout::new([link(), link(), link(), link()])))),
        7 => AnySink::new(parts.lazy(parts.buffered(Fanout::new(vec![link(), link()])))),
        8 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((link(), pair()))))),
        9 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((pair(), link()))))),
        10 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((pair(), pair()))))),
        11 => AnySink::new(parts.lazy(parts.buffered(Fanout::new([pair(), pair()])))),
        12 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((Fanout::new((pair(), link())), link()))))),
        13 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((Fanout::new(vec![link()]), link()))))),
        14 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((
            link(), link(), link(), link(), link(), link(), link(), link(), link(), link(), link(), link(),
        ))))),
        // Whole sinks.
        15 => AnySink::new(Fanout::new((one(), one()))),
        16 => AnySink::new(Fanout::new((lazy_one(), lazy_one()))),
        17 => AnySink::new(parts.lazy(Fanout::new((one(), one())))),
        18 => AnySink::new(parts.lazy(Fanout::new((lazy_one(), one())))),
        19 => AnySink::new(Fanout::new((lazy_two(), lazy_one()))),
        20 => AnySink::new(parts.lazy(Fanout::new((one(), two(), lazy_one())))),
        21 => AnySink::new(Fanout::new((Fanout::new((lazy_one(), one())), lazy_two()))),
        22 => AnySink::new(parts.lazy(Fanout::new((parts.lazy(Fanout::new((one(), one()))), one())))),
        23 => AnySink::new(parts.lazy(Fanout::new([lazy_one(), lazy_one(), lazy_one()]))),
        24 => AnySink::new(Fanout::new((
            one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(), one(),
        ))),
        25 => parts.tree(3),
        // Buffers that do not wait when they are full.
        26 => AnySink::new(parts.full(link())),
        27 => AnySink::new(parts.lazy(parts.full(link()))),
        28 => AnySink::new(parts.lazy(parts.full(pair()))),
        29 => AnySink::new(parts.lazy(parts.full(Fanout::new((link(), pair()))))),
        30 => AnySink::new(Fanout::new((parts.full(link()), lazy_one()))),
        _ => AnySink::new(parts.lazy(Fanout::new((parts.full(pair()), parts.full(link()))))),
    }
}

#[rustfmt::skip]
fn isolated(number: usize, parts: &Parts<'_>) -> AnySink {
    let link = || parts.link();
    let loose = || parts.loose();
    let mixed = || Fanout::new((link(), loose()));
    match number {
        0 => AnySink::new(parts.buffered(mixed())),
        1 => AnySink::new(parts.lazy(parts.buffered(mixed()))),
        2 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((loose(), link(), link(), loose()))))),
        3 => AnySink::new(parts.lazy(parts.buffered(Fanout::new((link(), Fanout::new(vec![loose(), loose()])))))),
        4 => AnySink::new(parts.lazy(parts.buffered(Fanout::new([mixed(), mixed()])))),
        5 => AnySink::new(Fanout::new((parts.lazy(parts.buffered(mixed())), parts.buffered(link())))),
        // Quorums of all that gate, which are fan-outs.
        6 => AnySink::new(parts.lazy(parts.buffered(Quorum::new(2, (link(), link()))))),
        _ => AnySink::new(parts.lazy(parts.buffered(Quorum::new(9, (link(), loose(), link()))))),
    }
}

/// Makes the parts of a stack, from the leaves up and from left to right, and keeps what the model
/// has to know of them.
struct Parts<'a> {
    choices: RefCell<&'a mut dyn Choices>,
    logs: RefCell<Vec<Log>>,
    receivers: RefCell<Vec<Receiver>>,
    limited: Cell<bool>,
    eager: Cell<bool>,
    /// Bytes that a connection holds unread.
    pipe: usize,
}

impl Parts<'_> {
    /// A link of the next buffer to be made.
    fn link(&self) -> StreamLink<Scripted<MemoryConnector>> {
        let (link, peer) = MemorySink::pair(self.pipe);
        let (connector, script) = Scripted::new(link.connector().clone());
        let mut receivers = self.receivers.borrow_mut();
        let name = receivers.len().to_string();
        receivers.push(Receiver::new(self.logs.borrow().len(), peer, script));
        StreamLink::with_connector(connector).with_service(name)
    }

    /// A link that nobody waits for.
    fn loose(&self) -> BestEffort<StreamLink<Scripted<MemoryConnector>>> {
        let link = self.link();
        self.receivers.borrow_mut().last_mut().expect("that link's").gates = false;
        BestEffort::new(link)
    }

    fn buffered<L: Link>(&self, link: L) -> Buffered<L, AnyFraming> {
        let log = Log::choose(*self.choices.borrow_mut());
        let sink = Buffered::with_framing(link, log.capacity, log.framing);
        self.logs.borrow_mut().push(log);
        sink
    }

    /// A buffer that drops or fails when it is full.
    fn full<L: Link>(&self, link: L) -> Buffered<L, AnyFraming> {
        let sink = self.buffered(link);
        let policies =
            [WhenFull::DropOldest, WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Error];
        let choices = &mut **self.choices.borrow_mut();
        let when_full = choices.of(&policies);
        if let Some(log) = self.logs.borrow_mut().last_mut() {
            log.when_full = when_full;
        }
        // Marks change nothing but when somebody looks.
        let high = choices.below(sink.capacity_bytes());
        sink.with_when_full(when_full).with_water_marks(high, high / 2)
    }

    /// Sinks over sinks as chance will have it, at most `depth` fan-outs deep.
    fn tree(&self, depth: usize) -> AnySink {
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

    fn lazy<S: MessageSink>(&self, inner: S) -> Lazy<S> {
        Lazy::with_policy(inner, self.policy())
    }

    fn policy(&self) -> LazyPolicy {
        let choices = &mut **self.choices.borrow_mut();
        let millis = Duration::from_millis;
        let backoff = Backoff::new()
            .with_initial(millis(choices.of(&[0, 1, 20])))
            .with_max(millis(choices.of(&[20, 300])));
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
            .with_counting(choices.once_in(2))
    }
}
