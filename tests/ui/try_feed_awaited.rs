use torq_message_sink::{Buffered, MessageSink, SinkError, TcpSink};

async fn feed(sink: &mut Buffered<TcpSink>) -> Result<(), SinkError> {
    sink.try_feed("tick").await?;
    Ok(())
}

fn main() {}
