use torq_message_sink::{Buffered, MessageSink, TcpSink};

struct Tick {
    price: u64,
}

fn feed(sink: &mut Buffered<TcpSink>) {
    let _ = sink.try_feed(&Tick { price: 1 });
    let _ = sink.try_feed(&42_u64);
    let _ = sink.try_feed(String::from("tick"));
}

fn main() {}
