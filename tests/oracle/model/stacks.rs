//! The stacks that sequences run on: every nesting there is, of random buffers under random
//! policies.

use std::sync::Arc;

use torq_message_sink::{Fanout, MessageSink, Quorum};

use super::any_sink::AnySink;
use super::choices::Choices;
use super::framings::AnyFraming;
use super::ledger::Ledger;
use super::log::Log;
use super::mixed;
use super::parts::Parts;
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
    /// Where not everybody gets everything.
    pub(super) ledger: Option<Ledger>,
}

impl Stack {
    pub(super) fn choose(choices: &mut dyn Choices, nestings: Nestings) -> Self {
        let number = match nestings {
            Nestings::Gating | Nestings::Around => choices.below(NESTINGS),
            Nestings::Isolated => choices.below(ISOLATED),
            Nestings::Mixed => choices.below(mixed::NESTINGS),
            Nestings::Shared => 0,
        };
        let mut parts = Parts::new(choices);
        let (mut sink, promise) = match nestings {
            Nestings::Gating => (nesting(number, &parts), None),
            Nestings::Around => {
                parts.small_writes = true;
                (nesting(number, &parts), None)
            }
            Nestings::Isolated => (isolated(number, &parts), None),
            Nestings::Mixed | Nestings::Shared => {
                let choices = &mut **parts.choices.get_mut();
                parts.small_writes = choices.once_in(2);
                parts.framing = Some(AnyFraming::choose(choices, 1000));
                parts.counting = true;
                let (sink, promise) = mixed::nesting(number, &mut parts);
                (sink, Some(promise))
            }
        };
        // For the buffers that have no `Lazy` above them.
        sink.set_policy(&Arc::new(parts.policy()));
        let Parts { logs, receivers, limited, eager, .. } = parts;
        let (logs, receivers) = (logs.into_inner(), receivers.into_inner());
        let ledger = promise.map(|promise| Ledger::new(promise, &logs, &receivers));
        Self { sink, logs, receivers, limited: limited.get(), eager: eager.get(), ledger }
    }
}

/// Which stacks sequences run on.
#[derive(Clone, Copy)]
pub(crate) enum Nestings {
    /// Those all of whose links gate.
    Gating,
    /// The same, with messages that are larger than one write.
    Around,
    /// Those with links that nobody waits for.
    Isolated,
    /// Those that do not bring everything to everybody, and all in one order: with any other layer
    /// or composite.
    Mixed,
    /// Those that several producers share. They are made elsewhere, and know no operations of a
    /// [`MessageSink`].
    Shared,
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
