use torq_message_sink::{Fanout, Lazy, Link, MessageSink};

fn one_child<L: Link>(link: L) -> impl Link {
    Fanout::new((link,))
}

fn thirteen<S: MessageSink>(make: fn() -> S) {
    let _ = Lazy::new(Fanout::new((
        make(), make(), make(), make(), make(), make(), make(),
        make(), make(), make(), make(), make(), make(),
    )));
}

fn main() {}
