use torq_message_sink::{Buffered, TcpSink, TryFeedError};

fn feed(sink: &mut Buffered<TcpSink>) -> Result<(), TryFeedError> {
    sink.try_feed("tick")
}

fn main() {}
