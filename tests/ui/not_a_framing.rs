use torq_message_sink::{Buffered, TcpSink};

struct Tabs;

struct Adapter {
    sink: Buffered<TcpSink, Tabs>,
}

fn main() {}
