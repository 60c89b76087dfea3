use torq_message_sink::{Buffered, Fanout, Lazy, TcpSink};

struct WrongWayRound {
    sink: Buffered<Lazy<TcpSink>>,
}

struct BufferedTwice {
    sink: Lazy<Buffered<Fanout<[Buffered<TcpSink>; 2]>>>,
}

fn main() {}
