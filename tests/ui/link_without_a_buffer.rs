use torq_message_sink::{Lazy, MessageSink, TcpSink};

fn fed(mut link: TcpSink) {
    let _ = link.try_feed("tick");
}

fn with_a_policy(link: TcpSink) {
    let _ = Lazy::new(link);
}

fn main() {}
