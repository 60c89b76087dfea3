use torq_message_sink::{Buffered, TcpSink};

fn main() {
    let _ = Buffered::with_capacity(TcpSink::new("127.0.0.1:9001"), 4096);
}
