use torq_message_sink::{Buffered, MessageSink, TcpSink, TryFeedError};

fn feed(sink: &Buffered<TcpSink>) -> Result<(), TryFeedError> {
    sink.try_feed("tick")
}

fn main() {}
