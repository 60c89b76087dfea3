//! The sending end: one of our sinks.

use std::ops::Range;
use std::time::Duration;

use torq_message_sink::{Backoff, Buffered, Framing, Lazy, LazyPolicy, Link, MessageSink};

use crate::message::Form;

/// A sink with a small buffer, so that it is full again and again.
pub(crate) fn sink<L: Link, F: Framing>(link: L, framing: F) -> Lazy<Buffered<L, F>> {
    let soon = Duration::from_millis(1);
    let policy = LazyPolicy::new()
        .with_close_deadline(Duration::from_secs(60))
        .with_backoff(Backoff::new().with_initial(soon).with_max(soon));
    Lazy::with_policy(Buffered::with_framing(link, 32 * 1024, framing), policy)
}

pub(crate) async fn send(sink: &mut impl MessageSink, numbers: Range<u64>, form: Form) {
    for number in numbers {
        sink.feed(&(form.write)(number)).await.expect("fed");
        if number % 100 == 0 {
            sink.flush().await.expect("flushed");
        }
    }
    sink.flush().await.expect("flushed");
}

/// Waits until the sink has seen that its receiver is gone.
pub(crate) async fn notice(sink: &mut impl MessageSink) {
    while sink.is_connected() {
        sink.flush().await.expect("nothing is left to write");
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn close(sink: &mut impl MessageSink) {
    let report = sink.close().await.expect("closed");
    assert!(report.is_complete(), "{report}");
}
