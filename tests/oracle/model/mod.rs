//! The model: random operations on random stacks over links that misbehave, against a log of what
//! was accepted as the truth, or a ledger where not everybody gets everything.

mod any_sink;
mod choices;
mod drive;
mod ending;
mod feeding;
mod framings;
mod holes;
mod lagging;
mod layers;
mod ledger;
mod log;
mod message;
mod mixed;
mod parts;
mod receiver;
mod sequence;
mod shared;
mod stacks;
mod stream;
mod way;
mod world;

use std::panic;

pub(crate) use self::choices::{Bytes, Choices};
use self::sequence::Sequence;
pub(crate) use self::stacks::Nestings;
use self::stacks::Stack;

/// Runs one sequence of operations: the lives of some sinks, one after the other. Answers the
/// number of operations.
pub(crate) fn run(choices: &mut dyn Choices, nestings: Nestings, trace: bool) -> u64 {
    // The library draws its jitter from the thread's own generator.
    fastrand::seed(choices.below(256) as u64);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut operations = 0;
        while operations < OPERATIONS && !choices.used_up() {
            if let Nestings::Shared = nestings {
                operations += shared::run(choices, OPERATIONS - operations, trace).await;
                continue;
            }
            let stack = Stack::choose(choices, nestings);
            if trace {
                println!("{}", stack.sink.name());
            }
            operations += Sequence::new(stack, choices, trace).run(OPERATIONS - operations).await;
        }
        operations
    })
}

/// Connectors that panic are part of the model; their messages would hide the one that counts.
pub(crate) fn quiet_scripted_panics() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some("a scripted panic") {
            hook(info);
        }
    }));
}

/// Operations of one sequence.
const OPERATIONS: u64 = 200;
