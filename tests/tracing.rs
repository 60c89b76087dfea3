//! What a sink tells the log.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use torq_message_sink::{Buffered, MemorySink, MessageSink, SinkError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Gathers the text of all events.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!("{field}={value:?} ");
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.0.lock().expect("nobody panics with it").push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn dropped_sink_tells_what_it_could_not_write() -> Result<(), SinkError> {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let (link, peer) = MemorySink::pair(9);
    let mut sink = Buffered::new(link.with_service("ticks"));
    sink.send("12345").await?;
    let stream = peer.accept().expect("sent");
    sink.feed("unwritten").await?;
    drop(sink);

    let lines = lines.0.lock().expect("nobody panics with it").clone();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("INFO") && lines[0].contains("message=connected"), "{lines:?}");
    assert!(lines[1].contains("message=disconnected"), "{lines:?}");
    assert!(lines[2].starts_with("WARN") && lines[2].contains("bytes=13"), "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("service=\"ticks\"")), "{lines:?}");
    assert_eq!(stream.read(), b"\0\0\0\x0512345");
    Ok(())
}
