use std::cell::Cell;

use torq_message_sink::{Buffered, Encode, MessageSink, TcpSink};

struct Tick(Cell<u8>);

impl Encode for Tick {
    fn encoded_len(&self) -> usize {
        1
    }

    fn encode(&self, buf: &mut [u8]) {
        buf[0] = self.0.get();
    }
}

fn spawned(_: impl Future + Send) {}

fn feed(mut sink: Buffered<TcpSink>, tick: Tick) {
    spawned(async move { sink.feed(&tick).await });
}

fn main() {}
