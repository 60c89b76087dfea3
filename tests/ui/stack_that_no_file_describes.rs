//! A stack of something that services.toml cannot name.

use torq_message_sink::{Buffered, Lazy, MemorySink, known_stacks};

known_stacks! {
    pub enum Destination {
        Orders("orders"): Lazy<Buffered<MemorySink>>,
    }
}

fn main() {}
