use torq_message_sink::{Fanout, TcpSink};

fn fed(links: [TcpSink; 2]) {
    let _ = Fanout::new(links).try_feed("tick");
}

fn main() {}
