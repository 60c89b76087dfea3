use torq_message_sink::{Buffered, Fanout, Lazy, TcpSink};

fn under_lazy(link: TcpSink, sink: Buffered<TcpSink>) {
    let _ = Lazy::new(Fanout::new((link, sink)));
}

fn main() {}
