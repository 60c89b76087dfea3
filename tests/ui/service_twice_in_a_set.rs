//! Two variants for one service: the second would never be made.

use torq_message_sink::{Buffered, Lazy, TcpSink, UnixSink, known_stacks};

known_stacks! {
    pub enum Destination {
        Orders("orders"): Lazy<Buffered<TcpSink>>,
        Again("orders"): Lazy<Buffered<UnixSink>>,
    }
}

fn main() {}
