//! The stack that the factory builds: one type for all that a configuration can say.

use crate::factory::route::Route;
use crate::forward_sink;
use crate::layer::{Buffered, Lazy};
use crate::sink::MessageSink;

/// A sink built by name, by [`SinkFactory::create_sink`](crate::SinkFactory::create_sink): one of
/// the stacks that the factory knows, statically dispatched.
///
/// The stacks differ only below the buffer. Feeding is the same code for all of them, as if the
/// stack was written out in types; which one it is matters when bytes leave.
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct SinkStack {
    inner: Lazy<Buffered<Route>>,
}

impl SinkStack {
    pub(crate) fn new(inner: Lazy<Buffered<Route>>) -> Self {
        Self { inner }
    }
}

impl MessageSink for SinkStack {
    forward_sink! { inner:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_flush poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}
